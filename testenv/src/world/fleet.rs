//! What is in the fleet and who may do what: written once, as rules for simulators and as RBAC objects for real servers.

use serde_json::{Value, json};

use super::shop;
use crate::simulator::{Rule, samples};

/// The user behind the gateway's token at `dev`, a service account.
pub(super) const GATEWAY: &str = "system:serviceaccount:gateway:ferry";

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const READ: &[&str] = &["get", "list", "watch"];
const ALL: &[&str] = &["*"];

/// What is in one API server or one workspace.
pub(super) struct Contents {
    /// In the order in which they can be applied.
    pub(super) objects: Vec<Value>,
    pub(super) grants: Vec<Grant>,
    /// What must work before a test begins: realm, user, and a path to read.
    pub(super) probes: &'static [(&'static str, &'static str, &'static str)],
}

/// A permission of one user.
pub(super) struct Grant {
    user: &'static str,
    verbs: &'static [&'static str],
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    urls: &'static [&'static str],
    namespace: Option<&'static str>,
}

impl Grant {
    const fn reads(user: &'static str, resources: &'static [&'static str]) -> Self {
        Self { user, verbs: READ, groups: ALL, resources, urls: &[], namespace: None }
    }

    const fn administers(user: &'static str) -> Self {
        Self { user, verbs: ALL, groups: ALL, resources: ALL, urls: ALL, namespace: None }
    }

    /// As the role `system:kcp:workspace:access`: the right to enter a workspace, nothing in it.
    const fn enters(user: &'static str) -> Self {
        Self { user, verbs: &["access"], groups: &[], resources: &[], urls: &["/"], namespace: None }
    }

    /// For a simulator.
    pub(super) fn rule(&self) -> Rule {
        let rule = Rule::user(self.user).verbs(self.verbs).api_groups(self.groups).resources(self.resources);
        let rule = rule.urls(self.urls);
        match self.namespace {
            Some(namespace) => rule.namespaces(&[namespace]),
            None => rule,
        }
    }

    /// For a real server: a role and its binding, both called `name`.
    pub(super) fn objects(&self, name: &str) -> [Value; 2] {
        let mut rules = Vec::new();
        if !self.resources.is_empty() {
            rules.push(json!({"apiGroups": self.groups, "resources": self.resources, "verbs": self.verbs}));
        }
        if !self.urls.is_empty() {
            rules.push(json!({"nonResourceURLs": self.urls, "verbs": self.verbs}));
        }
        let (role, binding) = match self.namespace {
            Some(_) => ("Role", "RoleBinding"),
            None => ("ClusterRole", "ClusterRoleBinding"),
        };
        let mut metadata = json!({"name": name});
        if let Some(namespace) = self.namespace {
            metadata["namespace"] = namespace.into();
        }
        [
            json!({"apiVersion": RBAC, "kind": role, "metadata": metadata, "rules": rules}),
            json!({"apiVersion": RBAC, "kind": binding, "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.user}]}),
        ]
    }
}

/// The API server behind `corp-1`.
pub(super) fn corp_1() -> Contents {
    let mut objects = teams("blue");
    objects.push(secret());
    objects.extend(pods());
    objects.extend(events());
    objects.extend(shop::objects());
    Contents {
        objects,
        grants: vec![
            Grant::reads("corp:alice", ALL),
            Grant { namespace: Some("team-b"), ..Grant::reads("corp:bob", ALL) },
        ],
        probes: &[("corp", "alice", "/api/v1/namespaces"), ("corp", "bob", "/api/v1/namespaces/team-b/configmaps")],
    }
}

/// The API server behind `acme-1` and `dev`.
pub(super) fn acme_1() -> Contents {
    let mut objects = teams("green");
    objects.push(namespace("gateway"));
    objects.extend(crowd());
    objects.push(json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "ferry", "namespace": "gateway"}}));
    let impersonates = Grant {
        verbs: &["impersonate"],
        groups: &["", "authentication.k8s.io"],
        ..Grant::reads(GATEWAY, &["users", "groups", "uids"])
    };
    Contents {
        objects,
        grants: vec![Grant::reads("acme:carol", ALL), Grant::reads("corp:alice", ALL), impersonates],
        probes: &[("acme", "carol", "/api/v1/namespaces")],
    }
}

