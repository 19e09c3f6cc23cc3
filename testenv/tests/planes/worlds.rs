//! Workspaces with an authentication of their own on a real kcp, each a cluster entry of its own at the same server.
//!
//! | entry       | workspace          | its issuer                        | who reaches it |
//! |-------------|--------------------|-----------------------------------|----------------|
//! | `kcp-eu`    | `root:org`         | corp, as in every workspace       | alice          |
//! | `kcp-plant` | `root:plant-world` | plant                             | peter          |
//! | `kcp-slow`  | `root:slow-world`  | slow, which answers late at first | sam            |
//! | `kcp-dead`  | `root:dead-world`  | dead, which never answers         | dora           |

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use serde_json::json;
use tempfile::TempDir;
use testenv::apiserver::{Claim, Client, Credential, JwtIssuer};
use testenv::faults::{self, Broken};
use testenv::ferry::Ferry;
use testenv::kcp::{Kcp, KcpConfig};
use testenv::mcp::{self, Called, Era};
use testenv::poll;
use testenv::realm::{self, Endpoint, Fault, RealmConfig, Realms, RealmsConfig, User};
use testenv::tap::{Tap, TapConfig, digest};
use testenv::world::RESOURCE;

use crate::lab::bench::{bad, good, names};

/// kcp's own audience, which everybody's token for a workspace should have.
const KCP: &str = "https://kcp.default.svc";
/// Realm, its user, and the workspace.
const WORLDS: [(&str, &str, &str); 3] =
    [("plant", "peter", "plant-world"), ("slow", "sam", "slow-world"), ("dead", "dora", "dead-world")];
/// How long the slow realm takes for its discovery document.
const SLOW: Duration = Duration::from_secs(3);
/// After this a kcp tries again to start an authenticator that failed.
const FORGOTTEN: Duration = Duration::from_secs(11);
/// Within this a call ends that has to wait for nobody: some milliseconds on an idle machine.
const FAST: Duration = Duration::from_secs(2);
/// How long a kcp may take to see new roles.
const SETTLED: Duration = Duration::from_secs(60);
const RBAC: &str = "rbac.authorization.k8s.io/v1";

struct Stage {
    ferry: Ferry,
    tap: Tap,
    realms: Realms,
    _kcp: Kcp,
    _dead: Broken,
    _folder: TempDir,
}

impl Stage {
    async fn start() -> anyhow::Result<Self> {
        let users = [("corp", "alice")].into_iter().chain(WORLDS.map(|(realm, user, _)| (realm, user)));
        let client = realm::Client::public("mcp-client", &[RESOURCE]);
        let realms =
            users.map(|(realm, user)| RealmConfig::new(realm).user(User::new(user, &["dev"])).client(client.clone()));
        let realms = Realms::start(RealmsConfig { realms: realms.collect() }).await?;
        let dead = Broken::start(faults::Fault::Silent).await?;
        let kcp = kcp(&realms, &dead).await?;
        let tap = Tap::start(TapConfig::new("kcp", kcp.url().trim_start_matches("https://"), kcp.ca_pem())).await?;

        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("realms-ca.pem"), realms.ca_pem())?;
        std::fs::write(folder.path().join("kcp-ca.pem"), tap.ca_pem())?;
        let mut config =
            format!("[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"corp\", \"plant\", \"slow\", \"dead\"]\n");
        for realm in ["corp", "plant", "slow", "dead"] {
            write!(
                config,
                "\n[realms.{realm}]\nissuer = \"{}\"\nca_file = \"realms-ca.pem\"\nallow_private = true\n\
                 username_claim = \"preferred_username\"\n",
                realms.issuer(realm)
            )?;
        }
        config.push_str(&entry(&tap, "kcp-eu", "corp", "\"kcp-eu\"", "entry = [\"root:org\"]"));
        for (realm, _, workspace) in WORLDS {
            let audiences = format!("\"{KCP}\", \"{workspace}\"");
            // Its users read nothing of root, and no mount is there.
            let more = format!("entry = [\"root:{workspace}\"]\npaths = \"trusted\"");
            config.push_str(&entry(&tap, &format!("kcp-{realm}"), realm, &audiences, &more));
        }
        let file = folder.path().join("kubeferry.toml");
        std::fs::write(&file, config)?;
        let ferry = Ferry::start(Some(&file), &[]).await?;
        Ok(Self { ferry, tap, realms, _kcp: kcp, _dead: dead, _folder: folder })
    }

    fn token(&self, realm: &str, user: &str, audiences: &[&str]) -> String {
        let all: Vec<&str> = [RESOURCE].iter().chain(audiences).copied().collect();
        self.realms.token(realm, user, RESOURCE).audiences(&all).mint()
    }

    async fn client(&self, realm: &str, user: &str, audiences: &[&str]) -> anyhow::Result<mcp::Client> {
        self.holder(&self.token(realm, user, audiences)).await
    }

    async fn holder(&self, token: &str) -> anyhow::Result<mcp::Client> {
        mcp::Client::http(self.ferry.url(), Some(token), Era::Modern).await
    }
}

