//! The tools that read pods, logs, events, targets and kinds. Pods are objects only: in no lab does a kubelet run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use testenv::mcp::Client;
use testenv::world::shop;

use crate::lab::bench::{bad, good, with_extra};
use crate::lab::scene::Scene;

/// A log that nobody can serve is answered within this: nothing waits for a kubelet.
const ANSWERED: Duration = Duration::from_secs(10);

/// The rows of a table, without header and comments.
fn rows(table: &str) -> Vec<&str> {
    table.lines().filter(|line| !line.starts_with('#')).skip(1).collect()
}

/// Which of `pods` stand in the rows, in their order.
fn order<'a>(table: &str, pods: &[&'a str]) -> Vec<&'a str> {
    let found =
        rows(table).into_iter().filter_map(|row| pods.iter().find(|pod| row.split('\t').any(|cell| cell == **pod)));
    found.copied().collect()
}

/// Crashing pods stand on top, whatever the API server's order is; selectors narrow.
pub async fn pods_that_are_not_well_come_first(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let [shop_a, shop_b] = shop::PODS;
    let all = ["batch-1", "web-1", "web-2", shop_a, shop_b];
    for (tool, question, expected) in [
        ("pods_list", json!({}), &["web-2", shop_a, shop_b, "batch-1", "web-1"][..]),
        ("pods_list_in_namespace", json!({"namespace": "team-a"}), &["web-2", "batch-1", "web-1"]),
        ("pods_list", json!({"labelSelector": "app=web"}), &["web-2", shop_a, shop_b, "web-1"]),
        ("pods_list_in_namespace", json!({"namespace": "team-a", "labelSelector": "app!=web"}), &["batch-1"]),
        ("pods_list", json!({"fieldSelector": "metadata.name=web-1"}), &["web-1"]),
        ("pods_list_in_namespace", json!({"namespace": "team-b"}), &[]),
        ("pods_list", json!({"labelSelector": "app=nobody"}), &[]),
    ] {
        let mut question = question;
        question["cluster"] = "corp-1".into();
        let listed = good(&alice, tool, question.clone()).await?;
        assert_eq!(order(&listed.text, &all), expected, "{tool} {question}: {}", listed.text);
        let shown = rows(&listed.text);
        assert_eq!(shown.len(), expected.len(), "{tool} {question}: {}", listed.text);
        let mixed = shown.len() > 1;
        let says = listed.text.contains(&format!("1 of {} pods on this page are not well", shown.len()));
        assert_eq!(says, mixed, "{tool} {question}: {}", listed.text);
    }
    let listed = good(&alice, "pods_list", json!({"cluster": "corp-1"})).await?;
    let crashing = rows(&listed.text)[0];
    for cell in ["team-a", "0/1", "CrashLoopBackOff", "17"] {
        assert!(crashing.contains(cell), "{cell}: {crashing}");
    }
    let bob = scene.client("corp", "bob").await?;
    let refused = bad(&bob, "pods_list", json!({"cluster": "corp-1"})).await?;
    assert!(refused.text.contains("corp:bob"), "the cluster decides, as bob: {}", refused.text);
    good(&bob, "pods_list_in_namespace", json!({"cluster": "corp-1", "namespace": "team-b"})).await?;
    Ok(())
}

/// One pod, without what only machines read; one that is not there is named.
pub async fn a_pod_is_read_whole(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let pod = |name: &str| json!({"cluster": "corp-1", "namespace": "team-a", "name": name});
    let well = good(&alice, "pods_get", pod("web-1")).await?;
    for part in ["kind: Pod", "name: web-1", "image: registry.lab.example/web:1.0", "phase: Running"] {
        assert!(well.text.contains(part), "{part}: {}", well.text);
    }
    assert!(!well.text.contains("managedFields"), "{}", well.text);
    let crashing = good(&alice, "pods_get", pod("web-2")).await?;
    assert!(crashing.text.contains("CrashLoopBackOff"), "{}", crashing.text);
    let missing = bad(&alice, "pods_get", pod("web-9")).await?;
    assert!(missing.text.contains("web-9") && missing.text.contains("not found"), "{}", missing.text);
    Ok(())
}

