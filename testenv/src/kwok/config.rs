//! What kwok is told: how nodes and pods come to life, and what the containers write and use.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{KwokConfig, NODE_IP};
use crate::kubelet::EVALUATED;
use crate::simulator::Usage;

/// A node that is ready. `ExternalIP` is for clients without the cluster's network, such as metrics-server.
const NODE_TEMPLATE: &str = r#"
{{ $now := Now }}
phase: Running
addresses:
- {type: InternalIP, address: "NODE_IP"}
- {type: ExternalIP, address: 127.0.0.1}
- {type: Hostname, address: {{ .metadata.name | Quote }}}
daemonEndpoints: {kubeletEndpoint: {Port: NODE_PORT}}
capacity: {cpu: "4", memory: 8Gi, pods: "110"}
allocatable: {cpu: "4", memory: 8Gi, pods: "110"}
nodeInfo: {architecture: amd64, operatingSystem: linux, kubeletVersion: v1.37.0, osImage: kwok, kernelVersion: kwok,
  containerRuntimeVersion: "kwok://0.8.0", kubeProxyVersion: "", machineID: "", systemUUID: "", bootID: ""}
conditions:
- {type: Ready, status: "True", reason: KubeletReady, message: kwok plays this node,
  lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
"#;

/// A pod whose containers all run.
const POD_TEMPLATE: &str = r#"
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
hostIP: "NODE_IP"
hostIPs: [{ip: "NODE_IP"}]
{{ with index (PodIPsWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace) 0 }}
podIP: {{ . | Quote }}
podIPs: [{ip: {{ . | Quote }}}]
{{ end }}
conditions:
- {type: PodScheduled, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: true, started: true, restartCount: 0,
  state: {running: {startedAt: {{ $now | Quote }}}}}
{{ end }}
"#;

/// The objects of kwok's configuration file, one YAML document each.
pub(super) fn objects(config: &KwokConfig<'_>, log: &str, folder: &Path) -> String {
    let selector = json!({"matchNamespaces": [config.namespace]});
    let cpu = format!("{}u", micros(config.usage));
    let memory = config.usage.memory_bytes.to_string();
    documents(&[
        object("ClusterLogs", "log", &json!({"selector": selector, "logs": [{"logsFile": log}]})),
        object("ClusterExec", "exec", &json!({"selector": selector, "execs": [{"local": {"workDir": folder}}]})),
        object(
            "ClusterResourceUsage",
            "usage",
            &json!({"selector": selector, "usages": [{"usage": {"cpu": {"value": cpu}, "memory": {"value": memory}}}]}),
        ),
        // kwok knows the node of a path without `{nodeName}` by the name of the Metric.
        object(
            "Metric",
            config.node.name(),
            &json!({"path": "/metrics/resource", "metrics": metrics(config.node_usage)}),
        ),
    ])
}

/// How nodes with a kubelet on `port` and their pods come to life and go, as further documents.
pub(super) fn stages(port: u16) -> String {
    let deleted = ".metadata.deletionTimestamp";
    documents(&[
        stage("node-ready", "Node", &[(".status.phase", "NotIn", Some("Running"))], &patch(NODE_TEMPLATE, port)),
        stage(
            "pod-running",
            "Pod",
            &[(deleted, "DoesNotExist", None), (".status.phase", "In", Some("Pending"))],
            &patch(POD_TEMPLATE, port),
        ),
        stage("pod-gone", "Pod", &[(deleted, "Exists", None)], &json!({"delete": true})),
    ])
}

fn documents(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("---\n{object}\n")).collect()
}

/// Plain lines as a container runtime writes them, one a second, the last one now.
pub(super) fn log(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (mut log, now) = (String::new(), jiff::Timestamp::now());
    for (number, line) in lines.iter().enumerate() {
        let age = Duration::from_secs(u64::try_from(lines.len() - 1 - number).expect("a length fits"));
        writeln!(log, "{:.9} stdout F {line}", now - age).expect("a String takes any text");
    }
    log
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// What happens to objects of `kind` for which all conditions (a jq expression, an operator, a value) hold.
fn stage(name: &str, kind: &str, conditions: &[(&str, &str, Option<&str>)], next: &Value) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(key, operator, value)| match value {
            Some(value) => json!({"key": key, "operator": operator, "values": [value]}),
            None => json!({"key": key, "operator": operator}),
        })
        .collect();
    let resource = json!({"apiGroup": "v1", "kind": kind});
    object("Stage", name, &json!({"resourceRef": resource, "selector": {"matchExpressions": conditions}, "next": next}))
}

/// A merge patch: should a stage be played twice, the second replaces the lists of the first.
fn patch(template: &str, port: u16) -> Value {
    let template = template.replace("NODE_IP", NODE_IP).replace("NODE_PORT", &port.to_string());
    json!({"patches": [{"subresource": "status", "root": "status", "type": "merge", "template": template}]})
}

/// The CPU of a usage in millionths of a core, three in a thousand less: clients round up, and a measured rate that is a
/// hair above a whole millicore would read as the next.
const fn micros(usage: Usage) -> u64 {
    usage.cpu_millicores * 997
}

/// What metrics-server reads.
fn metrics(node: Usage) -> Value {
    let pod = json!([
        {"name": "namespace", "value": "pod.metadata.namespace"},
        {"name": "pod", "value": "pod.metadata.name"},
    ]);
    let container = json!([
        {"name": "namespace", "value": "pod.metadata.namespace"},
        {"name": "pod", "value": "pod.metadata.name"},
        {"name": "container", "value": "container.name"},
    ]);
    let metric = |name: &str, dimension: &str, kind: &str, labels: &Value, value: &str| json!({"name": name, "dimension": dimension, "kind": kind, "help": name, "labels": labels, "value": value});
    let none = json!([]);
    json!([
        metric("scrape_error", "node", "gauge", &none, "0"),
        metric(EVALUATED, "node", "gauge", &none, "UnixSecond(Now())"),
        metric(
            "container_start_time_seconds",
            "container",
            "gauge",
            &container,
            "UnixSecond(pod.metadata.creationTimestamp)"
        ),
        metric(
            "container_cpu_usage_seconds_total",
            "container",
            "counter",
            &container,
            "pod.CumulativeUsage(\"cpu\", container.name)"
        ),
        metric(
            "container_memory_working_set_bytes",
            "container",
            "gauge",
            &container,
            "pod.Usage(\"memory\", container.name)"
        ),
        metric("pod_cpu_usage_seconds_total", "pod", "counter", &pod, "pod.CumulativeUsage(\"cpu\")"),
        metric("pod_memory_working_set_bytes", "pod", "gauge", &pod, "pod.Usage(\"memory\")"),
        metric(
            "node_cpu_usage_seconds_total",
            "node",
            "counter",
            &none,
            &format!("node.SinceSecond() * {}.0 / 1000000.0", micros(node)),
        ),
        metric("node_memory_working_set_bytes", "node", "gauge", &none, &format!("{}.0", node.memory_bytes)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_as_a_container_runtime_writes_it() {
        let log = log("first\nsecond\n");
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 2);
        let (time, rest) = lines[1].split_once(' ').unwrap();
        assert_eq!(rest, "stdout F second");
        let (earlier, _) = lines[0].split_once(' ').unwrap();
        let [earlier, time] = [earlier, time].map(|text| text.parse::<jiff::Timestamp>().unwrap());
        assert_eq!(time.duration_since(earlier).as_secs(), 1);
    }
}
