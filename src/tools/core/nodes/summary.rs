//! A kubelet's stats (Summary API, `stats/v1alpha1`), only what is shown of them.

use std::cmp::Reverse;

use serde::Deserialize;

use crate::model::Row;
use crate::output::Output;
use crate::tools::quantity::Quantity;
use crate::tools::rows;

/// The whole document.
#[derive(Debug, Deserialize)]
pub(super) struct Summary {
    node: Node,
    #[serde(default)]
    pods: Option<Vec<Pod>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    node_name: String,
    #[serde(default)]
    cpu: Cpu,
    #[serde(default)]
    memory: Memory,
    #[serde(default)]
    io: Io,
    #[serde(default)]
    fs: Filesystem,
    #[serde(default)]
    rlimit: Limit,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    pod_ref: PodRef,
    #[serde(default)]
    cpu: Cpu,
    #[serde(default)]
    memory: Memory,
    #[serde(default, rename = "ephemeral-storage")]
    storage: Filesystem,
    #[serde(default, rename = "process_stats")]
    processes: Processes,
}

#[derive(Debug, Deserialize)]
struct PodRef {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Cpu {
    usage_nano_cores: Option<u64>,
    psi: Option<Pressure>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Memory {
    working_set_bytes: Option<u64>,
    available_bytes: Option<u64>,
    psi: Option<Pressure>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Io {
    psi: Option<Pressure>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filesystem {
    used_bytes: Option<u64>,
    capacity_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Limit {
    maxpid: Option<u64>,
    curproc: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Processes {
    process_count: Option<u64>,
}

/// Pressure stall information: the share of time in which some tasks, or all, waited.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pressure {
    some: Stalled,
    full: Stalled,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stalled {
    avg10: f64,
}

fn cores(count: Option<u64>) -> String {
    count.map(|count| Quantity::nano(count).cores()).unwrap_or_default()
}

fn bytes(count: Option<u64>) -> String {
    count.map(|count| Quantity::units(count).mebibytes()).unwrap_or_default()
}

impl Summary {
    /// The node in front, then its pods, those with the most memory first.
    pub(super) fn print(self) -> Output {
        let (of_node, pressure) = (self.node.line(), self.node.pressure());
        let mut pods = self.pods.unwrap_or_default();
        pods.sort_by_key(|pod| Reverse((pod.memory.working_set_bytes, pod.cpu.usage_nano_cores)));
        let all = pods.len();
        let columns = ["name", "cpu", "memory", "fs", "pids"];
        let resource = format!("pods on node {}", self.node.node_name);
        let (body, shown) = rows::first(&resource, &columns, pods.into_iter().map(Pod::row).collect());
        let mut output = Output::new(body).note(of_node);
        output.notes.extend(pressure);
        match shown {
            Some(shown) => output.note(format!("the {shown} of {all} pods that use most memory")),
            None => output,
        }
    }
}

impl Node {
    /// `node n: cpu 250m, memory 512Mi (1536Mi available), fs 10Mi of 100Mi (10%), pids 120 of 4096`: what is known of it.
    fn line(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.cpu.usage_nano_cores.map(|_| format!("cpu {}", cores(self.cpu.usage_nano_cores))));
        if let Some(used) = self.memory.working_set_bytes {
            let available = self.memory.available_bytes.map(|free| format!(" ({} available)", bytes(Some(free))));
            parts.push(format!("memory {}{}", bytes(Some(used)), available.unwrap_or_default()));
        }
        if let (Some(used), Some(capacity)) = (self.fs.used_bytes, self.fs.capacity_bytes) {
            let share = Quantity::units(used).percent_of(Quantity::units(capacity));
            parts.push(format!("fs {} of {} ({share})", bytes(Some(used)), bytes(Some(capacity))));
        }
        if let Some(running) = self.rlimit.curproc {
            let most = self.rlimit.maxpid.map(|most| format!(" of {most}")).unwrap_or_default();
            parts.push(format!("pids {running}{most}"));
        }
        let parts = if parts.is_empty() { "no stats".to_owned() } else { parts.join(", ") };
        format!("node {}: {parts}", self.node_name)
    }

    /// The pressure of the last 10 s, where the kernel says it.
    fn pressure(&self) -> Option<String> {
        let all = [("cpu", &self.cpu.psi), ("memory", &self.memory.psi), ("io", &self.io.psi)];
        let part = |(name, psi): (&str, &Option<Pressure>)| {
            psi.as_ref().map(|psi| format!("{name} {:.1}%/{:.1}%", psi.some.avg10, psi.full.avg10))
        };
        let parts: Vec<String> = all.into_iter().filter_map(part).collect();
        (!parts.is_empty()).then(|| format!("pressure of 10 s, some/full tasks waiting: {}", parts.join(", ")))
    }
}

impl Pod {
    fn row(self) -> Row {
        let pids = self.processes.process_count.map(|count| count.to_string()).unwrap_or_default();
        let cells = vec![
            self.pod_ref.name,
            cores(self.cpu.usage_nano_cores),
            bytes(self.memory.working_set_bytes),
            bytes(self.storage.used_bytes),
            pids,
        ];
        Row { namespace: Some(self.pod_ref.namespace), cells }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Summary;
    use crate::output::{Presentation, render};

    fn printed(document: serde_json::Value) -> String {
        let summary: Summary = serde_json::from_value(document).unwrap();
        render(summary.print(), &Presentation::default(), |_| None).unwrap().text
    }

    #[test]
    fn a_node_and_its_pods_are_one_table() {
        let psi = json!({"some": {"total": 9, "avg10": 1.25, "avg60": 0, "avg300": 0}, "full": {"avg10": 0.5}});
        let pod = |name: &str, memory: u64| {
            json!({
                "podRef": {"name": name, "namespace": "shop", "uid": "u"}, "containers": [],
                "cpu": {"time": "2026-01-01T00:00:00Z", "usageNanoCores": 100_000_000}, "memory": {"workingSetBytes": memory},
                "ephemeral-storage": {"usedBytes": 1_048_576}, "process_stats": {"process_count": 3},
            })
        };
        let document = json!({
            "node": {
                "nodeName": "node-a", "systemContainers": [],
                "cpu": {"usageNanoCores": 250_000_000, "psi": psi},
                "memory": {"workingSetBytes": 536_870_912, "availableBytes": 1_073_741_824},
                "fs": {"usedBytes": 10_485_760, "capacityBytes": 104_857_600},
                "rlimit": {"maxpid": 4096, "curproc": 120},
            },
            "pods": [pod("small", 1_048_576), pod("large", 67_108_864), {"podRef": {"name": "new", "namespace": "shop"}}],
        });
        insta::assert_snapshot!(printed(document), @"
        # node node-a: cpu 250m, memory 512Mi (1024Mi available), fs 10Mi of 100Mi (10%), pids 120 of 4096
        # pressure of 10 s, some/full tasks waiting: cpu 1.2%/0.5%
        NAMESPACE	NAME	CPU	MEMORY	FS	PIDS
        shop	large	100m	64Mi	1Mi	3
        shop	small	100m	1Mi	1Mi	3
        shop	new
        ");
        assert_eq!(printed(json!({"node": {"nodeName": "n"}, "pods": null})), "# node n: no stats\nno pods on node n");
    }
}
