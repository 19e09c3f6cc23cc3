//! Why a log is not followed any longer, in words.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::Place;
use crate::model::FailureKind;
use crate::pool::{FollowEnd, LogRequest};
use crate::tools::age;

/// Seconds since a container ended, within which it may have been while its log was followed.
const LATELY: i64 = 60;

/// One line. `span` was asked for, and `took` is how long it was. What ended in order is explained by the state of the
/// container, for which the pod is read once.
pub(super) async fn ended(
    place: &Place<'_>,
    pod: &str,
    request: &LogRequest,
    span: Duration,
    took: Duration,
    end: FollowEnd,
) -> String {
    match end {
        FollowEnd::Time => format!("followed for {}", spent(span, took)),
        FollowEnd::Silent => format!("followed for {}, in which nothing came", spent(span, took)),
        FollowEnd::Call => format!("followed for {}, as the call has no more time", spent(span, took)),
        FollowEnd::Full => format!("followed until {} bytes had come: limitBytes allows more", request.limit_bytes),
        FollowEnd::Expired => format!("followed until the credential expired, for {}", spent(span, took)),
        FollowEnd::Cut(why) => format!("the stream was cut by the API server: {why}"),
        FollowEnd::Closed => {
            let found = place.client.get(place.pods, Some(place.namespace), pod).await;
            let why = match found {
                Ok(pod) => why(&pod, request.container.as_deref(), Timestamp::now()),
                Err(failure) if failure.kind == FailureKind::NotFound => "the pod is gone".to_owned(),
                Err(_) => "why is not known".to_owned(),
            };
            format!("the stream ended: {why}")
        }
    }
}

/// The time that was spent, to the second, and the one that was asked for where it was not reached: the call's own time or
/// the credential ended first.
fn spent(span: Duration, took: Duration) -> String {
    let seconds = (took + Duration::from_millis(500)).as_secs();
    if seconds < span.as_secs() {
        return format!("{seconds} of {} s", span.as_secs());
    }
    format!("{} s", span.as_secs())
}

/// The state of the container whose log it was.
fn why(pod: &Value, container: Option<&str>, now: Timestamp) -> String {
    let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let named = |status: &&Value| container.is_none_or(|name| status["name"] == name);
    let Some(status) = statuses.iter().find(named) else { return "the container has no state".to_owned() };
    let exited = |state: &Value| {
        let code = state.pointer("/terminated/exitCode").and_then(Value::as_i64)?;
        let reason = state.pointer("/terminated/reason").and_then(Value::as_str).unwrap_or_default();
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        Some(format!("container exited with {code}{reason}"))
    };
    if let Some(exited) = exited(&status["state"]) {
        return exited;
    }
    // Perhaps it was started anew in the meantime; an end of long ago is another one.
    let finished = status.pointer("/lastState/terminated/finishedAt").and_then(Value::as_str).and_then(age::parse);
    let lately = finished.is_some_and(|then| now.as_second().saturating_sub(then.as_second()) <= LATELY);
    if status["state"].get("running").is_some() && !lately {
        return "cut by the API server or the kubelet, the container runs".to_owned();
    }
    let waiting = status.pointer("/state/waiting/reason").and_then(Value::as_str);
    let now = waiting.map_or_else(|| "it runs again".to_owned(), |reason| format!("it waits: {reason}"));
    match exited(&status["lastState"]) {
        Some(exited) => format!("{exited}, {now}"),
        None => now,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use k8s_openapi::jiff::Timestamp;

    use super::{spent, why};
    use crate::tools::age;

    #[test]
    fn a_time_that_was_not_reached_is_not_said_to_be() {
        let said = |span, took| spent(Duration::from_secs(span), Duration::from_millis(took));
        assert_eq!(said(10, 10_020), "10 s");
        assert_eq!(said(10, 9_990), "10 s");
        assert_eq!(said(60, 24_400), "24 of 60 s");
        assert_eq!(said(60, 80), "0 of 60 s");
    }

    #[test]
    fn the_state_of_the_container_says_why() {
        let said = |state: Value, last: Value| {
            let other = json!({"name": "proxy", "state": {"terminated": {"exitCode": 9}}});
            let status = json!({"name": "app", "state": state, "lastState": last});
            let now = age::parse("2026-01-01T00:01:00Z").unwrap();
            why(&json!({"status": {"containerStatuses": [other, status]}}), Some("app"), now)
        };
        let (running, none) = (json!({"running": {}}), json!({}));
        let ended = |at: &str| json!({"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": at}});
        let (failed, long_ago) = (ended("2026-01-01T00:00:30Z"), ended("2025-12-31T00:00:00Z"));
        assert_eq!(said(failed.clone(), none.clone()), "container exited with 1 (Error)");
        assert_eq!(said(json!({"terminated": {"exitCode": 0}}), none.clone()), "container exited with 0");
        assert_eq!(said(running.clone(), none.clone()), "cut by the API server or the kubelet, the container runs");
        assert_eq!(said(running.clone(), long_ago), "cut by the API server or the kubelet, the container runs");
        assert_eq!(said(running, failed.clone()), "container exited with 1 (Error), it runs again");
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        assert_eq!(said(waiting.clone(), failed), "container exited with 1 (Error), it waits: CrashLoopBackOff");
        assert_eq!(said(waiting, none), "it waits: CrashLoopBackOff");
        assert_eq!(why(&json!({}), None, Timestamp::UNIX_EPOCH), "the container has no state");
    }
}
