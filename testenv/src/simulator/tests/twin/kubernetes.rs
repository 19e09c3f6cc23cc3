//! Against a kube-apiserver.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{AGGREGATED, TABLE};
use super::openapi::{openapi, schemas_are_current};
use super::writes::writes;
use super::{Side, compare, level};
use crate::apiserver::{ApiServer, ApiServerConfig};
use crate::etcd::Etcd;
use crate::pki::Ca;
use crate::poll::until;
use crate::simulator::{MetricsApi, Rule, SimConfig, Simulator, samples};

const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

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
    ("bob", "/api/v1/nodes/node-1/proxy/stats/summary", "*/*"),
    ("admin", "/api/v1/nodes/none/proxy/stats/summary", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/none/log", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/none/log?tailLines=x", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/none/log?tailLines=-1", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/none/log?limitBytes=0", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/none/log?sinceSeconds=0", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/none/log?sinceTime=x", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/none/log?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/lost/log?previous=true", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/lost/log?container=x", "*/*"),
    ("admin", "/api/v1/namespaces/dev/pods/two/log", "*/*"),
    ("nobody", "/openapi/v3", "*/*"),
    ("bob", "/openapi/v3/apis/nope.example/v1", "*/*"),
    ("bob", "/openapi/v3/api/v1", "text/html"),
    ("admin", "/apis/metrics.k8s.io", "*/*"),
    ("bob", "/apis/metrics.k8s.io/v1beta1", "*/*"),
    ("bob", "/apis/metrics.k8s.io/v1beta1/nodes", "*/*"),
    ("admin", "/apis/metrics.k8s.io/v1beta1/nodes", TABLE),
    ("admin", "/apis/metrics.k8s.io/v1beta1/namespaces/dev/pods/web-1", "*/*"),
];

/// Registers `metrics.k8s.io` with nobody behind it, and waits until the real server has seen that.
async fn without_metrics_server(real: &Side, simulator: &Simulator) {
    let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": true,
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": "metrics-server", "namespace": "kube-system"}}});
    real.create("/apis/apiregistration.k8s.io/v1/apiservices", service).await;
    simulator.cluster().metrics(MetricsApi::Down);
    let seen = async || {
        let answer = real.admin.get("/apis/metrics.k8s.io/v1beta1").await;
        let listed = real.admin.get_as("/apis", AGGREGATED).await.text.contains("metrics.k8s.io");
        if answer.status == 503 && listed { Ok(()) } else { Err(format!("{} {listed}", answer.status)) }
    };
    until("the group without a server", Duration::from_secs(30), seen).await.unwrap();
}

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
    without_metrics_server(&real, &simulator).await;
    let mut differences = compare(PROBES, &real, &simulated).await;
    let tables: Vec<String> = workloads().iter().map(collection).collect();
    let tables: Vec<(&str, &str, &str)> = tables.iter().map(|path| ("admin", path.as_str(), TABLE)).collect();
    differences.extend(compare(&tables, &real, &simulated).await);
    differences.extend(discovery(&real, &simulated).await);
    differences.extend(writes(&real, &simulated).await);
    differences.extend(openapi(&real, &simulated, "").await);
    let documents = ["api/v1", "apis/apps/v1", "apis/rbac.authorization.k8s.io/v1"];
    differences.extend(schemas_are_current(&real, &documents).await);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Objects of the kinds with printers of their own. Most lose their status when they are created.
fn workloads() -> Vec<Value> {
    let mut objects = vec![
        samples::pod("dev", "web-1", "web", "node-1"),
        samples::pod("dev", "lost", "web", "node-2"),
        two_containers(),
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

fn two_containers() -> Value {
    let mut pod = samples::pod("dev", "two", "web", "node-1");
    let side = json!({"name": "side", "image": "registry.lab.example/side:1.0"});
    pod["spec"]["containers"].as_array_mut().unwrap().push(side);
    pod
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
        let down = |list: &Value| {
            let groups = list["items"].as_array().cloned().unwrap_or_default();
            groups.into_iter().find(|group| group["metadata"]["name"] == "metrics.k8s.io")
        };
        let (mut their, mut our) = (down(&theirs).unwrap_or_default(), down(&ours).unwrap_or_default());
        level(&mut their, "\0");
        level(&mut our, "\0");
        if their != our {
            differences.push(format!("aggregated group that is down\n  real      {their}\n  simulated {our}"));
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
            for resource in version["resources"].as_array().into_iter().flatten() {
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
