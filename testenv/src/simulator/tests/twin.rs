//! The same requests to the simulator and to the real thing, answer for answer.
//!
//! Both are filled through their own API. What must differ (uids, versions, times, tokens, whatever only a
//! whole cluster has) is levelled before the comparison; everything else is a fault of the simulator.

use http::Method;
use serde_json::{Value, json};

use super::{AGGREGATED, Answer, Client, TABLE};
use crate::apiserver::{ApiServer, ApiServerConfig};
use crate::etcd::Etcd;
use crate::kcp::{Kcp, KcpConfig};
use crate::pki::{Ca, Leaf, client_config};
use crate::simulator::{Rule, SimConfig, Simulator, samples};

const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

/// One server, as its administrator, as bob, and as nobody.
struct Side {
    admin: Client,
    bob: Client,
    nobody: Client,
}

impl Side {
    fn new(url: &str, ca_pem: &str, leaf: impl Fn(&str, &[&str]) -> Leaf) -> Self {
        let client = |leaf: Option<&Leaf>| {
            let tls = client_config(ca_pem, leaf, &[]);
            Client::with_tls(url, tls.as_ref().clone(), None)
        };
        Self {
            admin: client(Some(&leaf("admin", &["system:masters"]))),
            bob: client(Some(&leaf("bob", &["dev"]))),
            nobody: client(None),
        }
    }

    fn client(&self, name: &str) -> &Client {
        match name {
            "admin" => &self.admin,
            "bob" => &self.bob,
            _ => &self.nobody,
        }
    }

    async fn create(&self, path: &str, object: Value) {
        let answer = self.admin.post(path, object).await;
        assert!(matches!(answer.status, 201 | 409), "{path}: {}", answer.text);
    }
}

/// Status, content type and body, without what must differ.
fn levelled(answer: &Answer, base: &str) -> Value {
    let mut body = answer.json.clone();
    if body.is_null() {
        body = json!(answer.text);
    }
    level(&mut body, base);
    json!({"status": answer.status, "type": answer.content_type, "body": body})
}

