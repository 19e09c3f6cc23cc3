//! `kcp_workspaces_find`: workspaces anywhere below one, by name, type, labels or what they serve.

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::filter::Filter;
use super::place::Here;
use super::row::{self, Listed, Part};
use super::start::Start;
use super::survey::{self, DEEPEST, Survey};
use super::walk::{Found, Node, Walk};
use crate::model::{Access, Failure, names};
use crate::output::{Body, Listing, Output};
use crate::pool::ClusterClient;
use crate::tools::{Cx, Spec, TargetNeed, Tool};

/// `kcp_workspaces_find`.
pub(super) struct WorkspacesFind;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    #[schemars(description = "Part of the name")]
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    label_selector: Option<String>,
    #[schemars(description = "As widgets.example.io")]
    serves: Option<String>,
    under: Option<String>,
}

impl Tool for WorkspacesFind {
    const SPEC: Spec = Spec {
        name: "kcp_workspaces_find",
        title: "kcp workspaces: find",
        description: "Find workspaces at any depth below one of a kcp",
        toolset: "kcp",
        access: Access::Read,
        target: TargetNeed::Workspace,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let filter = Filter::read(args.kind, None, args.label_selector, args.name)?;
        let serves = args.serves.map(|text| text.trim().to_lowercase()).filter(|text| !text.is_empty());
        if let Some(serves) = &serves {
            let wrong = |_| {
                let cause = format!("{} is no resource and no API group", names::quote(serves));
                Failure::arguments(cause).hint("Write it as widgets.example.io or example.io")
            };
            names::plural(serves).map_err(wrong)?;
        }
        let start = Start::find(client, args.under.as_deref()).await?;
        let survey = Survey {
            client: start.client(),
            view: &start.view,
            here: &start.here,
            start: start.look.clone(),
            progress: &cx.progress,
            serves: serves.as_deref().map(|serves| (serves, &filter)),
        };
        let walk = survey.walk(DEEPEST, usize::MAX, cx.page.token.as_deref()).await;
        let takes = |node: &Node| {
            let workspace = node.workspace.as_ref();
            workspace.is_some_and(|workspace| filter.takes(workspace))
                && (serves.is_none() || node.serves == Some(true))
        };
        // What was not asked or did not answer is not known to serve nothing.
        let unasked = |node: &Node| {
            let workspace = node.workspace.as_ref().filter(|workspace| filter.takes(workspace));
            let asked = matches!(node.found, Some(Found::Open { .. } | Found::Entered | Found::Closed));
            serves.is_some() && asked && workspace.is_some() && node.serves.is_none()
        };
        Ok(output(cx, &start.here, &walk, takes, unasked))
    }
}

fn output(cx: &Cx, here: &Here, walk: &Walk, takes: impl Fn(&Node) -> bool, unasked: impl Fn(&Node) -> bool) -> Output {
    let told: Vec<&Node> = walk.rows().collect();
    let fitting: Vec<&Node> = told.iter().copied().filter(|node| takes(node)).collect();
    let shown = survey::within(walk, &fitting, cx.page.limit);
    let page = fitting.get(..shown).unwrap_or_default();
    let rows: Vec<Listed> = page.iter().filter_map(|node| listed(here, node)).collect();
    // Behind the last one that is shown, or that was looked at.
    let last = if shown < fitting.len() { page.last() } else { told.last() };
    let more = shown < fitting.len() || walk.is_open();
    let part = Part {
        token: survey::token(walk, last.copied(), cx.page.token.as_ref()).filter(|_| more),
        remaining: (!walk.is_open()).then(|| fitting.len().saturating_sub(shown) as u64),
    };
    let open = rows.iter().find(|row| row.access.word() == "yes");
    let next = open.map(|row| row::reads(&here.address_of(&row.place, row.workspace.cluster.as_ref())));
    let body = if cx.presentation.wants_objects() {
        Body::Objects { list: listing(cx, row::objects(here, &rows, &part)), kind: "Workspace".into() }
    } else {
        Body::Table(listing(cx, row::table(&rows, &part, Timestamp::now())))
    };
    let unasked = told.iter().filter(|node| unasked(node)).count();
    let note = note(&told, walk, unasked, cx.page.token.is_some());
    let next = next.iter().flatten().map(ToString::to_string).collect();
    Output { notes: vec![note], next, resume: Some(survey::resume(walk, page)), ..Output::new(body) }
}

fn listing<T>(cx: &Cx, content: T) -> Listing<T> {
    Listing {
        resource: "workspaces".into(),
        content,
        page: cx.page.clone(),
        narrow: "name, type, labelSelector or under",
    }
}

fn listed(here: &Here, node: &Node) -> Option<Listed> {
    let workspace = node.workspace.clone()?;
    Some(Listed { place: here.below(&node.path), workspace, access: survey::access(node.found.as_ref()) })
}

/// Among how many was searched, and what was not seen.
fn note(told: &[&Node], walk: &Walk, unasked: usize, goes_on: bool) -> String {
    let count = |what: fn(&Found) -> bool| told.iter().filter(|node| node.found.as_ref().is_some_and(what)).count();
    let silent = count(|found| matches!(found, Found::Unknown(_))) + unasked;
    let refused = count(|found| matches!(found, Found::No));
    let crowds = count(|found| matches!(found, Found::Open { cut: true, .. }));
    let closed = count(|found| matches!(found, Found::Closed));
    let whole = if walk.is_open() || silent > 0 || crowds > 0 || closed > 0 { "complete: false; " } else { "" };
    let on = if goes_on { " more" } else { "" };
    let mut note =
        format!("{whole}searched {}{on} workspaces", told.iter().filter(|node| node.workspace.is_some()).count());
    for (count, what) in [
        (refused, "without access"),
        (closed, "whose workspaces you cannot list"),
        (silent, "did not answer"),
        (crowds, "with more than 10,000 children, the others not searched"),
    ] {
        if count > 0 {
            note = format!("{note}; {count} {what}");
        }
    }
    note
}
