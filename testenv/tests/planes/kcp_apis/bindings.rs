//! Why a kind is here, or is not, for each cause that a binding can have.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use testenv::mcp::Client;
use testenv::poll;

use super::{CONSUMER, PROVIDER, SETTLED, Stage, at, export, holds, says, schema};
use crate::lab::bench::{bad, good, names};

const LAB: &str = "lab.example";

/// K12: a kind that a binding brings is there for callers who asked for it in vain a moment before.
pub async fn a_new_binding_is_seen_within_10_s(stage: &Stage) -> anyhow::Result<()> {
    let alice = stage.client("alice").await?;
    let widgets = schema(LAB, "widgets", "Widget", "wd");
    stage
        .kcp
        .apply(PROVIDER, &[widgets, export("widgets", LAB, "widgets", &["configmaps", "secrets", "events"])])
        .await?;
    let question = json!({"cluster": at(CONSUMER), "kind": "widgets"});
    let refused = bad(&alice, "resources_list", question.clone()).await?;
    holds(&refused.text, &["this workspace does not serve widgets"])?;
    let why = why(&alice, "Widget").await?;
    holds(&why, &["Widget is not served here", "- not_bound: ", "verb bind", "workspace admin"])?;

    let claim = |resource: &str, state: &str| json!({"group": "", "resource": resource, "verbs": ["get", "list"], "state": state, "selector": {"matchAll": true}});
    stage.bind("widgets", json!([claim("configmaps", "Accepted"), claim("secrets", "Rejected")])).await?;
    // How long kcp takes to bind is its own affair, and longer under load.
    poll::until("kcp to list the kind", SETTLED, || async {
        let listed = stage.kcp.get(CONSUMER, "/apis/lab.example/v1").await.map_err(|error| format!("{error:#}"))?;
        let mut resources = listed["resources"].as_array().into_iter().flatten();
        if resources.any(|resource| resource["name"] == "widgets") { Ok(()) } else { Err(listed.to_string()) }
    })
    .await?;
    let began = Instant::now();
    poll::until("the kind to be listed", SETTLED, || async {
        let answer = alice.call("resources_list", question.clone()).await.map_err(|error| format!("{error:#}"))?;
        if answer.is_error { Err(answer.text) } else { Ok(()) }
    })
    .await?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(10), "the kind was there after {took:?}");
    Ok(())
}

/// Facts 8, cause by cause.
pub async fn each_cause_is_explained(stage: &Stage) -> anyhow::Result<()> {
    let alice = stage.client("alice").await?;
    prepare(stage).await?;

    let text = why(&alice, "gadgets").await?;
    holds(
        &text,
        &["gadgets.lab.example (Gadget) is served here in v1alpha1, by a CRD of this workspace", "local_crd"],
    )?;
    holds(&text, &["False NamingConflicts: Unable to bind APIs", "delete the CRD gadgets.lab.example"])?;
    let asked = json!({"cluster": at(CONSUMER), "kind": "Gadget", "apiVersion": "lab.example/v1"});
    let text = good(&alice, "kcp_apis_list", asked).await?.text;
    holds(&text, &["is not served here", "other_version", "apiVersion=lab.example/v1alpha1", "local_crd"])?;

    let text = why(&alice, "sprockets").await?;
    holds(&text, &["is served here in v1, from export", "bound_twice", "has it already", "heals by itself"])?;
    let text = why(&alice, "Cog").await?;
    holds(&text, &["Cog is not served here", "schema_missing", "v1.cogs.lab.example", "next (export owner)"])?;
    let text = why(&alice, "bolts").await?;
    holds(&text, &["is served here in v1, from export", "export_deleted", "APIExportValid=False APIExportNotFound"])?;
    let text = why(&alice, "widgets").await?;
    holds(&text, &["claims_pending", "events [get list]", "claims_rejected", "secrets [get list]"])?;
    ensure!(!text.contains("configmaps"), "what is in force is no cause: {text}");
    let text = why(&alice, "services").await?;
    holds(&text, &["services (Service) is served here in v1, from export root:providers:widgets:services"])?;
    let text = why(&alice, "nothings").await?;
    let is_hedged = ["- perhaps_not_bound: ", "no CRD here defines it", "no permission to bind"];
    holds(&text, &["nothings is not served here"])?;
    holds(&text, &is_hedged)?;
    // kcp stops at the gadgets of this export. Whether it came to the nuts before is its own affair: they are served, and
    // the trouble is that of the gadgets, or nothing names them.
    for kind in ["Nut", "nt", "nuts.lab.example"] {
        let text = why(&alice, kind).await?;
        if text.contains("is not served here") {
            holds(&text, &["- binding_unclear: binding pair (export root:providers:widgets:pair, "])?;
            holds(&text, &is_hedged)?;
        } else {
            holds(&text, &["- bound_twice: binding pair (export root:providers:widgets:pair) "])?;
            holds(&text, &["that is the trouble of gadgets.lab.example"])?;
        }
        ensure!(!text.contains("- not_bound"), "{text}");
    }

    // Nobody has the right to bind an export that is not there, and kcp says no more than that.
    let nothings = json!({"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "nothings"},
        "spec": {"reference": {"export": {"path": PROVIDER, "name": "nothings"}}}});
    let refused = stage.kcp.apply(CONSUMER, &[nothings]).await.err();
    holds(&format!("{refused:#?}"), &["no permission to bind to export"])
}

