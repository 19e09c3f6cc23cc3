//! What answers cost those who read them: groups, columns and fields of one's own, few tools.

use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};

use crate::lab::bench::{bad, good, names};
use crate::lab::scene::{CANARIES, Scene};

/// Sixty pods are three rows unless one asks for rows, and no second request is needed for that.
pub async fn many_pods_come_by_workload_with_one_request(scene: &Scene) -> anyhow::Result<()> {
    let carol = scene.client("acme", "carol").await?;
    good(&carol, "namespaces_list", json!({"cluster": "acme-1"})).await?;
    for (tool, question) in [
        ("pods_list", json!({})),
        ("pods_list_in_namespace", json!({"namespace": "team-b"})),
        ("resources_list", json!({"kind": "pods"})),
    ] {
        let ask = |more: Value| {
            let mut question = question.clone();
            question["cluster"] = "acme-1".into();
            for (name, value) in more.as_object().into_iter().flatten() {
                question[name] = value.clone();
            }
            question
        };
        good(&carol, tool, ask(json!({"limit": 1}))).await?;
        scene.clear();
        let grouped = good(&carol, tool, ask(json!({}))).await?.text;
        let lists = scene.world.acme_1.tap.requests();
        let lists: Vec<&str> = lists.iter().map(|request| request.path.as_str()).collect();
        assert!(lists.len() == 1 && lists[0].contains("/pods?limit=500"), "{tool}: {lists:?}");
        let said = "# 60 pods of this page in 3 groups by name, 2 not well, first; one pod per row with format=table\n";
        assert!(grouped.starts_with(said), "{tool}: {grouped}");
        let rows: Vec<&str> = grouped.lines().skip(2).collect();
        assert_eq!(rows.len(), 3, "{tool}: {grouped}");
        assert!(rows[0].contains("agent-*\t1 CrashLoopBackOff, 14 Running\tagent-"), "{tool}: {grouped}");
        assert!(
            rows[1].contains("checkout-*\t1 CrashLoopBackOff, 39 Running\tcheckout-6799fc88d8-"),
            "{tool}: {grouped}"
        );
        assert!(rows[2].contains("ledger-*\t5 Running"), "{tool}: {grouped}");
        let sick = rows[1].split('\t').next_back().unwrap_or_default();
        good(&carol, "pods_get", json!({"cluster": "acme-1", "namespace": "team-b", "name": sick})).await?;

        let plain = good(&carol, tool, ask(json!({"format": "table"}))).await?.text;
        assert_eq!(
            plain.matches("\tRunning\t").count() + plain.matches("CrashLoopBackOff").count(),
            60,
            "{tool}: {plain}"
        );
        let (mut seen, mut question) = (Vec::new(), ask(json!({"limit": 25})));
        for _ in 0..3 {
            let page = good(&carol, tool, question.clone()).await?.text;
            seen.extend(names(&page));
            let Some((_, handle)) = page.split_once("continue=") else { break };
            question["continue"] = handle.trim().into();
        }
        assert_eq!(seen.len(), 60, "{tool}: {seen:?}");
    }
    Ok(())
}

