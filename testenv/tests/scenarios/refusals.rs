//! What callers learn of what is not there, or not theirs.

use serde_json::{Value, json};
use testenv::mcp::{Called, Client, RpcError};

use crate::lab::bench::{bad, good};
use crate::lab::scene::Scene;

/// A cluster of another realm is not there, for whoever may not see it: in every spelling and in every tool.
pub async fn unknown_and_forbidden_clusters_answer_alike(scene: &Scene) -> anyhow::Result<()> {
    let carol = scene.client("acme", "carol").await?;
    // Names of the same length and the same distance to what carol sees.
    for (forbidden, unknown) in [("corp-1", "corp-7"), ("kcp-eu", "kcp-eq")] {
        let questions = |name: &str| {
            let workspace = format!("{name}:root:org");
            [
                ("namespaces_list", json!({"cluster": name})),
                ("namespaces_list", json!({"context": name})),
                ("namespaces_list", json!({"target": workspace})),
                ("namespaces_list", json!({"cluster": name, "workspace": "root:org"})),
                ("namespaces_list", json!({"from": workspace})),
                ("resources_list", json!({"cluster": "..", "from": workspace, "kind": "pods"})),
                ("resources_get", json!({"cluster": name, "kind": "pod", "name": "x"})),
                ("whoami", json!({"cluster": name})),
                ("auth_explain", json!({"cluster": name})),
                ("namespaces_list", json!({"cluster": name, "continue": "AAAA"})),
            ]
        };
        for (one, other) in questions(forbidden).into_iter().zip(questions(unknown)) {
            let shown = format!("{} {}", one.0, one.1);
            let (one, other) = (bad(&carol, one.0, one.1).await?, bad(&carol, other.0, other.1).await?);
            assert_eq!(named(&one, forbidden), named(&other, unknown), "{shown}");
        }
    }
    let near = bad(&carol, "namespaces_list", json!({"cluster": "acme-2"})).await?;
    assert!(near.text.contains("acme-1"), "near names of what she sees: {}", near.text);
    let near = bad(&carol, "namespaces_list", json!({"cluster": "corp-2"})).await?;
    assert!(!near.text.contains("corp-1"), "and of nothing else: {}", near.text);
    let listed = good(&carol, "clusters_list", json!({"clusters": "corp-1,kcp-eu,acme-1"})).await?;
    let unknown = good(&carol, "clusters_list", json!({"clusters": "corp-7,kcp-eq,acme-1"})).await?;
    let same = unknown.text.replace("corp-7", "corp-1").replace("kcp-eq", "kcp-eu");
    assert_eq!(listed.text, same, "clusters_list");
    let all = good(&carol, "clusters_list", json!({})).await?;
    assert!(!all.text.contains("corp-1") && !all.text.contains("kcp-eu"), "{}", all.text);
    for site in [&scene.world.corp_1, &scene.world.kcp] {
        assert_eq!(site.tap.connections(), 0, "{} was not asked", site.name);
    }
    // For alice acme-1 is not there either.
    let alice = scene.client("corp", "alice").await?;
    let one = bad(&alice, "namespaces_list", json!({"cluster": "acme-1"})).await?;
    let other = bad(&alice, "namespaces_list", json!({"cluster": "acme-7"})).await?;
    assert_eq!(named(&one, "acme-1"), named(&other, "acme-7"));
    Ok(())
}

/// Nothing is guessed: who can reach several clusters is asked, with the choices.
pub async fn without_a_target_a_caller_is_asked(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    for question in [json!({}), json!({"cluster": ""}), json!({"cluster": null})] {
        let asked = bad(&alice, "namespaces_list", question).await?;
        for choice in ["corp-1", "dev", "kcp-eu"] {
            assert!(asked.text.contains(choice), "{choice} could be meant: {}", asked.text);
        }
        assert!(!asked.text.contains("acme-1"), "{}", asked.text);
    }
    scene.assert_untouched("no target");
    Ok(())
}

/// What was answered, with the name that was asked for taken out.
fn named(called: &Called, name: &str) -> (String, String) {
    let twin = called.structured.as_ref().map(Value::to_string).unwrap_or_default();
    (called.text.replace(name, "NAME"), twin.replace(name, "NAME"))
}

