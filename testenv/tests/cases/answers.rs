//! Servers that answer something else than an API server does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Called, Client, Era};
use testenv::simulator::{Fault, SimConfig, Simulator, samples};
use testenv::tap::Tap;
use testenv::world::RESOURCE;

use crate::lab::bench::{bad, good, names};
use crate::lab::case::Case;
use crate::lab::proc::holds;

/// The whole answer has come within this, or the call fails.
const TOTAL: Duration = Duration::from_secs(30);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_secs(4);
/// Lists of namespaces, as they are asked for.
const NAMESPACES: &str = "/api/v1/namespaces?";
/// A word that is in no message of ours.
const MARK: &str = "brzl";

/// A simulated cluster `odd`, a program that knows it, and alice's client, all warm.
async fn odd(case: &Case, simulator: &Simulator) -> anyhow::Result<(Arc<Ferry>, Client)> {
    let ferry = case.ferry(&case.cluster("odd", simulator.url(), simulator.ca_pem())?).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    good(&client, "namespaces_list", json!({"cluster": "odd"})).await?;
    simulator.clear_requests();
    Ok((ferry, client))
}

async fn fails(client: &Client, tool: &str, mut arguments: Value) -> anyhow::Result<Called> {
    arguments["cluster"] = "odd".into();
    let called = bad(client, tool, arguments).await?;
    anyhow::ensure!(called.text.starts_with("odd: "), "it is named first: {}", called.text);
    Ok(called)
}

fn code(called: &Called) -> &str {
    called.structured.as_ref().and_then(|twin| twin["code"].as_str()).unwrap_or_default()
}

/// R05: one byte each second of a list that has thousands.
pub async fn r05_a_dripping_answer_ends_with_the_total_deadline(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    simulator.cluster().put_all((0..200).map(|number| samples::config_map("dev", &format!("map-{number}"), &[])));
    let (ferry, client) = odd(case, &simulator).await?;
    let before = holds(&ferry).await?;
    simulator.inject(NAMESPACES, Fault::Drip { every: Duration::from_secs(1) }, None);
    let asked = Instant::now();
    let failed = fails(&client, "namespaces_list", json!({})).await?;
    let took = asked.elapsed();
    assert!(took >= TOTAL && took < TOTAL + SLACK, "took {took:?}: {}", failed.text);
    assert_eq!(code(&failed), "cluster_timeout", "{}", failed.text);
    let grown = holds(&ferry).await?.memory.saturating_sub(before.memory);
    assert!(grown < 16 << 10, "{grown} KiB more");
    assert_eq!(simulator.requests().len(), 1, "what took its time is not asked twice: {:?}", simulator.requests());
    Ok(())
}

/// R06: cut once, the list comes with the second try; cut always, the call fails and shows nothing of it.
pub async fn r06_a_cut_answer_is_asked_for_once_more_and_never_shown(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    for number in 0..50 {
        simulator.cluster().namespace(&format!("team-{number:02}"));
    }
    let (_ferry, client) = odd(case, &simulator).await?;
    for after in [0, 1, 700, usize::MAX] {
        simulator.clear_requests();
        simulator.inject(NAMESPACES, Fault::Reset { after }, Some(1));
        let listed = good(&client, "namespaces_list", json!({"cluster": "odd"})).await?;
        let all = names(&listed.text).into_iter().filter(|name| name.starts_with("team-")).count();
        assert_eq!(all, 50, "cut after {after}: {}", listed.text);
        assert_eq!(simulator.requests().len(), 2, "cut after {after}: {:?}", simulator.requests());

        simulator.clear_requests();
        simulator.inject(NAMESPACES, Fault::Reset { after }, None);
        let failed = fails(&client, "namespaces_list", json!({})).await?;
        assert_eq!(code(&failed), "connection_broke", "cut after {after}: {}", failed.text);
        assert!(!failed.text.contains("team-"), "cut after {after}: {}", failed.text);
        assert_eq!(simulator.requests().len(), 2, "cut after {after}: {:?}", simulator.requests());
        simulator.heal();
    }
    Ok(())
}

/// What no API server answers with 200.
fn garbage() -> Vec<(&'static str, Bytes)> {
    let marks = MARK.repeat(5_000);
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": marks,
        "reason": "InternalError", "code": 500});
    let other = json!({"kind": "Oddity", "apiVersion": marks, "metadata": {"name": "a"}});
    vec![
        ("text/html", format!("<html><body>Sign in to {marks}</body></html>").into()),
        ("application/json", format!("<html>{marks}</html>").into()),
        ("application/json", status.to_string().into()),
        ("application/json", other.to_string().into()),
        ("application/json", format!("{{\"kind\": \"Table\", \"rows\": [{{\"cells\": [\"{marks}").into()),
        ("application/json", Bytes::from_static(b"\xff\xfe\x00")),
        ("application/json", Bytes::from_static(b"null")),
        ("application/json", Bytes::from_static(b"[1, 2]")),
        ("application/json", Bytes::new()),
        ("application/vnd.kubernetes.protobuf", Bytes::from_static(b"k8s\0\n\x0e\n\x02v1\x12\x08")),
    ]
}

