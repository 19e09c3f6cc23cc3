//! Objects as a cluster has them, for filling a simulator.

use serde_json::{Value, json};

use super::clock::ago;

mod many;

pub use self::many::many_pods;

/// A running pod with one container `app`, on `node`, labelled `app=<app>`.
#[must_use]
pub fn pod(namespace: &str, name: &str, app: &str, node: &str) -> Value {
    let started = ago(3 * 3600);
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": started}));
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}, "creationTimestamp": started},
        "spec": {"nodeName": node, "serviceAccountName": "default", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "containers": [{"name": "app", "image": format!("registry.lab.example/{app}:1.0"), "ports": [{"containerPort": 8080}],
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}]},
        "status": {"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}], "startTime": started,
            "conditions": conditions,
            "containerStatuses": [{"name": "app", "ready": true, "started": true, "restartCount": 0,
                "image": format!("registry.lab.example/{app}:1.0"), "state": {"running": {"startedAt": started}}}]}})
}

/// A pod whose container keeps crashing: 17 restarts, the last 15 minutes ago.
#[must_use]
pub fn crashing_pod(namespace: &str, name: &str, app: &str, node: &str) -> Value {
    let mut pod = pod(namespace, name, app, node);
    pod["status"]["containerStatuses"][0] = json!({"name": "app", "ready": false, "started": false, "restartCount": 17,
        "image": format!("registry.lab.example/{app}:1.0"),
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": ago(15 * 60),
            "containerID": "containerd://0c8e57f3"}}});
    for i in [1, 2] {
        pod["status"]["conditions"][i]["status"] = "False".into();
    }
    pod
}

/// A deployment of `replicas` pods, `ready` of them ready.
#[must_use]
pub fn deployment(namespace: &str, name: &str, replicas: u32, ready: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}, "creationTimestamp": ago(5 * 86400)},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name)},
        "status": {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready,
            "availableReplicas": ready, "conditions": [{"type": "Available", "status": if ready == replicas { "True" } else { "False" }}]}})
}

/// A ReplicaSet of `replicas` ready pods.
#[must_use]
pub fn replica_set(namespace: &str, name: &str, replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}, "creationTimestamp": ago(5 * 86400)},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name)},
        "status": {"observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}})
}

/// A ClusterIP service for `app=<name>` on port 80.
#[must_use]
pub fn service(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace, "creationTimestamp": ago(5 * 86400)},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.17", "clusterIPs": ["10.96.0.17"], "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]},
        "status": {"loadBalancer": {}}})
}

/// A ConfigMap.
#[must_use]
pub fn config_map(namespace: &str, name: &str, data: &[(&str, &str)]) -> Value {
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}});
    for (key, value) in data {
        map["data"][key] = json!(value);
    }
    map
}

/// An Opaque Secret; values are given in base64, as the API has them.
#[must_use]
pub fn secret(namespace: &str, name: &str, data: &[(&str, &str)]) -> Value {
    let mut secret = config_map(namespace, name, data);
    secret["kind"] = "Secret".into();
    secret["type"] = "Opaque".into();
    secret
}

/// A node, ready or not.
#[must_use]
pub fn node(name: &str, ready: bool) -> Value {
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "creationTimestamp": ago(40 * 86400),
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "node-role.kubernetes.io/worker": ""}},
        "spec": {"podCIDR": "10.1.0.0/24"},
        "status": {"capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"}, "allocatable": {"cpu": "8", "memory": "31Gi", "pods": "110"},
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": name}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "reason": if ready { "KubeletReady" } else { "KubeletNotReady" }}],
            "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Lab Linux 1", "kernelVersion": "6.12.0", "architecture": "amd64",
                "operatingSystem": "linux", "containerRuntimeVersion": "containerd://2.1.0"}}})
}

/// An event about a pod, `minutes` ago.
#[must_use]
pub fn event(namespace: &str, pod: &str, kind: &str, reason: &str, message: &str, minutes: i64) -> Value {
    let at = ago(minutes * 60);
    json!({"apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("{pod}.{}", reason.to_lowercase()), "namespace": namespace, "creationTimestamp": at},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": pod, "namespace": namespace},
        "type": kind, "reason": reason, "message": message, "count": 1, "firstTimestamp": at, "lastTimestamp": at,
        "source": {"component": "kubelet"}, "reportingComponent": "kubelet", "reportingInstance": ""})
}

/// A Widget of `lab.example/v1`.
#[must_use]
pub fn widget(namespace: &str, name: &str, size: u32) -> Value {
    json!({"apiVersion": "lab.example/v1", "kind": "Widget", "metadata": {"name": name, "namespace": namespace},
        "spec": {"size": size}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

/// The type of [`widget`], for a kcp workspace that has it bound. A simulated Kubernetes server has it from the start.
#[must_use]
pub fn widget_type() -> super::ResourceType {
    super::types::widget()
}

fn pod_template(app: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "app", "image": format!("registry.lab.example/{app}:1.0")}]}})
}