/// A binding for each cause, settled.
async fn prepare(stage: &Stage) -> anyhow::Result<()> {
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.lab.example"}, "spec": {"group": LAB, "scope": "Namespaced",
            "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    stage.kcp.apply(CONSUMER, &[crd]).await?;
    let exports = [
        schema(LAB, "gadgets", "Gadget", "gd"),
        export("gadgets", LAB, "gadgets", &[]),
        schema(LAB, "sprockets", "Sprocket", "sp"),
        export("sprockets-a", LAB, "sprockets", &[]),
        export("sprockets-b", LAB, "sprockets", &[]),
        schema(LAB, "bolts", "Bolt", "bo"),
        export("bolts", LAB, "bolts", &[]),
        schema("", "services", "Service", "svc"),
        export("services", "", "services", &[]),
        export("cogs", LAB, "cogs", &[]),
        schema(LAB, "nuts", "Nut", "nt"),
        pair(),
    ];
    stage.kcp.apply(PROVIDER, &exports).await?;
    for export in ["gadgets", "sprockets-a", "bolts", "services", "cogs", "pair"] {
        stage.bind(export, json!([])).await?;
    }
    for bound in ["bolts", "services", "sprockets-a"] {
        stage.until_binding(bound, |status| status["phase"] == "Bound").await?;
    }
    stage.bind("sprockets-b", json!([])).await?;
    stage.until_binding("sprockets-b", |status| says(status, "BindingUpToDate", "NamingConflicts")).await?;
    stage.until_binding("gadgets", |status| says(status, "BindingUpToDate", "NamingConflicts")).await?;
    stage.until_binding("pair", |status| says(status, "BindingUpToDate", "NamingConflicts")).await?;
    stage.until_binding("cogs", |status| says(status, "APIExportValid", "InternalError")).await?;
    stage.kcp.admin(PROVIDER).delete("/apis/apis.kcp.io/v1alpha2/apiexports/bolts").await?;
    stage.until_binding("bolts", |status| says(status, "APIExportValid", "APIExportNotFound")).await
}

/// An export with two kinds: one that cannot be bound, and one more.
fn pair() -> Value {
    let mut pair = export("pair", LAB, "gadgets", &[]);
    let nuts = json!({"group": LAB, "name": "nuts", "schema": "v1.nuts.lab.example", "storage": {"crd": {}}});
    pair["spec"]["resources"].as_array_mut().into_iter().for_each(|resources| resources.push(nuts.clone()));
    pair
}

