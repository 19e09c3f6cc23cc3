//! What workspaces of a real kcp serve, and why not: every cause of facts that a binding can have, the reading tools where
//! kinds are bound, and workspaces that are not well.
//!
//! | workspace                | what is there                                                     | who reads it          |
//! |--------------------------|-------------------------------------------------------------------|-----------------------|
//! | `root:providers:widgets` | the exports                                                       | alice administers     |
//! | `root:consumer`          | one binding for each cause, a CRD, a bound kind of the core group | alice administers     |
//! |                          |                                                                   | bob: configmaps only  |
//! | `root:stuck`             | waits for an initializer for ever                                 | alice, in `root`      |
//! | `root:leaving`           | is being deleted, and an object in it does not go                 | alice                 |

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use testenv::apiserver::{Claim, JwtIssuer};
use testenv::ferry::Ferry;
use testenv::kcp::{Kcp, KcpConfig};
use testenv::mcp::{self, Era};
use testenv::poll;
use testenv::realm::{self, RealmConfig, Realms, RealmsConfig, User};
use testenv::world::RESOURCE;

mod bindings;
mod describing;
mod reading;

const PROVIDER: &str = "root:providers:widgets";
const CONSUMER: &str = "root:consumer";
const RBAC: &str = "rbac.authorization.k8s.io/v1";
/// How long kcp may take to see a role, to bind, or to give up.
const SETTLED: Duration = Duration::from_secs(60);

struct Stage {
    kcp: Kcp,
    ferry: Ferry,
    realms: Realms,
    _folder: TempDir,
}

impl Stage {
    async fn start() -> anyhow::Result<Self> {
        let users = ["alice", "bob"].map(|user| User::new(user, &["dev"]));
        let client = realm::Client::public("mcp-client", &[RESOURCE]);
        let corp = users.into_iter().fold(RealmConfig::new("corp"), RealmConfig::user).client(client);
        let realms = Realms::start(RealmsConfig { realms: vec![corp] }).await?;
        let mut config = KcpConfig::new("kcp-apis");
        let issuer = JwtIssuer::new(&realms.issuer("corp"), realms.ca_pem(), "kcp-eu", "corp:");
        config.authentication =
            vec![JwtIssuer { username: Claim::new("preferred_username", "corp:".to_owned()), ..issuer }];
        let kcp = Kcp::start(config).await?;
        kcp.create_workspace("root", "providers").await?;
        kcp.create_workspace("root:providers", "widgets").await?;
        kcp.create_workspace("root", "consumer").await?;
        for workspace in [PROVIDER, CONSUMER] {
            kcp.apply(workspace, &grants("alice", &["*"], &["*"], &["*"])).await?;
        }
        kcp.apply(CONSUMER, &grants("bob", &["get", "list"], &["configmaps"], &["access"])).await?;

        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("realms-ca.pem"), realms.ca_pem())?;
        std::fs::write(folder.path().join("kcp-ca.pem"), kcp.ca_pem())?;
        let config = format!(
            "[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"corp\"]\n\
             toolsets = [\"core\", \"config\", \"fleet\", \"kcp\", \"extra\"]\n\n\
             [realms.corp]\nissuer = \"{}\"\nca_file = \"realms-ca.pem\"\nallow_private = true\n\
             username_claim = \"preferred_username\"\n\n\
             [clusters.kcp-eu]\nkind = \"kcp\"\nserver = \"{}\"\nca_file = \"kcp-ca.pem\"\nrealm = \"corp\"\n\
             audiences = [\"kcp-eu\"]\nentry = [\"root\"]\nstrategy = \"passthrough\"\n\
             i_accept_token_passthrough = true\n",
            realms.issuer("corp"),
            kcp.url(),
        );
        let file = folder.path().join("kubeferry.toml");
        std::fs::write(&file, config)?;
        let ferry = Ferry::start(Some(&file), &[]).await?;
        let stage = Self { kcp, ferry, realms, _folder: folder };
        for (user, kind) in [("alice", "namespaces"), ("bob", "configmaps")] {
            let client = stage.client(user).await?;
            poll::until(&format!("{user} to read {kind}"), SETTLED, || async {
                let answer = client.call("resources_list", json!({"cluster": at(CONSUMER), "kind": kind})).await;
                let answer = answer.map_err(|error| format!("{error:#}"))?;
                if answer.is_error { Err(answer.text) } else { Ok(()) }
            })
            .await?;
        }
        Ok(stage)
    }

    async fn client(&self, user: &str) -> anyhow::Result<mcp::Client> {
        let token = self.realms.token("corp", user, RESOURCE).audiences(&[RESOURCE, "kcp-eu"]).mint();
        mcp::Client::http(self.ferry.url(), Some(&token), Era::Modern).await
    }

    /// Binds an export of the provider in the consumer.
    async fn bind(&self, export: &str, claims: Value) -> anyhow::Result<()> {
        let binding = json!({"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": export},
            "spec": {"reference": {"export": {"path": PROVIDER, "name": export}}, "permissionClaims": claims}});
        // A new export can be bound a moment later.
        poll::until(&format!("binding {export}"), SETTLED, || async {
            let applied = self.kcp.apply(CONSUMER, std::slice::from_ref(&binding)).await;
            applied.map(drop).map_err(|error| format!("{error:#}"))
        })
        .await?;
        Ok(())
    }

    /// Waits until a binding of the consumer is as `fits` says.
    async fn until_binding(&self, name: &str, fits: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let path = format!("/apis/apis.kcp.io/v1alpha2/apibindings/{name}");
        poll::until(&format!("binding {name}"), SETTLED, || async {
            let binding = self.kcp.get(CONSUMER, &path).await.map_err(|error| format!("{error:#}"))?;
            if fits(&binding["status"]) { Ok(()) } else { Err(binding["status"].to_string()) }
        })
        .await?;
        Ok(())
    }
}

