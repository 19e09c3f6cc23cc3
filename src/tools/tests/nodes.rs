//! `nodes_log` and `nodes_stats_summary` against a kubelet behind an API server.

use serde_json::json;

use super::wire::World;
use crate::policy::Namespaces;

const LOGS: &str = "/api/v1/nodes/n-1/proxy/logs";

#[tokio::test]
async fn logs_of_a_node_are_files_or_services() {
    let many: String = (0..3000).map(|at| format!("line number {at}\n")).collect();
    let page = "<pre>\n<a href=\"containers/\">containers/</a>\n<a href=\"kubelet.log\">kubelet.log</a>\n</pre>\n";
    let missing = json!({"kind": "Status", "message": "nodes \"n-2\" not found"}).to_string();
    let answers = [
        (
            "/api/v1/nodes/n-1/proxy/logs/kubelet.log".to_owned(),
            200,
            "a\na\na\ntoken eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLWhlcmU\n".to_owned(),
        ),
        (format!("{LOGS}/many.log"), 200, many),
        (format!("{LOGS}/data.log"), 200, "a\0b".to_owned()),
        (format!("{LOGS}/containers"), 301, String::new()),
        (format!("{LOGS}/?query=kubelet&tailLines=7"), 200, "started\n".to_owned()),
        (format!("{LOGS}/?query=docker&tailLines=100"), 200, page.to_owned()),
        (format!("{LOGS}/"), 200, page.to_owned()),
        ("/api/v1/nodes/n-2/proxy/logs/kubelet.log".to_owned(), 404, missing),
    ];
    let answers: Vec<(&str, u16, String)> =
        answers.iter().map(|(path, status, body)| (path.as_str(), *status, body.clone())).collect();
    let world = World::new(&answers, Namespaces::default()).await;
    let log = async |query: &str, tail: Option<u32>| {
        let args = json!({"name": "n-1", "query": query, "tailLines": tail});
        world.call("nodes_log", args).await.map_err(|failure| failure.to_string())
    };
    assert_eq!(log("/kubelet.log", None).await.unwrap(), "a (x3)\ntoken <masked token>");
    assert_eq!(log("/var/log/kubelet.log", Some(1)).await.unwrap(), "token <masked token>");
    assert_eq!(log("kubelet", Some(7)).await.unwrap(), "started");
    let newest = log("/many.log", None).await.unwrap();
    assert!(newest.starts_with("line number 2900\n") && newest.ends_with("line number 2999"), "{newest}");
    let all = log("/many.log", Some(0)).await.unwrap();
    assert!(all.starts_with("# the newest ") && all.contains(" of 3000 lines\n") && all.len() <= 27_500, "{all}");
    assert_eq!(log("/", None).await.unwrap(), "/containers/\n/kubelet.log");
    for (query, says) in [
        ("docker", "this kubelet has no service logs"),
        ("/containers", "It is a folder: with a slash at its end"),
        ("/data.log", "it is not text"),
        ("/nope.log", "There is no such file: query=/ lists them"),
        ("../etc/passwd", "is not valid"),
        ("/..", "is not valid"),
    ] {
        let failure = log(query, None).await.unwrap_err();
        assert!(failure.contains(says), "{query}: {failure}");
    }
    assert_eq!(world.asked("etc") + world.asked("/.."), 0);
    let gone = world.call("nodes_log", json!({"name": "n-2", "query": "/kubelet.log"})).await.unwrap_err();
    assert_eq!(gone.code, "node_not_found", "{gone}");
    for bad in ["n-1/proxy/run", "n-1:9100", "..", ""] {
        let failure = world.call("nodes_log", json!({"name": bad, "query": "kubelet"})).await.unwrap_err();
        assert!(failure.to_string().contains("node name"), "{failure}");
    }
}

#[tokio::test]
async fn a_node_is_out_of_bounds_where_a_namespace_is() {
    let narrow = World::new(&[], Namespaces { allow: vec![], deny: vec!["kube-system".into()] }).await;
    for (tool, args) in [
        ("nodes_log", json!({"name": "n-1", "query": "/pods/kube-system_x_1/y/0.log"})),
        ("nodes_stats_summary", json!({"name": "n-1"})),
    ] {
        let refused = narrow.call(tool, args).await.unwrap_err();
        assert_eq!(refused.code, "policy", "{tool}: {refused}");
        assert!(refused.to_string().contains("what a node says is of all of them"), "{refused}");
    }
    assert_eq!(narrow.asked("proxy"), 0);
}

#[tokio::test]
async fn stats_are_a_table_unless_asked() {
    let document = json!({"node": {"nodeName": "n-1", "cpu": {"usageNanoCores": 1}}, "pods": []});
    let answers = [
        ("/api/v1/nodes/n-1/proxy/stats/summary", 200, serde_json::to_string_pretty(&document).unwrap()),
        ("/api/v1/nodes/n-3/proxy/stats/summary", 500, "dial tcp 10.0.0.1:10250: connect: connection refused".into()),
        ("/api/v1/nodes/n-4/proxy/stats/summary", 200, "{}".into()),
    ];
    let world = World::new(&answers, Namespaces::default()).await;
    let stats = async |args| world.call("nodes_stats_summary", args).await;
    assert_eq!(stats(json!({"name": "n-1"})).await.unwrap(), "# node n-1: cpu 1m\nno pods on node n-1");
    let raw = stats(json!({"name": "n-1", "format": "json"})).await.unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&raw).unwrap(), document);
    assert!(stats(json!({"name": "n-1", "format": "yaml"})).await.is_err());
    assert_eq!(stats(json!({"name": "n-3"})).await.unwrap_err().code, "kubelet_unreachable");
    assert_eq!(stats(json!({"name": "n-4"})).await.unwrap_err().code, "unexpected_answer");
}
