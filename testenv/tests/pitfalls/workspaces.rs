//! Pitfalls of workspaces that no scenario is about.

use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};
use testenv::simulator::{Fault, ResourceType, Simulator};
use testenv::tap::Tap;
use testenv::world::Lab;

use crate::lab::bench::{bad, good};
use crate::lab::kcp::cell;
use crate::lab::scene::{Scene, play};
use crate::lab::shard::{Right, Shard, another_entry, entry};

/// A simulated kcp of a test's own, the entry `kcp` of the program.
struct Own<'a> {
    scene: &'a Scene,
    shard: Shard,
    tap: Tap,
    ferry: Ferry,
}

impl<'a> Own<'a> {
    async fn start(scene: &'a Scene, shard: Shard) -> anyhow::Result<Self> {
        let (tap, text) = entry(scene, "kcp", shard.url(), shard.ca_pem()).await?;
        let ferry = Ferry::start(Some(&scene.world.config_with(&text)), &[("KUBEFERRY_LOG", "debug")]).await?;
        Ok(Self { scene, shard, tap, ferry })
    }

    async fn alice(&self) -> anyhow::Result<Client> {
        Client::http(self.ferry.url(), Some(&self.scene.token("corp", "alice")), Era::Modern).await
    }

    fn simulator(&self) -> &Simulator {
        match &self.shard {
            Shard::Simulated(simulator) => simulator,
            Shard::Real(_) => panic!("a test of what a simulator shows"),
        }
    }
}

const ALICE: [(&str, Right); 1] = [("alice", Right::Everything)];

fn list(place: &str, kind: &str) -> Value {
    json!({"cluster": format!("kcp:{place}"), "kind": kind, "namespace": "default"})
}

/// 2. `GET` and `HEAD` of `workspaces/~` create.
#[test]
fn no_read_makes_a_home_workspace() {
    play(Lab::Simulated, |scene| Box::pin(home(scene)));
}

async fn home(scene: &Scene) -> anyhow::Result<()> {
    let own = Own::start(scene, Shard::start(scene, "home", &[]).await?).await?;
    let alice = own.alice().await?;
    own.tap.clear();
    for (tool, question) in [
        ("resources_get", json!({"cluster": "kcp:root", "kind": "workspaces.tenancy.kcp.io", "name": "~"})),
        ("resources_list", json!({"cluster": "kcp:root", "kind": "workspaces", "fieldSelector": "metadata.name=~"})),
        ("kcp_workspaces_list", json!({"cluster": "kcp", "workspace": "~"})),
        ("kcp_workspaces_list", json!({"cluster": "~", "from": "kcp:root"})),
        ("kcp_workspace_tree", json!({"cluster": "kcp", "under": "~"})),
        ("kcp_workspaces_find", json!({"cluster": "kcp", "name": "~"})),
    ] {
        // Some are refused, others find nothing.
        alice.call(tool, question).await?;
    }
    let home = |path: &str| path.split('?').next().is_some_and(|path| path.contains('~'));
    let asked: Vec<String> = own.tap.requests().into_iter().map(|request| request.path).collect();
    assert!(!asked.iter().any(|path| home(path)), "{asked:?}");
    Ok(())
}

/// 4. alice is an administrator of one and a reader of ConfigMaps in the next, whatever was asked first.
#[test]
fn access_to_one_workspace_says_nothing_of_another() {
    play(Lab::Simulated, |scene| Box::pin(rights(scene)));
}

async fn rights(scene: &Scene) -> anyhow::Result<()> {
    let shard = Shard::start(scene, "rights", &[]).await?;
    shard.workspace(scene, "root:org", &ALICE).await?;
    let below = shard.workspace(scene, "root:org:below", &[("alice", Right::Configmaps)]).await?;
    let own = Own::start(scene, shard).await?;
    let alice = own.alice().await?;
    for _ in 0..2 {
        good(&alice, "resources_list", list("root:org", "secrets")).await?;
        for place in ["root:org:below", &below] {
            let refused = bad(&alice, "resources_list", list(place, "secrets")).await?;
            assert!(refused.text.contains("secrets") && refused.text.contains("forbidden"), "{}", refused.text);
            good(&alice, "resources_list", list(place, "configmaps")).await?;
        }
    }
    Ok(())
}

/// 9. The same at a front-proxy as at a shard; by a path that a moment ago was refused.
#[test]
fn a_workspace_that_was_not_there_is_found_by_the_next_call() {
    play(Lab::Simulated, |scene| Box::pin(late(scene)));
}

async fn late(scene: &Scene) -> anyhow::Result<()> {
    for shard in [Shard::start(scene, "late", &[]).await?, Shard::behind_front_proxy(scene).await?] {
        shard.workspace(scene, "root:org", &ALICE).await?;
        let own = Own::start(scene, shard).await?;
        let alice = own.alice().await?;
        bad(&alice, "resources_list", list("root:org:new", "configmaps")).await?;
        own.shard.workspace(scene, "root:org:new", &ALICE).await?;
        good(&alice, "resources_list", list("root:org:new", "configmaps")).await?;
    }
    Ok(())
}

/// 11. Kinds of one name, in several versions and scopes.
#[test]
fn a_kind_is_what_its_own_workspace_serves() {
    play(Lab::Simulated, |scene| Box::pin(kinds(scene)));
}

