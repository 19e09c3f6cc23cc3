//! A listener of its own for `/metrics`, where a scraper of another machine may come. It is plain HTTP/1.1, knows this one
//! path, and asks for no token: who may reach it is the network's affair.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::ALLOW;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::body::{self, Body};
use super::{LiveSource, ServerError, health};

/// Scrapers at once; more are closed.
const CONNECTIONS: usize = 32;
/// A connection ends after this, whatever happens on it; scrapers connect anew.
const LIFE: Duration = Duration::from_secs(300);
/// Time for a request's head, and from one request to the next.
const HEAD: Duration = Duration::from_secs(90);
/// Pause after an accept error such as "too many open files".
const PAUSE: Duration = Duration::from_millis(100);

/// The bound socket.
#[derive(Debug)]
pub(super) struct Scrapes {
    socket: TcpListener,
    address: SocketAddr,
    live: LiveSource,
}

impl Scrapes {
    pub(super) async fn bind(address: SocketAddr, live: LiveSource) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, live })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`.
    pub(super) async fn serve(self, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, _peer)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let (live, stop) = (Arc::clone(&self.live), stop.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            _ended = timeout(LIFE, connection(stream, live)) => {}
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a scraper");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, live: LiveSource) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &live);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "the connection of a scraper broke");
    }
}

fn answer<B>(request: &Request<B>, live: &LiveSource) -> Response<Body> {
    if request.uri().path() != "/metrics" {
        return body::text(StatusCode::NOT_FOUND, "not found");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    health::metrics(&live.load())
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::answer;
    use crate::server::tests::live;

    #[test]
    fn it_knows_one_path() {
        let asked = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            answer(&request, &live()).status()
        };
        assert_eq!(asked("GET", "/metrics"), StatusCode::OK);
        assert_eq!(asked("POST", "/metrics"), StatusCode::METHOD_NOT_ALLOWED);
        for path in ["/", "/mcp", "/readyz", "/metrics/"] {
            assert_eq!(asked("GET", path), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
