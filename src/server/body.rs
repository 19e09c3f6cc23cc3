//! Bodies: reading one inside its bounds, looking at its shape before MCP does, and the small answers of this server.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::json;
use tokio::time::timeout;

/// The body of every answer.
pub(super) type Body = BoxBody<Bytes, Infallible>;

/// Why a body was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TooLarge,
    TooSlow,
    /// The client went away or broke the framing.
    Broken,
    /// Not JSON.
    Syntax,
    /// JSON, nested too deep.
    TooDeep,
    /// A JSON-RPC batch; MCP has none.
    Batch,
}

/// Reads a body of at most `limit` bytes within `time`.
pub(super) async fn read<B>(body: B, limit: usize, time: Duration) -> Result<Bytes, Refused>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refused::TooLarge),
        Ok(Err(_broken)) => Err(Refused::Broken),
        Err(_elapsed) => Err(Refused::TooSlow),
    }
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

/// `{error, error_description}`.
pub(super) fn problem(status: StatusCode, error: &str, description: &str) -> Response<Body> {
    json_answer(status, &json!({"error": error, "error_description": description}))
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
    use super::{Refused, check_json, nesting, read};
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
        assert_eq!(read(body(), 5, Duration::from_secs(1)).await, Ok(Bytes::from_static(b"12345")));
        assert_eq!(read(body(), 4, Duration::from_secs(1)).await, Err(Refused::TooLarge));
    }
}