fn entry(tap: &Tap, name: &str, realm: &str, audiences: &str, more: &str) -> String {
    format!(
        "\n[clusters.{name}]\nkind = \"kcp\"\nserver = \"{}\"\nca_file = \"kcp-ca.pem\"\nrealm = \"{realm}\"\n\
         audiences = [{audiences}]\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n{more}\n",
        tap.url()
    )
}

/// A kcp with all workspaces, each with a ConfigMap `here` that its user reads.
async fn kcp(realms: &Realms, dead: &Broken) -> anyhow::Result<Kcp> {
    let issuer = |realm: &str, audience: &str| {
        let prefix = format!("{realm}:");
        let issuer = JwtIssuer::new(&realms.issuer(realm), realms.ca_pem(), audience, &prefix);
        JwtIssuer { username: Claim::new("preferred_username", prefix), ..issuer }
    };
    let mut config = KcpConfig::new("kcp-worlds");
    config.authentication = vec![issuer("corp", "kcp-eu")];
    config.feature_gates = vec!["WorkspaceAuthentication=true".to_owned()];
    let kcp = Kcp::start(config).await?;
    kcp.create_workspace("root", "org").await?;
    fill(&kcp, "root:org", "corp:alice").await?;
    // An administrator's visit starts the authenticator too; it must not stay, for sam's to be the first.
    realms.fault("slow", Endpoint::Discovery, Fault::Status(503));
    let worlds = WORLDS.map(|(realm, user, workspace)| {
        let mut issuer = issuer(realm, workspace);
        if realm == "dead" {
            issuer.discovery_url = Some(format!("{}/.well-known/openid-configuration", dead.url()));
        }
        let kcp = &kcp;
        async move {
            kcp.create_world("root", workspace, &issuer).await?;
            fill(kcp, &format!("root:{workspace}"), &format!("{realm}:{user}")).await
        }
    });
    try_join_all(worlds).await?;
    realms.heal("slow");
    let token = realms.mint("corp", "alice", "kcp-eu");
    let alice = Client::new(&kcp.workspace_url("root:org"), kcp.ca_pem(), Credential::Token(&token))?;
    poll::until("alice to read root:org", SETTLED, || async {
        alice.get("/api/v1/namespaces/default/configmaps").await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    Ok(kcp)
}

async fn fill(kcp: &Kcp, workspace: &str, user: &str) -> anyhow::Result<()> {
    let rules = json!([
        {"nonResourceURLs": ["/", "*"], "verbs": ["access", "get"]},
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
    ]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"});
    let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user});
    let metadata = json!({"name": "reader"});
    kcp.apply(
        workspace,
        &[
            json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": metadata, "rules": rules}),
            json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": metadata, "roleRef": role, "subjects": [subject]}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "here", "namespace": "default"}}),
        ],
    )
    .await
    .map(drop)
}

fn maps(cluster: &str) -> serde_json::Value {
    json!({"cluster": cluster, "kind": "configmaps", "namespace": "default"})
}

async fn reads_here(client: &mcp::Client, cluster: &str) -> anyhow::Result<Called> {
    let listed = good(client, "resources_list", maps(cluster)).await?;
    ensure!(names(&listed.text).contains(&"here".to_owned()), "{cluster}: {}", listed.text);
    Ok(listed)
}

#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn a_workspace_with_its_own_authentication_is_a_cluster_of_its_own() {
    let stage = Stage::start().await.unwrap();
    each_reaches_their_own(&stage).await.unwrap();
    one_of_two_audiences_is_not_enough(&stage).await.unwrap();
    a_slow_first_visit_holds_up_nobody_else(&stage).await.unwrap();
    a_dead_issuer_holds_up_nobody_else(&stage).await.unwrap();
}