/// Every way to ask for a log that no kubelet has ends soon, in one line that says what is missing.
pub async fn a_log_without_a_kubelet_is_one_line(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    for (question, says) in [
        (json!({"name": "web-1"}), "node-1"),
        (json!({"name": "web-1", "container": "app", "previous": true}), "node-1"),
        (json!({"name": "deployment/web"}), "node-1"),
        (json!({"labelSelector": "app=batch"}), "node-1"),
        (json!({"name": "web-1", "container": "sidecar"}), "sidecar"),
        (json!({"name": "web-9"}), "web-9"),
    ] {
        let mut question = question;
        question["cluster"] = "corp-1".into();
        question["namespace"] = "team-a".into();
        let asked = Instant::now();
        let failed = bad(&alice, "pods_log", question.clone()).await?;
        assert!(asked.elapsed() < ANSWERED, "{question} took {:?}", asked.elapsed());
        assert!(failed.text.starts_with("corp-1: ") && failed.text.contains(says), "{question}: {}", failed.text);
        assert!(failed.text.contains("reading logs"), "{question} says what was tried: {}", failed.text);
    }
    let nobody = json!({"cluster": "corp-1", "namespace": "team-a", "labelSelector": "app=nobody"});
    let nothing = good(&alice, "pods_log", nobody).await?;
    assert!(nothing.text.contains("no ") && nothing.text.contains("app=nobody"), "{}", nothing.text);
    Ok(())
}

/// Two events of one object and reason are one row with the newest message.
pub async fn events_are_newest_first_and_one_row_per_reason(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let listed = good(&alice, "events_list", json!({"cluster": "corp-1", "namespace": "team-a"})).await?;
    let found = rows(&listed.text);
    assert_eq!(found.len(), 2, "{}", listed.text);
    for cell in ["Warning", "BackOff", "pod/web-2", "the fifth time", "x5"] {
        assert!(found[0].contains(cell), "{cell}: {}", listed.text);
    }
    for cell in ["Normal", "Pulled", "pod/web-1"] {
        assert!(found[1].contains(cell), "{cell}: {}", listed.text);
    }
    assert!(!listed.text.contains("the first time"), "only the newest message: {}", listed.text);
    assert!(listed.text.contains("3 events in 2 groups, 1 of warnings"), "{}", listed.text);
    let selected = json!({"cluster": "corp-1", "fieldSelector": "involvedObject.name=web-1"});
    let selected = good(&alice, "events_list", selected).await?;
    assert!(selected.text.contains("Pulled") && !selected.text.contains("BackOff"), "{}", selected.text);
    let bob = scene.client("corp", "bob").await?;
    let refused = bad(&bob, "events_list", json!({"cluster": "corp-1", "namespace": "team-a"})).await?;
    assert!(refused.text.contains("corp:bob"), "{}", refused.text);
    Ok(())
}

/// Every address that is listed can be used as it stands; a caller sees no others.
pub async fn targets_are_ready_to_copy(scene: &Scene) -> anyhow::Result<()> {
    for (realm, user, expected, default) in [
        ("corp", "alice", &["corp-1", "dev", "kcp-eu:root"][..], &[][..]),
        ("acme", "carol", &["acme-1", "dev"], &["acme-1\t*"]),
    ] {
        let client = scene.client(realm, user).await?;
        let listed = good(&client, "targets_list", json!({})).await?;
        let defaults: Vec<&str> = rows(&listed.text).into_iter().filter(|row| row.ends_with("\t*")).collect();
        assert_eq!(defaults, default, "{user}: the only cluster that the token is for: {}", listed.text);
        let mut targets: Vec<&str> = rows(&listed.text).iter().filter_map(|row| row.split('\t').next()).collect();
        targets.sort_unstable();
        assert_eq!(targets, expected, "{user}: {}", listed.text);
        scene.assert_untouched("listing targets");
        for target in targets {
            // In `root` alice may do nothing: the refusal is the cluster's own, not one of a wrong address.
            let called = client.call("namespaces_list", json!({"cluster": target})).await?;
            let kind = called.structured.as_ref().map(|twin| twin["kind"].clone());
            assert_ne!(kind, Some(json!("arguments")), "{target}: {}", called.text);
            assert!(!called.is_error || target == "kcp-eu:root", "{target}: {}", called.text);
        }
        scene.clear();
    }
    Ok(())
}

