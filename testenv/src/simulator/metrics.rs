//! `metrics.k8s.io/v1beta1` as metrics-server has it: what nodes and containers use, for those that somebody measured.

use std::collections::BTreeMap;
use std::ops::Add;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::clock::now;
use super::columns::Columns;
use super::rbac::Attributes;
use super::render::{list_reply, object_reply};
use super::reply::{Outcome, Refusal, Reply, text_reply};
use super::request::Call;
use super::selector::Selector;
use super::space::{Scope, Space};
use super::store::Page;
use super::types::{ResourceType, strings};

/// The API group.
pub(super) const METRICS: &str = "metrics.k8s.io";
/// Its only version.
pub(super) const VERSION: &str = "v1beta1";
/// Over which time a usage is said to be measured.
const WINDOW: &str = "15s";
/// The suffixes of memory, and what they stand for.
const UNITS: [(&str, u64); 4] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("", 1)];

/// Whether a cluster has a metrics-server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsApi {
    /// The group is unknown.
    #[default]
    Absent,
    /// The group is served.
    Served,
    /// The group is registered, and the server behind it cannot be reached and never could.
    Down,
}

/// What something uses at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Thousandths of a core.
    pub cpu_millicores: u64,
    /// The working set, in bytes.
    pub memory_bytes: u64,
}

impl Usage {
    /// So many thousandths of a core, and so many MiB.
    #[must_use]
    pub const fn new(cpu_millicores: u64, memory_mib: u64) -> Self {
        Self { cpu_millicores, memory_bytes: memory_mib * 1024 * 1024 }
    }

    /// Reads what [`Usage::quantities`] wrote.
    fn of(quantities: &Value) -> Self {
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        let text = |field: &str| quantities[field].as_str().unwrap_or_default();
        let cpu_millicores = match text("cpu").strip_suffix('m') {
            Some(part) => number(part),
            None => number(text("cpu")) * 1000,
        };
        let memory = text("memory");
        let unit = UNITS.iter().find(|(unit, _)| memory.ends_with(unit));
        let memory_bytes = unit.map_or(0, |(unit, size)| number(memory.trim_end_matches(unit)) * size);
        Self { cpu_millicores, memory_bytes }
    }

    /// As quantities in their canonical form.
    fn quantities(self) -> Value {
        let cpu = match self.cpu_millicores {
            whole if whole.is_multiple_of(1000) => (whole / 1000).to_string(),
            part => format!("{part}m"),
        };
        let fits = UNITS.iter().find(|(_, size)| self.memory_bytes.is_multiple_of(*size) && self.memory_bytes >= *size);
        let (unit, size) = fits.unwrap_or(&("", 1));
        json!({"cpu": cpu, "memory": format!("{}{unit}", self.memory_bytes / size)})
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_millicores: self.cpu_millicores + other.cpu_millicores,
            memory_bytes: self.memory_bytes + other.memory_bytes,
        }
    }
}

/// What was measured.
#[derive(Default)]
pub(super) struct Usages {
    nodes: BTreeMap<String, Usage>,
    /// By namespace and pod, then by container.
    pods: BTreeMap<(String, String), BTreeMap<String, Usage>>,
}

impl Usages {
    pub(super) fn node(&self, name: &str) -> Option<Usage> {
        self.nodes.get(name).copied()
    }

    pub(super) fn container(&self, namespace: &str, pod: &str, container: &str) -> Option<Usage> {
        self.pod(namespace, pod)?.get(container).copied()
    }

    fn pod(&self, namespace: &str, pod: &str) -> Option<&BTreeMap<String, Usage>> {
        self.pods.get(&(namespace.to_owned(), pod.to_owned()))
    }
}

impl Scope {
    /// Gives this cluster a metrics-server, or takes it away. There is none at first.
    pub fn metrics(&self, api: MetricsApi) -> &Self {
        let mut space = self.write();
        let types = Arc::make_mut(&mut space.types);
        types.remove_group(METRICS);
        match api {
            MetricsApi::Absent => {}
            MetricsApi::Served => {
                types.add(resource_type("nodes", "NodeMetrics", false));
                types.add(resource_type("pods", "PodMetrics", true));
            }
            MetricsApi::Down => types.add_down(METRICS, VERSION),
        }
        drop(space);
        self
    }

    /// What a node uses. It is also in the summary of its kubelet.
    pub fn node_usage(&self, node: &str, usage: Usage) -> &Self {
        self.write().kubelets.usages.nodes.insert(node.to_owned(), usage);
        self
    }

