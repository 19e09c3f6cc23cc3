//! What only a kubelet can answer: logs of containers and nodes, and statistics.

use std::time::Duration;

use serde_json::json;

use super::Client;
use super::kubernetes::start;
use crate::simulator::{Fault, Rule, Simulator, Usage, samples};

const LOG: &str = "/api/v1/namespaces/dev/pods/web-1/log";
const NODE: &str = "/api/v1/nodes/node-1/proxy";

async fn with_node() -> (Simulator, Client) {
    let simulator = start().await;
    simulator.cluster().put_all([
        samples::node("node-1", true),
        samples::pod("dev", "web-1", "web", "node-1"),
        samples::crashing_pod("dev", "web-2", "web", "node-1"),
        samples::pod("dev", "lost", "web", "node-2"),
    ]);
    let admin = Client::new(&simulator, "admin-token");
    (simulator, admin)
}

#[tokio::test]
async fn a_log_is_cut_as_asked() {
    let (simulator, admin) = with_node().await;
    let log = simulator.cluster().log("dev", "web-1", "app");
    assert_eq!(admin.get(LOG).await.text, "");
    log.append_ago(100, "one");
    log.append_all("two\nthree");
    let cases = [
        ("", "one\ntwo\nthree\n"),
        ("?tailLines=1", "three\n"),
        ("?sinceSeconds=50", "two\nthree\n"),
        ("?container=app&limitBytes=5", "one\nt"),
        ("?sinceTime=2020-01-01T00:00:00Z&tailLines=2", "two\nthree\n"),
        ("?previous=false&follow=0", "one\ntwo\nthree\n"),
    ];
    for (query, expected) in cases {
        let answer = admin.get(&format!("{LOG}{query}")).await;
        let got = (answer.status, answer.content_type.as_str(), answer.text.as_str());
        assert_eq!(got, (200, "text/plain", expected), "{query}");
    }
    let stamped = admin.get(&format!("{LOG}?timestamps=true&tailLines=1")).await.text;
    assert!(stamped.ends_with("Z three\n") && stamped.starts_with("20"), "{stamped}");
    assert_eq!(Client::new(&simulator, "bob-token").get(LOG).await.status, 403, "pods is not pods/log");
    simulator.cluster().allow(Rule::user("bob").verbs(&["get"]).resources(&["pods/log"]).namespaces(&["dev"]));
    assert_eq!(Client::new(&simulator, "bob-token").get(LOG).await.status, 200);
}

