//! The tools against a listener that answers as an API server does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::{Catalog, Cx, Run};
use crate::inventory::{ClusterSettings, Entry};
use crate::model::{
    Caller, Cluster, ClusterKind, ClusterName, Endpoint, Failure, PathTrust, Place, Principal, RealmName, Secret,
    SubjectToken, Target, Tier,
};
use crate::output::{Page, Presentation, Progress, render};
use crate::policy::{Namespaces, Policy, PolicyConfig};
use crate::pool::credential::{self, CompileContext};
use crate::pool::{Limits, Pool};

/// Path with query → status and body; a path without query answers for all queries.
pub(super) type Answers = BTreeMap<String, (u16, String)>;

pub(super) struct World {
    cluster: Arc<Cluster>,
    pool: Pool,
    policy: Policy,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn answer(mut stream: TcpStream, answers: Arc<Answers>, asked: Arc<Mutex<Vec<String>>>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        asked.lock().unwrap().push(path.clone());
        let path = path.strip_prefix("/clusters/2gr4s8eyy3n1rqtl").unwrap_or(&path);
        let bare = path.split('?').next().unwrap_or_default();
        let missing = (404, json!({"kind": "Status", "message": "not found"}).to_string());
        let (status, body) = answers.get(path).or_else(|| answers.get(bare)).unwrap_or(&missing);
        let kind = match body.as_bytes().first() {
            Some(b'{') => "application/json",
            Some(b'<') => "text/html; charset=utf-8",
            Some(_) | None => "text/plain",
        };
        if path.contains("follow=true") && *status == 200 {
            return follow(stream, path, body).await;
        }
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A log that is followed: it ends for the pod `done`, breaks off for `cut`, and stays open until the client goes for all
/// others.
async fn follow(mut stream: TcpStream, path: &str, body: &str) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    let end = if path.contains("/done/") { "0\r\n\r\n" } else { "" };
    let sent = format!("{head}{:x}\r\n{body}\r\n{end}", body.len());
    if stream.write_all(sent.as_bytes()).await.is_ok() && !path.contains("/cut/") {
        drop(stream.read(&mut [0; 16]).await);
    }
}

fn discovery() -> Answers {
    let kind = |plural: &str, kind: &str, namespaced: bool, short: &str| {
        json!({
            "name": plural, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind,
            "verbs": ["get", "list"], "shortNames": [short],
        })
    };
    let core = [
        kind("pods", "Pod", true, "po"),
        kind("events", "Event", true, "ev"),
        kind("secrets", "Secret", true, "sec"),
        kind("nodes", "Node", false, "no"),
    ];
    [
        ("/api", json!({"kind": "APIVersions", "versions": ["v1"]})),
        (
            "/apis",
            json!({"kind": "APIGroupList", "groups": [{"name": "apps",
            "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
            "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}]}),
        ),
        ("/api/v1", json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": core})),
        (
            "/apis/apps/v1",
            json!({"kind": "APIResourceList", "groupVersion": "apps/v1",
            "resources": [kind("deployments", "Deployment", true, "deploy"), kind("replicasets", "ReplicaSet", true, "rs")]}),
        ),
    ]
    .map(|(path, body)| (path.to_owned(), (200, body.to_string())))
    .into()
}

impl World {
    pub(super) async fn new(more: &[(&str, u16, String)], namespaces: Namespaces) -> Self {
        let mut answers = discovery();
        answers.extend(more.iter().map(|(path, status, body)| ((*path).to_owned(), (*status, body.clone()))));
        Self::serving(ClusterKind::Kubernetes, answers, namespaces).await
    }

    pub(super) async fn serving(kind: ClusterKind, answers: Answers, namespaces: Namespaces) -> Self {
        crate::auth::install_crypto();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let (answers, asked) = (Arc::new(answers), Arc::new(Mutex::new(Vec::new())));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&answers), Arc::clone(&log)));
            }
        });
        let realm = RealmName::parse("corp").unwrap();
        let entry = Entry {
            name: ClusterName::parse("c1").unwrap(),
            aliases: vec![],
            origin: Some("clusters.c1".into()),
            source: "file".into(),
            kind,
            endpoint: Endpoint { server, ca: None, tls_server_name: None, insecure: false },
            settings: ClusterSettings {
                strategy: "passthrough".into(),
                realm: Some(realm.clone()),
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
        };
        let compiled =
            credential::compile(&entry, &CompileContext { home_realms: vec![realm], ..CompileContext::default() })
                .unwrap();
        let cluster = Arc::new(Cluster {
            name: entry.name.clone(),
            aliases: vec![],
            kind: entry.kind,
            endpoint: entry.endpoint.clone(),
            realm: entry.settings.realm,
            audiences: vec!["c1".into()],
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
        });
        let pool = Pool::new([(Arc::clone(&cluster), compiled)], None, Limits::default());
        let policy = Policy::new(PolicyConfig { namespaces, ..PolicyConfig::default() });
        Self { cluster, pool, policy, asked }
    }

    pub(super) async fn call(&self, tool: &str, args: Value) -> Result<String, Failure> {
        self.call_heard(tool, args, Progress::default()).await
    }

    pub(super) async fn call_heard(&self, tool: &str, args: Value, progress: Progress) -> Result<String, Failure> {
        let principal = Principal {
            expires: Some(SystemTime::now() + Duration::from_secs(300)),
            token_digest: [1; 32],
            ..super::principal("corp", &["c1"])
        };
        let caller = Caller::new(Arc::new(principal.clone()), SubjectToken::bearer(Secret::new("token")));
        let catalog = Catalog::new(&["core".into(), "extra".into()]).unwrap();
        let entry = catalog.get(tool).unwrap();
        let place = match self.cluster.kind {
            ClusterKind::Kcp => Place::parse("2gr4s8eyy3n1rqtl").unwrap(),
            ClusterKind::Kubernetes | ClusterKind::Kind => Place::Whole,
        };
        let target = Target { cluster: Arc::clone(&self.cluster), place, defaulted: None };
        let permit = self.policy.authorize(caller, entry.spec.tool_ref(), target).unwrap();
        let client = self.pool.client(permit, Instant::now() + Duration::from_secs(20)).await?;
        let Run::Tool(tool) = &entry.run else { panic!("it goes to a target") };
        let cx = Cx {
            principal: Arc::new(principal),
            presentation: Presentation::default(),
            page: Page::first(100),
            local: false,
            progress,
        };
        let output = tool.call(&cx, &client, args.as_object().unwrap().clone()).await?;
        Ok(render(output, &cx.presentation, |_| None).unwrap().text)
    }

    pub(super) fn asked(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|path| path.contains(part)).count()
    }
}

