//! `pods_top` and `nodes_top` against a metrics API that is there, missing or down.

use serde_json::{Value, json};

use super::wire::World;
use crate::policy::Namespaces;

const PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";
const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
const VERSION: &str = "metrics.k8s.io/v1beta1";

fn pod(namespace: &str, name: &str, containers: &[(&str, &str, &str)]) -> Value {
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, cpu, memory)| json!({"name": name, "usage": {"cpu": cpu, "memory": memory}}))
        .collect();
    let metadata = json!({"name": name, "namespace": namespace});
    json!({"kind": "PodMetrics", "apiVersion": VERSION, "metadata": metadata, "window": "30s", "containers": containers})
}

fn node(name: &str, cpu: &str, memory: &str) -> Value {
    let usage = json!({"cpu": cpu, "memory": memory});
    json!({"kind": "NodeMetrics", "apiVersion": VERSION, "metadata": {"name": name}, "usage": usage})
}

/// A list of the kind of its items.
fn list(items: &[Value]) -> String {
    let kind = items.iter().filter_map(|item| item["kind"].as_str()).next().unwrap_or_default();
    json!({"kind": format!("{kind}List"), "metadata": {}, "items": items}).to_string()
}

#[tokio::test]
async fn pods_that_use_most_come_first() {
    let idle = pod("shop", "idle", &[("app", "0", "16Mi")]);
    let busy = pod("shop", "busy", &[("proxy", "5m", "1Mi"), ("app", "1250000n", "128974848")]);
    let one = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/busy";
    let answers = [(PODS, 200, list(&[idle, busy.clone()])), (one, 200, busy.to_string())];
    let world = World::new(&answers, Namespaces::default()).await;
    insta::assert_snapshot!(world.call("pods_top", json!({"label_selector": "app=web"})).await.unwrap(), @"
    # 2 pods in all namespaces: cpu 7m, memory 140Mi in all
    NAMESPACE	NAME	CPU	MEMORY
    shop	busy	7m	124Mi
    shop	idle	0m	16Mi
    ");
    assert_eq!(world.asked("/pods?limit=250&labelSelector=app%3Dweb"), 1);
    insta::assert_snapshot!(world.call("pods_top", json!({"namespace": "shop", "name": "busy"})).await.unwrap(), @"
    # pod shop/busy: cpu 7m, memory 124Mi
    CONTAINER	CPU	MEMORY
    proxy	5m	1Mi
    app	2m	123Mi
    ");
    for bad in [
        json!({"name": "../nodes"}),
        json!({"name": "busy", "label_selector": "a=b"}),
        json!({"namespace": "a/b"}),
        json!({"labelSelector": "a=b"}),
    ] {
        assert!(world.call("pods_top", bad.clone()).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_namespace_is_taken_where_all_are_not_wanted() {
    let path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods";
    let world = World::new(&[(path, 200, list(&[pod("default", "web", &[])]))], Namespaces::default()).await;
    let text = world.call("pods_top", json!({"all_namespaces": false})).await.unwrap();
    assert!(text.starts_with("# namespace default, as none was given\n") && text.contains("\tweb\t0m"), "{text}");
    let missing = json!({"kind": "Status", "message": "podmetrics.metrics.k8s.io \"default/nope\" not found"});
    let answers = [("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/nope", 404, missing.to_string())];
    let world = World::new(&answers, Namespaces::default()).await;
    let failure = world.call("pods_top", json!({"name": "nope"})).await.unwrap_err().to_string();
    assert!(failure.contains("pod default/nope") && failure.contains("no metrics for about a minute"), "{failure}");
    let narrow = World::new(&[], Namespaces { allow: vec![], deny: vec!["kube-system".into()] }).await;
    let refused = narrow.call("pods_top", json!({})).await.unwrap_err().to_string();
    assert!(refused.contains("Name a namespace") && narrow.asked("metrics") == 0, "{refused}");
}

#[tokio::test]
async fn nodes_show_their_share_of_what_they_may_use() {
    let used = list(&[node("small", "250m", "512Mi"), node("large", "2", "1Gi")]);
    let allocatable = |name: &str, cpu: &str| json!({"kind": "Node", "metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "2Gi"}}});
    let nodes = list(&[allocatable("large", "8"), allocatable("small", "500m")]);
    let answers = [
        (NODES, 200, used.clone()),
        ("/api/v1/nodes", 200, nodes),
        ("/apis/metrics.k8s.io/v1beta1/nodes/small", 200, node("small", "250m", "512Mi").to_string()),
        ("/api/v1/nodes/small", 200, allocatable("small", "500m").to_string()),
    ];
    let world = World::new(&answers, Namespaces::default()).await;
    insta::assert_snapshot!(world.call("nodes_top", json!({})).await.unwrap(), @"
    NAME	CPU	CPU%	MEMORY	MEMORY%
    large	2000m	25%	1024Mi	50%
    small	250m	50%	512Mi	25%
    ");
    let one = world.call("nodes_top", json!({"name": "small"})).await.unwrap();
    assert_eq!(one.lines().last(), Some("small\t250m\t50%\t512Mi\t25%"));
    let blind = World::new(&[(NODES, 200, used)], Namespaces::default()).await;
    let text = blind.call("nodes_top", json!({})).await.unwrap();
    assert!(text.starts_with("# no shares of allocatable: not found\n") && text.contains("large\t2000m\t\t"), "{text}");
}

#[tokio::test]
async fn what_of_the_metrics_api_is_missing_is_named() {
    let world = World::new(&[(PODS, 404, "404 page not found\n".into())], Namespaces::default()).await;
    for (tool, args) in [("pods_top", json!({})), ("pods_top", json!({"name": "web"})), ("nodes_top", json!({}))] {
        let failure = world.call(tool, args).await.unwrap_err();
        assert_eq!(failure.code, "metrics_not_installed", "{tool}: {failure}");
        assert!(failure.to_string().contains("this cluster has no metrics API (metrics.k8s.io). Ask"), "{failure}");
    }
    let world = World::new(&[(NODES, 503, "service unavailable\n".into())], Namespaces::default()).await;
    let failure = world.call("nodes_top", json!({})).await.unwrap_err();
    assert_eq!(failure.code, "metrics_unavailable");
    assert!(failure.cause.contains("does not work: service unavailable (503)"), "{failure}");
    let forbidden = json!({"kind": "Status", "message": "pods.metrics.k8s.io is forbidden"});
    let world = World::new(&[(PODS, 403, forbidden.to_string())], Namespaces::default()).await;
    let failure = world.call("pods_top", json!({})).await.unwrap_err();
    assert!(failure.code == "forbidden" && failure.to_string().contains("verb list on pods"), "{failure}");
}

#[tokio::test]
async fn a_warm_call_sends_one_request() {
    let world = World::new(&[(PODS, 200, list(&[pod("shop", "web", &[])]))], Namespaces::default()).await;
    world.call("pods_top", json!({})).await.unwrap();
    let before = world.asked("");
    world.call("pods_top", json!({})).await.unwrap();
    assert_eq!(world.asked("") - before, 1);
}

#[tokio::test]
async fn another_answer_is_no_empty_list() {
    for foreign in [json!({"ok": true}), json!({}), json!({"kind": "Status", "items": []})] {
        let answers = [(PODS, 200, foreign.to_string()), (NODES, 200, foreign.to_string())];
        let world = World::new(&answers, Namespaces::default()).await;
        for tool in ["pods_top", "nodes_top"] {
            let failure = world.call(tool, json!({})).await.unwrap_err();
            assert_eq!(failure.code, "unexpected_answer", "{tool}: {failure}");
        }
    }
}
