//! What goes wrong on purpose: answers that are late, cut, foreign or refused, for the requests that match.
//!
//! A request meets at most one fault, the oldest that matches and is not used up. Those that change only how an answer
//! travels (slow, held, cut, dripping, followed by GOAWAY) carry the true one; those that replace it leave the place as it is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::json;
use tokio::sync::watch;

use super::reply::{Refusal, Reply, bytes_reply, json_reply, text_reply};
use super::request::Call;
use super::store::inconsistent_token;

/// One way to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The true answer, this much later.
    Slow(Duration),
    /// No answer; the request is held until the client leaves, at most 10 minutes.
    Hang,
    /// The true answer, once the simulator is healed; until then the request is held, at most 10 minutes.
    Hold,
    /// The true answer, cut after so many bytes of its body (at the latest before its last one): over HTTP/2 the stream
    /// is reset, over HTTP/1.1 the connection ends. With 0 not even the head of the answer is sent.
    Reset {
        /// How many bytes of the body are sent.
        after: usize,
    },
    /// 200 with this body.
    Garbage {
        /// Its `Content-Type`.
        content_type: &'static str,
        /// What is sent.
        body: Bytes,
    },
    /// A redirect to somewhere else.
    Redirect {
        /// 301, 302, 307 or 308.
        status: u16,
        /// The value of `Location`.
        location: String,
    },
    /// A `Status` of this code.
    Status {
        /// 400 to 599.
        code: u16,
        /// Seconds for the header `Retry-After` and for the details of the `Status`.
        retry_after: Option<u64>,
    },
    /// A plain text with this code, as a front-proxy answers, or what stands before an API server.
    Text {
        /// 400 to 599.
        code: u16,
        /// Seconds for the header `Retry-After`.
        retry_after: Option<u64>,
        /// The body.
        text: &'static str,
    },
    /// Lists that are continued answer `410 Expired`. It matches no other request.
    ExpiredContinue,
    /// The true answer, one byte of its body at a time.
    Drip {
        /// The pause before each byte.
        every: Duration,
    },
    /// The true answer, and then GOAWAY: the connection takes no further request. Over HTTP/1.1 it closes.
    GoAway,
}

/// The faults of a simulator, oldest first.
#[derive(Default)]
pub(super) struct Faults {
    list: Mutex<Vec<Injected>>,
    /// How often it was healed.
    heals: watch::Sender<u64>,
}

struct Injected {
    path_contains: String,
    fault: Fault,
    /// How many more requests it meets; without an end if nothing.
    left: Option<usize>,
}

impl Faults {
    pub(super) fn inject(&self, path_contains: &str, fault: Fault, times: Option<usize>) {
        let injected = Injected { path_contains: path_contains.to_owned(), fault, left: times };
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(injected);
    }

    pub(super) fn heal(&self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.heals.send_modify(|heals| *heals += 1);
    }

    /// Who looks before [`Faults::take`] misses no [`Faults::heal`] after it.
    pub(super) fn healed(&self) -> watch::Receiver<u64> {
        self.heals.subscribe()
    }

    /// What the request for `target` (path and query) meets.
    pub(super) fn take(&self, target: &str) -> Option<Fault> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let met = list.iter_mut().find(|injected| injected.left != Some(0) && injected.meets(target))?;
        if let Some(left) = &mut met.left {
            *left -= 1;
        }
        Some(met.fault.clone())
    }
}

impl Injected {
    fn meets(&self, target: &str) -> bool {
        let wanted = target.contains(&self.path_contains);
        wanted && (self.fault != Fault::ExpiredContinue || continue_of(target).is_some())
    }
}

impl Fault {
    /// The answer that takes the place of the true one, for faults that let nothing be looked at.
    pub(super) fn instead(&self) -> Option<Reply> {
        match self {
            Self::Garbage { content_type, body } => Some(bytes_reply(StatusCode::OK, content_type, body.clone())),
            Self::Redirect { status, location } => Some(redirect(*status, location)),
            Self::Status { code, retry_after } => Some(status(*code, *retry_after)),
            Self::Text { code, retry_after, text } => Some(plain(*code, *retry_after, text)),
            Self::Slow(_) | Self::Hang | Self::Hold | Self::Reset { .. } => None,
            Self::ExpiredContinue | Self::Drip { .. } | Self::GoAway => None,
        }
    }