fn pod(name: &str, restarts: u64) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "ownerReferences": [{"kind": "ReplicaSet", "uid": "set-1"}]},
        "spec": {"nodeName": "n-1", "containers": [{"name": "app"}, {"name": "proxy"}]},
        "status": {"phase": "Running", "containerStatuses": [{"ready": restarts == 0, "restartCount": restarts}]},
    })
}

fn deployment() -> String {
    json!({"metadata": {"name": "web", "namespace": "shop", "uid": "web-1"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}})
        .to_string()
}

fn pods() -> String {
    json!({"kind": "PodList", "metadata": {}, "items": [pod("web-1", 0), pod("web-2", 3)]}).to_string()
}

fn replica_sets() -> String {
    let set = |uid: &str, owner: &str| json!({"metadata": {"uid": uid, "ownerReferences": [{"uid": owner}]}});
    json!({"kind": "ReplicaSetList", "metadata": {}, "items": [set("set-1", "web-1"), set("set-2", "other")]})
        .to_string()
}

#[tokio::test]
async fn pods_that_are_not_well_come_first() {
    let columns = ["Name", "Ready", "Status", "Restarts", "Age"].map(|name| json!({"name": name, "priority": 0}));
    let row = |cells: Value| json!({"cells": cells, "object": {"metadata": {"namespace": "shop"}}});
    let table = json!({"kind": "Table", "metadata": {}, "columnDefinitions": columns, "rows": [
        row(json!(["web-1", "1/1", "Running", 0, "5d"])),
        row(json!(["web-2", "0/1", "CrashLoopBackOff", "9 (5m ago)", "5d"])),
    ]});
    let world = World::new(&[("/api/v1/pods", 200, table.to_string())], Namespaces::default()).await;
    insta::assert_snapshot!(world.call("pods_list", json!({"labelSelector": "app=web"})).await.unwrap(), @"
    # 1 of 2 pods on this page are not well: they come first
    NAMESPACE	NAME	READY	STATUS	RESTARTS	AGE
    shop	web-2	0/1	CrashLoopBackOff	9 (5m ago)	5d
    shop	web-1	1/1	Running	0	5d
    ");
    assert_eq!(world.asked("/api/v1/pods?limit=100&labelSelector=app%3Dweb"), 1);
    let narrow = World::new(&[], Namespaces { allow: vec![], deny: vec!["kube-system".into()] }).await;
    let refused = narrow.call("pods_list", json!({})).await.unwrap_err();
    assert!(refused.to_string().contains("Name a namespace"), "{refused}");
    assert_eq!(narrow.asked("/pods"), 0, "nothing left");
    assert!(narrow.call("pods_list_in_namespace", json!({"namespace": "kube-system"})).await.is_err());
    assert!(narrow.call("pods_list_in_namespace", json!({"namespace": ""})).await.is_err());
}

#[tokio::test]
async fn events_are_read_to_their_end_and_grouped() {
    let event = |last: &str, message: &str| {
        json!({
            "metadata": {"namespace": "shop"}, "involvedObject": {"kind": "Pod", "name": "web-1"}, "count": 2,
            "type": "Warning", "reason": "BackOff", "message": message, "lastTimestamp": last,
        })
    };
    let first = json!({"metadata": {"continue": "next", "remainingItemCount": 1}, "items": [event("2020-01-01T00:00:00Z", "old")]});
    let second = json!({"metadata": {}, "items": [event("2020-01-02T00:00:00Z", "new")]});
    let path = "/api/v1/namespaces/shop/events";
    let continued = format!("{path}?limit=500&continue=next");
    let answers = [(path, 200, first.to_string()), (continued.as_str(), 200, second.to_string())];
    let world = World::new(&answers, Namespaces::default()).await;
    let text = world.call("events_list", json!({"namespace": "shop"})).await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["# 2 events in 1 group, 1 of warnings", "LAST SEEN\tTYPE\tREASON\tOBJECT\tMESSAGE"]);
    assert!(lines[2].contains("(x4)\tWarning\tBackOff\tpod/web-1\tnew"), "{text}");
    assert_eq!(world.asked("/events"), 2);
}