/// The workspace for callers.
fn at(workspace: &str) -> String {
    format!("kcp-eu:{workspace}")
}

/// True when a condition is False for this reason.
fn says(status: &Value, kind: &str, reason: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions
        .any(|condition| condition["type"] == kind && condition["status"] == "False" && condition["reason"] == reason)
}

/// The right to enter a workspace and to do this there.
fn grants(user: &str, verbs: &[&str], resources: &[&str], urls: &[&str]) -> [Value; 2] {
    let name = format!("lab-{user}");
    let rules = json!([
        {"nonResourceURLs": ["/", "*"], "verbs": urls},
        {"apiGroups": ["*"], "resources": resources, "verbs": verbs},
    ]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("corp:{user}")});
    [
        json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}),
        json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": name}, "roleRef": role, "subjects": [subject]}),
    ]
}

fn schema(group: &str, plural: &str, kind: &str, short: &str) -> Value {
    let suffix = if group.is_empty() { "core" } else { group };
    json!({"apiVersion": "apis.kcp.io/v1alpha1", "kind": "APIResourceSchema",
        "metadata": {"name": format!("v1.{plural}.{suffix}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"), "shortNames": [short]},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"type": "object",
                "description": format!("A {kind} of the lab"),
                "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "description": "How large it is"}}}}}}]}})
}

fn export(name: &str, group: &str, plural: &str, claims: &[&str]) -> Value {
    let suffix = if group.is_empty() { "core" } else { group };
    let claims = claims.iter().map(|kind| json!({"group": "", "resource": kind, "verbs": ["get", "list"]}));
    json!({"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": name}, "spec": {
        "resources": [{"group": group, "name": plural, "schema": format!("v1.{plural}.{suffix}"), "storage": {"crd": {}}}],
        "permissionClaims": claims.collect::<Vec<_>>()}})
}

#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn what_a_workspace_serves_and_why_not_is_explained() {
    let stage = Stage::start().await.unwrap();
    // Each part stands alone, and all of them are worth to be known when one fails.
    let mut failed = Vec::new();
    failed.extend(bindings::a_new_binding_is_seen_within_10_s(&stage).await.context("K12").err());
    failed.extend(bindings::each_cause_is_explained(&stage).await.err());
    failed.extend(bindings::lists_show_all_of_it(&stage).await.err());
    failed.extend(bindings::who_may_not_read_bindings_is_told(&stage).await.err());
    failed.extend(reading::tools_read_what_is_bound(&stage).await.err());
    failed.extend(describing::a_workspace_is_described(&stage).await.err());
    failed.extend(describing::what_is_not_well_says_why(&stage).await.err());
    failed.extend(describing::unknown_and_forbidden_are_one_answer(&stage).await.err());
    let failed: Vec<String> = failed.iter().map(|error| format!("{error:#}")).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// An answer that must hold some words.
fn holds(text: &str, words: &[&str]) -> anyhow::Result<()> {
    for word in words {
        ensure!(text.contains(word), "it does not say {word:?}: {text}");
    }
    Ok(())
}
