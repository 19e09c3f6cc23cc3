//! The row of a pod, the one kind whose printer thinks: `printPod` of the real server.

use serde_json::{Value, json};

use super::cells::{integer, items, text};
use super::clock::age;

/// What the containers of a pod add up to.
#[derive(Default)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    /// The newest end of a container that was started again, RFC 3339.
    last_restart: String,
    sidecar_restarts: i64,
    last_sidecar_restart: String,
}

/// All nine cells, the wide ones included.
pub(super) fn cells(pod: &Value) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let summary = summarize(pod);
    let restarts = match (summary.restarts, summary.last_restart.as_str()) {
        (0, _) | (_, "") => summary.restarts.to_string(),
        (restarts, last) => format!("{restarts} ({} ago)", age(Some(last))),
    };
    let or_none = |value: &Value| match text(value) {
        "" => json!("<none>"),
        value => json!(value),
    };
    vec![
        pod["metadata"]["name"].clone(),
        json!(format!("{}/{}", summary.ready, summary.total)),
        json!(summary.reason),
        json!(restarts),
        json!(age(pod["metadata"]["creationTimestamp"].as_str())),
        or_none(&status["podIPs"][0]["ip"]),
        or_none(&spec["nodeName"]),
        or_none(&status["nominatedNodeName"]),
        json!(readiness_gates(pod)),
    ]
}

