//! The namespace `shop` of `corp-1`: a deployment that runs, on a node that is there, with logs and metrics.
//!
//! A simulator plays its kubelet; on real servers kwok does.

use serde_json::{Value, json};

use crate::simulator::{MetricsApi, Scope, Usage, samples};

/// The namespace.
pub const NAMESPACE: &str = "shop";
/// The node of all its pods. kwok takes care of it.
pub const NODE: &str = "node-a";
/// The deployment, and the value of the label `app` of its pods.
pub const DEPLOYMENT: &str = "web";
/// What the deployment made.
pub const REPLICA_SET: &str = "web-7d4b9c";
/// The pods of the ReplicaSet.
pub const PODS: [&str; 2] = ["web-7d4b9c-aaaaa", "web-7d4b9c-bbbbb"];
/// The one container of each pod.
pub const CONTAINER: &str = "app";
/// What each container has written: 200 lines `request N took M ms`, every 20th `ERROR cannot reach the database`.
pub const WEB_LOG: &str = include_str!("../../data/web.log");
/// What the kubelet of the node has written, in its file `kubelet.log` and in the journal of the unit `kubelet`.
pub const KUBELET_LOG: &str = "\
I0101 00:00:01.000000 1 server.go:100] \"Kubelet version\" kubeletVersion=\"v1.37.0\"\n\
I0101 00:00:02.000000 1 kubelet.go:400] \"Attempting to sync node with API server\"\n\
W0101 00:00:03.000000 1 eviction_manager.go:300] \"Disk is getting full\"\n\
I0101 00:00:04.000000 1 kubelet_node_status.go:80] \"Successfully registered node\" node=\"node-a\"\n";
/// What the node uses.
pub const NODE_USAGE: Usage = Usage::new(250, 512);
/// What each container uses.
pub const CONTAINER_USAGE: Usage = Usage::new(100, 64);

/// All objects, owners before what they own. Owner references have no uid yet: see [`with_owners`].
#[must_use]
pub fn objects() -> Vec<Value> {
    let mut node = samples::node(NODE, true);
    node["metadata"]["labels"] = json!({"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux", "type": "kwok"});
    node["metadata"]["annotations"] = json!({"kwok.x-k8s.io/node": "fake"});
    // kwok says where its kubelet is; until then the API server finds none.
    node["status"]["addresses"] = json!([]);
    let mut replica_set = samples::replica_set(NAMESPACE, REPLICA_SET, 2);
    replica_set["metadata"]["labels"] = json!({"app": DEPLOYMENT});
    replica_set["spec"]["selector"] = json!({"matchLabels": {"app": DEPLOYMENT}});
    replica_set["spec"]["template"] = samples::deployment(NAMESPACE, DEPLOYMENT, 2, 2)["spec"]["template"].clone();
    replica_set["metadata"]["ownerReferences"] = owner("Deployment", DEPLOYMENT);
    let pods = PODS.map(|name| {
        let mut pod = samples::pod(NAMESPACE, name, DEPLOYMENT, NODE);
        pod["metadata"]["ownerReferences"] = owner("ReplicaSet", REPLICA_SET);
        pod
    });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let deployment = samples::deployment(NAMESPACE, DEPLOYMENT, 2, 2);
    [namespace, node, deployment, replica_set].into_iter().chain(pods).collect()
}

fn owner(kind: &str, name: &str) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true, "blockOwnerDeletion": true}])
}

/// The object with the uids of its owners, which must be among `made`: what a server answered for those before it.
///
/// # Panics
/// When an owner is not among them.
#[must_use]
pub fn with_owners(object: &Value, made: &[Value]) -> Value {
    let mut object = object.clone();
    let references = object["metadata"].get_mut("ownerReferences").and_then(Value::as_array_mut);
    for reference in references.into_iter().flatten() {
        let is_owner =
            |made: &&Value| made["kind"] == reference["kind"] && made["metadata"]["name"] == reference["name"];
        let owner = made.iter().rev().find(is_owner).expect("owners stand before what they own");
        reference["uid"] = owner["metadata"]["uid"].clone();
    }
    object
}

/// What a simulator knows besides the objects: logs, files of the node, metrics.
pub(super) fn play(place: &Scope) {
    for pod in PODS {
        let log = place.log(NAMESPACE, pod, CONTAINER);
        let lines: Vec<&str> = WEB_LOG.lines().collect();
        // A line a second, the last just now.
        for (seconds, line) in (0..lines.len() as i64).rev().zip(lines) {
            log.append_ago(seconds, line);
        }
        place.container_usage(NAMESPACE, pod, CONTAINER, CONTAINER_USAGE);
    }
    place.metrics(MetricsApi::Served).node_usage(NODE, NODE_USAGE);
    place.node_file(NODE, "kubelet.log", KUBELET_LOG).node_file(NODE, "containers/", "");
    place.node_journal(NODE, "kubelet", KUBELET_LOG);
}