/// R07: in the place of discovery, of a list, and of an object.
pub async fn r07_an_answer_that_is_no_kubernetes_is_said_and_not_repeated(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    simulator.cluster().put(samples::config_map("dev", "settings", &[("a", "b")]));
    let (ferry, client) = odd(case, &simulator).await?;
    let object = json!({"kind": "configmap", "namespace": "dev", "name": "settings"});
    good(
        &client,
        "resources_get",
        json!({"cluster": "odd", "kind": "configmap", "namespace": "dev", "name": "settings"}),
    )
    .await?;
    for (number, (content_type, body)) in garbage().into_iter().enumerate() {
        let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
        for (path, tool, arguments) in [
            (NAMESPACES, "namespaces_list", json!({})),
            ("/configmaps/settings", "resources_get", object.clone()),
            ("/api", "namespaces_list", json!({})),
        ] {
            simulator.inject(path, Fault::Garbage { content_type, body: body.clone() }, None);
            // Whoever comes with a new token reads discovery.
            let fresh = if path == "/api" {
                let token = case.token_for("corp", "alice", &[RESOURCE, "corp-1"]);
                Some(Client::http(ferry.url(), Some(&token), Era::Modern).await?)
            } else {
                None
            };
            let failed = fails(fresh.as_ref().unwrap_or(&client), tool, arguments).await?;
            simulator.heal();
            let what = format!("{number} {content_type} {shown:?} at {path}: {}", failed.text);
            assert_eq!(code(&failed), "unexpected_answer", "{what}");
            assert!(failed.text.matches(MARK).count() * MARK.len() <= 200, "{what}");
            assert!(!failed.text.contains('<'), "no markup is repeated: {what}");
        }
    }
    good(&client, "namespaces_list", json!({"cluster": "odd"})).await?;
    for line in ferry.log().lines() {
        assert!(line.matches(MARK).count() * MARK.len() <= 1024, "{line}");
        assert!(!line.contains("panicked"), "{line}");
    }
    Ok(())
}

/// R08.
pub async fn r08_a_short_retry_after_is_waited_for_and_a_long_one_is_said(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    let (_ferry, client) = odd(case, &simulator).await?;
    let busy = |seconds| Fault::Status { code: 429, retry_after: Some(seconds) };
    simulator.inject(NAMESPACES, busy(1), Some(1));
    let asked = Instant::now();
    good(&client, "namespaces_list", json!({"cluster": "odd"})).await?;
    assert!(asked.elapsed() >= Duration::from_secs(1), "took {:?}", asked.elapsed());
    assert_eq!(simulator.requests().len(), 2, "{:?}", simulator.requests());

    simulator.clear_requests();
    simulator.inject(NAMESPACES, busy(3600), None);
    let asked = Instant::now();
    let failed = fails(&client, "namespaces_list", json!({})).await?;
    assert!(asked.elapsed() < SLACK, "took {:?}", asked.elapsed());
    assert_eq!(code(&failed), "cluster_busy", "{}", failed.text);
    assert!(failed.text.contains("retry after 3600000 ms"), "{}", failed.text);
    assert_eq!(failed.structured.unwrap_or_default()["retry_after_ms"], 3_600_000);
    assert_eq!(simulator.requests().len(), 1, "{:?}", simulator.requests());
    Ok(())
}

/// R10: all that is sent now are reads.
pub async fn r10_a_server_error_is_asked_once_more_and_then_said(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    let (_ferry, client) = odd(case, &simulator).await?;
    for code_sent in [500, 503, 504] {
        let fault = || Fault::Status { code: code_sent, retry_after: None };
        simulator.inject(NAMESPACES, fault(), Some(1));
        good(&client, "namespaces_list", json!({"cluster": "odd"})).await?;
        assert_eq!(simulator.requests().len(), 2, "{code_sent}: {:?}", simulator.requests());

        simulator.clear_requests();
        simulator.inject(NAMESPACES, fault(), None);
        let failed = fails(&client, "namespaces_list", json!({})).await?;
        assert_eq!(code(&failed), "cluster_error", "{}", failed.text);
        assert!(failed.text.contains(&format!("({code_sent})")), "{}", failed.text);
        assert_eq!(simulator.requests().len(), 2, "{code_sent}: {:?}", simulator.requests());
        simulator.heal();
        simulator.clear_requests();
    }
    Ok(())
}

