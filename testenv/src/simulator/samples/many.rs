//! Pods by the thousand, as large as pods of a real cluster.

use serde_json::{Value, json};

use super::{ago, crashing_pod, pod};

/// How many applications there are; each has its pods spread over namespaces and nodes.
const APPS: [&str; 8] = ["web", "api", "cart", "search", "mail", "ledger", "stock", "login"];
const NODES: usize = 100;
/// Each of so many pods crashes.
const ONE_CRASHES_IN: usize = 500;

/// So many pods of about 7 KB each as JSON, in `namespaces` namespaces `ns-000`, `ns-001`, …, on 100 nodes; one in 500
/// keeps crashing. For [`super::super::Scope::add_many`]. The same every time but for the times.
///
/// # Panics
/// Without any namespace.
pub fn many_pods(count: usize, namespaces: usize) -> impl Iterator<Item = Value> {
    assert!(namespaces > 0, "pods lie in namespaces");
    // Cloning is an order of magnitude faster than building, which shows with thousands of them.
    let templates = [pod("", "", "", ""), crashing_pod("", "", "", "")].map(realistic);
    (0..count).map(move |i| {
        let app = APPS[i % APPS.len()];
        let mut pod = templates[usize::from(i % ONE_CRASHES_IN == ONE_CRASHES_IN - 1)].clone();
        let metadata = &mut pod["metadata"];
        metadata["name"] = format!("{app}-5f6d7c8b9d-{i:05}").into();
        metadata["namespace"] = format!("ns-{:03}", i % namespaces).into();
        metadata["labels"]["app"] = app.into();
        metadata["ownerReferences"][0]["name"] = format!("{app}-5f6d7c8b9d").into();
        pod["spec"]["nodeName"] = format!("node-{:03}", i % NODES).into();
        pod["status"]["podIP"] = format!("10.1.{}.{}", i / 250 % 250, i % 250 + 1).into();
        pod
    })
}

/// The pod with what defaults, controllers and field managers add to it.
fn realistic(mut pod: Value) -> Value {
    let (started, hash) = (ago(3 * 3600), "4c1d1e4f4d2f8f0a6b9c7d5e3a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b");
    let image = format!("registry.lab.example/shop@sha256:{hash}");
    let metadata = &mut pod["metadata"];
    metadata["generateName"] = "web-5f6d7c8b9d-".into();
    metadata["labels"] = json!({"app": "", "app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "shop-production",
        "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/version": "1.42.0", "pod-template-hash": "5f6d7c8b9d"});
    metadata["annotations"] = json!({"checksum/config": hash, "prometheus.io/scrape": "true", "prometheus.io/port": "8080",
        "prometheus.io/path": "/metrics", "kubectl.kubernetes.io/restartedAt": started,
        "cni.example/networks": format!("[{{\"name\":\"default\",\"ips\":[\"10.1.0.7\"],\"mac\":\"0a:58:0a:01:00:07\",\"id\":\"{hash}\"}}]")});
    metadata["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "",
        "uid": "6f0a5b1e-7a51-4f2b-9c55-0d1c7f0e6a11", "controller": true, "blockOwnerDeletion": true}]);
    metadata["managedFields"] = managed_fields(&started);
    let container = &mut pod["spec"]["containers"][0];
    for (field, value) in container_fields() {
        container[field] = value;
    }
    for (field, value) in spec_fields() {
        pod["spec"][field] = value;
    }
    let status = &mut pod["status"];
    status["qosClass"] = "Burstable".into();
    status["hostIPs"] = json!([{"ip": "10.0.0.1"}]);
    let container = &mut status["containerStatuses"][0];
    container["imageID"] = image.into();
    container["containerID"] = format!("containerd://{hash}").into();
    container["volumeMounts"] =
        json!([{"name": "config", "mountPath": "/etc/shop", "readOnly": true, "recursiveReadOnly": "Disabled"}]);
    pod
}

