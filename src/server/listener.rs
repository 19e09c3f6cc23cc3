//! Accepting connections, bounding them, and ending them well.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::{Activity, Counted, Patience, Tracked};
use super::http::Http;
use super::tls::Certificate;
use super::{Limits, LiveSource, ServerConfig, ServerError};

/// What a client gets when all connections are taken.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// Pause after an accept error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for a cut connection to end.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// A bound socket and all that a connection needs.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    http: Http,
    certificate: Option<Arc<Certificate>>,
    connections: Arc<Semaphore>,
    /// Shutdown has begun: finish what is in flight.
    drain: CancellationToken,
    /// The drain took too long: end now.
    cut: CancellationToken,
}

impl Listener {
    pub(super) async fn bind(config: ServerConfig, live: LiveSource) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Listen { address: config.listen, source };
        let certificate = match config.tls.clone() {
            Some(files) => Some(Certificate::load(files).await?),
            None => None,
        };
        let socket = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
        let limits = config.limits;
        let connections = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let http = Http::new(config, address, live, drain.clone(), cut.clone())?;
        Ok(Self { socket, address, shared: Arc::new(Shared { limits, http, certificate, connections, drain, cut }) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn serve(self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        if let Some(certificate) = self.shared.certificate.clone() {
            let stop = self.shared.drain.clone();
            tasks.spawn(async move { certificate.follow(stop).await });
        }
        self.accept_until(&shutdown, &tasks).await;
        let Self { socket, shared, .. } = self;
        drop(socket);
        shared.drain.cancel();
        tasks.close();
        if timeout(shared.limits.drain, tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = tasks.len(),
                "requests were still in flight at the end of the drain and are cut"
            );
            shared.cut.cancel();
            if timeout(CUT_WITHIN, tasks.wait()).await.is_err() {
                tracing::error!(connections = tasks.len(), "connections did not end when cut");
            }
        }
    }

    async fn accept_until(&self, shutdown: &CancellationToken, tasks: &TaskTracker) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, tasks),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, tasks: &TaskTracker) {
        let Ok(permit) = Arc::clone(&self.shared.connections).try_acquire_owned() else {
            self.shared.http.metrics().refused();
            tracing::debug!(%peer, "a connection over the cap was refused");
            if self.shared.certificate.is_none() {
                // Best effort: a new socket's send buffer is empty, and a client that is gone does not matter.
                drop(stream.try_write(BUSY));
            }
            return;
        };
        let shared = Arc::clone(&self.shared);
        let open = shared.http.metrics().connection();
        tasks.spawn(async move {
            shared.connection(stream, peer).await;
            drop((open, permit));
        });
    }
}

/// Errors of accept that say something about one client only.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Shared {
    async fn connection(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        let Some(certificate) = &self.certificate else { return self.http(stream, peer).await };
        let handshake = TlsAcceptor::from(certificate.current()).accept(stream);
        let done = tokio::select! {
            () = self.drain.cancelled() => return,
            done = timeout(self.limits.handshake, handshake) => done,
        };
        match done {
            Ok(Ok(stream)) => self.http(stream, peer).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "the TLS handshake failed"),
            Err(_elapsed) => tracing::debug!(%peer, "the TLS handshake took too long"),
        }
    }

    /// Serves requests of one connection until it ends, is overdue, or the server shuts down.
    async fn http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self: &Arc<Self>, stream: S, peer: SocketAddr) {
        let activity = Activity::new();
        let (shared, counted) = (Arc::clone(self), Arc::clone(&activity));
        let service = service_fn(move |request: Request<Incoming>| {
            let in_flight = counted.begin(request.version() == Version::HTTP_2);
            let shared = Arc::clone(&shared);
            async move {
                let answer = shared.http.answer(request, peer.ip()).await;
                Ok::<_, Infallible>(answer.map(|body| Counted::new(body, in_flight)))
            }
        });
        let builder = self.builder();
        let connection = builder.serve_connection(TokioIo::new(Tracked::new(stream, Arc::clone(&activity))), service);
        tokio::pin!(connection);
        let patience =
            Patience { head: self.limits.header_read, idle: self.limits.idle, write_stall: self.limits.write_stall };
        let mut looks = interval(look_every(patience));
        let mut draining = false;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "a connection broke");
                    }
                    return;
                }
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.cut.cancelled() => return,
                _ = looks.tick() => if let Some(overdue) = activity.overdue(patience) {
                    tracing::debug!(%peer, ?overdue, "a connection was ended");
                    return;
                }
            }
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let limits = &self.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // `Activity` holds the real limit; this one also runs between requests.
            .header_read_timeout(limits.idle.max(limits.header_read))
            .max_buf_size(limits.header_bytes.max(8 << 10));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(20)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        builder
    }
}

/// How often a connection is looked at: a quarter of the shortest limit, so a limit is exceeded by a quarter at most.
fn look_every(patience: Patience) -> Duration {
    let shortest = patience.head.min(patience.idle).min(patience.write_stall);
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(5))
}