/// A workspace of the kcp.
pub(super) fn workspace(path: &str) -> Contents {
    let here = |place: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "here", "namespace": "default"}, "data": {"where": place}})
    };
    let (objects, grants, probes): (_, _, &'static [_]) = match path {
        "root:org" => (
            vec![here("org")],
            vec![Grant::administers("corp:alice")],
            &[("corp", "alice", "/apis/tenancy.kcp.io/v1alpha1/workspaces")],
        ),
        "root:org:team-a" => (
            vec![here("team-a")],
            vec![Grant::administers("corp:alice")],
            &[("corp", "alice", "/api/v1/namespaces/default/configmaps")],
        ),
        "root:org:team-b" => (
            vec![here("team-b")],
            vec![Grant::enters("corp:bob"), Grant::reads("corp:bob", &["configmaps"])],
            &[("corp", "bob", "/api/v1/namespaces/default/configmaps")],
        ),
        other => panic!("nothing is written for workspace {other}"),
    };
    Contents { objects, grants, probes }
}

/// Two namespaces with what a team has in them.
fn teams(color: &str) -> Vec<Value> {
    let team = |team: &str| {
        let labels = json!({"app": "web"});
        [
            namespace(team),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": team},
                "data": {"color": color, "team": team}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": team, "labels": labels},
                "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "web", "image": "registry.lab.example/web:1.0"}]}}}}),
        ]
    };
    ["team-a", "team-b"].into_iter().flat_map(team).collect()
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// The pods of the deployment `web`, one well and one crashing, and one of nobody. Their node is not there, so nobody
/// has their logs.
fn pods() -> [Value; 3] {
    [
        samples::pod("team-a", "web-1", "web", "node-1"),
        samples::crashing_pod("team-a", "web-2", "web", "node-1"),
        samples::pod("team-a", "batch-1", "batch", "node-1"),
    ]
}

/// More pods than a list shows one by one, with the names that controllers give: 40 of a Deployment, 15 of a DaemonSet and
/// 5 of a StatefulSet in `team-b`, of which one each of the first two crashes.
fn crowd() -> Vec<Value> {
    let letters = b"bcdfghjklmnpqrstvwxz2456789";
    let random = |at: usize| [at, at / 27, 5, 11, 23].map(|at| char::from(letters[at % 27])).iter().collect::<String>();
    let checkout = (0..40).map(|at| ("checkout", format!("checkout-6799fc88d8-{}", random(at)), at == 7));
    let agent = (0..15).map(|at| ("agent", format!("agent-{}", random(at)), at == 3));
    let ledger = (0..5).map(|at| ("ledger", format!("ledger-{at}"), false));
    let pod = |(app, name, crashes): (&str, String, bool)| {
        let pod = if crashes { samples::crashing_pod } else { samples::pod };
        pod("team-b", &name, app, "node-1")
    };
    checkout.chain(agent).chain(ledger).map(pod).collect()
}

/// Three events, two of which say the same of one pod.
fn events() -> [Value; 3] {
    let mut again = samples::event("team-a", "web-2", "Warning", "BackOff", "back-off, the fifth time", 5);
    again["metadata"]["name"] = "web-2.backoff-again".into();
    again["count"] = 4.into();
    [
        samples::event("team-a", "web-2", "Warning", "BackOff", "back-off, the first time", 20),
        samples::event("team-a", "web-1", "Normal", "Pulled", "the image is there", 30),
        again,
    ]
}

/// A secret whose value, `canary-value`, must never leave kubeferry.
fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "db", "namespace": "team-a", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{\"kind\":\"Secret\",\"data\":{\"password\":\"Y2FuYXJ5LXZhbHVl\"}}",
            "kapp.k14s.io/original": "{\"kind\":\"Secret\",\"data\":{\"password\":\"Y2FuYXJ5LXZhbHVl\"}}"}},
        "data": {"password": "Y2FuYXJ5LXZhbHVl"}})
}