fn level(value: &mut Value, base: &str) {
    match value {
        Value::Object(fields) => {
            // Which rule allowed something: ours are no Role objects.
            if fields.get("allowed") == Some(&json!(true)) {
                fields.remove("reason");
            }
            for gone in ["managedFields", "uid", "storageVersionHash", "serverAddressByClientCIDRs", "selfLink"] {
                fields.remove(gone);
            }
            for (key, value) in fields.iter_mut() {
                let varies = matches!(key.as_str(), "resourceVersion" | "continue" | "kcp.io/cluster")
                    || key.ends_with("Timestamp");
                if varies && value.as_str().is_some_and(|text| !text.is_empty()) {
                    *value = json!("<varies>");
                }
                level(value, base);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| level(item, base)),
        Value::String(text) => {
            for cut in ["continue key is not valid", "X509SHA256="] {
                if let Some(at) = text.find(cut) {
                    text.truncate(at + cut.len());
                }
            }
            let seconds = text.strip_suffix('s').is_some_and(|n| n.parse::<u32>().is_ok());
            if seconds {
                *text = "<age>".into();
            } else if let Some(cluster) = text.strip_prefix(base).and_then(|url| url.strip_prefix("/clusters/")) {
                *text = if cluster.contains(':') { format!("<base> {cluster}") } else { "<base> <name>".into() };
            } else {
                *text = text.replace(base, "<base>");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Sends each probe to both sides; a list of differences, empty when they are twins.
async fn compare(probes: &[(&str, &str, &str)], real: &Side, simulated: &Side) -> Vec<String> {
    let mut differences = Vec::new();
    for (who, path, accept) in probes {
        let mut answers = Vec::new();
        for side in [real, simulated] {
            let client = side.client(who);
            let answer = client.get_as(path, accept).await;
            answers.push(levelled(&answer, &client.base));
        }
        if answers[0] != answers[1] {
            differences.push(format!("{who} {path} {accept}\n  real      {}\n  simulated {}", answers[0], answers[1]));
        }
    }
    differences
}

async fn fill(side: &Side) {
    side.create("/api/v1/namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}}))
        .await;
    let objects = [
        ("/api/v1/namespaces/dev/configmaps", samples::config_map("dev", "a", &[("k", "v")])),
        ("/api/v1/namespaces/dev/configmaps", samples::config_map("dev", "b", &[("k", "v"), ("l", "w")])),
        ("/api/v1/namespaces/dev/configmaps", samples::config_map("dev", "c", &[])),
        ("/api/v1/namespaces/dev/secrets", samples::secret("dev", "s", &[("k", "dg==")])),
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/dev/roles",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader", "namespace": "dev"},
                "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]}),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/dev/rolebindings",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "readers", "namespace": "dev"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"},
                    {"kind": "ServiceAccount", "namespace": "dev", "name": "robot"}]}),
        ),
    ];
    for (path, object) in objects {
        side.create(path, object).await;
    }
}

const PROBES: &[(&str, &str, &str)] = &[
    ("admin", "/api", "*/*"),
    ("admin", "/apis/apps", "*/*"),
    ("nobody", "/healthz", "*/*"),
    ("nobody", "/readyz", "*/*"),
    ("nobody", "/api/v1/pods", "*/*"),
    ("nobody", "/apis", "*/*"),
    ("bob", "/api/v1/pods", "*/*"),
    ("bob", "/api/v1/pods?watch=true", "*/*"),
    ("bob", "/api/v1/namespaces/dev", "*/*"),
    ("bob", "/api/v1/namespaces/dev/pods/x/log", "*/*"),
    ("bob", "/apis/apps/v1/namespaces/dev/deployments/x", "*/*"),
    ("bob", "/api/v1/namespaces/dev/secrets?fieldSelector=metadata.name%3Ds", "*/*"),
    ("bob", "/apis/unknown.example/v1/things", "*/*"),
    ("bob", "/metrics", "*/*"),
    ("bob", "/api/v1/namespaces/dev/configmaps", "*/*"),
    ("bob", "/api/v1/namespaces/dev/configmaps/a", "*/*"),
    ("bob", "/api/v1/namespaces/dev/configmaps/zzz", "*/*"),
    ("admin", "/api/v1/gadgets", "*/*"),
    ("admin", "/api/v7", "*/*"),
    ("admin", "/api/v7/pods", "*/*"),
    ("admin", "/apis/apps/v7", "*/*"),
    ("admin", "/apis/apps/v7/deployments", "*/*"),
    ("admin", "/api/v1/pods?fieldSelector=spec.color%3Dred", "*/*"),
    ("admin", "/api/v1/pods?limit=many", "*/*"),
    ("admin", "/api/v1/pods?labelSelector=a%20b", "*/*"),
    ("admin", "/api/v1/namespaces/dev/configmaps", "application/json;as=Tree;v=v1;g=meta.k8s.io"),
    ("admin", "/api/v1/namespaces/dev/configmaps/a", PARTIAL),
    ("admin", "/apis", "text/html"),
    ("admin", "/apis", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
    ("admin", "/api/", "*/*"),
    ("admin", "/nowhere", "*/*"),
    ("admin", "/apis/apps/v1/gadgets", "*/*"),
    ("admin", "/apis/unknown.example/v1/things", "*/*"),
    ("admin", "/apis/unknown.example/v1", "*/*"),
    ("admin", "/apis/unknown.example", "*/*"),
    ("admin", "/api/v1/pods/x", "*/*"),
    ("admin", "/api/v1/namespaces/dev/nodes", "*/*"),
    ("admin", "/api/v1/namespaces/dev/configmaps", TABLE),
    ("admin", "/api/v1/namespaces/dev/configmaps/a", TABLE),
    ("admin", "/api/v1/namespaces/dev/configmaps?includeObject=None", TABLE),
    ("admin", "/api/v1/namespaces/dev/configmaps?includeObject=Object", TABLE),
    ("admin", "/api/v1/namespaces/dev/configmaps?includeObject=All", TABLE),
    ("admin", "/api/v1/namespaces/dev/configmaps", PARTIAL),
    ("admin", "/api/v1/namespaces/dev/configmaps/a", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
    ("admin", "/api/v1/namespaces/dev/configmaps", "text/html"),
    ("admin", "/api/v1/namespaces/dev/configmaps?limit=2", "*/*"),
    ("admin", "/api/v1/namespaces/dev/configmaps?limit=2&fieldSelector=metadata.name%21%3Dzzz", "*/*"),
    ("admin", "/api/v1/namespaces/dev/configmaps?labelSelector=nope", "*/*"),
    ("admin", "/api/v1/namespaces/dev/configmaps?continue=nonsense", "*/*"),
    ("admin", "/api/v1/namespaces/dev/configmaps?fieldSelector=data.k%3Dv", "*/*"),
    ("admin", "/api/v1/namespaces/dev", "*/*"),
    ("admin", "/api/v1/namespaces/dev", TABLE),
    ("admin", "/api/v1/namespaces/dev/secrets", TABLE),
    ("admin", "/apis/rbac.authorization.k8s.io/v1/namespaces/dev/rolebindings", TABLE),
    ("admin", "/apis/rbac.authorization.k8s.io/v1/namespaces/dev/roles", TABLE),
    ("admin", "/apis/rbac.authorization.k8s.io/v1/namespaces/dev/roles/reader", "*/*"),
];

#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn a_kube_apiserver_answers_the_same() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(ApiServerConfig::new("twin", &etcd)).await.unwrap();
    let real = Side::new(server.url(), server.ca_pem(), |user, groups| server.client_certificate(user, groups));
    let clients = Ca::new("clients");
    let simulator =
        Simulator::start(SimConfig::kubernetes().client_ca(clients.pem()).anonymous_health_only()).await.unwrap();
    simulator
        .cluster()
        .allow(Rule::user("bob").verbs(&["get", "list"]).resources(&["configmaps"]).namespaces(&["dev"]));
    let simulated = Side::new(simulator.url(), simulator.ca_pem(), |user, groups| clients.client(user, groups));
    for side in [&real, &simulated] {
        fill(side).await;
        for object in workloads() {
            side.create(&collection(&object), object).await;
        }
    }
    let mut differences = compare(PROBES, &real, &simulated).await;
    let tables: Vec<String> = workloads().iter().map(collection).collect();
    let tables: Vec<(&str, &str, &str)> = tables.iter().map(|path| ("admin", path.as_str(), TABLE)).collect();
    differences.extend(compare(&tables, &real, &simulated).await);
    differences.extend(discovery(&real, &simulated).await);
    differences.extend(writes(&real, &simulated).await);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Objects of the kinds with printers of their own. Most lose their status when they are created.
fn workloads() -> Vec<Value> {
    let mut objects = vec![
        samples::pod("dev", "web-1", "web", "node-1"),
        samples::node("node-1", true),
        samples::service("dev", "web"),
        samples::deployment("dev", "web", 3, 2),
        samples::replica_set("dev", "web-1", 3),
        samples::event("dev", "web-1", "Warning", "BackOff", "Back-off restarting", 4),
    ];
    for object in &mut objects {
        // The real server sets the time itself, and has no address range for this service.
        object["metadata"]["creationTimestamp"] = Value::Null;
        if object["kind"] == "Service" {
            object["spec"]["clusterIP"] = json!("None");
            object["spec"]["clusterIPs"] = json!(["None"]);
        }
    }
    objects
}

fn collection(object: &Value) -> String {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let root = match object["apiVersion"].as_str().unwrap() {
        "v1" => "/api/v1".to_owned(),
        version => format!("/apis/{version}"),
    };
    match object["metadata"]["namespace"].as_str() {
        None => format!("{root}/{plural}"),
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
    }
}

/// Every resource that the simulator announces is announced alike by the real server, in both forms.
async fn discovery(real: &Side, simulated: &Side) -> Vec<String> {
    let mut differences = Vec::new();
    for path in ["/api", "/apis"] {
        let [mut theirs, mut ours] = [json!(null), json!(null)];
        for (side, into) in [(real, &mut theirs), (simulated, &mut ours)] {
            *into = side.bob.get_as(path, AGGREGATED).await.json;
        }
        for (name, entry) in resources(&ours) {
            let their = resources(&theirs).into_iter().find(|(other, _)| *other == name);
            let their = their.map(|(_, entry)| entry).unwrap_or_default();
            if name != "lab.example/v1 widgets" && !covers(&their, &entry) {
                differences.push(format!("aggregated {name}\n  real      {their}\n  simulated {entry}"));
            }
        }
    }
    for path in ["/api/v1", "/apis/apps/v1", "/apis/rbac.authorization.k8s.io/v1"] {
        let theirs = real.bob.get(path).await.json;
        let ours = simulated.bob.get(path).await.json;
        for entry in ours["resources"].as_array().unwrap() {
            let same = theirs["resources"].as_array().unwrap().iter().find(|r| r["name"] == entry["name"]);
            let mut same = same.cloned().unwrap_or_default();
            level(&mut same, "\0");
            if same != *entry {
                differences.push(format!("plain {path}\n  real      {same}\n  simulated {entry}"));
            }
        }
    }
    differences
}

fn resources(list: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for group in list["items"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            for resource in version["resources"].as_array().unwrap() {
                let group = group["metadata"]["name"].as_str().unwrap_or_default();
                let name = format!(
                    "{group}/{} {}",
                    version["version"].as_str().unwrap(),
                    resource["resource"].as_str().unwrap()
                );
                all.push((name, resource.clone()));
            }
        }
    }
    all
}

/// True when `ours` is `theirs` with, at most, fewer subresources.
fn covers(theirs: &Value, ours: &Value) -> bool {
    let subresources = |of: &Value| of["subresources"].as_array().cloned().unwrap_or_default();
    let known = subresources(theirs);
    let strip = |of: &Value| {
        let mut of = of.clone();
        of.as_object_mut().map(|fields| fields.remove("subresources"));
        of
    };
    strip(theirs) == strip(ours) && subresources(ours).iter().all(|sub| known.contains(sub))
}

/// Who, method, path, headers and body.
type Write<'a> = (&'a str, Method, &'a str, &'a [(&'a str, &'a str)], Option<Value>);

/// Writes, impersonation and reviews.
async fn writes(real: &Side, simulated: &Side) -> Vec<String> {
    let path = "/api/v1/namespaces/dev/configmaps";
    let map = |name: &str| samples::config_map("dev", name, &[("k", "v")]);
    let stale = {
        let mut stale = map("a");
        stale["metadata"]["resourceVersion"] = json!("1");
        stale
    };
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let access = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let asked = |verb: &str| {
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "resource": "configmaps", "namespace": "dev"}}})
    };
    let as_carol: &[(&str, &str)] = &[("impersonate-user", "carol"), ("impersonate-group", "ops")];
    let as_root: &[(&str, &str)] = &[("impersonate-user", "x"), ("impersonate-extra-scope", "y")];
    let as_account: &[(&str, &str)] = &[("impersonate-user", "system:serviceaccount:dev:robot")];
    let in_a_group: &[(&str, &str)] = &[("impersonate-group", "ops")];
    let nobodys: &[(&str, &str)] = &[];
    let object = format!("{path}/new");
    let dry = format!("{path}?dryRun=All");
    let probes: Vec<Write<'_>> = vec![
        ("admin", Method::POST, &dry, nobodys, Some(map("dry"))),
        ("admin", Method::POST, path, nobodys, Some(map("a"))),
        ("bob", Method::POST, path, nobodys, Some(map("x"))),
        ("admin", Method::POST, path, nobodys, Some(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}))),
        (
            "admin",
            Method::POST,
            "/api/v1/namespaces/none/configmaps",
            nobodys,
            Some(samples::config_map("none", "x", &[])),
        ),
        ("admin", Method::POST, "/api/v1/configmaps", nobodys, Some(map("x"))),
        ("admin", Method::PUT, "/api/v1/namespaces/dev/configmaps/a", nobodys, Some(stale)),
        ("admin", Method::PUT, "/api/v1/namespaces/dev/configmaps/none", nobodys, Some(map("none"))),
        ("admin", Method::POST, path, nobodys, Some(map("new"))),
        ("admin", Method::DELETE, &object, nobodys, None),
        ("admin", Method::DELETE, &object, nobodys, None),
        ("bob", Method::POST, reviews, nobodys, Some(review.clone())),
        ("admin", Method::POST, reviews, as_carol, Some(review.clone())),
        ("bob", Method::GET, path, as_carol, None),
        ("bob", Method::GET, path, as_root, None),
        ("bob", Method::GET, "/version", as_root, None),
        ("bob", Method::GET, path, as_account, None),
        ("admin", Method::GET, path, in_a_group, None),
        ("bob", Method::POST, access, nobodys, Some(asked("list"))),
        ("bob", Method::POST, access, nobodys, Some(asked("delete"))),
    ];
    let mut differences = Vec::new();
    for (who, method, path, headers, body) in probes {
        let mut answers = Vec::new();
        for side in [real, simulated] {
            let client = side.client(who);
            let answer = client.send(method.clone(), path, headers, body.clone()).await;
            answers.push(levelled(&answer, &client.base));
        }
        if answers[0] != answers[1] {
            differences.push(format!(
                "{who} {method} {path} {headers:?}\n  real      {}\n  simulated {}",
                answers[0], answers[1]
            ));
        }
    }
    differences
}