#[tokio::test]
async fn logs_of_one_pod_are_folded_searched_and_bounded() {
    let log = "boot\nGET / 200\nGET / 200\nGET / 200\nerror eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLWhlcmU\n";
    let many: String = (0..3000).map(|at| format!("line number {at}\n")).collect();
    let answers = [
        ("/api/v1/namespaces/shop/pods/web-1/log", 200, log.to_owned()),
        ("/api/v1/namespaces/default/pods/many/log", 200, many),
        ("/api/v1/namespaces/shop/pods/none/log", 200, String::new()),
    ];
    let world = World::new(&answers, Namespaces::default()).await;
    let read = async |args: Value| world.call("pods_log", args).await;
    let text = read(json!({"name": "web-1", "namespace": "shop"})).await.unwrap();
    assert_eq!(text, "boot\nGET / 200 (x3)\nerror <masked token>");
    assert_eq!(world.asked("/web-1/log?tailLines=100&limitBytes=8388608"), 1);
    let text = read(json!({"name": "pod/web-1", "namespace": "shop", "grep": "^GET", "since": "1h"})).await.unwrap();
    assert_eq!(text, "GET / 200 (x3)");
    assert_eq!(world.asked("tailLines=10000&limitBytes=8388608&sinceSeconds=3600"), 1);
    let text = read(json!({"name": "many", "tail": 5000, "limitBytes": 1000})).await.unwrap();
    assert!(text.starts_with("# namespace default, as none was given\n# the newest 58 of 3000 lines:"), "{text}");
    assert!(text.ends_with("line number 2999") && text.len() < 1_200, "{text}");
    assert_eq!(read(json!({"name": "none", "namespace": "shop"})).await.unwrap(), "no lines of pod none");
    let missing = read(json!({"name": "gone", "namespace": "shop"})).await.unwrap_err();
    assert_eq!(missing.to_string(), "c1: reading logs of pod gone in namespace shop: not found");
}

