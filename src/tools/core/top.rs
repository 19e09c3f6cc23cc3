//! `pods_top` and `nodes_top`: what pods and nodes use, by the metrics API (`metrics.k8s.io/v1beta1`), most first.
//!
//! The metrics API is asked directly and not looked up: one that is down is not in discovery, and must not look like one
//! that is not there.

use std::cmp::Reverse;
use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::model::{Access, ApiResource, Failure, FailureKind, ListRequest, Row, names};
use crate::output::Output;
use crate::pool::ClusterClient;
use crate::tools::quantity::Quantity;
use crate::tools::{Cx, Spec, TargetNeed, Tool, arguments, rows};

const GROUP: &str = "metrics.k8s.io";
/// Objects per request.
const PAGE: u32 = 250;
/// Requests for one list, at most.
const PAGES: usize = 40;
/// Objects of all requests, at most: metrics servers know no pages and answer with all at once.
const MOST: usize = 50_000;

/// `pods_top`.
pub(super) struct PodsTop;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PodsArgs {
    all_namespaces: Option<bool>,
    namespace: Option<String>,
    name: Option<String>,
    label_selector: Option<String>,
}

impl Tool for PodsTop {
    const SPEC: Spec = Spec {
        name: "pods_top",
        title: "Pods: top",
        description: "CPU and memory of pods, most first",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = PodsArgs;

    async fn call(&self, _cx: &Cx, client: &ClusterClient, args: PodsArgs) -> Result<Output, Failure> {
        let selector = arguments::label_selector(args.label_selector)?;
        let name = name(args.name, selector.as_ref())?;
        let mut namespace = arguments::namespace(args.namespace)?;
        let pods = metrics_of(&client.kind("pods", Some("v1")).await?);
        let mut note = None;
        if namespace.is_none() && (name.is_some() || args.all_namespaces == Some(false)) {
            let default = client.default_namespace();
            note = Some(format!("namespace {default}, as none was given"));
            namespace = Some(default.to_owned());
        }
        let output = match (name, &namespace) {
            (Some(name), Some(namespace)) => one_pod(client, &pods, namespace, &name).await,
            (Some(_), None) | (None, _) => all_pods(client, &pods, namespace, selector).await,
        };
        Ok(note.into_iter().fold(output?, Output::note))
    }
}

/// `nodes_top`.
pub(super) struct NodesTop;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NodesArgs {
    name: Option<String>,
    label_selector: Option<String>,
}

impl Tool for NodesTop {
    const SPEC: Spec = Spec {
        name: "nodes_top",
        title: "Nodes: top",
        description: "CPU and memory of nodes, most first",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = NodesArgs;

    async fn call(&self, _cx: &Cx, client: &ClusterClient, args: NodesArgs) -> Result<Output, Failure> {
        let selector = arguments::label_selector(args.label_selector)?;
        let name = name(args.name, selector.as_ref())?;
        let nodes = client.kind("nodes", Some("v1")).await?;
        let metrics = metrics_of(&nodes);
        let (used, there) = match &name {
            Some(name) => futures::join!(
                async { one::<NodeMetrics>(client, &metrics, None, name).await.map(|used| (vec![used], false)) },
                async { one::<Node>(client, &nodes, None, name).await.map(|node| (vec![node], false)) },
            ),
            None => {
                let request = ListRequest { label_selector: selector, limit: PAGE, ..ListRequest::default() };
                futures::join!(
                    all::<NodeMetrics>(client, &metrics, request.clone()),
                    all::<Node>(client, &nodes, request)
                )
            }
        };
        let (used, more) = used.map_err(|failure| unmeasured(failure, "reading the use of nodes", name.as_deref()))?;
        let (there, unshared) = match there {
            Ok((there, _)) => (there, None),
            Err(failure) => (Vec::new(), Some(format!("no shares of allocatable: {}", failure.cause))),
        };
        let output = nodes_table(used, there, more);
        Ok(unshared.into_iter().fold(output, Output::note))
    }
}

/// A checked name, which cannot stand beside a selector.
fn name(name: Option<String>, selector: Option<&String>) -> Result<Option<String>, Failure> {
    let name = name.filter(|name| !name.is_empty());
    if let Some(name) = &name {
        names::object(name).map_err(|error| Failure::arguments(error.to_string()))?;
        if selector.is_some() {
            return Err(Failure::arguments("name and label_selector exclude each other").hint("Leave one of them out"));
        }
    }
    Ok(name)
}

/// The metrics of a kind: the same plural in the group of metrics, and objects of a kind of their own (`PodMetrics`).
fn metrics_of(kind: &ApiResource) -> ApiResource {
    ApiResource {
        group: GROUP.to_owned(),
        version: "v1beta1".to_owned(),
        kind: format!("{}Metrics", kind.kind),
        ..kind.clone()
    }
}

#[derive(Debug, Deserialize)]
struct PodMetrics {
    metadata: Metadata,
    #[serde(default)]
    containers: Vec<ContainerMetrics>,
}

#[derive(Debug, Deserialize)]
struct ContainerMetrics {
    name: String,
    usage: Resources,
}

#[derive(Debug, Deserialize)]
struct NodeMetrics {
    metadata: Metadata,
    usage: Resources,
}

#[derive(Debug, Deserialize)]
struct Node {
    metadata: Metadata,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Debug, Default, Deserialize)]
struct NodeStatus {
    #[serde(default)]
    allocatable: Resources,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    cpu: String,
    memory: String,
}

/// Ordered by CPU, then by memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Amount {
    cpu: Quantity,
    memory: Quantity,
}

