//! Bodies: reading one inside its bounds, looking at its shape before MCP does, and the small answers of this server.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The body of every answer.
pub(super) type Body = BoxBody<Bytes, Infallible>;

/// Why a body was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TooLarge,
    TooSlow,
    /// Too many large bodies at once.
    NoRoom,
    /// The client went away or broke the framing.
    Broken,
    /// Not JSON.
    Syntax,
    /// JSON, nested too deep.
    TooDeep,
    /// A JSON-RPC batch; MCP has none.
    Batch,
}

/// Bytes of bodies being read, for the whole server. What a body holds it gives back when it is read: from then on it
/// belongs to a call, of which there are few.
#[derive(Debug)]
pub(super) struct Room(Semaphore);

/// Small bodies pass without being counted: nearly all of them.
const UNCOUNTED: usize = 64 * 1024;
const KIB: usize = 1024;

impl Room {
    /// Room for `bytes` of large bodies.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Semaphore::new((bytes / KIB).min(Semaphore::MAX_PERMITS)))
    }
}

/// Reads a body of at most `limit` bytes within `time`, if the server has room for it.
pub(super) async fn read<B>(body: B, limit: usize, time: Duration, room: &Room) -> Result<Bytes, Refused>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    timeout(time, collect(Limited::new(body, limit), room)).await.unwrap_or(Err(Refused::TooSlow))
}

async fn collect<B>(mut body: Limited<B>, room: &Room) -> Result<Bytes, Refused>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut bytes = BytesMut::new();
    let mut held = Vec::new();
    let mut counted = UNCOUNTED;
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) if error.is::<LengthLimitError>() => return Err(Refused::TooLarge),
            Err(_broken) => return Err(Refused::Broken),
        };
        bytes.extend_from_slice(&data);
        if bytes.len() > counted {
            let more = (bytes.len() - counted).div_ceil(KIB);
            let permits = u32::try_from(more).map_err(|_huge| Refused::TooLarge)?;
            held.push(room.0.try_acquire_many(permits).map_err(|_full| Refused::NoRoom)?);
            counted += more * KIB;
        }
    }
    Ok(bytes.freeze())
}

/// Checks that `bytes` are one JSON value other than an array, nested at most `depth` deep. Nothing is built.
pub(super) fn check_json(bytes: &[u8], depth: usize) -> Result<(), Refused> {
    if nesting(bytes) > depth {
        return Err(Refused::TooDeep);
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|_error| Refused::Syntax)?;
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => Err(Refused::Batch),
        _ => Ok(()),
    }
}

/// How deep arrays and objects are nested, at most, without regard to whether the text is JSON.
fn nesting(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl Refused {
    /// The answer: JSON-RPC errors for what is about JSON, plain HTTP errors for the rest.
    pub(super) fn answer(&self) -> Response<Body> {
        match self {
            Self::TooLarge => problem(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "the body is too large"),
            Self::TooSlow => problem(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not come in time"),
            Self::NoRoom => problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many large bodies at once"),
            Self::Broken => problem(StatusCode::BAD_REQUEST, "invalid_request", "the body is incomplete"),
            Self::Syntax => rpc_error(-32700, "Parse error"),
            Self::TooDeep => rpc_error(-32700, "Parse error: nested too deep"),
            Self::Batch => rpc_error(-32600, "Invalid Request: batches are not supported"),
        }
    }
}

/// A JSON-RPC error without an id, as HTTP 400.
pub(super) fn rpc_error(code: i32, message: &str) -> Response<Body> {
    json_answer(
        StatusCode::BAD_REQUEST,
        &json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": message}}),
    )
}

/// A refusal before MCP: a JSON-RPC error too, because clients show their people nothing else. Its code is the HTTP status,
/// outside what JSON-RPC reserves; `data.error` is the word.
pub(super) fn problem(status: StatusCode, error: &str, description: &str) -> Response<Body> {
    let error = json!({"code": status.as_u16(), "message": description, "data": {"error": error}});
    json_answer(status, &json!({"jsonrpc": "2.0", "id": null, "error": error}))
}

/// A JSON document.
pub(super) fn json_answer(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    respond(status, "application/json", value.to_string())
}

/// A line of text.
pub(super) fn text(status: StatusCode, line: impl Into<Bytes>) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", line)
}

/// Nothing but a status.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    *response.status_mut() = status;
    response
}

fn respond(status: StatusCode, kind: &'static str, content: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(content.into()).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::{Refused, Room, check_json, nesting, read};
    use bytes::Bytes;
    use http_body_util::Full;
    use std::time::Duration;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert_eq!(nesting(br#"{"a":[{"b":"[[[\"{{{"}]}"#), 3);
        assert_eq!(nesting(b"7"), 0);
        assert_eq!(nesting(b"]]]]["), 1);
    }

    #[test]
    fn json_is_checked_for_depth_syntax_and_batches() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert_eq!(check_json(nested(64).as_bytes(), 64), Ok(()));
        assert_eq!(check_json(nested(65).as_bytes(), 64), Err(Refused::TooDeep));
        assert_eq!(check_json(&b"[".repeat(1_000_000), 64), Err(Refused::TooDeep));
        assert_eq!(check_json(b"{\"a\":", 64), Err(Refused::Syntax));
        assert_eq!(check_json(b"", 64), Err(Refused::Syntax));
        assert_eq!(check_json(b"{} {}", 64), Err(Refused::Syntax));
        assert_eq!(check_json(b" [{}]", 64), Err(Refused::Batch));
    }

    #[tokio::test]
    async fn a_body_over_its_limit_is_refused() {
        let body = || Full::new(Bytes::from_static(b"12345"));
        let room = Room::new(1 << 20);
        assert_eq!(read(body(), 5, Duration::from_secs(1), &room).await, Ok(Bytes::from_static(b"12345")));
        assert_eq!(read(body(), 4, Duration::from_secs(1), &room).await, Err(Refused::TooLarge));
    }

    #[tokio::test]
    async fn large_bodies_share_a_room_and_small_ones_do_not_need_it() {
        let room = Room::new(100 * 1024);
        let body = |bytes: usize| Full::new(Bytes::from(vec![b' '; bytes]));
        let read = async |bytes: usize| read(body(bytes), 4 << 20, Duration::from_secs(1), &room).await;
        assert!(read(150 * 1024).await.is_ok(), "it fits, and gives back what it held");
        assert!(read(150 * 1024).await.is_ok());
        assert_eq!(read(200 * 1024).await, Err(Refused::NoRoom));
        let _held = room.0.try_acquire_many(100).unwrap();
        assert!(read(60 * 1024).await.is_ok());
        assert_eq!(read(70 * 1024).await, Err(Refused::NoRoom));
    }
}
