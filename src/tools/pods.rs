//! What pods say of themselves.

use serde_json::{Map, Value};

/// Kinds whose `spec.selector` selects pods.
const WORKLOADS: [&str; 10] = [
    "DaemonSet",
    "Deployment",
    "DeploymentConfig",
    "Job",
    "PodDisruptionBudget",
    "ReplicaSet",
    "ReplicationController",
    "Rollout",
    "Service",
    "StatefulSet",
];

/// The name of an object; empty when it has none.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The label selector of the pods that a workload selects.
pub(super) fn selector(object: &Value) -> Option<String> {
    if !WORKLOADS.contains(&text(object, "/kind")) {
        return None;
    }
    let selector = object.pointer("/spec/selector")?.as_object()?;
    let typed = selector.contains_key("matchLabels") || selector.contains_key("matchExpressions");
    let empty = Map::new();
    let labels =
        if typed { selector.get("matchLabels").and_then(Value::as_object).unwrap_or(&empty) } else { selector };
    let mut terms: Vec<String> =
        labels.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).filter(|_| typed);
    terms.extend(expressions.into_iter().flatten().filter_map(expression));
    (!terms.is_empty()).then(|| terms.join(","))
}

fn expression(expression: &Value) -> Option<String> {
    let key = expression.get("key")?.as_str()?;
    let values = expression.get("values").and_then(Value::as_array);
    let values: Vec<&str> = values.into_iter().flatten().filter_map(Value::as_str).collect();
    match expression.get("operator")?.as_str()? {
        "In" => Some(format!("{key} in ({})", values.join(","))),
        "NotIn" => Some(format!("{key} notin ({})", values.join(","))),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

/// The container that is meant when none is named: kubectl's annotation, else the first.
pub(super) fn container(pod: &Value) -> Option<&str> {
    let annotated = pod.pointer("/metadata/annotations/kubectl.kubernetes.io~1default-container");
    let first = pod.pointer("/spec/containers/0/name");
    annotated.and_then(Value::as_str).or_else(|| first.and_then(Value::as_str))
}

/// True for a pod that runs with all containers ready and no restart, or that has done its work.
pub(super) fn is_well(pod: &Value) -> bool {
    let statuses = || pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    match text(pod, "/status/phase") {
        "Succeeded" => true,
        "Running" => {
            let ready = |status: &Value| status.get("ready").and_then(Value::as_bool) == Some(true);
            let restarts = |status: &Value| status.get("restartCount").and_then(Value::as_u64).unwrap_or(0);
            text(pod, "/metadata/deletionTimestamp").is_empty()
                && statuses().all(|status| ready(status) && restarts(status) == 0)
        }
        _ => false,
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{container, is_well, selector};

    #[test]
    fn workloads_select_pods() {
        let deployment = json!({"kind": "Deployment", "spec": {"selector": {
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}],
        }}});
        assert_eq!(selector(&deployment).unwrap(), "app=web,tier in (a,b),!old");
        assert_eq!(selector(&json!({"kind": "Service", "spec": {"selector": {"app": "web"}}})).unwrap(), "app=web");
        assert_eq!(selector(&json!({"kind": "Service", "spec": {}})), None);
        let claim = json!({"kind": "PersistentVolumeClaim", "spec": {"selector": {"matchLabels": {"disk": "a"}}}});
        assert_eq!(selector(&claim), None, "it selects volumes");
    }

    #[test]
    fn the_default_container_is_kubectls() {
        let mut pod = json!({"metadata": {}, "spec": {"containers": [{"name": "proxy"}, {"name": "app"}]}});
        assert_eq!(container(&pod), Some("proxy"));
        pod["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "app"});
        assert_eq!(container(&pod), Some("app"));
    }

    #[test]
    fn a_pod_that_restarts_or_goes_is_not_well() {
        let pod = |phase: &str, ready: bool, restarts: u64| json!({"status": {"phase": phase, "containerStatuses": [{"ready": ready, "restartCount": restarts}]}});
        assert!(is_well(&pod("Running", true, 0)) && is_well(&pod("Succeeded", false, 0)));
        assert!(!is_well(&pod("Running", false, 0)) && !is_well(&pod("Running", true, 1)));
        assert!(!is_well(&pod("Pending", false, 0)) && !is_well(&json!({})));
    }
}