#[tokio::test]
async fn what_has_no_log_says_why() {
    let (simulator, admin) = with_node().await;
    let mut two = samples::pod("dev", "two", "web", "node-1");
    let side = json!({"name": "side", "image": "registry.lab.example/side:1.0"});
    two["spec"]["containers"].as_array_mut().unwrap().push(side);
    let mut waiting = samples::pod("dev", "waiting", "web", "node-1");
    waiting["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "ImagePullBackOff"}});
    let mut unknown = samples::pod("dev", "unknown", "web", "node-1");
    unknown["status"] = json!({"phase": "Pending"});
    simulator.cluster().put_all([two, waiting, unknown]);
    let cases = [
        ("web-1/log?tailLines=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        (
            "web-1/log?tailLines=-1",
            422,
            "PodLogOptions \"web-1\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        ("none/log", 404, "pods \"none\" not found"),
        ("lost/log", 404, "pods \"node-2\" not found"),
        ("two/log", 400, "a container name must be specified for pod two, choose one of: [app side]"),
        ("two/log?container=x", 400, "container x is not valid for pod two"),
        ("two/log?container=side", 400, "container \"side\" in pod \"two\" is not available"),
        ("web-1/log?previous=true", 400, "previous terminated container \"app\" in pod \"web-1\" not found"),
        (
            "waiting/log",
            400,
            "container \"app\" in pod \"waiting\" is waiting to start: trying and failing to pull image",
        ),
        ("unknown/log", 400, "container \"app\" in pod \"unknown\" is not available"),
    ];
    for (path, status, message) in cases {
        let answer = admin.get(&format!("/api/v1/namespaces/dev/pods/{path}")).await;
        assert_eq!((answer.status, answer.message()), (status, message), "{path}");
    }
    let log = simulator.cluster().log("dev", "web-2", "app");
    log.append("it crashed");
    log.restart();
    log.append("it runs");
    let crashing = "/api/v1/namespaces/dev/pods/web-2/log";
    assert_eq!(admin.get(&format!("{crashing}?previous=true")).await.text, "it crashed\n");
    assert_eq!(admin.get(crashing).await.text, "it runs\n");
}

#[tokio::test]
async fn a_followed_log_grows_until_the_pod_goes_or_the_line_is_cut() {
    let (simulator, admin) = with_node().await;
    let log = simulator.cluster().log("dev", "web-1", "app");
    log.append("one");
    let path = format!("{LOG}?follow=true&tailLines=10");
    let mut stream = admin.raw(&path).await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "one\n");
    let (next, ()) = tokio::join!(stream.chunk(), async {
        crate::poll::pause(Duration::from_millis(20)).await;
        log.append("two");
    });
    assert_eq!(next.unwrap().unwrap(), "two\n");
    let deleted = admin.send(http::Method::DELETE, "/api/v1/namespaces/dev/pods/web-1", &[], None).await;
    assert_eq!(deleted.status, 200);
    assert_eq!(stream.chunk().await.unwrap(), None);

    simulator.cluster().put(samples::pod("dev", "web-1", "web", "node-1"));
    let log = simulator.cluster().log("dev", "web-1", "app");
    simulator.inject("follow=true", Fault::Reset { after: 6 }, Some(1));
    let mut stream = admin.raw(&path).await.unwrap();
    log.append_all("one\ntwo\nthree");
    let mut seen = Vec::new();
    let end = loop {
        match stream.chunk().await {
            Ok(Some(chunk)) => seen.extend(chunk),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert_eq!((seen.as_slice(), end.is_some()), (&b"one\ntw"[..], true));
}

#[tokio::test]
async fn log_files_of_a_node_are_served_as_go_serves_them() {
    let (simulator, admin) = with_node().await;
    simulator.cluster().node_file("node-1", "kubelet.log", "a\nb\n").node_file("node-1", "containers/", "");
    let root = admin.get(&format!("{NODE}/logs/")).await;
    assert_eq!((root.status, root.content_type.as_str()), (200, "text/html; charset=utf-8"));
    assert_eq!(
        root.text,
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n\
        <a href=\"containers/\">containers/</a>\n<a href=\"kubelet.log\">kubelet.log</a>\n</pre>\n"
    );
    let file = admin.get(&format!("{NODE}/logs/kubelet.log")).await;
    assert_eq!(
        (file.status, file.content_type.as_str(), file.text.as_str()),
        (200, "text/plain; charset=utf-8", "a\nb\n")
    );
    let folder = admin.get(&format!("{NODE}/logs/containers/")).await;
    assert!(folder.status == 200 && folder.text.ends_with("<pre>\n</pre>\n"), "{}", folder.text);
    let cases = [
        ("/logs", 301, format!("{NODE}/logs/")),
        ("/logs?query=kubelet", 301, format!("{NODE}/logs/?query=kubelet")),
        ("/logs/containers", 301, "containers/".to_owned()),
        ("/logs/kubelet.log/", 301, "../kubelet.log".to_owned()),
        ("/logs/none.log", 404, String::new()),
        ("/nothing", 404, String::new()),
    ];
    for (path, status, location) in cases {
        let answer = admin.get(&format!("{NODE}{path}")).await;
        let to = answer.headers.get("location").map(|to| to.to_str().unwrap()).unwrap_or_default();
        assert_eq!((answer.status, to), (status, location.as_str()), "{path}");
    }
    let nobody = Client::new(&simulator, "bob-token").get(&format!("{NODE}/logs/")).await;
    assert_eq!(
        (nobody.status, nobody.message()),
        (
            403,
            "nodes \"node-1\" is forbidden: User \"bob\" cannot get resource \"nodes/proxy\" in API group \"\" at the cluster scope"
        )
    );
    let gone = admin.get("/api/v1/nodes/node-2/proxy/logs/").await;
    assert_eq!((gone.status, gone.message()), (404, "nodes \"node-2\" not found"));
}

#[tokio::test]
async fn log_queries_read_journals_and_files_when_they_are_on() {
    let (simulator, admin) = with_node().await;
    let cluster = simulator.cluster();
    cluster.node_file("node-1", "kube-proxy.log", "from the file\n").node_journal(
        "node-1",
        "kubelet",
        "one\ntwo\nthree",
    );
    let logs = format!("{NODE}/logs/");
    let cases = [
        ("?query=kubelet", 200, "one\ntwo\nthree\n"),
        ("?query=kubelet&tailLines=2", 200, "two\nthree\n"),
        ("?query=kubelet&pattern=tw", 200, "two\n"),
        ("?query=kubelet&untilTime=2020-01-01T00:00:00Z", 200, ""),
        ("?query=kube-proxy", 200, "from the file\n"),
        ("?query=/kube-proxy.log", 200, "from the file\n"),
        ("?query=nope", 200, "\nlog not found for nope\n"),
        (
            "?query=kube-proxy&tailLines=1",
            200,
            "\noptions present and query resolved to log files for [kube-proxy]\ntry without specifying options\n",
        ),
        ("?query=%20", 400, "query: Invalid value: [\" \"]: may not be empty\n"),
        ("?tailLines=1", 406, "query: Required value: cannot be empty with options\n"),
        ("?query=kubelet&tailLines=-1", 406, "tailLines: Invalid value: -1: must be between 0 and 100000, inclusive\n"),
        ("kube-proxy.log?query=kubelet", 406, "path not allowed in query mode\n"),
    ];
    for (query, status, text) in cases {
        let answer = admin.get(&format!("{logs}{query}")).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{query}");
    }
    cluster.node_log_query("node-1", false);
    let listing = admin.get(&format!("{logs}?query=kubelet")).await;
    assert!(listing.text.contains("kube-proxy.log"), "a kubelet without log queries lists: {}", listing.text);
}

#[tokio::test]
async fn a_summary_names_the_node_and_its_pods() {
    let (simulator, admin) = with_node().await;
    simulator.cluster().node_usage("node-1", Usage::new(250, 512)).container_usage(
        "dev",
        "web-1",
        "app",
        Usage::new(100, 64),
    );
    let summary = admin.get(&format!("{NODE}/stats/summary")).await.json;
    let node = &summary["node"];
    assert_eq!(
        (&node["nodeName"], &node["cpu"]["usageNanoCores"], &node["memory"]["workingSetBytes"]),
        (&json!("node-1"), &json!(250_000_000), &json!(512 * 1024 * 1024))
    );
    let pods = summary["pods"].as_array().unwrap();
    let names: Vec<&str> = pods.iter().map(|pod| pod["podRef"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["web-1", "web-2"]);
    let app = &pods[0]["containers"][0];
    assert_eq!((&app["name"], &app["cpu"]["usageNanoCores"]), (&json!("app"), &json!(100_000_000)));
    assert_eq!(pods[0]["memory"]["workingSetBytes"], 64 * 1024 * 1024);
}
