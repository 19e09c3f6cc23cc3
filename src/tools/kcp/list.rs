//! `kcp_workspaces_list`: the children of a workspace, and which of them the caller may enter.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::asking::{self, Access as Entering};
use super::place::{Here, closed, outside};
use super::row;
use crate::model::{Access, Column, Failure, Row, Table};
use crate::output::{Body, Listing, Output, Page};
use crate::pool::ClusterClient;
use crate::pool::workspaces::{Children, Look, Workspace};
use crate::tools::next::Next;
use crate::tools::{Cx, Spec, TargetNeed, Tool};

use super::filter::Filter;

/// `kcp_workspaces_list`.
pub(super) struct WorkspacesList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[schemars(description = "As ready, deleting")]
    state: Option<String>,
    label_selector: Option<String>,
    #[schemars(description = "Part of the name")]
    text: Option<String>,
}

impl Tool for WorkspacesList {
    const SPEC: Spec = Spec {
        name: "kcp_workspaces_list",
        title: "kcp workspaces: list",
        description: "List the workspaces in a workspace of a kcp, their state, and if you may enter",
        toolset: "kcp",
        access: Access::Read,
        target: TargetNeed::Workspace,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let filter = Filter::read(args.kind, args.state, args.label_selector, args.text)?;
        let here = Here::of(client)?;
        let view = client.workspaces();
        let look = view.look(client).await.map_err(|failure| failure.doing("listing workspaces"))?;
        let children = match look {
            Look::Children(children) => children,
            Look::Closed => return Err(closed(&here)),
            Look::Refused => return Err(outside(&here)),
        };
        let part = Part::of(&children, &filter, &cx.page);
        let placed: Vec<(String, Arc<Workspace>)> =
            part.shown.iter().map(|child| (here.child(&child.name), Arc::clone(child))).collect();
        let mut accesses = vec![Entering::Unknown(String::new()); part.skipped];
        accesses.extend(asking::entries(client, &view, placed.get(part.skipped..).unwrap_or_default()).await);
        let rows: Vec<(&str, &Workspace, &Entering)> = placed
            .iter()
            .zip(&accesses)
            .map(|((place, workspace), access)| (place.as_str(), workspace.as_ref(), access))
            .collect();
        let next = next(&here, &rows);
        let body = if cx.presentation.wants_objects() {
            Body::Objects { list: listing(cx, objects(&here, &rows, &part)), kind: "Workspace".into() }
        } else {
            Body::Table(listing(cx, table(&rows, &part, Timestamp::now())))
        };
        let mut output = Output::new(body);
        if children.cut {
            output = output.note(format!("only the first {} workspaces are read here", children.items.len()));
        }
        output.next = next.iter().map(ToString::to_string).collect();
        Ok(output)
    }
}

/// The part of a list of children that an answer may show.
struct Part {
    shown: Vec<Arc<Workspace>>,
    /// So many of them were shown by an answer before.
    skipped: usize,
    /// The last one's name, when there are more.
    token: Option<String>,
    remaining: u64,
}

impl Part {
    /// What fits `filter` behind the name in the page's token, as many as the page may show.
    fn of(children: &Children, filter: &Filter, page: &Page) -> Self {
        let behind = |child: &&Arc<Workspace>| page.token.as_deref().is_none_or(|last| *child.name > *last);
        let mut fitting = children.items.iter().filter(behind).filter(|child| filter.takes(child));
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let shown: Vec<_> = fitting.by_ref().take(page.offset.saturating_add(limit)).cloned().collect();
        let remaining = fitting.count() as u64;
        let token = shown.last().filter(|_| remaining > 0).map(|last| last.name.to_string());
        Self { skipped: page.offset.min(shown.len()), shown, token, remaining }
    }
}

fn listing<T>(cx: &Cx, content: T) -> Listing<T> {
    Listing {
        resource: "workspaces".into(),
        content,
        page: cx.page.clone(),
        narrow: "type, state, labelSelector or text",
    }
}

fn table(rows: &[(&str, &Workspace, &Entering)], part: &Part, now: Timestamp) -> Table {
    let columns = [("PATH", 0), ("TYPE", 0), ("STATE", 0), ("ACCESS", 0), ("CLUSTER", 0), ("AGE", 1), ("LABELS", 1)];
    let row = |(place, workspace, access): &(&str, &Workspace, &Entering)| Row {
        namespace: None,
        cells: vec![
            (*place).to_owned(),
            workspace.kind.to_string(),
            row::state(workspace, now),
            if workspace.mount { "unknown".to_owned() } else { access.said() },
            row::cluster(workspace),
            crate::tools::age::ago(workspace.created, now),
            row::labels(workspace),
        ],
    };
    Table {
        columns: columns.map(|(name, priority)| Column { name: name.into(), priority }).to_vec(),
        rows: rows.iter().map(row).collect(),
        continue_token: part.token.clone(),
        remaining: part.token.is_some().then_some(part.remaining),
    }
}

fn objects(here: &Here, rows: &[(&str, &Workspace, &Entering)], part: &Part) -> Value {
    let items = rows.iter().map(|(place, workspace, access)| row::object(here, place, workspace, access));
    let mut list = json!({"items": items.collect::<Vec<_>>()});
    if let Some(token) = &part.token {
        list["metadata"] = json!({"continue": token, "remainingItemCount": part.remaining});
    }
    list
}

/// What can be done in the first one that may be entered: what is below it, and what reads there.
fn next(here: &Here, rows: &[(&str, &Workspace, &Entering)]) -> Vec<Next> {
    let open = rows.iter().find(|(.., access)| **access == Entering::Yes);
    let address = open.map(|(place, workspace, _)| here.address_of(place, workspace.cluster.as_ref()));
    address.map_or_else(Vec::new, |address| {
        let reads = Next::at("resources_list", &address).with("kind", "configmaps");
        vec![Next::at("kcp_workspaces_list", &address), reads]
    })
}
