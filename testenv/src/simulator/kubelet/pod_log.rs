//! `pods/<name>/log`: first what the API server checks, then what the kubelet does.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::container::{Excerpt, Follow};
use crate::simulator::rbac::Attributes;
use crate::simulator::reply::{Outcome, Refusal, Reply, bytes_reply, text_reply};
use crate::simulator::request::Call;
use crate::simulator::space::Space;

/// Answers for the log of `pod`, which was looked up if it can be.
pub(in crate::simulator) fn pod_log(
    space: &Space,
    call: &Call,
    a: &Attributes,
    pod: Outcome<Arc<Value>>,
) -> Outcome<Reply> {
    let options = Options::parse(call, &a.name)?;
    let pod = pod?;
    let container = container(call, &pod, &a.name)?;
    let node = match pod["spec"]["nodeName"].as_str() {
        None | Some("") => return Ok(text_reply(StatusCode::NO_CONTENT, "")),
        Some(node) => node,
    };
    let nodes = space.types.find("", "v1", "nodes");
    if nodes.is_none_or(|nodes| space.store.get(&nodes, "", node).is_none()) {
        // The real server looks the node up on behalf of the pod, and says so.
        return Err(Refusal::not_found("", "pods", node));
    }
    check_status(&pod, &a.name, &container, options.previous).map_err(Refusal::bad_request)?;
    let log = space.kubelets.log_of(&a.namespace, &a.name, &container);
    let Some(run) = log.and_then(|log| log.run(options.previous)) else {
        return Ok(plain(Bytes::new()));
    };
    if !options.follow {
        return Ok(plain(run.read(&options.excerpt)));
    }
    let mut reply = plain(Bytes::new());
    reply.extensions_mut().insert(Follow::new(run, options.excerpt));
    Ok(reply)
}

struct Options {
    excerpt: Excerpt,
    follow: bool,
    previous: bool,
}

impl Options {
    /// 400 for what cannot be read, 422 for what may not be.
    fn parse(call: &Call, pod: &str) -> Outcome<Self> {
        let (tail, limit) = (number(call, "tailLines")?, number(call, "limitBytes")?);
        let (seconds, time) = (number(call, "sinceSeconds")?, time(call)?);
        let invalid = |field: &str, reason: &'static str, what: &str| {
            Err(Refusal::invalid_for(reason, ("", "PodLogOptions", pod), field, what))
        };
        let wrong = |field: &str, value: i64, what: &str| {
            invalid(field, "FieldValueInvalid", &format!("Invalid value: {value}: {what}"))
        };
        if let Some(tail) = tail.filter(|tail| *tail < 0) {
            return wrong("tailLines", tail, "must be greater than or equal to 0");
        }
        if let Some(limit) = limit.filter(|limit| *limit < 1) {
            return wrong("limitBytes", limit, "must be greater than 0");
        }
        if seconds.is_some() && time.is_some() {
            let what = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
            return invalid("[]", "FieldValueForbidden", what);
        }
        if let Some(seconds) = seconds.filter(|seconds| *seconds < 1) {
            return wrong("sinceSeconds", seconds, "must be greater than 0");
        }
        let ago = seconds.map(|seconds| Timestamp::now() - SignedDuration::from_secs(seconds.min(1 << 32)));
        let size = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
        let excerpt = Excerpt {
            since: ago.or(time),
            tail: tail.map(size),
            limit_bytes: limit.map(size),
            timestamps: flag(call, "timestamps"),
        };
        Ok(Self { excerpt, follow: flag(call, "follow"), previous: flag(call, "previous") })
    }
}

fn number(call: &Call, name: &str) -> Outcome<Option<i64>> {
    let text = call.parameter(name);
    let number = text.map(|text| text.parse().map_err(|_| Refusal::not_a_number(text)));
    number.transpose()
}

fn time(call: &Call) -> Outcome<Option<Timestamp>> {
    let layout = "2006-01-02T15:04:05Z07:00";
    let refused =
        |text| Refusal::bad_request(format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""));
    let text = call.parameter("sinceTime");
    text.map(|text| text.parse().map_err(|_| refused(text))).transpose()
}

/// Present is true, unless it says otherwise.
fn flag(call: &Call, name: &str) -> bool {
    let value = call.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_lowercase());
    value.is_some_and(|value| value != "false" && value != "0")
}

fn container(call: &Call, pod: &Value, name: &str) -> Outcome<String> {
    let names = |field: &str| {
        let containers = pod["spec"][field].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str()).collect::<Vec<_>>()
    };
    let main = names("containers");
    let all = [names("initContainers"), main.clone(), names("ephemeralContainers")].concat();
    match (call.parameter("container"), main.as_slice()) {
        (Some(wanted), _) if all.contains(&wanted) => Ok(wanted.to_owned()),
        (Some(wanted), _) => Err(Refusal::bad_request(format!("container {wanted} is not valid for pod {name}"))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, []) => Err(Refusal::bad_request(format!("a container name must be specified for pod {name}"))),
        (None, _) => {
            let what = format!("a container name must be specified for pod {name}, choose one of: [{}]", all.join(" "));
            Err(Refusal::bad_request(what))
        }
    }
}

/// Whether there is a log, after the rules of `validateContainerLogStatus` in the kubelet.
fn check_status(pod: &Value, name: &str, container: &str, previous: bool) -> Result<(), String> {
    let kinds = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let mut statuses = kinds.iter().filter_map(|kind| pod["status"][*kind].as_array()).flatten();
    let what = format!("container {container:?} in pod {name:?}");
    let Some(status) = statuses.find(|status| status["name"] == container) else {
        return Err(format!("{what} is not available"));
    };
    let (state, last) = (&status["state"], &status["lastState"]["terminated"]);
    let has_id = |terminated: &Value| terminated["containerID"].as_str().is_some_and(|id| !id.is_empty());
    if previous {
        return if has_id(last) { Ok(()) } else { Err(format!("previous terminated {what} not found")) };
    }
    if state["running"].is_object() || has_id(&state["terminated"]) {
        return Ok(());
    }
    if state["terminated"].is_object() || last.is_object() {
        return if has_id(last) { Ok(()) } else { Err(format!("{what} is terminated")) };
    }
    match state["waiting"]["reason"].as_str() {
        Some("ErrImagePull") => Err(format!("{what} is waiting to start: image can't be pulled")),
        Some("ImagePullBackOff") => Err(format!("{what} is waiting to start: trying and failing to pull image")),
        Some(reason) => Err(format!("{what} is waiting to start: {reason}")),
        None => Err(format!("{what} is waiting to start - no logs yet")),
    }
}

fn plain(text: Bytes) -> Reply {
    bytes_reply(StatusCode::OK, "text/plain", text)
}
