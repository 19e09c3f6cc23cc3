//! When a request is sent a second time: once, only what changes nothing, and only when waiting is short.

use std::time::Duration;

use http::StatusCode;

use super::reply::retry_after;
use super::transport::{Reply, TransportError};
use crate::model::Access;
use crate::policy::Operation;

/// A server's `Retry-After` is waited for up to this; longer ones are passed on.
const PATIENCE: Duration = Duration::from_secs(2);
/// kcp answers `429 storage is (re)initializing` to the first read of a kind; it is ready after about 15 ms.
const REINITIALIZING: Duration = Duration::from_millis(50);
/// A connection that broke, or an overloaded server without `Retry-After`.
const PAUSE: Duration = Duration::from_millis(100);

/// How long to wait before sending again, or `None` to take the outcome as it is. `again` is true for a second try.
pub(super) fn after(operation: &Operation, outcome: &Result<Reply, TransportError>, again: bool) -> Option<Duration> {
    if again || operation.access != Some(Access::Read) || operation.verb == "create" {
        return None;
    }
    match outcome {
        Err(TransportError::Broken(_) | TransportError::Body(_)) => Some(PAUSE),
        Err(TransportError::Connect(..) | TransportError::Timeout(_) | TransportError::TooLarge(_)) => None,
        Ok(reply) => match reply.head.status {
            StatusCode::TOO_MANY_REQUESTS if reinitializing(reply) => Some(REINITIALIZING),
            StatusCode::TOO_MANY_REQUESTS => retry_after(reply).filter(|after| *after <= PATIENCE),
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Some(retry_after(reply).unwrap_or(PAUSE)).filter(|after| *after <= PATIENCE)
            }
            _ => None,
        },
    }
}

fn reinitializing(reply: &Reply) -> bool {
    reply.body.len() < 4096 && String::from_utf8_lossy(&reply.body).contains("(re)initializing")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::Method;

    use super::{TransportError, after};
    use crate::pool::classify::classify;
    use crate::pool::transport::Reply;

    fn reply(status: u16, retry: &str, body: &'static str) -> Result<Reply, TransportError> {
        let (head, ()) =
            http::Response::builder().status(status).header("retry-after", retry).body(()).unwrap().into_parts();
        Ok(Reply { head, body: Bytes::from_static(body.as_bytes()) })
    }

    #[test]
    fn one_short_retry_of_what_changes_nothing() {
        let read = classify(&Method::GET, "/api/v1/pods").unwrap();
        let write = classify(&Method::POST, "/api/v1/namespaces/a/pods").unwrap();
        let home = classify(&Method::GET, "/apis/tenancy.kcp.io/v1alpha1/workspaces/~").unwrap();
        assert_eq!(after(&read, &reply(429, "1", ""), false), Some(Duration::from_secs(1)));
        assert_eq!(after(&read, &reply(429, "3600", ""), false), None);
        assert_eq!(after(&home, &reply(503, "1", ""), false), None);
        assert_eq!(
            after(&read, &reply(429, "1", "storage is (re)initializing"), false),
            Some(Duration::from_millis(50))
        );
        assert_eq!(after(&read, &reply(503, "1", ""), true), None);
        assert_eq!(after(&write, &reply(503, "1", ""), false), None);
        assert_eq!(after(&read, &reply(404, "1", ""), false), None);
    }
}
