//! Workspaces of a kcp.

use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Called, Client, Era};
use testenv::simulator::{JwtIssuer, Keys, Rule, SimConfig, Simulator};
use testenv::tap::{Tap, TapConfig};

use crate::lab::bench::{bad, good, names};
use crate::lab::scene::Scene;

fn configmaps(cluster: &str) -> Value {
    json!({"cluster": cluster, "kind": "configmaps", "namespace": "default"})
}

/// Every spelling of a path leads to the workspace, and below no path of several segments is a credential ever sent.
pub async fn a_path_becomes_a_logical_cluster_name(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let get = |mut target: Value| {
        for (name, value) in [("kind", "configmap"), ("namespace", "default"), ("name", "here")] {
            target[name] = value.into();
        }
        target
    };
    for (target, place) in [
        (json!({"cluster": "kcp-eu:root:org"}), "org"),
        (json!({"cluster": "kcp-eu:root:org:team-a"}), "team-a"),
        (json!({"cluster": "kcp-eu", "workspace": "root:org:team-a"}), "team-a"),
        (json!({"cluster": "kcp-eu", "workspace": ":root:org:team-a"}), "team-a"),
        (json!({"cluster": "team-a", "from": "kcp-eu:root:org"}), "team-a"),
        (json!({"cluster": "..", "from": "kcp-eu:root:org:team-a"}), "org"),
        (json!({"cluster": "kcp-eu", "workspace": "../team-a", "from": "kcp-eu:root:org:team-b"}), "team-a"),
        (json!({"from": "kcp-eu:root:org:team-a"}), "team-a"),
    ] {
        let answer = good(&alice, "resources_get", get(target.clone())).await?;
        assert!(answer.text.contains(&format!("where: {place}")), "{target}: {}", answer.text);
    }
    let listed = json!({"cluster": "kcp-eu:root:org", "kind": "workspaces"});
    let listed = names(&good(&alice, "resources_list", listed).await?.text);
    assert_eq!(listed, ["team-a", "team-b"]);
    let whoami = good(&alice, "whoami", json!({"cluster": "kcp-eu:root:org:team-a"})).await?;
    assert!(whoami.text.contains("corp:alice"), "{}", whoami.text);
    no_request_below_a_path(&scene.world.kcp.tap);
    Ok(())
}

/// A shard forwards whatever is below a mount, credential and all, to any URL: nothing may be sent there.
pub async fn a_mount_never_sees_a_credential(scene: &Scene) -> anyhow::Result<()> {
    let sink = Tap::sink("mount", 200).await?;
    let realms = &scene.world.realms;
    let keys = Keys::Discovery { ca_pem: realms.ca_pem().to_owned() };
    let issuer = JwtIssuer::new(&realms.issuer("corp"), keys, "kcp-eu", "corp:");
    let kcp = Simulator::start(SimConfig::kcp().issuer(issuer)).await?;
    let org = kcp.workspace("root:org");
    org.allow(Rule::user("corp:alice").everything());
    kcp.workspace("root:org:team").allow(Rule::user("corp:alice").everything());
    kcp.mount("root:org:mounted", &sink.url());
    kcp.mount("root:org:pending", "");
    let tap = Tap::start(TapConfig::new("kcp-m", kcp.url().trim_start_matches("https://"), kcp.ca_pem())).await?;
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, tap.ca_pem())?;
    let config = format!(
        "[clusters.kcp-m]\nkind = \"kcp\"\nserver = \"{}\"\nca_file = \"{}\"\nrealm = \"corp\"\nentry = [\"root\"]\n\
         audiences = [\"kcp-eu\"]\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n",
        tap.url(),
        ca.display()
    );
    let ferry = Ferry::start(Some(&scene.world.config_with(&config)), &[("KUBEFERRY_LOG", "debug")]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;

    let listed = good(&alice, "resources_list", json!({"cluster": "kcp-m:root:org", "kind": "workspaces"})).await?;
    let mut found = names(&listed.text);
    found.sort();
    assert_eq!(found, ["mounted", "pending", "team"], "a mount is listed: {}", listed.text);
    let object = json!({"cluster": "kcp-m:root:org", "kind": "workspace", "name": "mounted"});
    good(&alice, "resources_get", object).await?;
    for target in [
        json!({"cluster": "kcp-m:root:org:mounted"}),
        json!({"cluster": "kcp-m", "workspace": "root:org:mounted"}),
        json!({"cluster": "kcp-m:root:org:mounted:below"}),
        json!({"cluster": "mounted", "from": "kcp-m:root:org"}),
        json!({"cluster": "mounted:below", "from": "kcp-m:root:org"}),
        json!({"cluster": "../mounted", "from": "kcp-m:root:org:team"}),
        json!({"from": "kcp-m:root:org:mounted"}),
        json!({"cluster": "kcp-m:root:org:pending"}),
    ] {
        for tool in ["namespaces_list", "whoami"] {
            let refused = bad(&alice, tool, target.clone()).await?;
            assert!(refused.text.contains("mount"), "{tool} {target} says why: {}", refused.text);
        }
    }
    for target in ["..", "."] {
        let up = json!({"cluster": target, "from": "kcp-m:root:org:mounted", "kind": "workspaces"});
        // `..` of a mount is its parent, which is no mount.
        let answered = alice.call("resources_list", up).await?;
        assert_eq!(answered.is_error, target == ".", "{target}: {}", answered.text);
    }
    assert_eq!((sink.connections(), sink.requests().len()), (0, 0), "the mount's target saw something");
    let forwarded = kcp.requests().into_iter().find(|request| request.forwarded);
    assert!(forwarded.is_none(), "a request was forwarded: {forwarded:?}");
    no_request_below_a_path(&tap);
    scene.assert_no_secret(&ferry.log());
    Ok(())
}

