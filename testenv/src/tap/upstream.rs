//! The upstream side of one relayed connection: its own TLS connection with the client's protocols.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pki;
use crate::pki::Leaf;

/// Limit of TCP connect plus TLS handshake with the upstream.
const CONNECT: Duration = Duration::from_secs(10);

/// The server behind a Tap.
#[derive(Clone)]
pub(super) struct Target {
    /// `host:port`
    pub authority: String,
    tls: Arc<rustls::ClientConfig>,
}

impl Target {
    pub fn new(authority: &str, ca_pem: &str, client: Option<&Leaf>) -> Self {
        Self { authority: authority.to_owned(), tls: pki::client_config(ca_pem, client, &[]) }
    }

    /// One TLS connection that offers `alpn`.
    async fn connect(&self, alpn: &[Vec<u8>]) -> anyhow::Result<TlsStream<TcpStream>> {
        let (host, _) = self.authority.rsplit_once(':').context("the upstream is written host:port")?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let mut config = (*self.tls).clone();
        config.alpn_protocols = alpn.to_vec();
        let connecting = async {
            let tcp = TcpStream::connect(&self.authority).await?;
            tcp.set_nodelay(true)?;
            TlsConnector::from(Arc::new(config)).connect(name, tcp).await
        };
        let stream = timeout(CONNECT, connecting).await.context("the upstream did not answer in time")??;
        Ok(stream)
    }
}

/// The one upstream connection that belongs to one client connection; opened again when it was closed.
pub(super) struct Link {
    pub target: Target,
    alpn: Vec<Vec<u8>>,
    sender: Mutex<Option<Sender>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// A request asked for an upgrade, so the end of HTTP is not the end of the connection.
    upgrading: AtomicBool,
    closed: Notify,
}

enum Sender {
    Http1(http1::SendRequest<Incoming>),
    Http2(http2::SendRequest<Incoming>),
}

impl Link {
    /// Opens the connection, offering `alpn`, and says which protocol the upstream chose.
    pub async fn open(target: Target, alpn: Vec<Vec<u8>>) -> anyhow::Result<(Self, Option<Vec<u8>>)> {
        let stream = target.connect(&alpn).await?;
        let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let state = Arc::default();
        let sender = Mutex::new(Some(Sender::start(stream, &state).await?));
        // A later connection must speak what the client has been told.
        let alpn = chosen.iter().cloned().collect();
        Ok((Self { target, alpn, sender, state }, chosen))
    }

    /// A connection that will be tried at the first request.
    pub fn unopened(target: Target, alpn: Vec<Vec<u8>>) -> Self {
        Self { target, alpn, sender: Mutex::new(None), state: Arc::default() }
    }

    /// Resolves when the upstream has closed the connection, unless it was upgraded.
    pub async fn closed(&self) {
        self.state.closed.notified().await;
    }

    /// Says that the next request asks for an upgrade.
    pub fn expect_upgrade(&self) {
        self.state.upgrading.store(true, Ordering::Relaxed);
    }

    /// Makes sure that there is a connection.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let mut sender = self.sender.lock().await;
        if sender.as_ref().is_some_and(|sender| !sender.is_closed()) {
            return Ok(());
        }
        let stream = self.target.connect(&self.alpn).await?;
        let chosen = stream.get_ref().1.alpn_protocol();
        if chosen != self.alpn.first().map(Vec::as_slice) {
            bail!("the upstream now speaks another protocol than at first");
        }
        *sender = Some(Sender::start(stream, &self.state).await?);
        Ok(())
    }

    /// Whether requests go out as HTTP/2.
    pub async fn is_http2(&self) -> bool {
        matches!(*self.sender.lock().await, Some(Sender::Http2(_)))
    }

    /// Sends one request; call [`Link::ready`] first. HTTP/2 requests do not wait for each other.
    pub async fn send(&self, request: Request<Incoming>) -> anyhow::Result<Response<Incoming>> {
        let mut sender = self.sender.lock().await;
        match sender.as_mut().context("no connection to the upstream")? {
            Sender::Http1(http1) => {
                http1.ready().await?;
                let exchange = http1.send_request(request);
                drop(sender);
                Ok(exchange.await?)
            }
            Sender::Http2(http2) => {
                let mut http2 = http2.clone();
                drop(sender);
                http2.ready().await?;
                Ok(http2.send_request(request).await?)
            }
        }
    }
}

impl Sender {
    /// Starts HTTP on `stream`. The driver ends by itself when the last sender is dropped.
    async fn start(stream: TlsStream<TcpStream>, state: &Arc<State>) -> anyhow::Result<Self> {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        let state = Arc::clone(state);
        if http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(async move {
                drop(connection.await);
                state.closed.notify_one();
            });
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(async move {
            drop(connection.with_upgrades().await);
            if !state.upgrading.load(Ordering::Relaxed) {
                state.closed.notify_one();
            }
        });
        Ok(Self::Http1(sender))
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }
}