#[tokio::test]
async fn logs_of_a_workload_come_from_its_pods_the_sick_ones_first() {
    let answers = [
        ("/apis/apps/v1/namespaces/shop/deployments/web", 200, deployment()),
        ("/api/v1/namespaces/shop/pods", 200, pods()),
        ("/api/v1/namespaces/shop/pods/web-1/log", 200, "fine\n".to_owned()),
        ("/api/v1/namespaces/shop/pods/web-2/log", 200, "dying\n".to_owned()),
    ];
    let world = World::new(&answers, Namespaces::default()).await;
    let text = world.call("pods_log", json!({"name": "deploy/web", "namespace": "shop"})).await.unwrap();
    assert_eq!(text, "web-2: dying\nweb-1: fine");
    assert_eq!(world.asked("labelSelector=app%3Dweb"), 1);
    assert_eq!(world.asked("/log?container=app&tailLines=100&limitBytes=4194304"), 2);
    let half = World::new(&answers[..3], Namespaces::default()).await;
    let text = half.call("pods_log", json!({"labelSelector": "app=web", "namespace": "shop"})).await.unwrap();
    assert_eq!(text, "# web-2: cannot be read: not found\nweb-1: fine");
}

#[tokio::test]
async fn a_description_is_one_answer_and_says_what_it_could_not_read() {
    let forbidden = json!({"kind": "Status", "message": "events is forbidden"}).to_string();
    let answers = [
        ("/apis/apps/v1/namespaces/shop/deployments/web", 200, deployment()),
        ("/api/v1/namespaces/shop/pods", 200, pods()),
        ("/apis/apps/v1/namespaces/shop/replicasets", 200, replica_sets()),
        ("/api/v1/namespaces/shop/events", 403, forbidden),
        ("/api/v1/namespaces/shop/pods/web-2/log", 200, "dying\n".to_owned()),
        (
            "/api/v1/namespaces/shop/secrets/key",
            200,
            json!({"metadata": {"name": "key"}, "data": {"a": "Y2FuYXJ5"}}).to_string(),
        ),
    ];
    let world = World::new(&answers, Namespaces::default()).await;
    let describe = async |kind: &str, name: &str| {
        world.call("resources_describe", json!({"kind": kind, "name": name, "namespace": "shop"})).await.unwrap()
    };
    insta::assert_snapshot!(describe("deployment", "web").await, @"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: web
      namespace: shop
      uid: web-1
    spec:
      selector:
        matchLabels:
          app: web
    --- events
    cannot be read: events is forbidden
    --- pods
    web-2	0/1	Running	restarts 3	n-1
    web-1	1/1	Running	restarts 0	n-1
    --- log
    shop/web-2 app, newest 1 lines
    dying
    ");
    let stranger = json!({"metadata": {"name": "web-9", "namespace": "shop", "ownerReferences": [{"uid": "set-2"}]}});
    let list = json!({"kind": "PodList", "metadata": {}, "items": [pod("web-2", 3), pod("web-3", 1), stranger]});
    let mut others = answers.to_vec();
    others.push(("/api/v1/namespaces/shop/pods", 200, list.to_string()));
    let world_with_a_stranger = World::new(&others, Namespaces::default()).await;
    let args = json!({"kind": "deployment", "name": "web", "namespace": "shop"});
    let text = world_with_a_stranger.call("resources_describe", args).await.unwrap();
    assert!(text.contains("\n(1 more match its selector and belong to others)\n") && !text.contains("web-9"), "{text}");
    assert!(
        text.ends_with(
            "--- log\nweb-2| shop/web-2 app, newest 1 lines\nweb-2| dying\nweb-3| app cannot be read: not found"
        ),
        "{text}"
    );
    let secret = describe("secret", "key").await;
    assert!(secret.contains("<masked 6 bytes>") && !secret.contains("Y2FuYXJ5"), "{secret}");
    assert!(!secret.contains("--- pods") && !secret.contains("--- log"), "{secret}");
}

#[tokio::test]
async fn what_is_not_served_is_said() {
    let world = World::new(&[], Namespaces::default()).await;
    let failure = world.call("projects_list", json!({})).await.unwrap_err().to_string();
    assert!(failure.contains("does not serve projects") && failure.contains("namespaces_list"), "{failure}");
    let text = world.call("api_resources_list", json!({"group": "core", "namespaced": false})).await.unwrap();
    assert_eq!(text, "NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND\nnodes\tno\tv1\tfalse\tNode");
    let failure = world.call("pods_get", json!({"name": "web", "namespace": "shop"})).await.unwrap_err().to_string();
    assert_eq!(failure, "c1: getting pods shop/web: not found");
    assert!(world.call("pods_log", json!({"name": "node/n-1", "namespace": "shop"})).await.is_err());
}

#[tokio::test]
async fn a_workspace_without_pods_says_so() {
    let kinds =
        json!([{"name": "secrets", "singularName": "secret", "namespaced": true, "kind": "Secret", "verbs": ["get"]}]);
    let answers = [
        ("/apis", json!({"kind": "APIGroupList", "groups": []})),
        ("/api/v1", json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": kinds})),
    ];
    let answers = answers.map(|(path, body)| (path.to_owned(), (200, body.to_string()))).into();
    let world = World::serving(ClusterKind::Kcp, answers, Namespaces::default()).await;
    for (tool, args) in [
        ("pods_list", json!({})),
        ("pods_list_in_namespace", json!({"namespace": "shop"})),
        ("pods_get", json!({"name": "web-1"})),
        ("pods_log", json!({"name": "web-1"})),
        ("pods_top", json!({})),
    ] {
        let failure = world.call(tool, args).await.unwrap_err().to_string();
        assert!(failure.contains("this workspace does not serve pods"), "{tool}: {failure}");
    }
    let failure = world.call("events_list", json!({})).await.unwrap_err().to_string();
    assert!(failure.contains("this workspace does not serve events"), "{failure}");
    let text = world.call("api_resources_list", json!({})).await.unwrap();
    assert!(text.ends_with("secrets\t\tv1\ttrue\tSecret"), "{text}");
}

#[tokio::test]
async fn a_pod_with_several_containers_shows_its_default_one() {
    let several =
        json!({"kind": "Status", "message": "a container name must be specified, choose one of: [app proxy]"});
    let path = "/api/v1/namespaces/shop/pods/web-1/log";
    let chosen = format!("{path}?container=app&tailLines=100&limitBytes=8388608");
    let answers = [
        (path, 400, several.to_string()),
        (chosen.as_str(), 200, "fine\n".to_owned()),
        ("/api/v1/namespaces/shop/pods/web-1", 200, pod("web-1", 0).to_string()),
    ];
    let world = World::new(&answers, Namespaces::default()).await;
    let text = world.call("pods_log", json!({"name": "web-1", "namespace": "shop"})).await.unwrap();
    assert_eq!(text, "# web-1: container app of several, as none was given\nfine");
    let half = World::new(&answers[..2], Namespaces::default()).await;
    let failure = half.call("pods_log", json!({"name": "web-1", "namespace": "shop"})).await.unwrap_err().to_string();
    assert!(failure.contains("choose one of: [app proxy]"), "{failure}");
}