/// What is served, bound and offered, a row each; and what goes, goes.
pub async fn lists_show_all_of_it(stage: &Stage) -> anyhow::Result<()> {
    let alice = &stage.client("alice").await?;
    let served = good(alice, "kcp_apis_list", json!({"cluster": at(CONSUMER), "limit": 200})).await?.text;
    for row in [
        "configmaps\tConfigMap\tv1\tbuilt in",
        "services\tService\tv1\texport root:providers:widgets:services (binding services)",
        "gadgets.lab.example\tGadget\tv1alpha1\tlocal CRD",
        "widgets.lab.example\tWidget\tv1\texport root:providers:widgets:widgets (binding widgets)",
        "apiexports.apis.kcp.io\tAPIExport\tv1alpha2,v1alpha1\tbuilt in",
        "apiresourceschemas.apis.kcp.io\tAPIResourceSchema\tv1alpha1\tbuilt in",
        "workspaces.tenancy.kcp.io\tWorkspace\tv1alpha1\texport root:tenancy.kcp.io (binding tenancy.kcp.io-",
    ] {
        holds(&served, &[row])?;
    }
    ensure!(!served.contains("unknown"), "{served}");
    let narrowed = good(alice, "kcp_apis_list", json!({"cluster": at(CONSUMER), "group": LAB})).await?.text;
    let (listed, nuts) = (names(&narrowed), "nuts.lab.example".to_owned());
    ensure!(listed.len() == 4 + usize::from(listed.contains(&nuts)), "{narrowed}");
    let bound = good(alice, "kcp_apis_list", json!({"cluster": at(CONSUMER), "show": "bindings"})).await?.text;
    holds(&bound, &["widgets\troot:providers:widgets:widgets\tBound\twidgets.lab.example\t"])?;
    holds(
        &bound,
        &[
            "configmaps accepted, secrets rejected, events pending",
            "the CRD gadgets.lab.example here has the same name",
        ],
    )?;
    // alice reads nothing of the workspace between, so its path leads her nowhere.
    let provider = logical_cluster(stage, "root:providers", "widgets").await?;
    let exports = good(alice, "kcp_apis_list", json!({"cluster": at(&provider), "show": "exports"})).await?.text;
    holds(&exports, &["widgets\twidgets.lab.example\tconfigmaps [get list], secrets [get list], events [get list]\t"])?;
    let none = good(alice, "kcp_apis_list", json!({"cluster": at(CONSUMER), "show": "exports"})).await?.text;
    ensure!(none == "no API exports", "{none}");
    // A binding that goes takes its kinds along, and callers see it.
    stage.kcp.admin(CONSUMER).delete("/apis/apis.kcp.io/v1alpha2/apibindings/bolts").await?;
    poll::until("bolts to be gone", SETTLED, || async {
        let text = why(alice, "bolts").await.map_err(|error| format!("{error:#}"))?;
        if text.contains("bolts is not served here") { Ok(()) } else { Err(text) }
    })
    .await?;
    Ok(())
}

/// bob reads configmaps and nothing else: what is served he sees, where it is from he cannot.
pub async fn who_may_not_read_bindings_is_told(stage: &Stage) -> anyhow::Result<()> {
    let bob = stage.client("bob").await?;
    let name = logical_cluster(stage, "root", "consumer").await?;
    let ask = async |more: serde_json::Value| {
        let mut question = json!({"cluster": format!("kcp-eu:{name}")});
        question.as_object_mut().into_iter().zip(more.as_object()).for_each(|(all, more)| all.extend(more.clone()));
        bob.call("kcp_apis_list", question).await
    };
    let text = ask(json!({"kind": "cars"})).await?.text;
    holds(&text, &["cars is not served here", "bindings_unread", "not known: you cannot read apibindings here"])?;
    ensure!(!text.contains("not_bound"), "{text}");
    let text = ask(json!({"kind": "widgets"})).await?.text;
    holds(&text, &["is served here in v1, from where cannot be told"])?;
    let text = ask(json!({"limit": 200})).await?.text;
    holds(&text, &["widgets.lab.example\tWidget\tv1\tunknown", "configmaps\tConfigMap\tv1\tbuilt in"])?;
    holds(&text, &["# you cannot read apibindings here"])?;
    let refused = ask(json!({"show": "bindings"})).await?;
    ensure!(refused.is_error, "{}", refused.text);
    holds(&refused.text, &["you cannot read apibindings here"])
}

/// The logical cluster of a workspace.
pub async fn logical_cluster(stage: &Stage, parent: &str, name: &str) -> anyhow::Result<String> {
    let object = stage.kcp.get(parent, &format!("/apis/tenancy.kcp.io/v1alpha1/workspaces/{name}")).await?;
    Ok(object["spec"]["cluster"].as_str().unwrap_or_default().to_owned())
}

async fn why(client: &Client, kind: &str) -> anyhow::Result<String> {
    Ok(good(client, "kcp_apis_list", json!({"cluster": at(CONSUMER), "kind": kind})).await?.text)
}
