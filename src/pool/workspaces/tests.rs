//! Views against a listener that answers two callers as a kcp would.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Entry, Look, State};
use crate::model::{
    Access, Caller, Cluster, ClusterKind, LogicalCluster, Place, Principal, Secret, SubjectToken, Target, ToolRef,
    WorkspacePath,
};
use crate::policy::{Policy, PolicyConfig};
use crate::pool::tests::{caller, compiled, entry};
use crate::pool::{ClusterClient, Limits, Pool};

const LIST: &str = "/apis/tenancy.kcp.io/v1alpha1/workspaces?limit=500";

/// A kcp in which alice lists the children of `root` and of `o1`; bob may enter `o1` and lists nothing.
struct Kcp {
    cluster: Arc<Cluster>,
    pool: Pool,
    asked: Arc<Mutex<Vec<String>>>,
    /// What `root` has, for alice.
    children: Arc<Mutex<Vec<&'static str>>>,
}

fn item(name: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"phase": "Ready"},
        "spec": {"cluster": format!("{name}1"), "type": {"name": "universal", "path": "root"}}})
}

fn list(names: &[&str]) -> Value {
    json!({"kind": "WorkspaceList", "metadata": {}, "items": names.iter().map(|name| item(name)).collect::<Vec<_>>()})
}