/// A column or a field with a path of its own is taken from what is already masked.
pub async fn columns_of_ones_own_and_fields_show_no_secret(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let list = |kind: &str, columns: Value| json!({"cluster": "corp-1", "kind": kind, "namespace": "team-a", "columns": columns});
    let images = list("deployments", json!("NAME,IMAGE:.spec.template.spec.containers[*].image,NONE:.spec.nothing"));
    let images = good(&alice, "resources_list", images).await?.text;
    assert_eq!(images, "NAME\tIMAGE\tNONE\nweb\tregistry.lab.example/web:1.0\t<none>");
    let secrets = list("secrets", json!(["name", "password:data.password", "all:.metadata.annotations"]));
    let secrets = good(&alice, "resources_list", secrets).await?.text;
    assert!(secrets.contains("db\t<masked 12 bytes>\t"), "{secrets}");
    for (columns, says) in [("A:.spec[", "is no path of fields"), ("READY,A:.spec", "cannot stand beside")] {
        scene.clear();
        let refused = bad(&alice, "resources_list", list("deployments", json!(columns))).await?;
        assert!(refused.text.contains(says), "{columns}: {}", refused.text);
        scene.assert_untouched(columns);
    }

    let get = |kind: &str, name: &str, fields: Value| json!({"cluster": "corp-1", "kind": kind, "namespace": "team-a", "name": name, "fields": fields});
    let some = get("deployment", "web", json!(["spec.replicas", "spec.template.spec.containers[*].image"]));
    let some = good(&alice, "resources_get", some).await?.text;
    assert!(some.contains("spec.replicas: 2") && some.contains("- registry.lab.example/web:1.0"), "{some}");
    assert!(!some.contains("metadata"), "only these: {some}");
    let refused = bad(&alice, "resources_get", get("deployment", "web", json!(["spec.replica"]))).await?;
    assert!(refused.text.contains("no field") && refused.text.contains("replicas"), "{}", refused.text);
    let secret = get("secret", "db", json!(["data", "data.password", "metadata.annotations"]));
    let secret = good(&alice, "resources_get", secret).await?.text;
    assert!(secret.contains("<masked 12 bytes>"), "{secret}");
    for shown in [&secrets, &secret] {
        assert!(CANARIES.iter().all(|canary| !shown.contains(canary)), "a Secret's value: {shown}");
    }
    Ok(())
}

/// Eight tools are enough to find a cluster, a kind, an object and what happened to it.
pub async fn a_lean_list_of_tools_reads_everything(scene: &Scene) -> anyhow::Result<()> {
    let (_ferry, alice) = with_toolset(scene, "lean").await?;
    let tools = alice.tools().await?;
    assert_eq!(tools.len(), 8, "{tools:?}");
    for (tool, question, says) in [
        ("clusters_list", json!({}), "corp-1"),
        ("api_resources_list", json!({"cluster": "corp-1", "group": "apps"}), "deployments\t"),
        ("resources_list", json!({"cluster": "corp-1", "kind": "namespaces"}), "team-a\t"),
        ("resources_list", json!({"cluster": "corp-1", "kind": "pods", "namespace": "team-a"}), "CrashLoopBackOff"),
        (
            "resources_get",
            json!({"cluster": "corp-1", "kind": "pod", "namespace": "team-a", "name": "web-2"}),
            "kind: Pod",
        ),
        ("events_list", json!({"cluster": "corp-1", "namespace": "team-a"}), "BackOff"),
    ] {
        let found = good(&alice, tool, question).await?.text;
        assert!(found.contains(says), "{tool}: {found}");
    }
    Ok(())
}

/// A namespace with its pods by state, and a workspace, which has none of that, without a word of it.
pub async fn a_description_knows_what_stands_around_an_object(scene: &Scene) -> anyhow::Result<()> {
    let (_ferry, alice) = with_toolset(scene, "lean").await?;
    let describe = async |cluster: &str, kind: &str, name: &str| {
        let question = json!({"cluster": cluster, "kind": kind, "name": name});
        anyhow::Ok(good(&alice, "resources_describe", question).await?.text)
    };
    let namespace = describe("corp-1", "namespace", "team-a").await?;
    let pods = namespace.split("--- pods\n").nth(1).unwrap_or_else(|| panic!("no pods: {namespace}"));
    assert!(pods.starts_with("1 CrashLoopBackOff\n2 Running\n"), "{namespace}");
    let workspace = describe("kcp-eu:root:org:team-a", "namespace", "default").await?;
    assert!(workspace.contains("name: default") && !workspace.contains("--- pods"), "{workspace}");
    Ok(())
}

/// alice at a program with one toolset.
async fn with_toolset(scene: &Scene, toolset: &str) -> anyhow::Result<(Ferry, Client)> {
    let text = scene.world.config_text();
    let edited = text.replacen("[server]\n", &format!("[server]\ntoolsets = [\"{toolset}\"]\n"), 1);
    anyhow::ensure!(edited != text, "the configuration begins otherwise: {text}");
    let ferry = Ferry::start(Some(&scene.world.config_of(&edited)), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    Ok((ferry, alice))
}
