//! kwok and metrics-server behind a real API server, without kubeferry.

use std::io::Write;

use serde_json::{Value, json};

use super::*;
use crate::apiserver::aggregation::{self, AggregatedApi};
use crate::apiserver::{ApiServerConfig, Client, Credential};
use crate::etcd::Etcd;
use crate::metrics_server::MetricsServer;

fn objects() -> [Value; 3] {
    [
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a",
            "labels": {"kubernetes.io/hostname": "node-a"}, "annotations": {"kwok.x-k8s.io/node": "fake"}}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
            "nodeName": "node-a", "containers": [{"name": "app", "image": "registry.lab.example/web:1.0"}]}}),
    ]
}

async fn config() -> KwokConfig<'static> {
    let node = SimulatedNode::start("node-a").await.unwrap();
    node.cluster().put_all(objects());
    node.cluster().node_file("node-a", "kubelet.log", "started\n").node_journal("node-a", "kubelet", "journal\n");
    KwokConfig {
        node,
        namespace: "shop",
        log: "one\ntwo\nthree\n",
        usage: Usage::new(100, 64),
        node_usage: Usage::new(250, 512),
    }
}

#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn pods_run_and_answer() {
    let etcd = Etcd::start().await.unwrap();
    let mut wanted = ApiServerConfig::new("kwok-test", &etcd);
    wanted.network = true;
    let server = ApiServer::start(wanted).await.unwrap();
    server.apply(&objects()).await.unwrap();
    let kwok = Kwok::start(&server, config().await).await.unwrap();
    kwok.settled(&server, "shop").await.unwrap();

    logs(&server, &kwok).await;
    node(&server).await;
    exec(&server).await;
    metrics(&server).await;
    let down = AggregatedApi { group: "down.example", version: "v1", service: "down" };
    aggregation::register_unavailable(&server, down).await.unwrap();
    let error = server.get("/apis/down.example/v1/things").await.unwrap_err().to_string();
    assert!(error.contains("503"), "{error}");

    server.admin().delete("/api/v1/namespaces/shop/pods/web").await.unwrap();
    poll::until("the pod to go", RUNNING, || async {
        match server.get("/api/v1/namespaces/shop/pods/web").await {
            Err(error) if error.to_string().contains("404") => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await
    .unwrap();
}

async fn logs(server: &ApiServer, kwok: &Kwok) {
    let path = "/api/v1/namespaces/shop/pods/web/log";
    assert_eq!(server.get(path).await.unwrap(), "one\ntwo\nthree\n");
    assert_eq!(server.get(&format!("{path}?tailLines=1")).await.unwrap(), "three\n");
    assert_eq!(server.get(&format!("{path}?sinceSeconds=1000&limitBytes=4")).await.unwrap(), "one\n");

    let admin = server.client_certificate("admin", &["system:masters"]);
    let roots = reqwest::Certificate::from_pem_bundle(server.ca_pem().as_bytes()).unwrap();
    let identity = format!("{}{}", admin.cert_pem, admin.key_pem);
    let identity = reqwest::Identity::from_pem(identity.as_bytes()).unwrap();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only(roots).identity(identity).build().unwrap();
    let url = format!("{}{path}?follow=true&tailLines=1", server.url());
    let following = async {
        let mut answer = http.get(url).send().await.unwrap();
        let first = answer.chunk().await.unwrap().unwrap();
        assert_eq!(&first[..], b"three\n");
        let mut file = std::fs::OpenOptions::new().append(true).open(kwok.log_file()).unwrap();
        writeln!(file, "{:.9} stdout F four", jiff::Timestamp::now()).unwrap();
        assert_eq!(&answer.chunk().await.unwrap().unwrap()[..], b"four\n");
    };
    tokio::time::timeout(Duration::from_secs(30), following).await.expect("the line that was added");
}

async fn node(server: &ApiServer) {
    let proxy = "/api/v1/nodes/node-a/proxy";
    assert_eq!(server.get(&format!("{proxy}/logs/kubelet.log")).await.unwrap(), "started\n");
    assert_eq!(server.get(&format!("{proxy}/logs/?query=kubelet&tailLines=1")).await.unwrap(), "journal\n");
    assert_eq!(server.get(&format!("{proxy}/logs?query=kubelet")).await.unwrap(), "journal\n", "redirected");
    assert_eq!(server.get(&format!("{proxy}/stats/summary")).await.unwrap()["node"]["nodeName"], "node-a");
    let missing = server.get(&format!("{proxy}/logs/nothing")).await.unwrap_err().to_string();
    assert!(missing.contains("404"), "{missing}");

    let stranger = server.client_certificate("stranger", &[]);
    let stranger = Client::new(server.url(), server.ca_pem(), Credential::Certificate(&stranger)).unwrap();
    let refused = stranger.get(&format!("{proxy}/stats/summary")).await.unwrap_err().to_string();
    assert!(refused.contains("403") && refused.contains("nodes/proxy"), "{refused}");
}

/// The WebSocket handshake of an exec and its first answer, far enough to see that the command ran.
async fn exec(server: &ApiServer) {
    let admin = server.client_certificate("admin", &["system:masters"]);
    let tls = crate::pki::client_config(server.ca_pem(), Some(&admin), &[b"http/1.1"]);
    let exchange = async {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.unwrap();
        let path = "/api/v1/namespaces/shop/pods/web/exec?command=echo&command=marvellous&stdout=true";
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: v5.channel.k8s.io\r\n\r\n"
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("marvellous") {
            let read = tokio::io::AsyncReadExt::read_buf(&mut stream, &mut seen).await.unwrap();
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&seen));
        }
        assert!(seen.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&seen));
    };
    tokio::time::timeout(Duration::from_secs(30), exchange).await.expect("the output of the command");
}

async fn metrics(server: &ApiServer) {
    let _metrics = MetricsServer::start(server, "node-a").await.unwrap();
    let pods = server.get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods").await.unwrap();
    let app = &pods["items"][0]["containers"][0];
    assert_eq!((&app["name"], &app["usage"]["memory"]), (&json!("app"), &json!("64Mi")));
    let cpu = |value: &Value| value.as_str().unwrap().strip_suffix('n').unwrap().parse::<u64>().unwrap();
    let used = cpu(&app["usage"]["cpu"]);
    assert!((99_000_000..=101_000_000).contains(&used), "{used}n");
    let node = server.get("/apis/metrics.k8s.io/v1beta1/nodes/node-a").await.unwrap();
    assert_eq!(node["usage"]["memory"], "512Mi");
    let used = cpu(&node["usage"]["cpu"]);
    assert!((247_500_000..=252_500_000).contains(&used), "{used}n");
}
