//! The reading tools at a workspace whose kinds are bound, of the core group too.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{CONSUMER, Stage, at, holds};
use crate::lab::bench::{bad, good, names};

pub async fn tools_read_what_is_bound(stage: &Stage) -> anyhow::Result<()> {
    let object = |api_version: &str, kind: &str, name: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "default"}});
    let mut widget = object("lab.example/v1", "Widget", "first");
    widget["spec"] = json!({"size": 3});
    let mut event = object("v1", "Event", "first.1");
    event["involvedObject"] =
        json!({"apiVersion": "lab.example/v1", "kind": "Widget", "name": "first", "namespace": "default"});
    event["reason"] = "Grown".into();
    event["message"] = "it is larger now".into();
    event["type"] = "Normal".into();
    stage.kcp.apply(CONSUMER, &[widget, object("v1", "Service", "front"), event]).await?;

    let alice = stage.client("alice").await?;
    let ask = async |tool: &str, more: Value| {
        let mut question = json!({"cluster": at(CONSUMER)});
        question.as_object_mut().into_iter().zip(more.as_object()).for_each(|(all, more)| all.extend(more.clone()));
        good(&alice, tool, question).await.map(|answer| answer.text)
    };
    for kind in ["wd", "Widget", "widgets.lab.example", "widget"] {
        let text = ask("resources_list", json!({"kind": kind, "namespace": "default"})).await?;
        ensure!(names(&text) == ["first"], "{kind}: {text}");
    }
    for kind in ["svc", "Service", "services"] {
        let text = ask("resources_list", json!({"kind": kind, "namespace": "default"})).await?;
        ensure!(names(&text) == ["front"], "{kind}: {text}");
    }
    let text = ask("resources_get", json!({"kind": "wd", "name": "first", "namespace": "default"})).await?;
    holds(&text, &["size: 3"])?;
    let text = ask("resources_describe", json!({"kind": "Widget", "name": "first", "namespace": "default"})).await?;
    holds(&text, &["size: 3", "it is larger now"])?;
    let text = ask("events_list", json!({"namespace": "default"})).await?;
    holds(&text, &["widget/first", "Grown"])?;
    let text = ask("namespaces_list", json!({})).await?;
    ensure!(names(&text).contains(&"default".to_owned()), "{text}");
    let text = ask("api_resources_list", json!({"limit": 200})).await?;
    holds(&text, &["services\tsvc\tv1\ttrue\tService", "widgets\twd\tlab.example/v1\ttrue\tWidget"])?;
    let text = ask("resources_explain", json!({"kind": "Widget", "field": "spec"})).await?;
    holds(&text, &["size", "How large it is"])?;
    let text = ask("resources_explain", json!({"kind": "ConfigMap"})).await?;
    holds(&text, &["data"])?;
    let text = ask("whoami", json!({})).await?;
    holds(&text, &["corp:alice"])?;
    for (tool, more) in [
        ("pods_list", json!({})),
        ("pods_get", json!({"name": "x", "namespace": "default"})),
        ("pods_log", json!({"name": "x", "namespace": "default"})),
        ("pods_top", json!({})),
        ("nodes_top", json!({})),
        ("resources_list", json!({"kind": "deployments.apps"})),
    ] {
        let mut question = json!({"cluster": at(CONSUMER)});
        question.as_object_mut().into_iter().zip(more.as_object()).for_each(|(all, more)| all.extend(more.clone()));
        let refused = bad(&alice, tool, question).await?;
        holds(&refused.text, &["this workspace does not serve"])?;
    }
    Ok(())
}
