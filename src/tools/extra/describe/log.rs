//! The last lines of the pods that are not well, or of one that is. At most three requests.

use serde_json::Value;

use super::{items, one_line, text};
use crate::model::Failure;
use crate::output::scrub_text;
use crate::pool::{ClusterClient, LogRequest};
use crate::tools::{lines, pods};

/// Bytes of all logs.
const ROOM: usize = 2_400;
/// Pods whose logs are read.
const PODS: usize = 3;
/// Lines of each log, at most.
const TAIL: u32 = 30;
/// Bytes that are read of each log, at most.
const READ: u64 = 256 * 1024;

/// The logs of the first pods, which are those that are not well; `None` when there is no container to read from.
pub(super) async fn of(client: &ClusterClient, found: &[Value]) -> Option<Result<String, Failure>> {
    let sick = found.iter().take_while(|pod| !pods::is_well(pod)).count();
    let chosen: Vec<_> = found.iter().take(sick.clamp(1, PODS)).filter_map(which).collect();
    if chosen.is_empty() {
        return None;
    }
    let room = ROOM / chosen.len();
    let read = chosen.iter().map(|(namespace, pod, container)| one(client, namespace, pod, container, room));
    let mut parts = futures::future::join_all(read).await;
    if let [_] = parts.as_slice() {
        return parts.pop();
    }
    let text = |((_, pod, container), part): (&(&str, &str, &str), Result<String, Failure>)| match part {
        // A prefix on every line: no line of a log can pass for the name of the next one.
        Ok(text) => text.lines().map(|line| format!("{pod}| {line}\n")).collect::<String>(),
        Err(failure) => format!("{pod}| {container} cannot be read: {}\n", one_line(&failure.cause)),
    };
    let mut text: String = chosen.iter().zip(parts).map(text).collect();
    if sick > chosen.len() {
        text.push_str(&format!("({} more pods are not well)\n", sick - chosen.len()));
    }
    Some(Ok(text))
}

/// Namespace, name and container: the first one that is not ready, else the default one.
fn which(pod: &Value) -> Option<(&str, &str, &str)> {
    let unready = items(pod, "/status/containerStatuses").find(|status| status["ready"] == false);
    let unready = unready.map(|status| text(status, "/name")).filter(|name| !name.is_empty());
    let container = unready.or_else(|| pods::container(pod))?;
    Some((pod.pointer("/metadata/namespace")?.as_str()?, pods::name(pod), container))
}

async fn one(
    client: &ClusterClient,
    namespace: &str,
    pod: &str,
    container: &str,
    room: usize,
) -> Result<String, Failure> {
    let request =
        LogRequest { container: Some(container.to_owned()), tail: TAIL, limit_bytes: READ, ..LogRequest::default() };
    let kind = client.kind("pods", Some("v1")).await?;
    let log = scrub_text(&client.log(&kind, namespace, pod, &request).await?);
    let fitted = lines::newest(&lines::fold(log.lines().filter(|line| !line.is_empty())), "", room);
    let lines = if fitted.text.is_empty() { "none\n".to_owned() } else { fitted.text };
    Ok(format!("{namespace}/{pod} {container}, newest {} lines\n{lines}", fitted.shown))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::which;

    #[test]
    fn the_container_that_is_not_ready_is_read() {
        let pod = |statuses: serde_json::Value| {
            json!({"metadata": {"name": "web-1", "namespace": "shop"}, "spec": {"containers": [{"name": "app"}]},
                "status": {"containerStatuses": statuses}})
        };
        let two = pod(json!([{"name": "app", "ready": true}, {"name": "proxy", "ready": false}]));
        assert_eq!(which(&two), Some(("shop", "web-1", "proxy")));
        assert_eq!(which(&pod(json!([{"name": "app", "ready": true}]))), Some(("shop", "web-1", "app")));
        assert_eq!(which(&json!({"metadata": {"name": "web-1"}})), None);
    }
}