/// Only this is a JSON-RPC error.
pub async fn an_unknown_tool_is_a_protocol_error(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    for tool in ["namespaces_lost", "resources_delete", "pods_exec", "../namespaces_list", "namespaces_list\n"] {
        let error = alice.call(tool, json!({"cluster": "corp-1"})).await.expect_err(tool);
        let error = error.downcast_ref::<RpcError>().unwrap_or_else(|| panic!("{tool}: {error:#}"));
        assert_eq!(error.code, -32602, "{tool}: {error}");
        assert!(error.message.lines().count() == 1 && error.message.contains("nknown tool"), "{tool}: {error}");
    }
    scene.assert_untouched("unknown tools");
    let unknown = bad(&alice, "namespaces_list", json!({"cluster": "corp-1", "labelSelectr": "a=b"})).await?;
    assert!(unknown.text.contains("labelSelector"), "an unknown argument has near names: {}", unknown.text);
    scene.assert_untouched("unknown arguments");
    Ok(())
}

/// A kind that is not served names those that are.
pub async fn an_unknown_kind_shows_near_names(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    for (kind, near) in [("namespacez", "namespaces"), ("Deploymnt", "deployment"), ("configmap.apps", "configmap")] {
        let failed = bad(&alice, "resources_list", json!({"cluster": "corp-1", "kind": kind})).await?;
        assert!(failed.text.contains(kind) && failed.text.contains(near), "{kind}: {}", failed.text);
        assert_eq!(
            failed.structured.as_ref().map(|twin| twin["code"].clone()),
            Some(json!("kind_not_served")),
            "{kind}"
        );
    }
    for kind in ["po", "Pod", "pods", "deploy", "Deployment", "deployments.apps"] {
        good(&alice, "resources_list", json!({"cluster": "corp-1", "kind": kind})).await?;
    }
    Ok(())
}

/// The cluster's own refusal, in one line with who was refused.
pub async fn a_forbidden_operation_is_one_line(scene: &Scene) -> anyhow::Result<()> {
    let bob = scene.client("corp", "bob").await?;
    for (tool, question) in [
        ("namespaces_list", json!({"cluster": "corp-1"})),
        ("resources_list", json!({"cluster": "corp-1", "kind": "configmaps", "namespace": "team-a"})),
        ("resources_get", json!({"cluster": "corp-1", "kind": "secret", "namespace": "team-a", "name": "db"})),
        ("namespaces_list", json!({"cluster": "dev"})),
    ] {
        let failed = bad(&bob, tool, question.clone()).await?;
        assert!(failed.text.contains("corp:bob"), "{tool} {question}: who was refused: {}", failed.text);
        let kind = failed.structured.as_ref().map(|twin| twin["kind"].clone());
        assert_eq!(kind, Some(json!("refused")), "{tool} {question}: {}", failed.text);
    }
    let missing = json!({"cluster": "corp-1", "kind": "configmap", "namespace": "team-b", "name": "nope"});
    let missing = bad(&bob, "resources_get", missing).await?;
    assert!(missing.text.contains("nope") && missing.text.contains("not found"), "{}", missing.text);
    Ok(())
}