/// Access to a workspace implies nothing about its parents: whoever cannot read them uses the name.
pub async fn a_logical_cluster_name_needs_no_parent(scene: &Scene) -> anyhow::Result<()> {
    let bob = scene.client("corp", "bob").await?;
    let name = scene.world.logical_cluster("root:org:team-b");
    let listed = good(&bob, "resources_list", configmaps(&format!("kcp-eu:{name}"))).await?;
    assert!(names(&listed.text).contains(&"here".to_owned()), "{}", listed.text);
    let listed = json!({"cluster": "kcp-eu", "workspace": name, "kind": "configmaps", "namespace": "default"});
    good(&bob, "resources_list", listed).await?;
    let refused = bad(&bob, "resources_list", configmaps("kcp-eu:root:org:team-b")).await?;
    let says = |word: &str| assert!(refused.text.contains(word), "it says {word:?}: {}", refused.text);
    says("logical cluster name");
    says("trusted");
    no_request_below_a_path(&scene.world.kcp.tap);
    Ok(())
}

/// A 403 and a 404 are "no or unknown", by path and by name.
pub async fn unknown_and_forbidden_workspaces_answer_alike(scene: &Scene) -> anyhow::Result<()> {
    let (alice, bob) = (scene.client("corp", "alice").await?, scene.client("corp", "bob").await?);
    let name = |path: &str| scene.world.logical_cluster(path);
    let unknown = "1zzzzzzzzzzzzzz1";
    assert_eq!(name("root:org:team-a").len(), unknown.len(), "names are alike");
    for (who, forbidden, unknown) in [
        (&bob, "root:org:team-a".to_owned(), "root:org:team-q".to_owned()),
        (&bob, name("root:org:team-a"), unknown.to_owned()),
        (&bob, name("root:org"), unknown.to_owned()),
        (&alice, name("root:org:team-b"), unknown.to_owned()),
    ] {
        for tool in ["resources_list", "whoami", "namespaces_list"] {
            let ask = async |place: &str| {
                let mut question = json!({"cluster": format!("kcp-eu:{place}")});
                if tool == "resources_list" {
                    question["kind"] = "configmaps".into();
                }
                bad(who, tool, question).await
            };
            let (one, other) = (ask(&forbidden).await?, ask(&unknown).await?);
            assert_eq!(without(&one, &forbidden), without(&other, &unknown), "{tool} at {forbidden}");
        }
    }
    // Where the parent can be read, what is not there is said to be not there.
    let missing = bad(&alice, "namespaces_list", json!({"cluster": "kcp-eu:root:org:team-q"})).await?;
    assert!(missing.text.contains("team-q"), "{}", missing.text);
    Ok(())
}

/// An answer without the workspace's name, whole or last segment.
fn without(called: &Called, place: &str) -> (String, String) {
    let twin = called.structured.as_ref().map(Value::to_string).unwrap_or_default();
    let last = place.rsplit(':').next().unwrap_or(place);
    let clean = |text: String| text.replace(place, "PLACE").replace(last, "LAST");
    (clean(called.text.clone()), clean(twin))
}

/// A workspace without pods says so, instead of a 404.
pub async fn what_a_workspace_does_not_serve_is_said(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    for kind in ["pods", "Pod", "deployments.apps"] {
        let refused = bad(&alice, "resources_list", json!({"cluster": "kcp-eu:root:org:team-a", "kind": kind})).await?;
        assert!(refused.text.contains("does not serve"), "{kind}: {}", refused.text);
        assert!(refused.text.contains("workspace"), "{kind}: {}", refused.text);
    }
    Ok(())
}

fn no_request_below_a_path(tap: &Tap) {
    for request in tap.requests() {
        let place = request.path.strip_prefix("/clusters/").and_then(|rest| rest.split(['/', '?']).next());
        let place = place.unwrap_or_else(|| panic!("a request outside all workspaces: {}", request.path));
        let is_name = place.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        assert!(is_name, "a credential below a path: {}", request.path);
    }
}