    /// The true answer, or what this fault makes of it. Only an expired continuation looks at it.
    pub(super) fn after(&self, continued: Option<&str>, reply: Reply) -> Reply {
        match (self, continued.and_then(inconsistent_token)) {
            (Self::ExpiredContinue, Some(token)) if reply.status().is_success() => Refusal::expired(token).into_reply(),
            _ => reply,
        }
    }
}

/// The continue token that a call carries.
pub(super) fn continued(call: &Call) -> Option<String> {
    call.parameter("continue").map(str::to_owned)
}

fn continue_of(target: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, value)| key == "continue" && !value.is_empty()).map(|(_, value)| value.into_owned())
}

fn redirect(code: u16, location: &str) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = code_of(code);
    insert(&mut reply, LOCATION, location);
    reply
}

fn status(code: u16, retry_after: Option<u64>) -> Reply {
    let code = code_of(code);
    let (reason, message) = words(code);
    let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16()});
    if let Some(seconds) = retry_after {
        body["details"] = json!({"retryAfterSeconds": seconds});
    }
    let mut reply = json_reply(code, &body);
    if let Some(seconds) = retry_after {
        insert(&mut reply, RETRY_AFTER, &seconds.to_string());
    }
    reply
}

fn plain(code: u16, retry_after: Option<u64>, text: &'static str) -> Reply {
    let mut reply = text_reply(code_of(code), text);
    if let Some(seconds) = retry_after {
        insert(&mut reply, RETRY_AFTER, &seconds.to_string());
    }
    reply
}

/// Reason and message as the real server gives them when there is nothing more to say.
fn words(code: StatusCode) -> (&'static str, &'static str) {
    match code.as_u16() {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden: this server was told to say no"),
        404 => ("NotFound", "the server could not find the requested resource"),
        409 => {
            ("Conflict", "the object has been modified; please apply your changes to the latest version and try again")
        }
        410 => ("Expired", "The resourceVersion for the provided list is too old."),
        429 => ("TooManyRequests", "Too many requests, please try again later."),
        500 => ("InternalError", "Internal error occurred: etcdserver: leader changed"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => ("Timeout", "Timeout: request did not complete within the allotted timeout"),
        400..=499 => ("BadRequest", "the server rejected our request for an unknown reason"),
        _ => ("InternalError", "an error on the server has prevented the request from succeeding"),
    }
}

fn code_of(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn insert(reply: &mut Reply, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(reply.headers_mut().insert(name, value)),
        Err(error) => tracing::warn!("a fault cannot send {name}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_what_it_names_as_often_as_it_says() {
        let faults = Faults::default();
        faults.inject("/pods", Fault::GoAway, Some(2));
        faults.inject("", Fault::Hang, None);
        assert_eq!(faults.take("/api/v1/nodes"), Some(Fault::Hang));
        assert_eq!(faults.take("/api/v1/pods"), Some(Fault::GoAway));
        assert_eq!(faults.take("/api/v1/pods?limit=1"), Some(Fault::GoAway));
        assert_eq!(faults.take("/api/v1/pods"), Some(Fault::Hang));
        faults.heal();
        assert_eq!(faults.take("/api/v1/pods"), None);
    }

    #[test]
    fn an_expired_continuation_meets_only_lists_that_go_on() {
        let faults = Faults::default();
        faults.inject("", Fault::ExpiredContinue, Some(1));
        assert_eq!(faults.take("/api/v1/pods"), None);
        assert_eq!(faults.take("/api/v1/pods?limit=5&continue="), None);
        assert_eq!(faults.take("/api/v1/pods?continue=x"), Some(Fault::ExpiredContinue));
        assert_eq!(faults.take("/api/v1/pods?continue=x"), None);
    }

    #[test]
    fn a_status_says_when_to_come_back() {
        let reply = Fault::Status { code: 429, retry_after: Some(3600) }.instead().unwrap();
        assert_eq!(reply.status(), 429);
        assert_eq!(reply.headers()[RETRY_AFTER], "3600");
        let body: serde_json::Value = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!((&body["kind"], &body["details"]["retryAfterSeconds"]), (&json!("Status"), &json!(3600)));
        let reply = Fault::Status { code: 503, retry_after: None }.instead().unwrap();
        assert_eq!(reply.headers().get(RETRY_AFTER), None);
    }
}