/// A kubeconfig to look at: nothing in it is a credential, and a caller from a realm learns no address.
pub async fn a_configuration_view_shows_no_credential_and_no_server(scene: &Scene) -> anyhow::Result<()> {
    let (every, default) = (json!({"minified": false}), json!({}));
    for (realm, user, question, seen, unseen) in [
        ("corp", "alice", &every, &["corp-1", "dev", "kcp-eu"][..], "acme-1"),
        ("corp", "alice", &default, &["corp-1", "dev", "kcp-eu"], "acme-1"),
        ("acme", "carol", &every, &["acme-1", "dev"], "corp-1"),
        // Her token is for one cluster: that is her default target, and all that is shown unless she asks for more.
        ("acme", "carol", &default, &["acme-1"], "name: dev"),
    ] {
        let client = scene.client(realm, user).await?;
        let view = good(&client, "configuration_view", question.clone()).await?;
        for name in seen {
            assert!(view.text.contains(&format!("cluster: {name}\n")), "{user} {question}: {name}: {}", view.text);
        }
        let twin = view.structured.as_ref().map(Value::to_string).unwrap_or_default();
        let all = format!("{}{twin}", view.text);
        let credentials = ["BEGIN", "PRIVATE", "token", "certificate", "password", "-ca.pem", "gateway.kubeconfig"];
        let addresses = ["server", "127.0.0.1", "https://"];
        for part in credentials.into_iter().chain(addresses).chain([unseen, scene.world.gateway_token()]) {
            assert!(!all.contains(part), "{user} {question} shows {part:?}: {all}");
        }
        scene.assert_no_secret(&all);
    }
    scene.assert_untouched("viewing the configuration");
    Ok(())
}

/// `extra` is off until the configuration names it.
pub async fn more_tools_come_with_their_toolset(scene: &Scene) -> anyhow::Result<()> {
    let extra = ["api_resources_list", "projects_list", "resources_describe"];
    let names = async |client: &Client| -> anyhow::Result<Vec<String>> {
        Ok(client.tools().await?.into_iter().map(|tool| tool.name.into_owned()).collect())
    };
    let without = names(&scene.client("corp", "alice").await?).await?;
    assert!(!extra.iter().any(|tool| without.iter().any(|name| name == tool)), "{without:?}");

    let (_ferry, alice) = with_extra(scene).await?;
    let with = names(&alice).await?;
    for tool in extra {
        assert!(with.iter().any(|name| name == tool), "{tool}: {with:?}");
    }
    let kinds = json!({"cluster": "corp-1", "group": "apps"});
    let kinds = good(&alice, "api_resources_list", kinds).await?;
    let deployments = rows(&kinds.text).into_iter().find(|row| row.starts_with("deployments\t"));
    let deployments = deployments.with_context(|| format!("no deployments: {}", kinds.text))?;
    assert_eq!(deployments, "deployments\tdeploy\tapps/v1\ttrue\tDeployment");
    assert!(!kinds.text.contains("configmaps"), "apps only: {}", kinds.text);
    let cluster_wide = json!({"cluster": "corp-1", "group": "core", "namespaced": false});
    let cluster_wide = good(&alice, "api_resources_list", cluster_wide).await?;
    assert!(cluster_wide.text.contains("nodes\t") && !cluster_wide.text.contains("pods\t"), "{}", cluster_wide.text);

    let web = json!({"cluster": "corp-1", "kind": "Deployment", "namespace": "team-a", "name": "web"});
    let described = good(&alice, "resources_describe", web).await?.text;
    let parts: Vec<&str> = described.split("--- ").collect();
    assert_eq!(parts.len(), 4, "the object, events, pods, log: {described}");
    assert!(parts[0].contains("name: web") && parts[0].contains("replicas: 2"), "{described}");
    assert!(parts[1].starts_with("events\nnone"), "those of the deployment: {described}");
    assert!(parts[2].starts_with("pods\nweb-2\t0/1\tCrashLoopBackOff\trestarts 17"), "{described}");
    assert!(parts[2].contains("web-1\t1/1\tRunning") && !parts[2].contains("batch-1"), "{described}");
    assert!(parts[3].starts_with("log\ncannot be read: ") && parts[3].contains("node-1"), "{described}");
    let pod = json!({"cluster": "corp-1", "kind": "Pod", "namespace": "team-a", "name": "web-2"});
    let described = good(&alice, "resources_describe", pod).await?.text;
    assert!(described.contains("--- events\n") && described.contains("the fifth time"), "{described}");
    let db = json!({"cluster": "corp-1", "kind": "Secret", "namespace": "team-a", "name": "db"});
    let described = good(&alice, "resources_describe", db).await?.text;
    assert!(described.contains("name: db"), "{described}");
    scene.assert_no_secret(&described);

    let projects = bad(&alice, "projects_list", json!({"cluster": "corp-1"})).await?;
    assert!(projects.text.contains("does not serve projects"), "{}", projects.text);
    assert!(projects.text.contains("namespaces_list"), "{}", projects.text);
    Ok(())
}

