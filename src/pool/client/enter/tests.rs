//! Rules about workspaces, and what is forgotten, against a listener that answers as a kcp would.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::model::{Access, Cluster, ClusterKind, Failure, PathTrust, Place, Target, ToolRef, WorkspacePath};
use crate::policy::{Effect, Pattern, Policy, PolicyConfig, Rule, RuleMatch};
use crate::pool::tests::{caller, compiled, entry};
use crate::pool::{ClusterClient, Limits, Pool};

const IDENTITY: &str = "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster";
const WORKSPACES: &str = "/apis/tenancy.kcp.io/v1alpha1/workspaces";

/// A kcp with `root:org:team`, and `team1` says that it lies elsewhere: at a mount of its administrator.
struct Kcp {
    cluster: Arc<Cluster>,
    pool: Pool,
    asked: Arc<Mutex<Vec<String>>>,
}

fn answer(path: &str) -> (u16, Value) {
    let workspace =
        |cluster: &str| json!({"metadata": {"name": "x"}, "spec": {"cluster": cluster}, "status": {"phase": "Ready"}});
    let identity = |path: &str| {
        let annotations = json!({"kcp.io/cluster": "team1", "kcp.io/path": path});
        json!({"metadata": {"name": "cluster", "annotations": annotations}})
    };
    let Some((place, rest)) = path.strip_prefix("/clusters/").and_then(|path| path.split_once('/')) else {
        return (404, json!({"kind": "Status", "message": "not found"}));
    };
    match (place, format!("/{rest}").as_str()) {
        ("root", rest) if rest == format!("{WORKSPACES}/org") => (200, workspace("org1")),
        ("org1", rest) if rest == format!("{WORKSPACES}/team") => (200, workspace("team1")),
        ("org1", rest) if rest == format!("{WORKSPACES}/late") => (503, json!({"kind": "Status", "message": "late"})),
        ("org1", rest) if rest == format!("{WORKSPACES}/edge") => {
            (200, json!({"metadata": {"name": "edge"}, "spec": {"mount": {"ref": {"kind": "KubeCluster"}}}}))
        }
        ("org1", rest) if rest.starts_with(&format!("{WORKSPACES}?")) => {
            (200, json!({"kind": "WorkspaceList", "metadata": {}, "items": []}))
        }
        ("org1", IDENTITY) => (200, identity("root:org")),
        ("root:org:own", _) => (401, json!({"kind": "Status", "message": "Unauthorized"})),
        ("root:org:none", _) => (404, json!({"kind": "Status", "reason": "NotFound", "message": "not found"})),
        ("team1" | "root:org:team:mount", IDENTITY) => (200, identity("root:org:team:mount")),
        _ => (403, json!({"kind": "Status", "message": "access denied"})),
    }
}

