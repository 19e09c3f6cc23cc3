//! `kcp_workspace_describe` at workspaces that are well, and at some that are not.

use anyhow::ensure;
use serde_json::{Value, json};
use testenv::mcp::Client;
use testenv::poll;

use super::bindings::logical_cluster;
use super::{CONSUMER, SETTLED, Stage, at, holds};
use crate::lab::bench::{bad, good};

const TENANCY: &str = "/apis/tenancy.kcp.io/v1alpha1";

pub async fn a_workspace_is_described(stage: &Stage) -> anyhow::Result<()> {
    let alice = stage.client("alice").await?;
    let name = logical_cluster(stage, "root", "consumer").await?;
    let path = format!("path: root (kcp-eu:root) > consumer (kcp-eu:root:consumer, {name})");
    let cluster = format!("logical cluster: {name}");
    let known = [
        "state: ready: it can be used",
        path.as_str(),
        cluster.as_str(),
        "type: root:universal",
        "access: yes",
        "children: 0",
        "not built in: widgets.lab.example from export root:providers:widgets:widgets (binding widgets)",
        "next: kcp_workspace_describe cluster=kcp-eu:root",
    ];
    let by_path = good(&alice, "kcp_workspace_describe", json!({"cluster": at(CONSUMER)})).await?;
    holds(&by_path.text, &known)?;
    holds(&by_path.text, &["next: kcp_apis_list cluster=kcp-eu:root:consumer"])?;
    let twin = by_path.structured.unwrap_or_default();
    ensure!(twin["state"]["state"] == "ready" && twin["path"][1]["logicalCluster"] == name.as_str(), "{twin}");
    let by_name = good(&alice, "kcp_workspace_describe", json!({"cluster": format!("kcp-eu:{name}")})).await?;
    holds(&by_name.text, &known)?;
    let as_child =
        good(&alice, "kcp_workspace_describe", json!({"cluster": "kcp-eu:root", "name": "consumer"})).await?;
    holds(&as_child.text, &known)?;
    let root = good(&alice, "kcp_workspace_describe", json!({"cluster": "kcp-eu:root"})).await?;
    holds(&root.text, &["workspace: kcp-eu:root\n", "path: root (kcp-eu:root)\n", "children: ", "state: ready"])?;
    // Who may enter, and nothing more, hears what is not known.
    let bob = stage.client("bob").await?;
    let entered = good(&bob, "kcp_workspace_describe", json!({"cluster": format!("kcp-eu:{name}")})).await?;
    holds(&entered.text, &["access: yes", "not known: you cannot read its LogicalCluster here"])?;
    holds(&entered.text, &["state: not known", "children: cannot be listed by you"])
}

/// One that waits for ever, and one that is being deleted and does not go.
pub async fn what_is_not_well_says_why(stage: &Stage) -> anyhow::Result<()> {
    let alice = stage.client("alice").await?;
    let kind = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "WorkspaceType", "metadata": {"name": "waiting"},
        "spec": {"initializer": true, "extend": {"with": [{"name": "universal", "path": "root"}]}}});
    stage.kcp.apply("root", &[kind]).await?;
    let stuck = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "stuck"},
        "spec": {"type": {"name": "waiting", "path": "root"}}});
    // A new type can be used a moment later.
    poll::until("a workspace of the new type", SETTLED, || async {
        let made = stage.kcp.apply("root", std::slice::from_ref(&stuck)).await;
        made.map(drop).map_err(|error| format!("{error:#}"))
    })
    .await?;
    // system:apibindings is done within seconds; nobody ever does the other.
    let says = "waits for the initializers root:waiting\n";
    for question in [json!({"cluster": "kcp-eu:root", "name": "stuck"}), json!({"cluster": "kcp-eu:root:stuck"})] {
        let text = until(&alice, question, says).await?;
        holds(&text, &["state: initializing", "to do: ", "type: root:waiting"])?;
        holds(
            &text,
            &["condition: WorkspaceInitialized=False InitializerExists: Initializers still exist: [root:waiting]"],
        )?;
    }

    stage.kcp.create_workspace("root", "leaving").await?;
    let hold = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "hold", "namespace": "default", "finalizers": ["lab.example/hold"]}});
    stage.kcp.apply("root:leaving", &[hold]).await?;
    stage.kcp.admin("root").delete(&format!("{TENANCY}/workspaces/leaving")).await?;
    let question = json!({"cluster": "kcp-eu:root", "name": "leaving"});
    let text = until(&alice, question, "Some resources are remaining").await?;
    holds(&text, &["state: deleting: it is being deleted", "what remains has finalizers", "access: no"])
}

/// A name that is not there, and one that is and is not for this caller.
pub async fn unknown_and_forbidden_are_one_answer(stage: &Stage) -> anyhow::Result<()> {
    let bob = stage.client("bob").await?;
    let forbidden = logical_cluster(stage, "root", "providers").await?;
    let unknown = "1zzzzzzzzzzzzzz1";
    for tool in ["kcp_workspace_describe", "kcp_apis_list"] {
        let mut answers = Vec::new();
        for name in [forbidden.as_str(), unknown] {
            let refused = bad(&bob, tool, json!({"cluster": format!("kcp-eu:{name}")})).await?;
            answers.push(refused.text.replace(name, "NAME"));
        }
        ensure!(answers[0] == answers[1], "{tool}: {answers:?}");
    }
    let name = logical_cluster(stage, "root", "consumer").await?;
    let child = bad(&bob, "kcp_workspace_describe", json!({"cluster": format!("kcp-eu:{name}"), "name": "x"})).await?;
    holds(&child.text, &["workspace x in it is not there, or you cannot read it"])
}

async fn until(client: &Client, question: Value, says: &str) -> anyhow::Result<String> {
    let what = format!("{question} to say {says}");
    let found = poll::until(&what, SETTLED, || async {
        let answer = client.call("kcp_workspace_describe", question.clone()).await;
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        if answer.text.contains(says) { Ok(answer.text) } else { Err(answer.text) }
    });
    found.await
}
