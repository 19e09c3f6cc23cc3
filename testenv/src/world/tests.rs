//! Both worlds, without kubeferry: everybody reaches what they should and nothing else.

use http::Method;

use super::{Lab, World, shop};

/// The status that `base` answers to a GET of `path` with `token`.
async fn status(base: &str, ca_pem: &str, token: &str, headers: &[(&str, &str)], path: &str) -> u16 {
    crate::pki::install_provider();
    let roots = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes()).unwrap();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only(roots);
    let http = http.timeout(std::time::Duration::from_secs(30)).build().unwrap();
    let mut request = http.request(Method::GET, format!("{base}{path}")).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status().as_u16()
}

async fn everybody_reaches_what_they_may(lab: Lab) {
    let world = World::start(lab).await.unwrap();
    let [alice, bob, carol, dave] = [("corp", "alice"), ("corp", "bob"), ("acme", "carol"), ("acme", "dave")]
        .map(|(realm, user)| world.token(realm, user));
    let gateway = world.gateway_token();
    let (namespaces, team_b) = ("/api/v1/namespaces", "/api/v1/namespaces/team-b/configmaps");
    for (site, token, path, expected) in [
        (&world.corp_1, &alice, namespaces, 200),
        (&world.corp_1, &alice, "/api/v1/namespaces/team-a/secrets/db", 200),
        (&world.corp_1, &alice, "/apis/apps/v1/namespaces/team-a/deployments/web", 200),
        (&world.corp_1, &alice, "/api/v1/nodes/node-a", 200),
        (&world.corp_1, &alice, "/api/v1/namespaces/shop/pods/web-7d4b9c-bbbbb", 200),
        (&world.corp_1, &bob, namespaces, 403),
        (&world.corp_1, &bob, team_b, 200),
        (&world.corp_1, &bob, "/api/v1/namespaces/team-a/configmaps", 403),
        (&world.corp_1, &carol, namespaces, 401),
        (&world.acme_1, &carol, namespaces, 200),
        (&world.acme_1, &dave, namespaces, 403),
        (&world.acme_1, &alice, namespaces, 401),
    ] {
        let seen = status(&site.tap.url(), site.tap.ca_pem(), token, &[], path).await;
        assert_eq!(seen, expected, "{path} at {}", site.name);
    }
    for (user, expected) in [("corp:alice", 200), ("acme:carol", 200), ("corp:bob", 403)] {
        let headers = [("impersonate-user", user), ("impersonate-group", "corp:dev")];
        let tap = &world.dev.tap;
        assert_eq!(status(&tap.url(), tap.ca_pem(), gateway, &headers, namespaces).await, expected, "{user} at dev");
    }
    let here = "/api/v1/namespaces/default/configmaps/here";
    let by_name = world.logical_cluster("root:org:team-b");
    for (workspace, token, expected) in [
        ("root:org", &alice, 200),
        ("root:org:team-a", &alice, 200),
        ("root:org:team-b", &alice, 403),
        ("root:org:team-b", &bob, 200),
        (&by_name, &bob, 200),
        ("root:org", &bob, 403),
        ("root:org:team-a", &bob, 403),
        ("root:org:team-a", &carol, 401),
    ] {
        let base = format!("{}/clusters/{workspace}", world.kcp.tap.url());
        assert_eq!(status(&base, world.kcp.tap.ca_pem(), token, &[], here).await, expected, "{workspace}");
    }
}

#[tokio::test]
async fn everybody_reaches_what_they_may_simulated() {
    everybody_reaches_what_they_may(Lab::Simulated).await;
}

#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn everybody_reaches_what_they_may_real() {
    everybody_reaches_what_they_may(Lab::Real).await;
}

#[tokio::test]
async fn kubeferry_takes_the_configuration() {
    let world = World::start(Lab::Simulated).await.unwrap();
    for config in [world.config(), world.config_with("[policy]\nread_only = true\n")] {
        let config = config.display().to_string();
        let ran = crate::ferry::run(&["config", "check", "--config", &config], &[], None).await.unwrap();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
}

/// What only kubelets and a metrics-server have.
async fn the_shop_has_logs_metrics_and_node_files(lab: Lab) {
    let world = World::start(lab).await.unwrap();
    let alice = world.token("corp", "alice");
    let tap = &world.corp_1.tap;
    let tls = crate::pki::client_config(tap.ca_pem(), None, &[]).as_ref().clone();
    let http = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls);
    let http = http.timeout(std::time::Duration::from_secs(30)).build().unwrap();
    let text = async |path: &str| {
        let answer = http.get(format!("{}{path}", tap.url())).bearer_auth(&alice).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    };
    let log = text("/api/v1/namespaces/shop/pods/web-7d4b9c-aaaaa/log").await;
    assert_eq!(log, shop::WEB_LOG);
    assert_eq!((log.lines().count(), log.matches("ERROR cannot reach the database").count()), (200, 10));
    assert_eq!(text("/api/v1/nodes/node-a/proxy/logs/?query=kubelet&tailLines=4").await, shop::KUBELET_LOG);
    assert!(text("/api/v1/nodes/node-a/proxy/logs/").await.contains("href=\"kubelet.log\""));
    let summary = text("/api/v1/nodes/node-a/proxy/stats/summary").await;
    assert!(["node-a", "web-7d4b9c-aaaaa", "web-7d4b9c-bbbbb"].iter().all(|name| summary.contains(name)), "{summary}");
    let metrics = text("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods").await;
    assert_eq!(uses(&metrics, 100, "64Mi"), 2, "{metrics}");
    let metrics = text("/apis/metrics.k8s.io/v1beta1/nodes").await;
    assert_eq!(uses(&metrics, 250, "512Mi"), 1, "{metrics}");
    let pods = text("/api/v1/namespaces/shop/pods").await;
    let replica_set = text("/apis/apps/v1/namespaces/shop/replicasets/web-7d4b9c").await;
    let uid = serde_json::from_str::<serde_json::Value>(&replica_set).unwrap()["metadata"]["uid"].to_string();
    assert_eq!(pods.matches(&uid).count(), 2, "both pods name their owner");
    let simulated = lab == Lab::Simulated;
    assert!(world.simulator("corp-1").is_some() == simulated && world.simulator("dev").is_none());
}

/// How many of the usages in a list of metrics are `cpu` millicores, within one percent, and `memory`.
fn uses(metrics: &str, cpu: u64, memory: &str) -> usize {
    let list: serde_json::Value = serde_json::from_str(metrics).unwrap();
    let items = list["items"].as_array().unwrap();
    let usages = items.iter().flat_map(|item| match item["containers"].as_array() {
        Some(containers) => containers.iter().map(|container| &container["usage"]).collect(),
        None => vec![&item["usage"]],
    });
    let millionths = |text: &str| match text.strip_suffix('n') {
        Some(nanos) => nanos.parse::<u64>().unwrap() / 1_000,
        None => text.strip_suffix('m').unwrap().parse::<u64>().unwrap() * 1_000,
    };
    let fits = |usage: &&serde_json::Value| {
        let used = millionths(usage["cpu"].as_str().unwrap());
        used.abs_diff(cpu * 1_000) <= cpu * 10 && usage["memory"] == memory
    };
    usages.filter(fits).count()
}

#[tokio::test]
async fn the_shop_has_logs_metrics_and_node_files_simulated() {
    the_shop_has_logs_metrics_and_node_files(Lab::Simulated).await;
}

#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn the_shop_has_logs_metrics_and_node_files_real() {
    the_shop_has_logs_metrics_and_node_files(Lab::Real).await;
}