/// The `conditions` of a row: pods that have ended are marked completed.
pub(super) fn row_conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match text(&pod["status"]["phase"]) {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

fn summarize(pod: &Value) -> Summary {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let phase = text(&status["phase"]);
    let mut summary =
        Summary { reason: phase.to_owned(), total: items(&spec["containers"]).len(), ..Summary::default() };
    if !text(&status["reason"]).is_empty() {
        summary.reason = text(&status["reason"]).to_owned();
    }
    if condition(status, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
        summary.reason = "SchedulingGated".into();
    }
    summary.total += items(&spec["initContainers"]).iter().filter(|c| is_sidecar(c)).count();
    let initializing = init_containers(&mut summary, pod);
    if !initializing || condition_is_true(status, "Initialized") {
        summary.restarts = summary.sidecar_restarts;
        summary.last_restart = std::mem::take(&mut summary.last_sidecar_restart);
        main_containers(&mut summary, status);
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        if status["reason"] == "NodeLost" {
            summary.reason = "Unknown".into();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            summary.reason = "Terminating".into();
        }
    }
    summary
}

/// Counts the init containers up to the first that has not finished; true when there is one.
fn init_containers(summary: &mut Summary, pod: &Value) -> bool {
    let specs = items(&pod["spec"]["initContainers"]);
    for (i, container) in items(&pod["status"]["initContainerStatuses"]).iter().enumerate() {
        count_restarts(container, &mut summary.restarts, &mut summary.last_restart);
        let sidecar = specs.iter().any(|spec| spec["name"] == container["name"] && is_sidecar(spec));
        if sidecar {
            count_restarts(container, &mut summary.sidecar_restarts, &mut summary.last_sidecar_restart);
        }
        let terminated = &container["state"]["terminated"];
        let waiting = text(&container["state"]["waiting"]["reason"]);
        if terminated.is_object() && integer(&terminated["exitCode"]) == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            summary.ready += usize::from(container["ready"] == true);
            continue;
        }
        summary.reason = if terminated.is_object() {
            format!("Init:{}", termination(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{i}/{}", specs.len())
        };
        return true;
    }
    false
}

fn main_containers(summary: &mut Summary, status: &Value) {
    let (mut running, mut failure) = (false, String::new());
    for container in items(&status["containerStatuses"]).iter().rev() {
        count_restarts(container, &mut summary.restarts, &mut summary.last_restart);
        let state = &container["state"];
        let waiting = text(&state["waiting"]["reason"]);
        if !waiting.is_empty() {
            summary.reason = waiting.to_owned();
        } else if state["terminated"].is_object() {
            summary.reason = termination(&state["terminated"]);
            if integer(&state["terminated"]["exitCode"]) != 0 {
                failure.clone_from(&summary.reason);
            }
        } else if container["ready"] == true && state["running"].is_object() {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" {
        if running && condition_is_true(status, "Ready") {
            summary.reason = "Running".into();
        } else if !failure.is_empty() {
            summary.reason = failure;
        } else if running {
            summary.reason = "NotReady".into();
        }
    }
}

fn termination(terminated: &Value) -> String {
    match (text(&terminated["reason"]), integer(&terminated["signal"])) {
        ("", 0) => format!("ExitCode:{}", integer(&terminated["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn count_restarts(container: &Value, restarts: &mut i64, last: &mut String) {
    *restarts += integer(&container["restartCount"]);
    // RFC 3339 in UTC sorts as text.
    let ended = text(&container["lastState"]["terminated"]["finishedAt"]);
    if ended > last.as_str() {
        *last = ended.to_owned();
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates.iter().filter(|gate| condition_is_true(&pod["status"], text(&gate["conditionType"])));
    format!("{}/{}", open.count(), gates.len())
}

fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    items(&status["conditions"]).iter().find(|c| c["type"] == kind)
}

fn condition_is_true(status: &Value, kind: &str) -> bool {
    condition(status, kind).is_some_and(|c| c["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pod: &Value) -> String {
        let cells = cells(pod);
        let text: Vec<&str> = cells[1..4].iter().map(text).collect();
        text.join(" ")
    }

    #[test]
    fn the_status_is_that_of_the_containers() {
        let container = |state: Value, ready: bool, restarts: u32| json!({"name": "c", "state": state, "ready": ready, "restartCount": restarts});
        let pod = |phase: &str, statuses: Value| {
            json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]},
            "status": {"phase": phase, "containerStatuses": statuses}})
        };
        let running = container(json!({"running": {}}), true, 0);
        assert_eq!(shown(&pod("Running", json!([running]))), "1/1 Running 0");
        let crashing = container(json!({"waiting": {"reason": "CrashLoopBackOff"}}), false, 7);
        assert_eq!(shown(&pod("Running", json!([crashing]))), "0/1 CrashLoopBackOff 7");
        let done = container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}), false, 0);
        assert_eq!(shown(&pod("Succeeded", json!([done]))), "0/1 Completed 0");
        let killed = container(json!({"terminated": {"exitCode": 137, "signal": 9}}), false, 0);
        assert_eq!(shown(&pod("Failed", json!([killed]))), "0/1 Signal:9 0");
        assert_eq!(shown(&pod("Pending", json!([]))), "0/1 Pending 0");
        let mut leaving = pod("Running", json!([running]));
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(shown(&leaving), "1/1 Terminating 0");
    }

    #[test]
    fn init_containers_and_sidecars_count() {
        let pod = json!({"metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "a"}, {"name": "b"}]},
            "status": {"phase": "Pending", "initContainerStatuses": [
                {"name": "a", "state": {"terminated": {"exitCode": 0}}, "restartCount": 0},
                {"name": "b", "state": {"waiting": {"reason": "PodInitializing"}}, "restartCount": 0}]}});
        assert_eq!(shown(&pod), "0/1 Init:1/2 0");
        let mut sidecar = pod;
        sidecar["spec"]["initContainers"][1]["restartPolicy"] = json!("Always");
        sidecar["status"]["initContainerStatuses"][1] =
            json!({"name": "b", "started": true, "ready": true, "state": {"running": {}}, "restartCount": 1});
        sidecar["status"]["phase"] = json!("Running");
        sidecar["status"]["containerStatuses"] =
            json!([{"name": "c", "ready": true, "state": {"running": {}}, "restartCount": 1}]);
        assert_eq!(shown(&sidecar), "2/2 Running 2");
    }

    #[test]
    fn a_restart_says_how_long_ago() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Running",
            "containerStatuses": [{"name": "c", "ready": true, "state": {"running": {}}, "restartCount": 2,
                "lastState": {"terminated": {"finishedAt": crate::simulator::clock::ago(15 * 60)}}}]}});
        assert_eq!(shown(&pod), "1/1 Running 2 (15m ago)");
    }
}