    /// What a container uses.
    pub fn container_usage(&self, namespace: &str, pod: &str, container: &str, usage: Usage) -> &Self {
        let key = (namespace.to_owned(), pod.to_owned());
        self.write().kubelets.usages.pods.entry(key).or_default().insert(container.to_owned(), usage);
        self
    }
}

fn resource_type(plural: &str, kind: &str, namespaced: bool) -> ResourceType {
    ResourceType {
        group: METRICS.into(),
        version: VERSION.into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: String::new(),
        namespaced,
        short_names: Vec::new(),
        categories: Vec::new(),
        verbs: strings(&["get", "list"]),
        subresources: Vec::new(),
        // Its objects carry kind and version everywhere but in lists, as built-in ones do.
        custom: false,
        columns: Columns::built_in(METRICS, plural),
        schema: None,
    }
}

/// What the aggregator answers while the server behind it is down: no `Status`, just this.
pub(super) fn down() -> Reply {
    text_reply(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n")
}

/// Answers a read of `ty`, one of the two resources.
pub(super) fn read(space: &Space, ty: &ResourceType, call: &Call, a: &Attributes) -> Outcome<Reply> {
    let Some(core) = space.types.find("", "v1", &ty.plural) else {
        return Err(Refusal::no_such_resource());
    };
    if a.verb == "get" {
        let measured = space.store.get(&core, &a.namespace, &a.name).and_then(|object| of(space, &object));
        let name = if ty.namespaced { format!("{}/{}", a.namespace, a.name) } else { a.name.clone() };
        let resource = if ty.namespaced { "podmetrics" } else { "nodemetrics" };
        let measured = measured.ok_or_else(|| Refusal::not_found(METRICS, resource, &name))?;
        return object_reply(call, StatusCode::OK, ty, &measured);
    }
    if a.verb != "list" {
        return Err(Refusal::method_not_allowed());
    }
    let selector = Selector::parse(ty, call.parameter("labelSelector"), call.parameter("fieldSelector"))?;
    let inside = |object: &&Arc<Value>| a.namespace.is_empty() || object["metadata"]["namespace"] == *a.namespace;
    let all = space.store.all(&core).filter(inside).filter_map(|object| of(space, object));
    let items = all.filter(|object| selector.matches(object)).map(Arc::new).collect();
    list_reply(call, ty, &Page { items, revision: 0, continue_token: None, remaining: None })
}

/// The metrics of a node or pod, if it was measured.
fn of(space: &Space, object: &Value) -> Option<Value> {
    let (metadata, usages) = (&object["metadata"], &space.kubelets.usages);
    let name = metadata["name"].as_str()?;
    let mut own = json!({"name": name, "creationTimestamp": now()});
    if metadata["labels"].is_object() {
        own["labels"] = metadata["labels"].clone();
    }
    let mut metrics = json!({"timestamp": now(), "window": WINDOW});
    match metadata["namespace"].as_str() {
        None => metrics["usage"] = usages.node(name)?.quantities(),
        Some(namespace) => {
            own["namespace"] = namespace.into();
            let containers = usages.pod(namespace, name)?.iter();
            metrics["containers"] =
                containers.map(|(name, usage)| json!({"name": name, "usage": usage.quantities()})).collect();
        }
    }
    metrics["metadata"] = own;
    Some(metrics)
}

/// The cells of its row in a table: name, cpu, memory, window.
pub(super) fn cells(metrics: &Value) -> Vec<Value> {
    let usage = match metrics["containers"].as_array() {
        None => metrics["usage"].clone(),
        Some(containers) => {
            let usages = containers.iter().map(|container| Usage::of(&container["usage"]));
            usages.fold(Usage::default(), Add::add).quantities()
        }
    };
    let text = |field: &str| usage[field].clone();
    vec![metrics["metadata"]["name"].clone(), text("cpu"), text("memory"), metrics["window"].clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_canonical() {
        let cases = [
            (Usage::new(250, 512), json!({"cpu": "250m", "memory": "512Mi"})),
            (Usage::new(2000, 2048), json!({"cpu": "2", "memory": "2Gi"})),
            (Usage::default(), json!({"cpu": "0", "memory": "0"})),
            (Usage { cpu_millicores: 1, memory_bytes: 1536 }, json!({"cpu": "1m", "memory": "1536"})),
        ];
        for (usage, expected) in cases {
            assert_eq!(usage.quantities(), expected);
            assert_eq!(Usage::of(&expected), usage);
        }
    }
}
