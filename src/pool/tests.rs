//! The pool against a listener that only counts: what must not leave does not leave.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::credential::{self, CompileContext, Compiled, Minting};
use super::send::{Ask, Sender};
use super::upstream::Upstream;
use super::{Limits, Pool, transport::Transport};
use crate::inventory::{ClusterSettings, Entry};
use crate::model::{
    Access, Admission, Caller, Cluster, ClusterKey, ClusterKind, ClusterName, Endpoint, FailureKind, KeyHasher,
    PathTrust, Place, Principal, RealmName, Secret, SubjectToken, Target, Tier, ToolRef,
};
use crate::policy::{DeniedKind, Permit, Policy, PolicyConfig};
use crate::telemetry::{BreakerState, Scrape};

const READ: ToolRef = ToolRef { name: "things_list", toolset: "core", access: Access::Read };

/// A plain HTTP server that answers everything with an empty object and counts requests.
async fn counting() -> (String, Arc<AtomicUsize>) {
    counting_at(TcpListener::bind("127.0.0.1:0").await.unwrap())
}

fn counting_at(listener: TcpListener) -> (String, Arc<AtomicUsize>) {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (url, count)
}

pub(super) fn entry(server: &str) -> Entry {
    Entry {
        name: ClusterName::parse("c1").unwrap(),
        aliases: vec![],
        origin: Some("clusters.c1".into()),
        source: "file".into(),
        kind: ClusterKind::Kubernetes,
        endpoint: Endpoint { server: server.into(), ca: None, tls_server_name: None, insecure: false },
        settings: ClusterSettings {
            strategy: "passthrough".into(),
            realm: Some(RealmName::parse("corp").unwrap()),
            audiences: vec!["c1".into()],
            i_accept_token_passthrough: true,
            ..ClusterSettings::default()
        },
        labels: BTreeMap::new(),
        tier: Tier::default(),
        advertise: false,
        entry: vec![],
        paths: PathTrust::Resolve,
        namespace: None,
        current: false,
    }
}

pub(super) fn compiled(entry: &Entry) -> (Arc<Cluster>, Compiled) {
    let context = CompileContext { home_realms: vec![RealmName::parse("corp").unwrap()], ..CompileContext::default() };
    let compiled = credential::compile(entry, &context).unwrap();
    let cluster = Cluster {
        name: entry.name.clone(),
        aliases: vec![],
        kind: entry.kind,
        endpoint: entry.endpoint.clone(),
        realm: entry.settings.realm.clone(),
        audiences: entry.settings.audiences.clone(),
        strategy: compiled.name,
        reach: compiled.reach.clone(),
        labels: BTreeMap::new(),
        tier: Tier::default(),
        source: "file".into(),
        advertise: false,
        entry: vec![],
        paths: PathTrust::Resolve,
        namespace: None,
        current: false,
        key: compiled.key,
    };
    (Arc::new(cluster), compiled)
}

pub(super) fn caller() -> Caller {
    let principal = Principal {
        realm: RealmName::parse("corp").unwrap(),
        iss: "https://corp.example".into(),
        sub: "1".into(),
        username: "alice".into(),
        groups: vec![],
        scopes: vec![],
        audiences: vec!["c1".into()],
        azp: None,
        issued: None,
        expires: Some(SystemTime::now() + Duration::from_secs(300)),
        token_digest: [1; 32],
        admission: Admission::Full,
        roles: None,
        shared: false,
    };
    Caller::new(Arc::new(principal), SubjectToken::bearer(Secret::new("token")))
}

fn permit(cluster: &Arc<Cluster>) -> Permit {
    let secrets = DeniedKind { group: String::new(), resource: "secrets".into(), access: vec![] };
    let policy = Policy::new(PolicyConfig { denied: vec![secrets], ..PolicyConfig::default() });
    let target = Target { cluster: Arc::clone(cluster), place: Place::Whole, defaulted: None };
    policy.authorize(caller(), READ, target).unwrap()
}

async fn sender(server: &str, key: impl FnOnce(ClusterKey) -> ClusterKey) -> Sender {
    crate::auth::install_crypto();
    let entry = entry(server);
    let (cluster, compiled) = compiled(&entry);
    let credential = compiled.strategy.credential(&caller(), &Minting::default()).await.unwrap();
    let key = key(compiled.key);
    let upstream = Arc::new(Upstream::new(key, entry.endpoint.clone(), Limits::default()));
    Sender {
        call: upstream.breaker().call(),
        upstream,
        transport: Arc::new(Transport::new(key, &entry.endpoint, None, Limits::default()).unwrap()),
        credential,
        renewed: OnceLock::new(),
        compiled: Arc::new(compiled),
        caches: Arc::default(),
        permit: permit(&cluster),
        deadline: Instant::now() + Duration::from_secs(5),
    }
}