/// A workspace has no pods and no nodes: each tool that takes a target says so, or does what is left to do.
pub async fn a_workspace_without_pods_says_so_in_every_tool(scene: &Scene) -> anyhow::Result<()> {
    let (_ferry, alice) = with_extra(scene).await?;
    let tools = alice.tools().await?.into_iter();
    let has_target = |properties: &Value| properties["cluster"].is_object();
    let with_target = tools.filter(|tool| tool.input_schema.get("properties").is_some_and(has_target));
    let mut left: BTreeSet<String> = with_target.map(|tool| tool.name.into_owned()).collect();
    let at = |mut question: Value| {
        question["cluster"] = "kcp-eu:root:org:team-a".into();
        question
    };
    for (tool, question, what) in [
        ("pods_list", json!({}), "pods"),
        ("pods_list_in_namespace", json!({"namespace": "default"}), "pods"),
        ("pods_get", json!({"namespace": "default", "name": "web-1"}), "pods"),
        ("pods_log", json!({"namespace": "default", "name": "web-1"}), "pods"),
        ("pods_log", json!({"namespace": "default", "labelSelector": "app=web"}), "pods"),
        ("pods_top", json!({}), "pods"),
        ("nodes_top", json!({}), "nodes"),
        ("nodes_log", json!({"name": "node-a", "query": "/kubelet.log"}), "nodes"),
        ("nodes_stats_summary", json!({"name": "node-a"}), "nodes"),
        ("resources_list", json!({"kind": "pods"}), "pods"),
        ("resources_get", json!({"kind": "Pod", "namespace": "default", "name": "web-1"}), "pod"),
        ("resources_explain", json!({"kind": "Pod"}), "pod"),
        (
            "resources_describe",
            json!({"kind": "deployments.apps", "namespace": "default", "name": "web"}),
            "deployments",
        ),
        ("projects_list", json!({}), "projects"),
    ] {
        let refused = bad(&alice, tool, at(question)).await?;
        let says = format!("this workspace does not serve {what}");
        assert!(refused.text.to_lowercase().contains(&says), "{tool}: {}", refused.text);
        assert_eq!(refused.structured.map(|twin| twin["code"].clone()), Some(json!("kind_not_served")), "{tool}");
        left.remove(tool);
    }
    for (tool, question, says) in [
        ("namespaces_list", json!({}), "default"),
        ("events_list", json!({"namespace": "default"}), "event"),
        ("whoami", json!({}), "team-a"),
        ("can_i", json!({"verb": "get", "kind": "pods", "namespace": "default"}), "not served here: pods"),
        ("auth_explain", json!({}), "target: kcp-eu:root:org:team-a"),
        ("api_resources_list", json!({}), "configmaps\t"),
        ("api_resources_list", json!({}), "apibindings\t"),
        ("kcp_apis_list", json!({}), "configmaps\tConfigMap\tv1\tbuilt in"),
        ("kcp_workspace_describe", json!({}), "state: ready: it can be used"),
        ("kcp_workspaces_list", json!({}), "no workspaces"),
        ("kcp_workspace_tree", json!({}), "root:org:team-a"),
        ("kcp_workspaces_find", json!({}), "no workspaces"),
        ("resources_describe", json!({"kind": "ConfigMap", "namespace": "default", "name": "here"}), "where: team-a"),
    ] {
        let answered = good(&alice, tool, at(question)).await?.text;
        assert!(answered.contains(says), "{tool}: {answered}");
        left.remove(tool);
        let pods = answered.lines().any(|row| row.starts_with("pods\t"));
        assert!(!pods && !answered.contains("--- pods") && !answered.contains("--- log"), "{tool}: {answered}");
    }
    assert!(left.is_empty(), "what do these do in a workspace? {left:?}");
    Ok(())
}