async fn each_reaches_their_own(stage: &Stage) -> anyhow::Result<()> {
    let tokens = [stage.token("corp", "alice", &["kcp-eu"]), stage.token("plant", "peter", &[KCP, "plant-world"])];
    let (alice, peter) = (stage.holder(&tokens[0]).await?, stage.holder(&tokens[1]).await?);
    reads_here(&alice, "kcp-eu").await?;
    poll::until("peter to read his workspace", SETTLED, || async {
        reads_here(&peter, "kcp-plant").await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    reads_here(&peter, "kcp-plant:root:plant-world").await?;
    let whoami = good(&peter, "whoami", json!({"cluster": "kcp-plant"})).await?;
    ensure!(whoami.text.contains("plant:peter"), "{}", whoami.text);

    for (client, theirs, other) in [(&alice, "kcp-eu", "kcp-plant"), (&peter, "kcp-plant", "kcp-eu")] {
        let clusters = good(client, "clusters_list", json!({})).await?;
        ensure!(names(&clusters.text) == [theirs], "{}", clusters.text);
        let refused = bad(client, "resources_list", maps(other)).await?;
        ensure!(code(&refused) == "unknown_target", "{}", refused.text);
    }
    for request in stage.tap.requests() {
        let plant = request.path.starts_with("/clusters/root:plant-world/");
        let expected = digest(&tokens[usize::from(plant)]);
        ensure!(request.credentials.len() == 1, "{}: {:?}", request.path, request.credentials);
        ensure!(request.credentials.contains(&expected), "{} saw another token", request.path);
    }
    // Elsewhere in this kcp his token is worth nothing, and the answer says what to do about that.
    let refused = bad(&peter, "resources_list", maps("kcp-plant:root")).await?;
    ensure!(code(&refused) == "cluster_rejected_credential", "{}", refused.text);
    Ok(())
}

async fn one_of_two_audiences_is_not_enough(stage: &Stage) -> anyhow::Result<()> {
    let peter = stage.client("plant", "peter", &[KCP]).await?;
    let refused = bad(&peter, "resources_list", maps("kcp-plant")).await?;
    ensure!(code(&refused) == "cluster_rejected_credential", "{}", refused.text);
    ensure!(refused.text.contains("lacks the audience \"plant-world\""), "{}", refused.text);
    // What the answer says is done, and it works.
    let peter = stage.client("plant", "peter", &[KCP, "plant-world"]).await?;
    reads_here(&peter, "kcp-plant").await?;
    Ok(())
}

async fn a_slow_first_visit_holds_up_nobody_else(stage: &Stage) -> anyhow::Result<()> {
    let sam = stage.client("slow", "sam", &[KCP, "slow-world"]).await?;
    // kubeferry has the realm's keys before the realm gets slow.
    good(&sam, "clusters_list", json!({})).await?;
    stage.realms.fault("slow", Endpoint::Discovery, Fault::Delay(SLOW));
    poll::pause(FORGOTTEN).await;
    let began = Instant::now();
    let (waited, others) = beside(stage, bad_or_good(&sam, "kcp-slow")).await?;
    let took = began.elapsed();
    ensure!(took > SLOW / 2, "the slow realm was not waited for: {took:?}");
    ensure!(others < FAST, "others waited {others:?} while it took {took:?}");
    stage.realms.heal("slow");
    if waited.is_error {
        ensure!(waited.text.contains("try again in 10 s"), "{}", waited.text);
    }
    poll::until("sam to read his workspace", SETTLED, || async {
        reads_here(&sam, "kcp-slow").await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    Ok(())
}

async fn a_dead_issuer_holds_up_nobody_else(stage: &Stage) -> anyhow::Result<()> {
    let dora = stage.client("dead", "dora", &[KCP, "dead-world"]).await?;
    let began = Instant::now();
    let (refused, others) = beside(stage, bad_or_good(&dora, "kcp-dead")).await?;
    let took = began.elapsed();
    ensure!(took > Duration::from_secs(5), "kcp holds the request for the issuer: {took:?}");
    ensure!(others < FAST, "others waited {others:?} while it took {took:?}");
    ensure!(refused.is_error && code(&refused) == "cluster_rejected_credential", "{}", refused.text);
    ensure!(refused.text.contains("try again in 10 s"), "{}", refused.text);
    let twin = refused.structured.as_ref();
    ensure!(twin.is_some_and(|twin| twin["retry_after_ms"] == 10_000), "{twin:?}");
    Ok(())
}

async fn bad_or_good(client: &mcp::Client, cluster: &str) -> anyhow::Result<Called> {
    client.call("resources_list", maps(cluster)).await
}

/// Waits for `slow` while alice and peter call again and again; the answer, and the longest of their calls.
async fn beside(
    stage: &Stage,
    slow: impl Future<Output = anyhow::Result<Called>>,
) -> anyhow::Result<(Called, Duration)> {
    let alice = stage.client("corp", "alice", &["kcp-eu"]).await?;
    let peter = stage.client("plant", "peter", &[KCP, "plant-world"]).await?;
    let mut longest = Duration::ZERO;
    let mut calls = 0;
    let others = async {
        loop {
            for (client, cluster) in [(&alice, "kcp-eu"), (&peter, "kcp-plant")] {
                let began = Instant::now();
                reads_here(client, cluster).await?;
                longest = longest.max(began.elapsed());
                calls += 1;
            }
        }
    };
    let answer = tokio::select! {
        answer = slow => answer?,
        ended = others => return ended,
    };
    ensure!(calls >= 10, "only {calls} calls of others meanwhile, {longest:?} the longest: {}", answer.text);
    Ok((answer, longest))
}

fn code(called: &Called) -> &str {
    called.structured.as_ref().and_then(|twin| twin["code"].as_str()).unwrap_or_default()
}
