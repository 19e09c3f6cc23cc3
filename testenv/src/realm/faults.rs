//! What can be made to go wrong at one endpoint of a realm.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;

/// The body of every answer of a realm.
pub(super) type Body = BoxBody<Bytes, io::Error>;

/// Size of the pieces in which a huge answer is sent, in bytes.
const PIECE: usize = 64 * 1024;

/// A way to misbehave.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers with this status and no body.
    Status(u16),
    /// Answers `200` with a page of HTML, as a captive portal does.
    Html,
    /// Answers `302` to this URL.
    Redirect(String),
    /// Answers with exactly this.
    Raw {
        /// Status code.
        status: u16,
        /// Header fields.
        headers: Vec<(String, String)>,
        /// Body.
        body: Bytes,
    },
    /// Adds this many bytes of blanks to the good answer, streamed without a `content-length`.
    Huge(usize),
    /// Sends the good answer one byte at a time, with this pause before each.
    Drip(Duration),
    /// Waits this long, then answers well.
    Delay(Duration),
    /// Never answers.
    Hang,
    /// Breaks off without an answer: HTTP/1.1 closes the connection, HTTP/2 resets the stream.
    Reset,
}

/// The error that makes hyper break off.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the realm was told to break off")
    }
}

impl std::error::Error for BrokenOff {}

impl Fault {
    /// Answers with this status, type and body.
    #[must_use]
    pub fn text(status: u16, content_type: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self::Raw { status, headers, body: Bytes::from(body.to_owned()) }
    }

    /// Says to come back after so many seconds, as a Keycloak that is booting (503) or a gateway before it (429).
    #[must_use]
    pub fn come_back(status: u16, seconds: u32) -> Self {
        let headers = [("content-type", "text/plain".to_owned()), ("retry-after", seconds.to_string())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let body = format!("Bootstrap in progress. Retry in {seconds} seconds.");
        Self::Raw { status, headers, body: Bytes::from(body) }
    }

    /// The status, where nothing of the good answer is left, so that it need not be made.
    pub(super) fn replaces(&self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::Raw { status, .. } => Some(*status),
            Self::Html => Some(200),
            Self::Redirect(_) => Some(302),
            Self::Huge(_) | Self::Drip(_) | Self::Delay(_) | Self::Hang | Self::Reset => None,
        }
    }

    /// Turns the good answer into the bad one.
    pub(super) async fn spoil(self, good: Response<Body>) -> Result<Response<Body>, BrokenOff> {
        let response = match self {
            Self::Status(status) => answer(status, "text/plain", Bytes::new()),
            Self::Html => answer(200, "text/html", Bytes::from_static(b"<!doctype html><title>Sign in</title>")),
            Self::Redirect(to) => {
                let mut response = answer(302, "text/plain", Bytes::new());
                response.headers_mut().insert(LOCATION, to.parse().map_err(|_| BrokenOff)?);
                response
            }
            Self::Raw { status, headers, body } => {
                let mut builder = Response::builder().status(status);
                for (name, value) in headers {
                    builder = builder.header(name, value);
                }
                builder.body(whole(body)).map_err(|_| BrokenOff)?
            }
            Self::Huge(bytes) => huge(good, bytes).await?,
            Self::Drip(pause) => drip(good, pause).await?,
            Self::Delay(wait) => {
                crate::poll::pause(wait).await;
                good
            }
            // The connection has a limit of its own.
            Self::Hang => std::future::pending().await,
            Self::Reset => return Err(BrokenOff),
        };
        Ok(response)
    }
}

pub(super) fn answer(status: u16, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a test names a valid status");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}

async fn huge(good: Response<Body>, bytes: usize) -> Result<Response<Body>, BrokenOff> {
    let (parts, body) = good.into_parts();
    let head = body.collect().await.map_err(|_| BrokenOff)?.to_bytes();
    let pieces = (0..bytes).step_by(PIECE).map(move |start| Bytes::from(vec![b' '; PIECE.min(bytes - start)]));
    let stream = futures::stream::iter(std::iter::once(head).chain(pieces).map(|piece| Ok(Frame::data(piece))));
    Ok(Response::from_parts(parts, BoxBody::new(StreamBody::new(stream))))
}

async fn drip(good: Response<Body>, pause: Duration) -> Result<Response<Body>, BrokenOff> {
    let (parts, body) = good.into_parts();
    let text = body.collect().await.map_err(|_| BrokenOff)?.to_bytes();
    let bytes = (0..text.len()).map(move |at| text.slice(at..=at));
    let stream = futures::stream::iter(bytes).then(move |byte| async move {
        crate::poll::pause(pause).await;
        Ok(Frame::data(byte))
    });
    Ok(Response::from_parts(parts, BoxBody::new(StreamBody::new(stream))))
}