impl Kcp {
    async fn start(paths: PathTrust) -> Self {
        crate::auth::install_crypto();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 16 * 1024];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
                        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                        let (status, body) = answer(&path);
                        log.lock().unwrap().push(path);
                        let body = body.to_string();
                        let head = format!(
                            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                            body.len()
                        );
                        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let (cluster, compiled) = compiled(&crate::inventory::Entry { kind: ClusterKind::Kcp, ..entry(&url) });
        let cluster = Arc::new(Cluster { paths, ..Cluster::clone(&cluster) });
        let pool = Pool::new([(Arc::clone(&cluster), compiled)], None, Limits::default());
        Self { cluster, pool, asked }
    }

    /// A client of `place` where `denied` is a pattern that a rule denies.
    async fn client(&self, place: &str, denied: Option<&str>) -> Result<ClusterClient, Failure> {
        let rules = denied.map(|pattern| Rule {
            origin: "policy.rules[0]".into(),
            name: "denied".into(),
            matches: RuleMatch { workspace: vec![Pattern::workspace(pattern).unwrap()], ..RuleMatch::default() },
            effect: Effect::Deny,
        });
        let policy = Policy::new(PolicyConfig { rules: rules.into_iter().collect(), ..PolicyConfig::default() });
        let tool = ToolRef { name: "resources_list", toolset: "core", access: Access::Read };
        let place = Place::parse(place).unwrap();
        let target = Target { cluster: Arc::clone(&self.cluster), place, defaulted: None };
        let permit = policy.authorize(caller(), tool, target)?;
        self.pool.client(permit, Instant::now() + Duration::from_secs(10)).await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn path(text: &str) -> WorkspacePath {
    WorkspacePath::parse(text).unwrap()
}

#[tokio::test]
async fn a_rule_is_asked_before_the_way_is_walked() {
    let kcp = Kcp::start(PathTrust::Resolve).await;
    for place in ["org1:team", "org1:team:below"] {
        let refused = kcp.client(place, Some("root:org:team*")).await.unwrap_err();
        assert!(refused.code == "policy" && !refused.to_string().contains("not known"), "{place}: {refused}");
    }
    let expected = [format!("/clusters/org1{IDENTITY}"), format!("/clusters/root{WORKSPACES}/org")];
    assert_eq!(kcp.asked(), expected, "org1 is asked where it is, once, and nothing else");
    for start in ["root:org", "org1"] {
        let client = kcp.client(start, Some("root:org:team*")).await.unwrap();
        kcp.asked();
        for below in ["team", "team:below"] {
            let refused = client.find(&path(&format!("{start}:{below}"))).await.unwrap_err();
            assert_eq!(refused.code, "policy", "{start} {below}: {refused}");
        }
        assert_eq!(client.find(&path("elsewhere1:team")).await.unwrap_err().code, "policy", "it is not known");
        assert_eq!(kcp.asked(), [""; 0]);
    }
    // Where the rule does not hold, the way is walked.
    assert!(kcp.client("org1:team", Some("root:org:teams")).await.is_ok());
}

#[tokio::test]
async fn a_path_that_a_workspace_claims_is_never_sent() {
    for paths in [PathTrust::Trusted, PathTrust::Resolve] {
        let kcp = Kcp::start(paths).await;
        let refused = kcp.client("team1", Some("root:org:team")).await.unwrap_err();
        assert!(refused.code == "policy" && refused.to_string().contains("not known"), "{paths:?}: {refused}");
        let asked = kcp.asked();
        assert!(asked.iter().any(|path| path == &format!("/clusters/team1{IDENTITY}")), "{paths:?}: {asked:?}");
        assert!(!asked.iter().any(|path| path.contains(':')), "{paths:?}: {asked:?}");
    }
    // What the caller wrote is sent as it is.
    let kcp = Kcp::start(PathTrust::Trusted).await;
    let client = kcp.client("root:org:other", Some("root:org:team")).await.unwrap();
    assert!(client.whoami().await.is_err());
    assert!(kcp.asked()[0].starts_with("/clusters/root:org:other/"));
}

#[tokio::test]
async fn only_a_path_of_the_caller_that_leads_nowhere_is_news() {
    let kcp = Kcp::start(PathTrust::Resolve).await;
    let org = kcp.client("root:org", None).await.unwrap();
    let seen = || org.workspaces().known("org1").is_some();
    for (kept, written, wrong) in [
        (true, true, "root:org:late"),
        (true, true, "root:org:edge"),
        (true, false, "root:org:gone"),
        (false, true, "root:org:gone"),
    ] {
        org.workspaces().look(&org).await.unwrap();
        assert!(seen());
        let wrong = path(wrong);
        let found = if written { org.find(&wrong).await } else { org.find_told(&wrong).await };
        assert!(found.is_err(), "{wrong}");
        assert_eq!(seen(), kept, "{wrong} {written}");
    }
    // As the target of a call.
    for (kept, wrong) in [(true, "root:org:late"), (false, "root:org:gone")] {
        org.workspaces().look(&org).await.unwrap();
        assert!(kcp.client(wrong, None).await.is_err());
        assert_eq!(seen(), kept, "{wrong}");
    }
}

#[tokio::test]
async fn a_path_that_is_sent_says_nothing_of_what_is_there() {
    let mut kcp = Kcp::start(PathTrust::Trusted).await;
    let heard = async |kcp: &Kcp, place: &str| {
        let client = kcp.client(place, None).await.unwrap();
        let failure = client.whoami().await.unwrap_err();
        client.heard(failure).await
    };
    let mut said = Vec::new();
    for place in ["root:org:own", "root:org:none"] {
        let failure = heard(&kcp, place).await;
        assert!(failure.hint.as_ref().is_some_and(|hint| hint.contains("authenticator is starting")), "{failure:?}");
        said.push((failure.code, failure.kind, failure.retry, format!("{failure} {:?}", failure.hint)));
    }
    let (code, kind, retry, words) = said.remove(0);
    assert_eq!((code, kind, retry, words.replace("org:own", "org:none")), said.remove(0));
    // What the operator names is no secret.
    let entry = vec![path("root:org:own")];
    kcp.cluster = Arc::new(Cluster { entry, ..Cluster::clone(&kcp.cluster) });
    assert_eq!(heard(&kcp, "root:org:own").await.code, "cluster_rejected_credential");
}
