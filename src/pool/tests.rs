//! The pool against a listener that only counts: what must not leave does not leave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::credential::{self, CompileContext, Compiled};
use super::send::{Ask, Sender};
use super::upstream::Upstream;
use super::{Pool, transport::Transport};
use crate::inventory::{ClusterSettings, Entry};
use crate::model::{
    Access, Admission, Caller, Cluster, ClusterKey, ClusterKind, ClusterName, Endpoint, FailureKind, KeyHasher,
    PathTrust, Place, Principal, RealmName, Secret, SubjectToken, Target, Tier, ToolRef,
};
use crate::policy::{DeniedKind, Permit, Policy, PolicyConfig};

const READ: ToolRef = ToolRef { name: "things_list", toolset: "core", access: Access::Read };

/// A plain HTTP server that answers everything with an empty object and counts requests.
async fn counting() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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

fn entry(server: &str) -> Entry {
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

fn compiled(entry: &Entry) -> (Arc<Cluster>, Compiled) {
    let context = CompileContext { home_realms: vec![RealmName::parse("corp").unwrap()] };
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

fn caller() -> Caller {
    let principal = Principal {
        realm: RealmName::parse("corp").unwrap(),
        iss: "https://corp.example".into(),
        sub: "1".into(),
        username: "alice".into(),
        groups: vec![],
        scopes: vec![],
        audiences: vec!["c1".into()],
        azp: None,
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
    let credential = compiled.strategy.credential(&caller()).await.unwrap();
    let key = key(compiled.key);
    Sender {
        upstream: Arc::new(Upstream::new(key, entry.endpoint.clone())),
        transport: Arc::new(Transport::new(key, &entry.endpoint, None).unwrap()),
        credential,
        strategy: compiled.strategy,
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
    let first = Pool::new([compiled(&entry(&url))], None);
    let (cluster, again) = compiled(&entry(&url));
    let second = Pool::new([(Arc::clone(&cluster), again)], Some(&first));
    let upstream = |pool: &Pool| Arc::as_ptr(&pool.destinations[&cluster.key].upstream);
    assert_eq!(upstream(&first), upstream(&second));
    let mut changed = entry(&url);
    changed.settings.audiences.push("more".into());
    let (cluster, compiled) = compiled(&changed);
    let third = Pool::new([(Arc::clone(&cluster), compiled)], Some(&second));
    assert_eq!(third.destinations.len(), 1);
    assert!(!second.destinations.contains_key(&cluster.key));
}