fn container_fields() -> [(&'static str, Value); 6] {
    let probe = |path: &str, seconds: u32| {
        json!({"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}, "initialDelaySeconds": seconds,
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    };
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let secret = |name: &str, key: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "shop-credentials", "key": key}}});
    [
        (
            "env",
            json!([field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"),
            field("NODE_NAME", "spec.nodeName"), secret("DATABASE_PASSWORD", "database-password"),
            secret("QUEUE_PASSWORD", "queue-password"), {"name": "LOG_LEVEL", "value": "info"},
            {"name": "DATABASE_URL", "value": "postgres://shop@database.shop.svc.cluster.local:5432/shop?sslmode=verify-full"}]),
        ),
        ("resources", json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}})),
        ("livenessProbe", probe("/livez", 10)),
        ("readinessProbe", probe("/readyz", 2)),
        (
            "securityContext",
            json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}),
        ),
        (
            "volumeMounts",
            json!([{"name": "config", "mountPath": "/etc/shop", "readOnly": true},
            {"name": "cache", "mountPath": "/var/cache/shop"},
            {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}]),
        ),
    ]
}

fn spec_fields() -> [(&'static str, Value); 7] {
    let toleration =
        |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    [
        ("dnsPolicy", "ClusterFirst".into()),
        ("terminationGracePeriodSeconds", 30.into()),
        ("priority", 0.into()),
        ("preemptionPolicy", "PreemptLowerPriority".into()),
        (
            "tolerations",
            json!([toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")]),
        ),
        (
            "affinity",
            json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100,
            "podAffinityTerm": {"labelSelector": {"matchLabels": {"app.kubernetes.io/name": "shop"}},
                "topologyKey": "topology.kubernetes.io/zone"}}]}}),
        ),
        (
            "volumes",
            json!([{"name": "config", "configMap": {"name": "shop-config", "defaultMode": 420}},
            {"name": "cache", "emptyDir": {"sizeLimit": "64Mi"}},
            {"name": "kube-api-access", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}}]),
        ),
    ]
}

fn managed_fields(at: &str) -> Value {
    let all = |names: &[&str]| -> Value {
        let fields = names.iter().map(|name| (format!("f:{name}"), json!({})));
        Value::Object(fields.collect())
    };
    let mut container = all(&[
        "image",
        "imagePullPolicy",
        "name",
        "ports",
        "resources",
        "securityContext",
        "volumeMounts",
        "livenessProbe",
        "readinessProbe",
        "terminationMessagePath",
        "terminationMessagePolicy",
    ]);
    container["f:env"] = ["POD_NAME", "POD_NAMESPACE", "NODE_NAME", "DATABASE_PASSWORD", "LOG_LEVEL", "DATABASE_URL"]
        .iter()
        .map(|name| (format!("k:{{\"name\":\"{name}\"}}"), json!({".": {}, "f:name": {}, "f:value": {}})))
        .collect();
    let mut spec = all(&[
        "dnsPolicy",
        "enableServiceLinks",
        "restartPolicy",
        "schedulerName",
        "securityContext",
        "terminationGracePeriodSeconds",
        "affinity",
        "volumes",
    ]);
    spec["f:containers"] = json!({"k:{\"name\":\"app\"}": container});
    let condition = |kind: &str| (format!("k:{{\"type\":\"{kind}\"}}"), all(&["lastTransitionTime", "status", "type"]));
    let mut status = all(&["containerStatuses", "hostIP", "hostIPs", "phase", "podIP", "podIPs", "startTime"]);
    status["f:conditions"] =
        Value::Object(["ContainersReady", "Initialized", "Ready"].map(condition).into_iter().collect());
    json!([
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": at, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": all(&["annotations", "generateName", "labels", "ownerReferences"]), "f:spec": spec}},
        {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": at, "fieldsType": "FieldsV1",
            "subresource": "status", "fieldsV1": {"f:status": status}},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_as_large_as_real_ones_and_all_different() {
        let pods: Vec<Value> = many_pods(600, 7).collect();
        let size = pods[0].to_string().len();
        assert!((6_000..8_500).contains(&size), "{size}");
        let mut names: Vec<&str> = pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 600);
        let crashing = pods.iter().filter(|pod| pod.to_string().contains("CrashLoopBackOff")).count();
        assert_eq!(crashing, 1);
        assert_eq!(pods[8]["metadata"]["namespace"], "ns-001");
    }
}