impl Amount {
    fn of(resources: &Resources) -> Self {
        let read = |text: &str| Quantity::parse(text).unwrap_or_default();
        Self { cpu: read(&resources.cpu), memory: read(&resources.memory) }
    }

    fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu.plus(other.cpu), memory: self.memory.plus(other.memory) }
    }

    fn cells(self) -> [String; 2] {
        [self.cpu.cores(), self.memory.mebibytes()]
    }
}

async fn one_pod(client: &ClusterClient, pods: &ApiResource, namespace: &str, name: &str) -> Result<Output, Failure> {
    let doing = format!("reading the use of pod {namespace}/{name}");
    let pod: PodMetrics =
        one(client, pods, Some(namespace), name).await.map_err(|failure| unmeasured(failure, &doing, Some(name)))?;
    let mut used: Vec<(Amount, String)> =
        pod.containers.into_iter().map(|container| (Amount::of(&container.usage), container.name)).collect();
    let total = used.iter().fold(Amount::default(), |sum, (amount, _)| sum.plus(*amount));
    used.sort_unstable_by_key(|(amount, _)| Reverse(*amount));
    let row = |(amount, name): (Amount, String)| Row {
        namespace: None,
        cells: std::iter::once(name).chain(amount.cells()).collect(),
    };
    let (body, _) = rows::first("containers", &["container", "cpu", "memory"], used.into_iter().map(row).collect());
    let [cpu, memory] = total.cells();
    Ok(Output::new(body).note(format!("pod {namespace}/{name}: cpu {cpu}, memory {memory}")))
}

async fn all_pods(
    client: &ClusterClient,
    pods: &ApiResource,
    namespace: Option<String>,
    label_selector: Option<String>,
) -> Result<Output, Failure> {
    let place = namespace.as_ref().map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace {name}"));
    let request = ListRequest { namespace, label_selector, limit: PAGE, ..ListRequest::default() };
    let (found, more) = all::<PodMetrics>(client, pods, request)
        .await
        .map_err(|failure| unmeasured(failure, &format!("reading the use of pods in {place}"), None))?;
    Ok(pods_table(found, more, &place))
}

fn pods_table(found: Vec<PodMetrics>, more: bool, place: &str) -> Output {
    let amount = |pod: &PodMetrics| {
        pod.containers.iter().fold(Amount::default(), |sum, container| sum.plus(Amount::of(&container.usage)))
    };
    let mut used: Vec<(Amount, PodMetrics)> = found.into_iter().map(|pod| (amount(&pod), pod)).collect();
    used.sort_by_key(|(amount, _)| Reverse(*amount));
    let total = used.iter().fold(Amount::default(), |sum, (amount, _)| sum.plus(*amount));
    let all = used.len();
    let row = |(amount, pod): (Amount, PodMetrics)| Row {
        namespace: pod.metadata.namespace,
        cells: std::iter::once(pod.metadata.name).chain(amount.cells()).collect(),
    };
    let resource = format!("metrics of pods in {place}");
    let (body, shown) = rows::first(&resource, &["name", "cpu", "memory"], used.into_iter().map(row).collect());
    let mut output = Output::new(body);
    if all > 1 {
        let [cpu, memory] = total.cells();
        output = output.note(format!("{all} pods in {place}: cpu {cpu}, memory {memory} in all"));
    }
    cut(output, shown, all, more, "namespace or label_selector")
}

