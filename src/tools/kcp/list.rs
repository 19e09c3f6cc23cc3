//! `kcp_workspaces_list`: the children of a workspace, and which of them the caller may enter.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;

use super::asking::{self, Access as Entering, PATIENCE};
use super::place::{Here, closed, outside};
use super::row::{self, Listed, Part};
use crate::model::{Access, Failure, FailureKind};
use crate::output::{Body, Listing, Output, Page, Resume};
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
        let look =
            timeout(asking::span(client, PATIENCE), view.look(client)).await.unwrap_or_else(|_elapsed| Err(late()));
        let look = look.map_err(|failure| failure.doing("listing workspaces"))?;
        let children = match look {
            Look::Children(children) => children,
            Look::Closed => return Err(closed(&here)),
            Look::Refused => return Err(outside(&here)),
        };
        let part = Shown::of(&children, &filter, &cx.page);
        let placed: Vec<(String, Arc<Workspace>)> =
            part.items.iter().map(|child| (here.below(&[Arc::clone(&child.name)]), Arc::clone(child))).collect();
        let accesses = asking::entries(client, &view, &placed).await;
        let listed = |((place, workspace), access)| Listed { place, workspace, access };
        let rows: Vec<Listed> = placed.into_iter().zip(accesses).map(listed).collect();
        let next = next(&here, &rows);
        let body = if cx.presentation.wants_objects() {
            Body::Objects { list: listing(cx, row::objects(&here, &rows, &part.rest)), kind: "Workspace".into() }
        } else {
            Body::Table(listing(cx, row::table(&rows, &part.rest, Timestamp::now())))
        };
        let mut output = Output::new(body);
        if children.cut {
            output = output.note(format!("only the first {} workspaces are read here", children.items.len()));
        }
        output.next = next.iter().map(ToString::to_string).collect();
        let tokens = part.items.iter().map(|child| Some(token(child))).collect();
        output.resume = Some(Resume { tokens, partial: children.cut });
        Ok(output)
    }
}

/// The list itself did not come.
fn late() -> Failure {
    let hint =
        "Repeat the call; if it stays so, its shard or the issuer of its type does not answer: ask who runs the kcp";
    Failure::new(FailureKind::Unreachable, "cluster_timeout", "no answer in 5 s").hint(hint)
}

/// Where the list goes on behind a workspace. A name alone could be read as base64.
fn token(workspace: &Workspace) -> String {
    format!("{}:", workspace.name)
}

/// The part of a list of children that an answer may show.
struct Shown {
    items: Vec<Arc<Workspace>>,
    rest: Part,
}

impl Shown {
    /// What fits `filter` behind the name in the page's token, as many as the page may show.
    fn of(children: &Children, filter: &Filter, page: &Page) -> Self {
        let last = page.token.as_deref().map(|token| token.trim_end_matches(':'));
        let behind = |child: &&Arc<Workspace>| last.is_none_or(|last| *child.name > *last);
        let mut fitting = children.items.iter().filter(behind).filter(|child| filter.takes(child));
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let items: Vec<_> = fitting.by_ref().take(limit).cloned().collect();
        let remaining = fitting.count() as u64;
        let token = items.last().filter(|_| remaining > 0).map(|last| token(last));
        Self { items, rest: Part { token, remaining: Some(remaining) } }
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

/// What can be done in the first one that may be entered: what is below it, and what reads there.
fn next(here: &Here, rows: &[Listed]) -> Vec<Next> {
    let open = rows.iter().find(|row| row.access == Entering::Yes);
    let address = open.map(|row| here.address_of(&row.place, row.workspace.cluster.as_ref()));
    address.map_or_else(Vec::new, |address| {
        [Next::at("kcp_workspaces_list", &address)].into_iter().chain(row::reads(&address)).collect()
    })
}
