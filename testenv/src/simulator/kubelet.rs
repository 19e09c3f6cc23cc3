//! The kubelets of the nodes that are there: logs of containers, log files of nodes, and what runs there.
//!
//! A Node object is all it takes to have one. Pods on nodes without an object have no kubelet, so nobody has their logs.

mod container;
mod files;
mod journal;
mod pod_log;
mod stats;

use std::collections::BTreeMap;

use http::StatusCode;

use super::metrics::Usages;
use super::rbac::Attributes;
use super::reply::{Outcome, Refusal, Reply, json_reply, page_not_found};
use super::request::Call;
use super::space::{Scope, Space};

pub use self::container::ContainerLog;
pub(super) use self::container::Follow;
pub(super) use self::pod_log::pod_log;

use self::files::NodeFiles;

/// Namespace, pod and container.
type ContainerKey = (String, String, String);

/// What the kubelets of one cluster know besides the objects.
#[derive(Default)]
pub(super) struct Kubelets {
    logs: BTreeMap<ContainerKey, ContainerLog>,
    nodes: BTreeMap<String, NodeFiles>,
    pub(super) usages: Usages,
}

impl Scope {
    /// The log of a container, empty at first; what is written to the handle can be read and followed at once.
    #[must_use]
    pub fn log(&self, namespace: &str, pod: &str, container: &str) -> ContainerLog {
        let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        self.write().kubelets.logs.entry(key).or_default().clone()
    }

    /// Puts a file below `/var/log` of a node, for instance `kubelet.log` or `containers/web.log`. A path that ends
    /// with `/` is an empty folder.
    pub fn node_file(&self, node: &str, path: &str, text: &str) -> &Self {
        self.write().kubelets.node(node).write(path, text);
        self
    }

    /// Adds lines to the journal of a unit, such as `kubelet`, on a node.
    pub fn node_journal(&self, node: &str, unit: &str, text: &str) -> &Self {
        self.write().kubelets.node(node).journal(unit).append_all(text);
        self
    }

    /// Says whether the kubelet of a node answers log queries (`NodeLogQuery` and `enableSystemLogQuery`); it does
    /// unless told otherwise.
    pub fn node_log_query(&self, node: &str, on: bool) -> &Self {
        self.write().kubelets.node(node).query_is_off = !on;
        self
    }
}

impl Kubelets {
    fn node(&mut self, name: &str) -> &mut NodeFiles {
        self.nodes.entry(name.to_owned()).or_default()
    }

    fn log_of(&self, namespace: &str, pod: &str, container: &str) -> Option<&ContainerLog> {
        self.logs.get(&(namespace.to_owned(), pod.to_owned(), container.to_owned()))
    }

    /// Ends the logs of a pod that is gone, or of all pods of a namespace.
    pub(super) fn forget(&mut self, namespace: &str, pod: Option<&str>) {
        self.logs.retain(|(of, name, _), log| {
            let gone = of == namespace && pod.is_none_or(|pod| pod == name);
            if gone {
                log.close();
            }
            !gone
        });
    }
}

/// Answers `nodes/<name>/proxy/<rest>` as the kubelet of that node.
pub(super) fn node_proxy(space: &Space, call: &Call, a: &Attributes) -> Outcome<Reply> {
    let missing = || Refusal::not_found("", "nodes", &a.name);
    let nodes = space.types.find("", "v1", "nodes").ok_or_else(missing)?;
    let node = space.store.get(&nodes, "", &a.name).ok_or_else(missing)?;
    let root = format!("/api/v1/nodes/{}/proxy", a.name);
    let path = call.path.strip_prefix(&root).unwrap_or_default();
    let none = NodeFiles::default();
    let files = space.kubelets.nodes.get(&a.name).unwrap_or(&none);
    match path {
        "/healthz" => Ok(super::reply::text_reply(StatusCode::OK, "ok")),
        "/stats/summary" => Ok(json_reply(StatusCode::OK, &stats::summary(space, &node))),
        "/logs" => Ok(files::moved(&format!("{root}/logs/"), call)),
        _ => match path.strip_prefix("/logs/") {
            Some(file) => Ok(files.serve(file, call)),
            None => Ok(page_not_found()),
        },
    }
}