fn nodes_table(mut used: Vec<NodeMetrics>, there: Vec<Node>, more: bool) -> Output {
    let allocatable: HashMap<String, Amount> =
        there.into_iter().map(|node| (node.metadata.name, Amount::of(&node.status.allocatable))).collect();
    used.sort_by_key(|node| Reverse(Amount::of(&node.usage)));
    let all = used.len();
    let row = |node: NodeMetrics| {
        let used = Amount::of(&node.usage);
        let of = allocatable.get(&node.metadata.name).copied().unwrap_or_default();
        let [cpu, memory] = used.cells();
        let shares = [used.cpu.percent_of(of.cpu), used.memory.percent_of(of.memory)];
        let [cpu_share, memory_share] = shares;
        Row { namespace: None, cells: vec![node.metadata.name, cpu, cpu_share, memory, memory_share] }
    };
    let columns = ["name", "cpu", "cpu%", "memory", "memory%"];
    let (body, shown) = rows::first("metrics of nodes", &columns, used.into_iter().map(row).collect());
    cut(Output::new(body), shown, all, more, "label_selector")
}

/// Says what was left out.
fn cut(output: Output, shown: Option<usize>, all: usize, more: bool, narrow: &str) -> Output {
    let output = match shown {
        Some(shown) => output.note(format!("the {shown} of {all} that use most: {narrow} shows others")),
        None => output,
    };
    if more { output.note(format!("only the first {all} were read: narrow with {narrow}")) } else { output }
}

async fn one<T: DeserializeOwned>(
    client: &ClusterClient,
    kind: &ApiResource,
    namespace: Option<&str>,
    name: &str,
) -> Result<T, Failure> {
    let found = client.get(kind, namespace, name).await?;
    serde_json::from_value(found).map_err(|error| {
        Failure::new(FailureKind::Cluster, "unexpected_answer", "the answer is not what it should be").because(&error)
    })
}

/// All objects of a kind; true when there are more than are read.
async fn all<T: DeserializeOwned>(
    client: &ClusterClient,
    kind: &ApiResource,
    mut request: ListRequest,
) -> Result<(Vec<T>, bool), Failure> {
    let mut found = Vec::new();
    for _ in 0..PAGES {
        let page = client.list_as::<T>(kind, &request).await?;
        request.continue_token = page.continue_token().map(Into::into);
        let (cut, room) = (page.cut, MOST - found.len());
        let full = page.items.len() > room;
        found.extend(page.items.into_iter().take(room));
        if cut || full {
            break;
        }
        if request.continue_token.is_none() {
            return Ok((found, false));
        }
    }
    Ok((found, true))
}

/// What is missing: the metrics API, its answer, or the object `name` in it.
fn unmeasured(failure: Failure, doing: &str, name: Option<&str>) -> Failure {
    let failure = failure.doing(doing);
    // metrics-server names a pod with its namespace.
    let of_object = name.is_some_and(|name| failure.cause.contains(&format!("{name}\" not found")));
    match failure.kind {
        FailureKind::NotFound if of_object => {
            failure.hint("Check the name; what just started has no metrics for about a minute")
        }
        FailureKind::NotFound => Failure {
            code: "metrics_not_installed",
            cause: format!("this cluster has no metrics API ({GROUP})"),
            hint: Some("Ask the operator of the cluster for metrics-server".to_owned()),
            ..failure
        },
        FailureKind::Cluster if failure.code == "cluster_error" => Failure {
            code: "metrics_unavailable",
            cause: format!("the metrics API ({GROUP}) does not work: {}", failure.cause),
            hint: Some(format!("resources_get of APIService v1beta1.{GROUP} says why")),
            ..failure
        },
        FailureKind::Arguments
        | FailureKind::UnknownTarget
        | FailureKind::UnknownTool
        | FailureKind::Denied
        | FailureKind::SignIn
        | FailureKind::Credential
        | FailureKind::Refused
        | FailureKind::Cluster
        | FailureKind::Unreachable
        | FailureKind::Overloaded
        | FailureKind::Internal => failure,
    }
}
