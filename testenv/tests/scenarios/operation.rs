//! What operators rely on: metrics, limits per caller, and the breaker of a cluster.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era, raw};
use testenv::poll;
use testenv::process::port;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::lab::bench::{bad, good};
use crate::lab::scene::Scene;

/// What a refusal that sends nothing may take, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The breaker lets one call try after 5 to 6 s.
const TRIED_AGAIN: Duration = Duration::from_secs(20);

/// The samples of `/metrics`.
async fn scrape(ferry: &Ferry) -> anyhow::Result<String> {
    let reply = raw::get(&format!("{}/metrics", ferry.base()), &[]).await?;
    anyhow::ensure!(reply.status == 200, "{}: {}", reply.status, reply.text);
    anyhow::ensure!(reply.text.ends_with("# EOF\n"), "OpenMetrics ends so: {}", reply.text);
    Ok(reply.text)
}

/// The sum of the samples called `name` that have all of `labels`.
fn sum(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let samples =
        metrics.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
    let matching = samples.filter(|rest| labels.iter().all(|label| rest.contains(label)));
    matching.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Calls are counted by tool and outcome; who called, and for which workspace, is in no metric.
pub async fn metrics_count_calls_and_name_nobody(scene: &Scene) -> anyhow::Result<()> {
    let (alice, bob) = (scene.client("corp", "alice").await?, scene.client("corp", "bob").await?);
    for _ in 0..3 {
        good(&alice, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    }
    bad(&bob, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    bad(&bob, "namespaces_list", json!({"cluster": "nowhere"})).await?;
    good(&alice, "namespaces_list", json!({"cluster": "kcp-eu:root:org:team-a"})).await?;
    let mut unknown = Vec::new();
    for number in 0..3 {
        unknown.push(format!("tool_{number}"));
        alice.call(&unknown[number], json!({})).await.expect_err("there is no such tool");
    }
    let metrics = scrape(&scene.ferry).await?;
    let calls = |labels: &[&str]| sum(&metrics, "kubeferry_tool_calls_total", labels);
    for (labels, expected) in [
        (&["tool=\"namespaces_list\"", "outcome=\"ok\""][..], 4.0),
        (&["tool=\"namespaces_list\"", "outcome=\"refused\""], 1.0),
        (&["tool=\"namespaces_list\"", "outcome=\"unknown_target\""], 1.0),
        (&["tool=\"namespaces_list\""], 6.0),
        (&["tool=\"unknown\"", "outcome=\"unknown_tool\""], 3.0),
        (&["tool=\"pods_list\""], 0.0),
    ] {
        assert!((calls(labels) - expected).abs() < 0.5, "{labels:?} is {}, not {expected}:\n{metrics}", calls(labels));
    }
    for (name, label, expected) in [
        ("k8s_mcp_tool_calls_total", "tool_name=\"namespaces_list\"", 6.0),
        ("k8s_mcp_tool_errors_total", "tool_name=\"namespaces_list\"", 2.0),
        ("kubeferry_tool_call_duration_seconds_count", "tool=\"namespaces_list\"", 6.0),
    ] {
        let found = sum(&metrics, name, &[label]);
        assert!((found - expected).abs() < 0.5, "{name} is {found}, not {expected}:\n{metrics}");
    }
    assert!(
        sum(&metrics, "kubeferry_upstream_requests_total", &["cluster=\"corp-1\"", "code=\"403\""]) > 0.5,
        "{metrics}"
    );
    let workspaces = ["root:org", "root:org:team-a"];
    let names = workspaces.map(|path| scene.world.logical_cluster(path));
    let mut nobody = vec!["alice", "bob", "corp:", "root", "team-a", "nowhere", "eyJ", "127.0.0.1"];
    nobody.extend(names.iter().map(String::as_str));
    nobody.extend(unknown.iter().map(String::as_str));
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        for name in &nobody {
            assert!(!line.contains(name), "{name:?} in {line}");
        }
    }
    scene.assert_no_secret(&metrics);
    for header in ["x-forwarded-for", "forwarded", "x-real-ip", "via"] {
        let reply = raw::get(&format!("{}/metrics", scene.ferry.base()), &[(header, "192.0.2.1")]).await?;
        assert!(reply.status == 404 && !reply.text.contains("kubeferry_"), "{header}: {}", reply.text);
    }
    Ok(())
}

/// 30 calls one after the other are nothing; 400 at once are too many, for that caller alone.
pub async fn a_burst_of_one_caller_is_slowed_and_others_notice_nothing(scene: &Scene) -> anyhow::Result<()> {
    // Without the log of every byte, so that 400 calls are a burst.
    let ferry = Ferry::start(Some(&scene.world.config()), &[]).await?;
    let connect =
        async |realm: &str, user: &str| Client::http(ferry.url(), Some(&scene.token(realm, user)), Era::Modern).await;
    let (alice, bob, carol) =
        (connect("corp", "alice").await?, connect("corp", "bob").await?, connect("acme", "carol").await?);
    for _ in 0..30 {
        good(&alice, "targets_list", json!({})).await?;
    }
    let started = Instant::now();
    let burst = join_all((0..400).map(|_| alice.call("targets_list", json!({}))));
    let others = async {
        for _ in 0..20 {
            good(&bob, "targets_list", json!({})).await?;
            good(&carol, "targets_list", json!({})).await?;
        }
        anyhow::Ok(())
    };
    let (answered, others) = futures::join!(async { (burst.await, started.elapsed()) }, others);
    let (answered, took) = answered;
    others?;
    let (mut too_fast, mut refused) = (0, 0);
    for called in answered {
        let called = called?;
        if !called.is_error {
            continue;
        }
        let twin = called.structured.unwrap_or_default();
        let code = twin["code"].as_str().unwrap_or_default();
        assert!(matches!(code, "too_fast" | "too_many_calls"), "{}", called.text);
        assert!(twin["retry_after_ms"].as_u64().is_some_and(|wait| (1..10_000).contains(&wait)), "{code}: {twin}");
        refused += 1;
        too_fast += i32::from(code == "too_fast");
    }
    // 200 at once and 100 per second; a machine that needs two seconds for 400 calls makes no burst of them.
    let allowed = 200.0 + 100.0 * took.as_secs_f64();
    let admitted = f64::from(400 - too_fast);
    assert!(admitted <= allowed + 1.0, "{admitted} of 400 calls in {took:?}");
    assert!(refused < 400, "some are served");
    let metrics = scrape(&ferry).await?;
    let counted = sum(&metrics, "kubeferry_tool_calls_total", &["outcome=\"overloaded\""]);
    assert!((counted - f64::from(refused)).abs() < 0.5, "{counted}, not {refused}: {metrics}");
    // A caller is who they are, not their connection or their token; and is served again after a moment.
    let again = scene.world.token("corp", "alice");
    scene.remember(&again);
    let again = Client::http(ferry.url(), Some(&again), Era::Legacy).await?;
    poll::until("alice to be served again", Duration::from_secs(10), || async {
        good(&again, "targets_list", json!({})).await.map(drop).map_err(|error| format!("{error:#}"))
    })
    .await
}

/// After five refused connections calls fail at once and nothing is sent; after a while one call tries.
pub async fn a_cluster_that_refuses_connections_is_left_alone_for_a_while(scene: &Scene) -> anyhow::Result<()> {
    let port = port::free()?;
    let dead = format!(
        "[clusters.dead]\nserver = \"https://127.0.0.1:{port}\"\nca_file = \"corp-1-ca.pem\"\nrealm = \"corp\"\n\
         audiences = [\"corp-1\"]\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n"
    );
    let ferry = Ferry::start(Some(&scene.world.config_with(&dead)), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    let ask = async || bad(&alice, "namespaces_list", json!({"cluster": "dead"})).await;
    let first = ask().await?;
    assert!(!first.text.contains("retry in"), "one failure says nothing of the next call: {}", first.text);
    for _ in 0..4 {
        ask().await?;
    }
    // Whoever answers there now is not asked.
    let opened = Instant::now();
    let there = TcpListener::bind(("127.0.0.1", port)).await?;
    for _ in 0..5 {
        let asked = Instant::now();
        let failed = ask().await?;
        assert!(asked.elapsed() < AT_ONCE, "took {:?}: {}", asked.elapsed(), failed.text);
        assert!(failed.text.starts_with("dead: ") && failed.text.contains("retry in "), "{}", failed.text);
        let twin = failed.structured.unwrap_or_default();
        assert_eq!(twin["code"], "cluster_unreachable", "{twin}");
        let wait = twin["retry_after_ms"].as_u64().unwrap_or_default();
        assert!((1..=7_000).contains(&wait), "{twin}");
    }
    anyhow::ensure!(opened.elapsed() < Duration::from_secs(4), "this machine is too slow to tell");
    assert!(timeout(Duration::from_millis(100), there.accept()).await.is_err(), "a connection while it is open");
    let metrics = scrape(&ferry).await?;
    let state = |cluster: &str| sum(&metrics, "kubeferry_breaker_state", &[&format!("cluster=\"{cluster}\"")]);
    assert!((state("dead") - 2.0).abs() < 0.5 && state("corp-1") < 0.5, "{metrics}");
    good(&alice, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    let tried = poll::until("a call to try", TRIED_AGAIN, || async {
        // Whatever is accepted is closed: no TLS, so no connection.
        let (called, accepted) = futures::join!(ask(), timeout(Duration::from_millis(200), there.accept()));
        called.map_err(|error| format!("{error:#}"))?;
        if matches!(accepted, Ok(Ok(_))) { Ok(()) } else { Err("no connection came".to_owned()) }
    });
    tried.await?;
    Ok(())
}

#[test]
fn samples_are_summed_by_name_and_labels() {
    let metrics = "a_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\"} 4\nab_total 5\na 6\n";
    let sums = [sum(metrics, "a_total", &["x=\"1\""]), sum(metrics, "a_total", &["y=\"2\""]), sum(metrics, "a", &[])];
    assert_eq!(Value::from(sums.to_vec()), json!([7.0, 3.0, 6.0]));
}