#[tokio::test]
async fn the_send_site_holds_every_request_against_the_permit() {
    let (url, count) = counting().await;
    let sender = sender(&url, |key| key).await;
    let ask = |method: Method, path: &str| Ask { method, body: Some(Bytes::from_static(b"{}")), ..Ask::get(path) };
    for (method, path) in [
        (Method::POST, "/api/v1/namespaces/a/pods"),
        (Method::POST, "/api/v1/namespaces/a/pods?dryRun=All"),
        (Method::DELETE, "/api/v1/namespaces/a/pods/p"),
        (Method::PATCH, "/apis/apps/v1/namespaces/a/deployments/d"),
        (Method::GET, "/api/v1/namespaces/a/pods/p/exec?command=id"),
        (Method::GET, "/api/v1/nodes/n/proxy/run/x"),
        (Method::POST, "/api/v1/namespaces/a/serviceaccounts/s/token"),
        (Method::GET, "/api/v1/namespaces/a/secrets/s"),
        (Method::GET, "/apis/tenancy.kcp.io/v1alpha1/workspaces/~"),
        (Method::GET, "/api/v1/namespaces/../../../metrics"),
        (Method::GET, "/metrics"),
    ] {
        let refused = sender.send("", &ask(method.clone(), path)).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Denied, "{method} {path}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "nothing left");
    sender.send("", &Ask::get("/api/v1/namespaces/a/pods")).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_credential_of_another_cluster_key_does_not_leave() {
    let (url, count) = counting().await;
    let sender = sender(&url, |_| ClusterKey::from(KeyHasher::new("another destination"))).await;
    let refused = sender.send("", &Ask::get("/api/v1/pods")).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Internal);
    assert_eq!(count.load(Ordering::SeqCst), 0, "nothing left");
}

#[tokio::test]
async fn a_destination_lives_on_while_its_key_does() {
    crate::auth::install_crypto();
    let (url, _) = counting().await;
    let first = Pool::new([compiled(&entry(&url))], None, Limits::default());
    let (cluster, again) = compiled(&entry(&url));
    let second = Pool::new([(Arc::clone(&cluster), again)], Some(&first), Limits::default());
    let upstream = |pool: &Pool| Arc::as_ptr(&pool.destinations[&cluster.key].upstream);
    assert_eq!(upstream(&first), upstream(&second));
    let mut changed = entry(&url);
    changed.settings.audiences.push("more".into());
    let (cluster, compiled) = compiled(&changed);
    let third = Pool::new([(Arc::clone(&cluster), compiled)], Some(&second), Limits::default());
    assert_eq!(third.destinations.len(), 1);
    assert!(!second.destinations.contains_key(&cluster.key));
}

#[tokio::test]
async fn after_five_failures_to_connect_calls_fail_at_once_until_one_call_got_through() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let sender = sender(&format!("http://{address}"), |key| key).await;
    let ask = Ask::get("/api/v1/namespaces/a/pods");
    for _ in 0..5 {
        let failure = sender.send("", &ask).await.unwrap_err();
        assert_eq!((failure.code, failure.retry), ("cluster_unreachable", None), "{failure}");
    }
    assert_eq!(sender.upstream.breaker().state(), BreakerState::Open);
    let back = TcpListener::bind(address).await.unwrap();
    let began = Instant::now();
    let failure = sender.send("", &ask).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    assert_eq!((failure.kind, failure.code), (FailureKind::Unreachable, "cluster_unreachable"));
    assert!(failure.to_string().starts_with("c1: ") && failure.to_string().contains("retry in "), "{failure}");
    assert!(failure.retry.is_some_and(|after| after > Duration::from_secs(4)));
    let none = tokio::time::timeout(Duration::from_millis(100), back.accept()).await;
    assert!(none.is_err(), "nothing is connected while it is open");
    let text = sender.caches.metrics.scrape(&Scrape { generation: 1, reload_failed: false, breakers: Vec::new() });
    let line = "kubeferry_upstream_requests_total{cluster=\"c1\",verb=\"list\",code=\"connect\"} 5\n";
    assert!(text.contains(line), "{text}");

    // The server is back: one call, which asks for two things at once as discovery does, closes it.
    let (_, count) = counting_at(back);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    assert!(sender.deadline > Instant::now(), "the deadline is not on the clock that was advanced");
    futures::try_join!(sender.send("", &ask), sender.send("", &ask)).unwrap();
    assert_eq!((count.load(Ordering::SeqCst), sender.upstream.breaker().state()), (2, BreakerState::Closed));
}

#[tokio::test]
async fn an_answer_of_any_kind_keeps_the_breaker_closed() {
    let (url, count) = counting().await;
    let sender = sender(&url, |key| key).await;
    for _ in 0..8 {
        sender.send("", &Ask::get("/api/v1/namespaces/a/pods")).await.unwrap();
    }
    assert_eq!((count.load(Ordering::SeqCst), sender.upstream.breaker().state()), (8, BreakerState::Closed));
}

#[tokio::test]
async fn counts_outlive_a_generation() {
    crate::auth::install_crypto();
    let (url, _) = counting().await;
    let (cluster, strategy) = compiled(&entry(&url));
    let first = Pool::new([(Arc::clone(&cluster), strategy)], None, Limits::default());
    first.metrics().decision("allowed");
    let second = Pool::new([], Some(&first), Limits::default());
    assert!(Arc::ptr_eq(first.metrics(), second.metrics()));
    assert_eq!(first.breaker(&cluster.key), Some(BreakerState::Closed));
    assert_eq!(second.breaker(&cluster.key), None);
}

/// Takes about 3 s: the time that connecting has.
#[tokio::test]
async fn a_server_that_answers_no_tls_handshake_counts_as_not_reachable() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            kept.push(stream);
        }
    });
    let sender = sender(&url, |key| key).await;
    let ask = Ask::get("/api/v1/namespaces/a/pods");
    let failures = futures::future::join_all((0..5).map(|_| sender.send("", &ask))).await;
    assert!(failures.iter().all(|failed| failed.as_ref().is_err_and(|failure| failure.code == "cluster_unreachable")));
    assert_eq!(sender.upstream.breaker().state(), BreakerState::Open);
    let began = Instant::now();
    assert!(sender.send("", &ask).await.unwrap_err().to_string().contains("retry in "));
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}