/// R12: bob, who may read in team-b only; and a server that does not know alice's realm.
pub async fn r12_a_refusal_says_what_was_refused_and_to_whom(case: &Case) -> anyhow::Result<()> {
    let acme = &case.world.acme_1.tap;
    let ferry = case.ferry(&case.cluster("odd", &acme.url(), acme.ca_pem())?).await?;
    let bob = case.client(&ferry, "corp", "bob").await?;
    let question = json!({"cluster": "corp-1", "kind": "configmaps", "namespace": "team-a"});
    let failed = bad(&bob, "resources_list", question).await?;
    assert_eq!(code(&failed), "forbidden", "{}", failed.text);
    for part in ["corp-1: ", "corp:bob", "configmaps", "team-a", "Ask for the RBAC verb list on configmaps"] {
        assert!(failed.text.contains(part), "{part}: {}", failed.text);
    }
    let alice = case.client(&ferry, "corp", "alice").await?;
    let failed = fails(&alice, "namespaces_list", json!({})).await?;
    assert_eq!(code(&failed), "cluster_rejected_credential", "{}", failed.text);
    for part in ["401", "issuer and audience", "expired"] {
        assert!(failed.text.contains(part), "{part}: {}", failed.text);
    }
    Ok(())
}

/// R14: a ConfigMap with one large value and some small ones.
pub async fn r14_a_large_object_is_cut_and_what_is_left_out_is_said(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    let large = "x y ".repeat(3 << 18);
    simulator.cluster().put(samples::config_map("dev", "large", &[("small", "short-value"), ("huge", &large)]));
    let (ferry, client) = odd(case, &simulator).await?;
    let before = holds(&ferry).await?;
    let get = json!({"cluster": "odd", "kind": "configmap", "namespace": "dev", "name": "large"});
    let shown = good(&client, "resources_get", get).await?;
    assert!(shown.text.len() < 28_000, "{} bytes", shown.text.len());
    let said = shown.text.lines().find(|line| line.starts_with("# cut: ")).unwrap_or_default();
    assert!(said.contains("of 3") && said.contains("bytes"), "what was left out: {said:?}");
    assert!(
        shown.text.lines().take(12).any(|line| line.starts_with('#') && line.contains("data.huge")),
        "a map: {:.2000}",
        shown.text
    );
    let grown = holds(&ferry).await?.memory.saturating_sub(before.memory);
    assert!(grown < 48 << 10, "{grown} KiB more");
    Ok(())
}

/// R15: a server that takes two requests at a time, and one that gives up its connection after some answers.
pub async fn r15_goaway_and_few_streams_fail_no_call(case: &Case) -> anyhow::Result<()> {
    let few = case.simulator_of(SimConfig::kubernetes().max_concurrent_streams(2)).await?;
    let (_ferry, client) = odd(case, &few).await?;
    few.inject(NAMESPACES, Fault::Slow(Duration::from_millis(50)), None);
    try_join_all((0..12).map(|_| good(&client, "namespaces_list", json!({"cluster": "odd"})))).await?;

    let leaving = case.simulator().await?;
    let (_ferry, client) = odd(case, &leaving).await?;
    for _ in 0..10 {
        leaving.inject(NAMESPACES, Fault::GoAway, Some(1));
        try_join_all((0..8).map(|_| good(&client, "namespaces_list", json!({"cluster": "odd"})))).await?;
    }
    let used: BTreeSet<u64> = leaving.requests().iter().map(|request| request.connection).collect();
    assert!(used.len() > 5, "connections were given up: {used:?}");
    Ok(())
}

/// R18: to another server, to another scheme, and to the same server.
pub async fn r18_a_redirect_is_not_followed_and_no_token_goes_there(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    let (_ferry, client) = odd(case, &simulator).await?;
    let elsewhere = Tap::sink("elsewhere", 200).await?;
    let plain = elsewhere.url().replace("https://", "http://");
    let places = [elsewhere.url(), plain, format!("{}/api/v1/namespaces", simulator.url()), "/api/v1/pods".to_owned()];
    for location in places {
        for status in [301, 302, 303, 307, 308] {
            simulator.clear_requests();
            simulator.inject(NAMESPACES, Fault::Redirect { status, location: location.clone() }, Some(1));
            let failed = fails(&client, "namespaces_list", json!({})).await?;
            assert_eq!(code(&failed), "redirect", "{status} to {location}: {}", failed.text);
            assert!(failed.text.contains("not followed"), "{}", failed.text);
            assert_eq!(simulator.requests().len(), 1, "{status} to {location}: {:?}", simulator.requests());
        }
    }
    assert_eq!(elsewhere.connections(), 0, "nobody went there");
    Ok(())
}
