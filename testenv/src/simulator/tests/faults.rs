//! Faults as a client meets them, over both versions of HTTP.

use std::time::{Duration, Instant};

use http::Version;
use http::header::{LOCATION, RETRY_AFTER};
use serde_json::json;

use super::Client;
use super::kubernetes::start;
use crate::pki::client_config;
use crate::poll::until;
use crate::simulator::{Fault, SimConfig, Simulator, samples};

const PATH: &str = "/api/v1/namespaces/dev/configmaps/a";
const SOON: Duration = Duration::from_secs(10);

/// The administrator over each version of HTTP.
fn admins(simulator: &Simulator) -> [(Client, Version); 2] {
    [(&b"h2"[..], Version::HTTP_2), (&b"http/1.1"[..], Version::HTTP_11)].map(|(alpn, version)| {
        let tls = client_config(simulator.ca_pem(), None, &[alpn]);
        (Client::with_tls(simulator.url(), tls.as_ref().clone(), Some("admin-token")), version)
    })
}

async fn with_map() -> Simulator {
    let simulator = start().await;
    simulator.cluster().put(samples::config_map("dev", "a", &[("k", "v")]));
    simulator
}

#[tokio::test]
async fn a_cut_answer_is_seen_as_cut() {
    let simulator = with_map().await;
    for (admin, version) in admins(&simulator) {
        let whole = admin.get(PATH).await.text;
        simulator.inject("configmaps", Fault::Reset { after: 10 }, Some(1));
        let mut answer = admin.raw(PATH).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        let mut seen = Vec::new();
        let end = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => seen.extend(chunk),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert_eq!((seen.as_slice(), end.is_some()), (&whole.as_bytes()[..10], true), "{version:?}");

        simulator.inject("", Fault::Reset { after: usize::MAX }, Some(1));
        let answer = admin.raw(PATH).await.unwrap();
        assert!(answer.bytes().await.is_err(), "{version:?}: the last byte stays");

        simulator.inject("", Fault::Reset { after: 0 }, Some(1));
        assert!(admin.raw(PATH).await.is_err(), "{version:?}");
        assert_eq!(admin.get(PATH).await.text, whole, "{version:?}");
        simulator.clear_requests();
    }
}

#[tokio::test]
async fn faults_are_recorded_as_requests_are() {
    let simulator = with_map().await;
    let [(admin, _), _] = admins(&simulator);
    simulator.inject(PATH, Fault::Status { code: 503, retry_after: Some(7) }, Some(1));
    let answer = admin.get(PATH).await;
    assert_eq!((answer.status, answer.headers[RETRY_AFTER].to_str().unwrap()), (503, "7"));
    assert_eq!((&answer.json["kind"], &answer.json["code"]), (&json!("Status"), &json!(503)));
    simulator.inject(PATH, Fault::Redirect { status: 302, location: "https://127.0.0.1:1/away".into() }, Some(1));
    let answer = admin.get(PATH).await;
    assert_eq!((answer.status, answer.headers[LOCATION].to_str().unwrap()), (302, "https://127.0.0.1:1/away"));
    let garbage = Fault::Garbage { content_type: "text/html", body: "<html>hello".into() };
    simulator.inject(PATH, garbage, Some(1));
    let answer = admin.get(PATH).await;
    assert_eq!((answer.status, answer.content_type.as_str(), answer.text.as_str()), (200, "text/html", "<html>hello"));
    assert_eq!(admin.get(PATH).await.json["kind"], "ConfigMap");
    let seen = simulator.requests();
    let seen: Vec<_> = seen.iter().map(|r| (r.status, r.user.as_deref(), r.target.as_str())).collect();
    assert_eq!(seen, [503, 302, 200, 200].map(|status| (status, Some("admin"), PATH)));
}

#[tokio::test]
async fn late_and_dripping_answers_are_true() {
    let simulator = with_map().await;
    for (admin, version) in admins(&simulator) {
        let whole = admin.get(PATH).await.text;
        let wait = Duration::from_millis(120);
        simulator.inject("", Fault::Slow(wait), Some(1));
        let begin = Instant::now();
        assert_eq!(admin.get(PATH).await.text, whole);
        assert!(begin.elapsed() >= wait);
        simulator.inject("", Fault::Drip { every: Duration::from_millis(1) }, Some(1));
        let begin = Instant::now();
        assert_eq!(admin.get(PATH).await.text, whole, "{version:?}");
        assert!(begin.elapsed() >= Duration::from_millis(whole.len() as u64));
    }
}

