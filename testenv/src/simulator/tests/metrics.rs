//! `metrics.k8s.io`: absent, served, and registered with nobody behind it.

use serde_json::json;

use super::kubernetes::start;
use super::{AGGREGATED, Client, TABLE};
use crate::simulator::{MetricsApi, Simulator, Usage, samples};

const ROOT: &str = "/apis/metrics.k8s.io/v1beta1";

async fn measured(api: MetricsApi) -> (Simulator, Client) {
    let simulator = start().await;
    let cluster = simulator.cluster();
    cluster.metrics(api).put_all([
        samples::node("node-1", true),
        samples::pod("dev", "web-1", "web", "node-1"),
        samples::pod("dev", "web-2", "web", "node-1"),
        samples::pod("prod", "db-1", "db", "node-1"),
    ]);
    cluster.node_usage("node-1", Usage::new(250, 512));
    cluster.container_usage("dev", "web-1", "app", Usage::new(100, 64));
    cluster.container_usage("prod", "db-1", "app", Usage::new(1500, 1024));
    let admin = Client::new(&simulator, "admin-token");
    (simulator, admin)
}

#[tokio::test]
async fn what_was_measured_is_served() {
    let (simulator, admin) = measured(MetricsApi::Served).await;
    let node = admin.get(&format!("{ROOT}/nodes/node-1")).await.json;
    assert_eq!((&node["kind"], &node["usage"]), (&json!("NodeMetrics"), &json!({"cpu": "250m", "memory": "512Mi"})));
    let list = admin.get(&format!("{ROOT}/pods")).await;
    assert_eq!(list.json["kind"], "PodMetricsList");
    assert_eq!(list.names("items"), ["web-1", "db-1"], "web-2 was not measured");
    let usage = json!([{"name": "app", "usage": {"cpu": "100m", "memory": "64Mi"}}]);
    assert_eq!(list.json["items"][0]["containers"], usage);
    let labelled = admin.get(&format!("{ROOT}/pods?labelSelector=app%3Ddb")).await;
    assert_eq!(labelled.names("items"), ["db-1"]);
    assert_eq!(admin.get(&format!("{ROOT}/namespaces/dev/pods")).await.names("items"), ["web-1"]);
    let missing = admin.get(&format!("{ROOT}/namespaces/dev/pods/web-2")).await;
    assert_eq!((missing.status, missing.message()), (404, "podmetrics.metrics.k8s.io \"dev/web-2\" not found"));
    let table = admin.get_as(&format!("{ROOT}/pods"), TABLE).await.json;
    assert_eq!(table["rows"][1]["cells"], json!(["db-1", "1500m", "1Gi", "15s"]));
    assert_eq!(Client::new(&simulator, "bob-token").get(&format!("{ROOT}/nodes")).await.status, 403);
    let resources = admin.get(ROOT).await.json;
    assert_eq!(resources["resources"][1]["kind"], "PodMetrics");
    let aggregated = admin.get_as("/apis", AGGREGATED).await.json;
    let group =
        aggregated["items"].as_array().unwrap().iter().find(|group| group["metadata"]["name"] == "metrics.k8s.io");
    assert_eq!(group.unwrap()["versions"][0]["freshness"], "Current");
}

#[tokio::test]
async fn without_a_metrics_server_the_group_is_unknown() {
    let (_simulator, admin) = measured(MetricsApi::Absent).await;
    for path in [ROOT, "/apis/metrics.k8s.io", "/apis/metrics.k8s.io/v1beta1/nodes"] {
        let answer = admin.get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (404, "404 page not found\n"), "{path}");
    }
    let groups = admin.get("/apis").await.text;
    assert!(!groups.contains("metrics.k8s.io"), "{groups}");
}

#[tokio::test]
async fn a_metrics_server_that_is_down_takes_only_its_group_with_it() {
    let (simulator, admin) = measured(MetricsApi::Down).await;
    for path in [ROOT, "/apis/metrics.k8s.io/v1beta1/nodes"] {
        let answer = admin.get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (503, "service unavailable\n"), "{path}");
    }
    assert_eq!(admin.get("/apis/metrics.k8s.io").await.json["kind"], "APIGroup");
    assert!(admin.get("/apis").await.text.contains("metrics.k8s.io"));
    let aggregated = admin.get_as("/apis", AGGREGATED).await.json;
    let group =
        aggregated["items"].as_array().unwrap().iter().find(|group| group["metadata"]["name"] == "metrics.k8s.io");
    assert_eq!(group.unwrap()["versions"], json!([{"version": "v1beta1", "freshness": "Stale"}]));
    assert_eq!(admin.get("/apis/apps/v1").await.status, 200);
    simulator.cluster().metrics(MetricsApi::Served);
    assert_eq!(admin.get(&format!("{ROOT}/nodes")).await.status, 200);
}
