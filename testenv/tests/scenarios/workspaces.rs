//! Workspaces of a kcp.

use serde_json::{Value, json};

use crate::lab::bench::{bad, good, names, without};
use crate::lab::scene::Scene;
use crate::lab::shard::assert_names_only;

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
    assert_names_only(&scene.world.kcp.tap);
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
    assert_names_only(&scene.world.kcp.tap);
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