#[tokio::test]
async fn a_hanging_request_is_seen_and_never_answered() {
    let simulator = with_map().await;
    for (admin, version) in admins(&simulator) {
        simulator.clear_requests();
        simulator.inject("configmaps", Fault::Hang, None);
        let waited = tokio::time::timeout(Duration::from_millis(200), admin.raw(PATH)).await;
        assert!(waited.is_err(), "{version:?}: {waited:?}");
        let seen = || {
            let statuses: Vec<u16> = simulator.requests().iter().map(|record| record.status).collect();
            async move { if statuses == [0] { Ok(()) } else { Err(format!("{statuses:?}")) } }
        };
        until("the request in the log", SOON, seen).await.unwrap();
        simulator.heal();
        assert_eq!(admin.get(PATH).await.status, 200);
    }
}

#[tokio::test]
async fn a_held_request_is_answered_when_the_simulator_is_healed() {
    let simulator = with_map().await;
    for (admin, version) in admins(&simulator) {
        simulator.inject("configmaps", Fault::Hold, Some(1));
        let mut held = std::pin::pin!(admin.get(PATH));
        let early = tokio::time::timeout(Duration::from_millis(200), &mut held).await;
        assert!(early.is_err(), "{version:?}: {:?}", early.map(|answer| answer.status));
        assert_eq!(admin.get(PATH).await.status, 200, "{version:?}: the fault is used up");
        simulator.heal();
        assert_eq!(held.await.status, 200, "{version:?}");
    }
}

#[tokio::test]
async fn after_goaway_the_next_request_takes_another_connection() {
    let simulator = with_map().await;
    for (admin, version) in admins(&simulator) {
        simulator.clear_requests();
        simulator.inject("", Fault::GoAway, Some(1));
        let whole = admin.get(PATH).await;
        assert_eq!((whole.status, &whole.json["kind"]), (200, &json!("ConfigMap")), "{version:?}");
        let moved = async || {
            let answer = admin.get(PATH).await;
            assert_eq!(answer.status, 200, "{version:?}: no request fails");
            let connections: Vec<u64> = simulator.requests().iter().map(|record| record.connection).collect();
            if connections.first() == connections.last() { Err(format!("{connections:?}")) } else { Ok(()) }
        };
        until("another connection", SOON, moved).await.unwrap();
    }
}

#[tokio::test]
async fn a_continued_list_has_expired_for_who_may_see_it() {
    let simulator = start().await;
    simulator.cluster().put_all(["a", "b", "c"].map(|name| samples::config_map("dev", name, &[])));
    let [(admin, _), _] = admins(&simulator);
    let list = "/api/v1/namespaces/dev/configmaps";
    simulator.inject("configmaps", Fault::ExpiredContinue, None);
    let first = admin.get(&format!("{list}?limit=1")).await.json;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let next = format!("{list}?limit=1&continue={token}");
    let expired = admin.get(&next).await;
    assert_eq!((expired.status, &expired.json["reason"]), (410, &json!("Expired")));
    assert!(expired.message().starts_with("The provided continue parameter is too old"), "{}", expired.text);
    assert_eq!(Client::new(&simulator, "wrong").get(&next).await.status, 401);
    simulator.heal();
    let fresh = expired.json["metadata"]["continue"].as_str().unwrap();
    assert_eq!(admin.get(&format!("{list}?continue={fresh}")).await.names("items"), ["b", "c"]);
}

#[tokio::test]
async fn a_connection_has_only_so_many_streams() {
    let config = SimConfig::kubernetes().token("admin-token", "admin", &["system:masters"]).max_concurrent_streams(2);
    let simulator = Simulator::start(config).await.unwrap();
    let [(admin, _), _] = admins(&simulator);
    assert_eq!(admin.get("/version").await.status, 200);
    let wait = Duration::from_millis(150);
    simulator.inject("/version", Fault::Slow(wait), None);
    let begin = Instant::now();
    let all = futures::future::join_all((0..6).map(|_| admin.get("/version"))).await;
    assert!(all.iter().all(|answer| answer.status == 200));
    assert!(begin.elapsed() >= wait * 3, "six requests, two at a time");
}
