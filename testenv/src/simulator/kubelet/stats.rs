//! `stats/summary` of a kubelet: its node and the pods on it, with what they use.

use serde_json::{Value, json};

use crate::simulator::clock::{ago, now};
use crate::simulator::metrics::Usage;
use crate::simulator::space::Space;

/// What a kubelet measures of a file system; nothing in a simulator fills one.
const DISK: u64 = 100 * 1024 * 1024 * 1024;

/// The document for `node`.
pub(super) fn summary(space: &Space, node: &Value) -> Value {
    let name = node["metadata"]["name"].as_str().unwrap_or_default();
    let usage = space.kubelets.usages.node(name).unwrap_or_default();
    let (booted, fs) = (&node["metadata"]["creationTimestamp"], disk(1));
    let kubelet = json!({"name": "kubelet", "startTime": booted, "cpu": cpu(Usage::new(20, 0)),
        "memory": memory(Usage::new(0, 40))});
    json!({
        "node": {"nodeName": name, "systemContainers": [kubelet], "startTime": booted, "cpu": cpu(usage),
            "memory": memory(usage), "network": network(), "fs": fs, "runtime": {"imageFs": fs, "containerFs": fs},
            "rlimit": {"time": now(), "maxpid": 4_194_304, "curproc": 200}},
        "pods": pods(space, name),
    })
}

fn pods(space: &Space, node: &str) -> Vec<Value> {
    let Some(ty) = space.types.find("", "v1", "pods") else {
        return Vec::new();
    };
    let here = space.store.all(&ty).filter(|pod| pod["spec"]["nodeName"] == node);
    here.map(|object| pod(space, object)).collect()
}

fn pod(space: &Space, pod: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
    let started = match pod["status"]["startTime"].is_string() {
        true => pod["status"]["startTime"].clone(),
        false => pod["metadata"]["creationTimestamp"].clone(),
    };
    let mut sum = Usage::default();
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let containers: Vec<Value> = containers
        .map(|container| {
            let container = text(&container["name"]);
            let usage = space.kubelets.usages.container(&namespace, &name, &container).unwrap_or_default();
            sum = sum + usage;
            json!({"name": container, "startTime": started, "cpu": cpu(usage), "memory": memory(usage),
                "rootfs": disk(1), "logs": disk(1)})
        })
        .collect();
    json!({"podRef": {"name": name, "namespace": namespace, "uid": pod["metadata"]["uid"]}, "startTime": started,
        "containers": containers, "cpu": cpu(sum), "memory": memory(sum), "network": network(),
        "ephemeral-storage": disk(2), "process_stats": {"process_count": 1}})
}

fn cpu(usage: Usage) -> Value {
    let nano_cores = usage.cpu_millicores * 1_000_000;
    // As if it had been so for an hour.
    json!({"time": now(), "usageNanoCores": nano_cores, "usageCoreNanoSeconds": nano_cores * 3600})
}

fn memory(usage: Usage) -> Value {
    let bytes = usage.memory_bytes;
    json!({"time": now(), "usageBytes": bytes, "workingSetBytes": bytes, "rssBytes": bytes / 2,
        "pageFaults": 1000, "majorPageFaults": 0})
}

fn network() -> Value {
    let counters = json!({"name": "eth0", "rxBytes": 1_048_576, "rxErrors": 0, "txBytes": 524_288, "txErrors": 0});
    let mut network = counters.clone();
    network["time"] = ago(5).into();
    network["interfaces"] = json!([counters]);
    network
}

fn disk(used_mib: u64) -> Value {
    let used = used_mib * 1024 * 1024;
    json!({"time": now(), "availableBytes": DISK - used, "capacityBytes": DISK, "usedBytes": used,
        "inodesFree": 6_000_000, "inodes": 6_553_600, "inodesUsed": 100})
}
