//! The relay of one client connection: handshake, recording, and the way of each request and its answer.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::record::{Log, describe, hex_digest};
use super::upstream::{Link, Target};

/// Limit of a client's TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Limit between the head of a request and the head of its answer, longer than any watch waits for its first.
const HEAD: Duration = Duration::from_secs(600);
/// Limit of an upgraded connection.
const TUNNEL: Duration = Duration::from_secs(3600);

/// An answer of the upstream, streamed, or one of the Tap itself.
type Body = Either<Incoming, Full<Bytes>>;

/// What all connections of a Tap share.
pub(super) struct Shared {
    pub mode: Mode,
    pub preserve_host: bool,
    pub tls: Arc<rustls::ServerConfig>,
    log: Mutex<Log>,
    tasks: Mutex<JoinSet<()>>,
}

/// Where requests go.
pub(super) enum Mode {
    Relay(RwLock<Target>),
    Sink(StatusCode),
}

impl Shared {
    pub fn new(mode: Mode, preserve_host: bool, tls: Arc<rustls::ServerConfig>) -> Self {
        Self { mode, preserve_host, tls, log: Mutex::default(), tasks: Mutex::default() }
    }

    pub fn log<T>(&self, f: impl FnOnce(&mut Log) -> T) -> T {
        f(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `task` until it ends or the Tap stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks(|tasks| {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        });
    }

    /// Gives the tasks away, so that they can be ended and awaited.
    pub fn take_tasks(&self) -> JoinSet<()> {
        self.tasks(std::mem::take)
    }

    fn tasks<T>(&self, f: impl FnOnce(&mut JoinSet<()>) -> T) -> T {
        f(&mut self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves one accepted connection to its end. Failures show as a connection that was never `secured`, or as a
/// request without a status.
pub(super) async fn connection(shared: Arc<Shared>, tcp: TcpStream) {
    let id = shared.log(Log::open);
    let Ok(Ok((stream, link))) = timeout(HANDSHAKE * 2, handshake(&shared, tcp)).await else {
        return;
    };
    let session = stream.get_ref().1;
    let alpn = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    let certificate = session.peer_certificates().and_then(<[_]>::first).map(|certificate| hex_digest(certificate));
    shared.log(|log| log.secured(id, alpn, certificate.clone()));

    let client = Arc::new(Client { id, certificate, link, shared });
    let service = {
        let client = Arc::clone(&client);
        service_fn(move |request| exchange(Arc::clone(&client), request))
    };
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().auto_date_header(false);
    server.http2().auto_date_header(false);
    let mut serving = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let upstream_closed = async {
        match &client.link {
            Some(link) => link.closed().await,
            None => std::future::pending().await,
        }
    };
    // How a connection ends is the business of its two ends; the requests on it are in the log.
    tokio::select! {
        ended = serving.as_mut() => drop(ended),
        () = upstream_closed => {
            serving.as_mut().graceful_shutdown();
            drop(serving.await);
        }
    }
}

/// One client connection and the upstream connection that belongs to it.
struct Client {
    id: usize,
    certificate: Option<String>,
    /// `None` for a sink.
    link: Option<Link>,
    shared: Arc<Shared>,
}

/// Agrees with the client on the protocol that the upstream chooses out of the client's offer.
async fn handshake(shared: &Shared, tcp: TcpStream) -> anyhow::Result<(TlsStream<TcpStream>, Option<Link>)> {
    tcp.set_nodelay(true)?;
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
    let offered: Vec<Vec<u8>> =
        start.client_hello().alpn().map(|names| names.map(<[u8]>::to_vec).collect()).unwrap_or_default();
    let common: Vec<Vec<u8>> =
        shared.tls.alpn_protocols.iter().filter(|name| offered.contains(name)).cloned().collect();
    let mut config = (*shared.tls).clone();
    let link = match &shared.mode {
        Mode::Sink(_) => None,
        Mode::Relay(target) => {
            let target = target.read().unwrap_or_else(PoisonError::into_inner).clone();
            let (link, chosen) = match Link::open(target.clone(), common.clone()).await {
                Ok(opened) => opened,
                Err(_) => {
                    let first: Vec<_> = common.into_iter().take(1).collect();
                    (Link::unopened(target, first.clone()), first.into_iter().next())
                }
            };
            config.alpn_protocols = chosen.into_iter().collect();
            Some(link)
        }
    };
    Ok((start.into_stream(Arc::new(config)).await?, link))
}

/// Records and relays one request. An error makes hyper break off, as the upstream did.
async fn exchange(client: Arc<Client>, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    let record = describe(client.id, client.certificate.as_ref(), request.method(), request.uri(), request.headers());
    let id = client.shared.log(|log| log.request(record));
    let response = match (&client.shared.mode, &client.link) {
        (Mode::Relay(_), Some(link)) => relay(&client.shared, link, request).await?,
        (Mode::Sink(status), _) => own_answer(*status, "this server only records requests\n"),
        (Mode::Relay(_), None) => own_answer(StatusCode::BAD_GATEWAY, "no upstream\n"),
    };
    client.shared.log(|log| log.answered(id, response.status().as_u16()));
    Ok(response)
}

async fn relay(shared: &Shared, link: &Link, mut request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    if let Err(error) = link.ready().await {
        return Ok(own_answer(StatusCode::BAD_GATEWAY, &format!("the upstream cannot be reached: {error:#}\n")));
    }
    let upgrade = request.headers().get(UPGRADE).cloned();
    let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let authority = authority(&request, shared.preserve_host).unwrap_or_else(|| link.target.authority.clone());
    readdress(&mut request, &authority, link.is_http2().await)?;
    forward_headers(request.headers_mut(), upgrade.as_ref());
    if upgrade.is_some() {
        link.expect_upgrade();
    }
    let mut response = timeout(HEAD, link.send(request)).await.context("no answer in time")??;
    let switched = response.headers().get(UPGRADE).cloned();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client_side) = client_side
    {
        let upstream_side = hyper::upgrade::on(&mut response);
        shared.spawn(async move { drop(timeout(TUNNEL, tunnel(client_side, upstream_side)).await) });
        forward_headers(response.headers_mut(), switched.as_ref());
    } else {
        forward_headers(response.headers_mut(), None);
    }
    // The server side writes the version of its own connection.
    *response.version_mut() = Version::default();
    Ok(response.map(Either::Left))
}

/// Moves bytes both ways after `101 Switching Protocols` until either side closes.
async fn tunnel(client: hyper::upgrade::OnUpgrade, upstream: hyper::upgrade::OnUpgrade) -> anyhow::Result<()> {
    let (client, upstream) = tokio::try_join!(client, upstream)?;
    tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(upstream)).await?;
    Ok(())
}

/// The name by which the client asked for this server, if that is to be passed on.
fn authority(request: &Request<Incoming>, preserve: bool) -> Option<String> {
    let named = request.uri().authority().map(ToString::to_string);
    let host = || request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    preserve.then(|| named.or_else(host)).flatten()
}

/// Writes the request's address in the form that HTTP/1.1 or HTTP/2 needs.
fn readdress(request: &mut Request<Incoming>, authority: &str, http2: bool) -> anyhow::Result<()> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    request.headers_mut().remove(HOST);
    if http2 {
        *request.uri_mut() = Uri::builder().scheme("https").authority(authority).path_and_query(path).build()?;
        *request.version_mut() = Version::HTTP_2;
    } else {
        *request.uri_mut() = Uri::builder().path_and_query(path).build()?;
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority)?);
    }
    Ok(())
}

/// Removes what belongs to one hop (RFC 9110 section 7.6.1), except an upgrade that both sides take part in.
fn forward_headers(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let keeps_trailers = headers.get(TE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let fixed = [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE, header::PROXY_AUTHORIZATION];
    for name in named.into_iter().chain(fixed) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    if keeps_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, upgrade.clone());
    }
}

fn own_answer(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::copy_from_slice(text.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// Accepts connections until the task is dropped.
pub(super) async fn accept(shared: Arc<Shared>, listener: tokio::net::TcpListener) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => shared.spawn(connection(Arc::clone(&shared), tcp)),
            // Out of file descriptors, most likely: let some be closed.
            Err(_) => crate::poll::pause(Duration::from_millis(50)).await,
        }
    }
}