async fn kinds(scene: &Scene) -> anyhow::Result<()> {
    let own = Own::start(scene, Shard::start(scene, "kinds", &[]).await?).await?;
    let widget = |version: &str| ResourceType::custom("example.io", version, "Widget", "widgets");
    own.shard.workspace(scene, "root:org", &ALICE).await?;
    for (path, resource) in
        [("root:org:a", widget("v1")), ("root:org:b", widget("v2")), ("root:org:c", widget("v1").cluster_scoped())]
    {
        own.shard.workspace(scene, path, &ALICE).await?;
        own.simulator().workspace(path).register(resource);
    }
    let alice = own.alice().await?;
    own.simulator().clear_requests();
    for (path, asked) in [
        ("root:org:a", "/apis/example.io/v1/namespaces/default/widgets"),
        ("root:org:b", "/apis/example.io/v2/namespaces/default/widgets"),
        ("root:org:c", "/apis/example.io/v1/widgets"),
    ] {
        let name = own.simulator().workspace(path).name();
        good(&alice, "resources_list", list(path, "widgets.example.io")).await?;
        let requests = own.simulator().requests();
        let wanted = format!("/clusters/{name}{asked}?");
        assert!(requests.iter().any(|request| request.target.starts_with(&wanted)), "{wanted} was asked");
    }
    bad(&alice, "resources_list", list("root:org", "widgets.example.io")).await?;
    Ok(())
}

/// 13. A kcp may be set up so that ordinary users get 403 for all three.
#[test]
fn what_reads_needs_no_review() {
    play(Lab::Simulated, |scene| Box::pin(reviews(scene)));
}

async fn reviews(scene: &Scene) -> anyhow::Result<()> {
    let shard = Shard::start(scene, "reviews", &[]).await?;
    shard.workspace(scene, "root:org", &ALICE).await?;
    shard.workspace(scene, "root:org:team", &ALICE).await?;
    let own = Own::start(scene, shard).await?;
    for review in ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"] {
        own.simulator().inject(review, Fault::Status { code: 403, retry_after: None }, None);
    }
    let alice = own.alice().await?;
    let org = json!({"cluster": "kcp:root:org"});
    for (tool, question) in [
        ("kcp_workspaces_list", org.clone()),
        ("kcp_workspace_tree", org.clone()),
        ("kcp_workspaces_find", org),
        ("namespaces_list", json!({"cluster": "kcp:root:org:team"})),
        ("resources_list", list("root:org:team", "configmaps")),
    ] {
        good(&alice, tool, question).await?;
    }
    let refused = bad(&alice, "whoami", json!({"cluster": "kcp:root:org:team"})).await?;
    assert!(refused.text.contains("kcp:root:org:team"), "{}", refused.text);
    Ok(())
}

/// 22. Two entries of one server, each for a realm of its own.
#[test]
fn a_realm_reaches_its_own_entry_of_a_server_only() {
    play(Lab::Simulated, |scene| Box::pin(entries(scene)));
}

async fn entries(scene: &Scene) -> anyhow::Result<()> {
    let shard = Shard::start(scene, "entries", &[]).await?;
    shard.workspace(scene, "root:org", &ALICE).await?;
    let (tap, first) = entry(scene, "kcp", shard.url(), shard.ca_pem()).await?;
    let second = another_entry(scene, "kcp-acme", &tap)?.replace("realm = \"corp\"", "realm = \"acme\"");
    let ferry = Ferry::start(Some(&scene.world.config_with(&format!("{first}{second}"))), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    let carol = Client::http(ferry.url(), Some(&scene.token("acme", "carol")), Era::Modern).await?;
    let question =
        |cluster: &str| json!({"cluster": format!("{cluster}:root:org"), "kind": "configmaps", "namespace": "default"});
    good(&alice, "resources_list", question("kcp")).await?;
    tap.clear();
    for (who, other) in [(&carol, "kcp"), (&alice, "kcp-acme")] {
        let refused = bad(who, "resources_list", question(other)).await?;
        let unknown = bad(who, "resources_list", question("kcp-none")).await?;
        assert_eq!(code(&refused.structured), code(&unknown.structured), "{}", refused.text);
    }
    assert!(tap.requests().is_empty(), "a token of one realm was sent for an entry of the other");
    Ok(())
}

fn code(structured: &Option<Value>) -> Option<&str> {
    structured.as_ref()?["code"].as_str()
}

/// 23. `/healthz` of a workspace answers whoever has any valid token.
#[test]
fn health_is_no_proof_of_access() {
    play(Lab::Simulated, |scene| Box::pin(health(scene)));
}

async fn health(scene: &Scene) -> anyhow::Result<()> {
    let shard = Shard::start(scene, "health", &[]).await?;
    shard.workspace(scene, "root:org", &ALICE).await?;
    shard.workspace(scene, "root:org:shut", &[]).await?;
    let own = Own::start(scene, shard).await?;
    let alice = own.alice().await?;
    let listed = good(&alice, "kcp_workspaces_list", json!({"cluster": "kcp:root:org"})).await?;
    assert_eq!(cell(&listed.text, "root:org:shut", "ACCESS"), Some("no"), "{}", listed.text);
    let asked: Vec<String> = own.tap.requests().into_iter().map(|request| request.path).collect();
    assert!(asked.iter().any(|path| path.ends_with("/version")), "{asked:?}");
    assert!(!asked.iter().any(|path| path.ends_with("z")), "{asked:?}");
    Ok(())
}