#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn a_kcp_shard_answers_the_same() {
    let kcp = Kcp::start(KcpConfig::new("twin")).await.unwrap();
    let name = kcp.create_workspace("root", "org-a").await.unwrap();
    assert!(!name.is_empty());
    // The Workspace is ready a moment before a read of its logical cluster says so too.
    let ready = async || {
        let path = "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster";
        let cluster = kcp.get("root:org-a", path).await.map_err(|error| error.to_string())?;
        let phase = cluster["status"]["phase"].as_str().unwrap_or("no phase").to_owned();
        if phase == "Ready" { Ok(()) } else { Err(phase) }
    };
    crate::poll::until("the logical cluster to be ready", std::time::Duration::from_secs(30), ready).await.unwrap();
    let real = Side::new(kcp.url(), kcp.ca_pem(), |user, groups| kcp.client_certificate(user, groups));
    let clients = Ca::new("clients");
    let simulator = Simulator::start(SimConfig::kcp().client_ca(clients.pem()).anonymous_health_only()).await.unwrap();
    let _org = simulator.workspace("root:org-a");
    let simulated = Side::new(simulator.url(), simulator.ca_pem(), |user, groups| clients.client(user, groups));
    let differences = compare(KCP_PROBES, &real, &simulated).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

const KCP_PROBES: &[(&str, &str, &str)] = &[
    ("bob", "/clusters/root:Org_A/version", "*/*"),
    ("nobody", "/clusters/root:nope/version", "*/*"),
    ("bob", "/clusters/root:org-a:nope/version", "*/*"),
    ("bob", "/clusters/nope/version", "*/*"),
    ("nobody", "/clusters/nope/version", "*/*"),
    ("bob", "/clusters/root:org-a/version", "*/*"),
    ("nobody", "/clusters/root:org-a/version", "*/*"),
    ("bob", "/clusters/root:org-a/healthz", "*/*"),
    ("nobody", "/clusters/root:org-a/healthz", "*/*"),
    ("bob", "/clusters/root:org-a/api/v1/configmaps", "*/*"),
    ("bob", "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces/x", "*/*"),
    ("bob", "/version", "*/*"),
    ("nobody", "/version", "*/*"),
    ("nobody", "/healthz", "*/*"),
    ("bob", "/clusters//version", "*/*"),
    ("bob", "/clusters/*/version", "*/*"),
    ("bob", "/clusters/system:admin/version", "*/*"),
    ("nobody", "/clusters/root:org-a/%2e%2e%2fversion", "*/*"),
    ("bob", "/clusters/root/api", "*/*"),
    ("bob", "/clusters/root/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ("bob", "/clusters/root/apis/tenancy.kcp.io", "*/*"),
    ("bob", "/clusters/root/apis/unknown.example/v1", "*/*"),
    ("bob", "/clusters/root/apis/unknown.example", "*/*"),
    ("bob", "/clusters/root/apis/tenancy.kcp.io/v1alpha7", "*/*"),
    ("bob", "/clusters/root/api/v7", "*/*"),
    ("admin", "/clusters/root:org-a/apis/unknown.example/v1/things", "*/*"),
    ("admin", "/clusters/root:org-a/api/v1/pods", "*/*"),
    ("admin", "/clusters/root:org-a/apis/core.kcp.io/v1alpha1/gadgets", "*/*"),
    ("admin", "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces/none", "*/*"),
    ("admin", "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces", TABLE),
    ("admin", "/clusters/root:org-a/apis/apis.kcp.io/v1alpha1/apiexports", TABLE),
    ("bob", "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces?includeObject=None", TABLE),
    ("admin", "/clusters/root:org-a/apis/core.kcp.io/v1alpha1/logicalclusters?includeObject=None", TABLE),
    ("admin", "/clusters/root:org-a/api/v1/namespaces/default", "*/*"),
    ("admin", "/clusters/root:org-a/api/v1/configmaps?limit=many", "*/*"),
    ("admin", "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces?fieldSelector=spec.x%3Dy", "*/*"),
    ("admin", "/clusters/root:org-a/nowhere", "*/*"),
    ("bob", "/clusters/root:org-a/nowhere", "*/*"),
    ("bob", "/clusters/root/nowhere", "*/*"),
    ("bob", "/clusters/root/api/v1/configmaps", "*/*"),
];