/// Whatever could change a URL is refused before there is one.
pub async fn a_name_that_could_change_a_url_is_refused_before_there_is_one(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let long = "a".repeat(10 * 1024);
    let names = [
        "../x",
        "..",
        ".",
        "a/../../b",
        "a/b",
        "/",
        "%2f",
        "a%2fb",
        "%2e%2e%2f",
        "%00",
        "a?b",
        "?watch=1",
        "a#b",
        "*",
        "a*",
        "a b",
        " ",
        "a\nb",
        "a\r\nX: y",
        "a\0b",
        "\u{7f}",
        "a\\b",
        "ä",
        "a\u{202e}b",
        "a;b",
        "a&b=c",
        "~",
        &long,
    ];
    for name in names {
        in_every_argument(&alice, scene, name).await?;
    }
    for (tool, question) in [
        ("resources_list", json!({"cluster": "corp-1", "kind": "pods/../secrets"})),
        ("resources_list", json!({"cluster": "corp-1", "kind": "pods", "apiVersion": "/v1"})),
        ("resources_list", json!({"cluster": "corp-1", "kind": "pods", "apiVersion": "a/b/c"})),
        ("resources_get", json!({"cluster": "corp-1", "kind": "pods/log", "name": "x"})),
        ("namespaces_list", json!({"cluster": "corp-1", "labelSelector": "a=b&limit=0"})),
        ("namespaces_list", json!({"cluster": "corp-1", "labelSelector": "a=b#"})),
        ("namespaces_list", json!({"cluster": "corp-1", "fieldSelector": "a=b%26watch=1"})),
        ("namespaces_list", json!({"cluster": "corp-1", "continue": "x&limit=1"})),
        ("namespaces_list", json!({"cluster": "corp-1", "workspace": "root:org"})),
        ("namespaces_list", json!({"cluster": "corp-1:root:org"})),
        ("namespaces_list", json!({"cluster": "kcp-eu:system:admin"})),
        ("namespaces_list", json!({"cluster": "kcp-eu:system"})),
        ("namespaces_list", json!({"cluster": "kcp-eu:root::org"})),
        ("namespaces_list", json!({"cluster": "kcp-eu:root:Org"})),
        ("namespaces_list", json!({"cluster": "kcp-eu", "workspace": "../../api"})),
    ] {
        bad(&alice, tool, question).await?;
    }
    scene.assert_untouched("names that could change a URL");
    Ok(())
}

async fn in_every_argument(alice: &Client, scene: &Scene, name: &str) -> anyhow::Result<()> {
    let shown: String = name.chars().take(20).collect();
    let (cluster, workspace) = ("corp-1", format!("kcp-eu:{}", scene.world.logical_cluster("root:org")));
    let at = format!("kcp-eu:{name}");
    let below = format!("kcp-eu:root:{name}");
    // An apiVersion may have one slash, and in `workspace` it may stand for `:`, as in `kubectl ws`.
    let unslashed = if name == "a/b" { "/a/b/" } else { name };
    let questions = [
        ("namespaces_list", json!({"cluster": name})),
        ("namespaces_list", json!({"cluster": at})),
        ("namespaces_list", json!({"cluster": below})),
        ("namespaces_list", json!({"cluster": "kcp-eu", "workspace": format!("root:{unslashed}")})),
        ("namespaces_list", json!({"cluster": "kcp-eu", "from": below})),
        ("resources_list", json!({"cluster": cluster, "kind": name})),
        ("resources_list", json!({"cluster": cluster, "kind": format!("pods.{name}")})),
        ("resources_list", json!({"cluster": cluster, "kind": "pods", "apiVersion": unslashed})),
        ("resources_list", json!({"cluster": cluster, "kind": "pods", "apiVersion": format!("apps/{name}")})),
        ("resources_list", json!({"cluster": cluster, "kind": "pods", "namespace": name})),
        ("resources_get", json!({"cluster": cluster, "kind": "pods", "namespace": name, "name": "x"})),
        ("resources_get", json!({"cluster": workspace, "kind": "configmaps", "namespace": name, "name": "x"})),
        ("resources_list", json!({"cluster": workspace, "kind": name})),
    ];
    for (tool, question) in questions {
        let argument = question.to_string().chars().take(80).collect::<String>();
        let failed = bad(alice, tool, question).await?;
        assert!(failed.text.chars().all(|c| !c.is_control()), "{argument}: {:?}", failed.text);
        // The name may be quoted in part; the grammar is said whole.
        let is_cut = failed.text.split('…').skip(1).any(|rest| !rest.starts_with('"'));
        assert!(!is_cut, "{argument}: cut in the middle: {}", failed.text);
        scene.assert_untouched(&format!("{tool} {argument}"));
    }
    // RBAC objects have names that other objects cannot have, so these few are for the API server to refuse.
    if !matches!(name, "a;b" | "a&b=c") {
        let get = json!({"cluster": cluster, "kind": "pods", "namespace": "team-a", "name": name});
        bad(alice, "resources_get", get).await?;
    }
    scene.assert_untouched(&format!("an object called {shown:?}"));
    Ok(())
}