async fn answer(mut stream: TcpStream, asked: Arc<Mutex<Vec<String>>>, children: Arc<Mutex<Vec<&'static str>>>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let alice = request.contains("Bearer alice") || request.contains("bearer alice");
        asked.lock().unwrap().push(path.clone());
        // Long enough that two who ask at the same time meet.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (status, body) = match path.as_str() {
            path if alice && path == format!("/clusters/root{LIST}") => (200, list(&children.lock().unwrap())),
            path if alice && path == format!("/clusters/org1{LIST}") => (200, list(&[])),
            "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/org" => (200, item("org")),
            "/clusters/org1/apis/tenancy.kcp.io/v1alpha1/workspaces/team" => (200, item("team")),
            "/clusters/org1/apis/tenancy.kcp.io/v1alpha1/workspaces/other" => (200, item("other")),
            "/clusters/org1/version" => (200, json!({"gitVersion": "v1"})),
            "/clusters/late1/version" => (503, json!({"kind": "Status", "message": "Not available."})),
            _ => (403, json!({"kind": "Status", "message": "access denied"})),
        };
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Kcp {
    async fn start() -> Self {
        crate::auth::install_crypto();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, children) = (Arc::default(), Arc::new(Mutex::new(vec!["org"])));
        let (log, listed) = (Arc::clone(&asked), Arc::clone(&children));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&log), Arc::clone(&listed)));
            }
        });
        let (cluster, compiled) = compiled(&crate::inventory::Entry { kind: ClusterKind::Kcp, ..entry(&url) });
        let pool = Pool::new([(Arc::clone(&cluster), compiled)], None, Limits::default());
        Self { cluster, pool, asked, children }
    }

    async fn client(&self, who: &str, place: &str) -> ClusterClient {
        let digest = [u8::from(who == "alice"); 32];
        let principal = Principal { sub: who.into(), token_digest: digest, ..Principal::clone(caller().principal()) };
        let caller = Caller::new(Arc::new(principal), SubjectToken::bearer(Secret::new(who)));
        let tool = ToolRef { name: "kcp_workspaces_list", toolset: "kcp", access: Access::Read };
        let target =
            Target { cluster: Arc::clone(&self.cluster), place: Place::parse(place).unwrap(), defaulted: None };
        let permit = Policy::new(PolicyConfig::default()).authorize(caller, tool, target).unwrap();
        self.pool.client(permit, Instant::now() + Duration::from_secs(10)).await.unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn names(look: &Look) -> Vec<&str> {
    match look {
        Look::Children(children) => children.items.iter().map(|one| &*one.name).collect(),
        Look::Closed | Look::Refused => panic!("{look:?}"),
    }
}

#[tokio::test]
async fn what_one_caller_saw_nobody_else_sees() {
    let kcp = Kcp::start().await;
    let alice = kcp.client("alice", "root").await;
    let seen = alice.workspaces().look(&alice).await.unwrap();
    assert_eq!(names(&seen), ["org"]);
    let bob = kcp.client("bob", "root").await;
    assert!(bob.workspaces().known("root").is_none(), "bob has asked nothing yet");
    assert!(matches!(bob.workspaces().look(&bob).await, Ok(Look::Refused)));
    // A child that came later is seen by those who read the list after it came.
    *kcp.children.lock().unwrap() = vec!["late", "org"];
    assert_eq!(names(&alice.workspaces().look(&alice).await.unwrap()), ["org"], "her view is younger than a minute");
}

#[tokio::test]
async fn a_view_asks_once_however_many_want_to_know() {
    let kcp = Kcp::start().await;
    let alice = kcp.client("alice", "root").await;
    let view = alice.workspaces();
    let looks = futures::future::join_all((0..8).map(|_| view.look(&alice))).await;
    assert!(looks.iter().all(|look| names(look.as_ref().unwrap()) == ["org"]));
    assert_eq!(kcp.asked(), 1, "{:?}", kcp.asked);
    let again = kcp.client("alice", "root").await;
    assert!(again.workspaces().known("root").is_some(), "the next call has the same view");
    assert_eq!(kcp.asked(), 1);
}

#[tokio::test]
async fn access_is_what_the_own_request_showed() {
    let kcp = Kcp::start().await;
    let bob = kcp.client("bob", "root").await;
    let view = bob.workspaces();
    let at = |name: &str| {
        bob.at(&LogicalCluster::parse(name).unwrap(), WorkspacePath::parse("root:x").ok().as_ref()).unwrap()
    };
    assert_eq!(view.entry("org1"), Entry::Unknown);
    assert_eq!(view.enter(&at("org1")).await.unwrap(), Entry::Yes);
    assert_eq!((view.enter(&at("org1")).await.unwrap(), kcp.asked()), (Entry::Yes, 1), "asked once");
    assert!(matches!(view.look(&at("org1")).await, Ok(Look::Closed)), "he may enter and not list");
    assert_eq!(view.entry("org1"), Entry::Yes, "and that is known now");
    assert_eq!(view.enter(&at("none1")).await.unwrap(), Entry::No);
    let before = kcp.asked();
    assert_eq!(
        (view.enter(&at("none1")).await.unwrap(), kcp.asked()),
        (Entry::No, before),
        "a refusal is kept for display"
    );
    assert!(matches!(view.known("none1"), Some(Look::Refused)));
    assert!(matches!(view.look(&at("none1")).await, Ok(Look::Refused)));
    assert_eq!(kcp.asked(), before + 2, "and is asked again when somebody wants to go there");
    let failure = view.enter(&at("late1")).await.unwrap_err();
    assert_eq!(failure.target.as_deref(), Some("c1:root:x"), "it names the workspace that was asked");
    assert_eq!(view.entry("late1"), Entry::Unknown, "an answer that says nothing is not kept");
}

#[tokio::test]
async fn a_way_that_turned_out_wrong_is_forgotten() {
    let kcp = Kcp::start().await;
    let alice = kcp.client("alice", "root").await;
    alice.workspaces().look(&alice).await.unwrap();
    let gone = WorkspacePath::parse("root:org:gone").unwrap();
    assert!(alice.find(&gone).await.is_err());
    assert!(alice.workspaces().known("root").is_none(), "what she was shown may be out of date");
    let Look::Children(children) = alice.workspaces().look(&alice).await.unwrap() else { panic!("she lists it") };
    assert_eq!((children.items[0].state, children.cut), (State::Ready, false));
}

#[tokio::test]
async fn a_way_that_was_walked_is_walked_from_its_end() {
    let kcp = Kcp::start().await;
    let alice = kcp.client("alice", "root").await;
    let path = |text: &str| WorkspacePath::parse(text).unwrap();
    assert_eq!(alice.find(&path("root:org:team")).await.unwrap().as_str(), "team1");
    assert_eq!(kcp.asked(), 2, "one request for each segment below the first");
    assert_eq!(alice.find(&path("root:org")).await.unwrap().as_str(), "org1");
    assert_eq!(kcp.asked(), 2, "it was passed");
    assert_eq!(alice.find(&path("root:org:other")).await.unwrap().as_str(), "other1");
    assert_eq!(kcp.asked(), 3, "only the last step is new");
    assert!(alice.find(&path("root:org:gone")).await.is_err());
    assert_eq!(kcp.asked(), 6, "from where it was passed, and once more from the top");
}
