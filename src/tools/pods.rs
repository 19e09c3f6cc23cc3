//! What pods say of themselves, as objects and as rows.

use serde_json::{Map, Value};

use crate::model::Table;

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

/// Puts the rows of pods that are not well on top, in the order they have, and says how many they are. A table without
/// the columns of pods stays as it is.
pub(super) fn anomalies_first(table: &mut Table) -> Option<String> {
    let column = |name: &str| table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
    let (status, ready, restarts) = (column("status")?, column("ready")?, column("restarts")?);
    let odd = |cells: &[String]| {
        let cell = |at: usize| cells.get(at).map_or("", String::as_str);
        let unready = cell(ready).split_once('/').is_some_and(|(ready, of)| ready != of);
        let restarted = !matches!(cell(restarts).split(' ').next(), None | Some("" | "0"));
        match cell(status) {
            "Completed" | "Succeeded" => restarted,
            "Running" => unready || restarted,
            _ => true,
        }
    };
    let all = table.rows.len();
    let count = table.rows.iter().filter(|row| odd(&row.cells)).count();
    table.rows.sort_by_key(|row| !odd(&row.cells));
    (count > 0 && count < all).then(|| format!("{count} of {all} pods on this page are not well: they come first"))
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{anomalies_first, container, is_well, selector};
    use crate::model::{Column, Row, Table};

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

    #[test]
    fn rows_that_need_a_look_come_first_and_the_order_stays() {
        let columns = ["Name", "Ready", "Status", "Restarts"];
        let row = |cells: [&str; 4]| Row { namespace: None, cells: cells.map(Into::into).to_vec() };
        let mut table = Table {
            columns: columns.map(|name| Column { name: name.into(), priority: 0 }).to_vec(),
            rows: vec![
                row(["a", "1/1", "Running", "0"]),
                row(["b", "0/1", "Completed", "0"]),
                row(["c", "1/1", "Running", "3 (5m ago)"]),
                row(["d", "0/1", "CrashLoopBackOff", "9"]),
                row(["e", "1/2", "Running", "0"]),
            ],
            ..Table::default()
        };
        let said = anomalies_first(&mut table);
        let names: Vec<&str> = table.rows.iter().map(|row| row.cells[0].as_str()).collect();
        assert_eq!(names, ["c", "d", "e", "a", "b"]);
        assert_eq!(said.unwrap(), "3 of 5 pods on this page are not well: they come first");
        table.columns[2].name = "Phase".into();
        assert_eq!(anomalies_first(&mut table), None);
    }
}
