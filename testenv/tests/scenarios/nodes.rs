//! What nodes and pods use, and what nodes say of themselves, at the node of `corp-1` that answers.

use serde_json::{Value, json};

use crate::lab::bench::{bad, good};
use crate::lab::scene::Scene;

fn at(cluster: &str, mut question: Value) -> Value {
    question["cluster"] = cluster.into();
    question
}

/// Pods and nodes with their use; a cluster without metrics and a workspace without pods say what they have not.
pub async fn use_is_shown_where_it_is_measured(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let pods =
        good(&alice, "pods_top", at("corp-1", json!({"namespace": "shop", "label_selector": "app=web"}))).await?;
    for pod in ["web-7d4b9c-aaaaa", "web-7d4b9c-bbbbb"] {
        assert!(pods.text.contains(&format!("shop\t{pod}\t100m\t64Mi")), "{}", pods.text);
    }
    assert!(pods.text.starts_with("# 2 pods in namespace shop: cpu 200m, memory 128Mi in all\n"), "{}", pods.text);
    let all = good(&alice, "pods_top", at("corp-1", json!({}))).await?;
    assert!(all.text.contains("shop\tweb-7d4b9c-aaaaa\t100m\t64Mi"), "{}", all.text);
    let one = json!({"namespace": "shop", "name": "web-7d4b9c-aaaaa"});
    let one = good(&alice, "pods_top", at("corp-1", one)).await?;
    assert!(one.text.contains("CONTAINER\tCPU\tMEMORY\napp\t100m\t64Mi"), "{}", one.text);
    let none = bad(&alice, "pods_top", at("corp-1", json!({"namespace": "shop", "name": "nope"}))).await?;
    assert!(none.text.contains("nope") && none.text.contains("no metrics for about a minute"), "{}", none.text);

    for question in [json!({}), json!({"name": "node-a"}), json!({"label_selector": "type=kwok"})] {
        let nodes = good(&alice, "nodes_top", at("corp-1", question)).await?;
        let row = nodes.text.lines().find(|line| line.starts_with("node-a\t")).unwrap_or_default();
        let cells: Vec<&str> = row.split('\t').collect();
        assert_eq!((cells.get(1), cells.get(3)), (Some(&"250m"), Some(&"512Mi")), "{}", nodes.text);
    }
    let bob = scene.client("corp", "bob").await?;
    for tool in ["pods_top", "nodes_top"] {
        let refused = bad(&bob, tool, at("corp-1", json!({}))).await?;
        assert!(refused.text.contains("corp:bob"), "the cluster decides, as bob: {}", refused.text);
        let nowhere = bad(&alice, tool, at("kcp-eu:root:org:team-a", json!({}))).await?;
        assert!(nowhere.text.contains("this workspace does not serve"), "{tool}: {}", nowhere.text);
    }
    let carol = scene.client("acme", "carol").await?;
    let missing = bad(&carol, "pods_top", at("acme-1", json!({"namespace": "team-a"}))).await?;
    let code = missing.structured.as_ref().map(|twin| twin["code"].clone());
    assert_eq!(code, Some(json!("metrics_not_installed")), "{}", missing.text);
    Ok(())
}

/// Log files and stats of a node; nothing leads out of the folder of logs, and no request is made for what would.
pub async fn a_node_shows_its_logs_and_stats(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let log = |query: &str| at("corp-1", json!({"name": "node-a", "query": query}));
    for path in ["/kubelet.log", "/var/log/kubelet.log"] {
        let read = good(&alice, "nodes_log", log(path)).await?;
        assert!(!read.text.is_empty() && !read.text.contains("no lines"), "{path}: {}", read.text);
    }
    let newest = at("corp-1", json!({"name": "node-a", "query": "/kubelet.log", "tailLines": 1}));
    let newest = good(&alice, "nodes_log", newest).await?;
    assert_eq!(newest.text.lines().filter(|line| !line.starts_with('#')).count(), 1, "{}", newest.text);
    let files = good(&alice, "nodes_log", log("/")).await?;
    assert!(files.text.contains("/kubelet.log") && files.text.contains("/containers/"), "{}", files.text);
    let missing = bad(&alice, "nodes_log", log("/nope.log")).await?;
    assert!(missing.text.contains("nope.log"), "{}", missing.text);

    scene.clear();
    for query in
        ["/../../etc/passwd", "..", "/%2e%2e/passwd", "//etc/passwd", "/a?query=kubelet", "https://x/y", "/a b"]
    {
        let refused = bad(&alice, "nodes_log", log(query)).await?;
        assert!(refused.text.contains("is not valid"), "{query}: {}", refused.text);
    }
    for name in ["node-a/proxy/run", "node-a:10255", ".."] {
        let refused = bad(&alice, "nodes_log", at("corp-1", json!({"name": name, "query": "/kubelet.log"}))).await?;
        assert!(refused.text.contains("is not valid"), "{name}: {}", refused.text);
    }
    let asked: Vec<String> = scene.world.corp_1.tap.requests().into_iter().map(|request| request.path).collect();
    assert!(!asked.iter().any(|path| path.contains("proxy")), "{asked:?}");

    let stats = good(&alice, "nodes_stats_summary", at("corp-1", json!({"name": "node-a"}))).await?;
    assert!(
        stats.text.contains("# node node-a: ") && stats.text.contains("NAMESPACE\tNAME\tCPU\tMEMORY"),
        "{}",
        stats.text
    );
    for pod in ["shop\tweb-7d4b9c-aaaaa\t", "shop\tweb-7d4b9c-bbbbb\t"] {
        assert!(stats.text.contains(pod), "{}", stats.text);
    }
    let raw = good(&alice, "nodes_stats_summary", at("corp-1", json!({"name": "node-a", "format": "json"}))).await?;
    let document: Value = serde_json::from_str(&raw.text)?;
    assert_eq!(document["node"]["nodeName"], "node-a");
    let gone = bad(&alice, "nodes_stats_summary", at("corp-1", json!({"name": "node-1"}))).await?;
    assert!(gone.text.contains("node-1") && gone.text.contains("The node is what is missing"), "{}", gone.text);
    let bob = scene.client("corp", "bob").await?;
    let refused = bad(&bob, "nodes_stats_summary", at("corp-1", json!({"name": "node-a"}))).await?;
    assert!(refused.text.contains("corp:bob"), "{}", refused.text);
    Ok(())
}
