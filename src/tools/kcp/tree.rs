//! `kcp_workspace_tree`: the workspaces below one, as the caller may enter them.

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::asking::Access as Entering;
use super::place::Here;
use super::row::{self, Part};
use super::start::Start;
use super::survey::{self, BREADTH, DEEPEST, Survey};
use super::walk::{Found, Node, Walk};
use crate::model::{Access, Column, Failure, Row, Table};
use crate::output::{Body, Budget, Listing, Output, Page};
use crate::pool::ClusterClient;
use crate::pool::workspaces::State;
use crate::tools::next::Next;
use crate::tools::{Cx, Spec, TargetNeed, Tool};

/// Levels unless the caller says otherwise.
const DEPTH: usize = 3;
/// Bytes of rows: with notes and a handle about 1,500 tokens.
const ROOM: usize = 3_000;
/// Bytes of rows when the caller wants more than the usual number.
const MORE_ROOM: usize = 14_000;

/// `kcp_workspace_tree`.
pub(super) struct WorkspaceTree;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    #[schemars(description = "Levels, 3")]
    depth: Option<usize>,
    #[schemars(description = "A path below, as team:app")]
    under: Option<String>,
}

impl Tool for WorkspaceTree {
    const SPEC: Spec = Spec {
        name: "kcp_workspace_tree",
        title: "kcp workspaces: tree",
        description: "Show the tree of workspaces below one of a kcp, with what you may enter",
        toolset: "kcp",
        access: Access::Read,
        target: TargetNeed::Workspace,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let depth = args.depth.unwrap_or(DEPTH);
        if !(1..=DEEPEST).contains(&depth) {
            return Err(Failure::arguments(format!("argument depth must be an integer from 1 to {DEEPEST}")));
        }
        let start = Start::find(client, args.under.as_deref()).await?;
        let survey = Survey {
            client: start.client(),
            view: &start.view,
            here: &start.here,
            start: start.look.clone(),
            progress: &cx.progress,
            serves: None,
        };
        let walk = survey.walk(depth, BREADTH, cx.page.token.as_deref()).await;
        Ok(output(cx, &start.here, &walk, depth))
    }
}

fn output(cx: &Cx, here: &Here, walk: &Walk, depth: usize) -> Output {
    let now = Timestamp::now();
    let told: Vec<&Node> = walk.rows().collect();
    let part = Shown::of(here, &told, walk, cx, now);
    let shown = told.get(..part.rows).unwrap_or_default();
    let notes = notes(here, &told, walk, &cx.page, depth);
    let next = next(here, shown);
    let resume = Some(survey::resume(walk, shown));
    let body = if cx.presentation.wants_objects() {
        let items = shown.iter().map(|node| object(here, node)).collect();
        Body::Objects { list: listing(cx, row::list(items, &part.rest)), kind: "Workspace".into() }
    } else {
        let columns = [("WORKSPACE", 0), ("TYPE", 0), ("STATE", 0), ("ACCESS", 0), ("CLUSTER", 1)];
        let table = Table {
            columns: columns.map(|(name, priority)| Column { name: name.into(), priority }).to_vec(),
            rows: shown.iter().map(|node| Row { namespace: None, cells: cells(here, node, now) }).collect(),
            continue_token: part.rest.token,
            remaining: part.rest.remaining,
        };
        Body::Table(listing(cx, table))
    };
    Output { notes, next: next.iter().map(ToString::to_string).collect(), resume, ..Output::new(body) }
}

fn listing<T>(cx: &Cx, content: T) -> Listing<T> {
    Listing { resource: "workspaces".into(), content, page: cx.page.clone(), narrow: "depth or under" }
}

/// The part of what was walked that an answer shows.
struct Shown {
    rows: usize,
    rest: Part,
}

impl Shown {
    fn of(here: &Here, told: &[&Node], walk: &Walk, cx: &Cx, now: Timestamp) -> Self {
        let mut room = if cx.presentation.budget == Budget::DEFAULT { ROOM } else { MORE_ROOM };
        let mut shown = 0_usize;
        let mut counted = false;
        for node in told.iter().take(survey::within(walk, told, cx.page.limit)) {
            // Objects are cut where they are written.
            let size = if cx.presentation.wants_objects() { 0 } else { size(&cells(here, node, now)) };
            if size > room && counted {
                break;
            }
            room = room.saturating_sub(size);
            shown += 1;
            counted |= walk.is_wanted(&node.path);
        }
        let last = shown.checked_sub(1).and_then(|at| told.get(at));
        let more = shown < told.len() || walk.is_open();
        let rest = Part {
            token: survey::token(walk, last.copied(), cx.page.token.as_ref()).filter(|_| more),
            remaining: (!walk.is_open()).then(|| told.len().saturating_sub(shown) as u64),
        };
        Self { rows: shown, rest }
    }
}

fn size(cells: &[String]) -> usize {
    cells.iter().take(4).map(|cell| cell.len() + 1).sum()
}

/// What was seen and what was not.
fn notes(here: &Here, told: &[&Node], walk: &Walk, page: &Page, depth: usize) -> Vec<String> {
    let count = |what: fn(&Node) -> bool| told.iter().filter(|node| what(node)).count();
    let refused = count(|node| node.found == Some(Found::No));
    let silent = count(|node| matches!(node.found, Some(Found::Unknown(_))));
    let unready = count(|node| node.workspace.as_ref().is_some_and(|workspace| workspace.state != State::Ready));
    let deepest = told.iter().map(|node| node.path.len()).max().unwrap_or_default();
    let which = if page.token.is_some() { " from here on" } else { "" };
    let mut totals = format!("{} workspaces{which}, {deepest} of at most {depth} levels", told.len());
    for (count, what) in [(refused, "without access"), (unready, "not ready"), (silent, "that did not answer")] {
        if count > 0 {
            totals = format!("{totals}; {count} {what}");
        }
    }
    let crowds =
        count(|node| matches!(node.found, Some(Found::Open { hidden: 1.., .. } | Found::Open { cut: true, .. })));
    let whole = match (walk.is_open(), silent + crowds) {
        (false, 0) => "",
        (false, _) => "complete: false; ",
        (true, _) if walk.is_full() => "complete: false, as many as one call looks at; ",
        (true, _) => "complete: false, as many as answered in time; ",
    };
    let mut notes = vec![format!("{whole}{totals}")];
    let first = told.iter().find(|node| walk.is_wanted(&node.path)).filter(|_| page.token.is_some());
    let first = first.and_then(|node| node.path.split_last());
    notes.extend(first.map(|(_, parent)| format!("goes on in {}", here.below(parent))));
    notes
}

/// The name, two spaces in per level; the start with its whole path.
fn cells(here: &Here, node: &Node, now: Timestamp) -> Vec<String> {
    let Some((workspace, name)) = node.workspace.as_ref().zip(node.path.last()) else {
        let (state, access) = (hidden(node.found.as_ref()), entering(node.found.as_ref()));
        return vec![here.below(&[]), String::new(), state, access, String::new()];
    };
    let mut states = vec![if workspace.state == State::Ready { String::new() } else { row::state(workspace, now) }];
    states.extend(workspace.mount.then(|| "mount".to_owned()));
    states.push(hidden(node.found.as_ref()));
    states.retain(|state| !state.is_empty());
    vec![
        format!("{}{name}", "  ".repeat(node.path.len())),
        workspace.kind.to_string(),
        states.join("; "),
        entering(node.found.as_ref()),
        row::cluster(workspace),
    ]
}

/// What is not shown below it.
fn hidden(found: Option<&Found>) -> String {
    match found {
        Some(Found::Open { hidden: more @ 1.., cut }) => {
            format!("{}{} children, {BREADTH} shown", more + BREADTH, if *cut { "+" } else { "" })
        }
        Some(Found::Cycle) => "cycle: met before".to_owned(),
        Some(
            Found::Open { .. }
            | Found::Entered
            | Found::Closed
            | Found::No
            | Found::Unknown(_)
            | Found::Mount
            | Found::Homeless,
        )
        | None => String::new(),
    }
}

/// Whether it may be entered, where that is not simply so.
fn entering(found: Option<&Found>) -> String {
    match found {
        Some(Found::Open { .. } | Found::Entered | Found::Mount | Found::Homeless | Found::Cycle) | None => {
            String::new()
        }
        Some(Found::Closed) => "yes, but its workspaces are not listed for you".to_owned(),
        Some(Found::No) => "no access".to_owned(),
        Some(Found::Unknown(_)) => survey::access(found).said(),
    }
}

fn object(here: &Here, node: &Node) -> Value {
    let place = here.below(&node.path);
    let access = survey::access(node.found.as_ref());
    let mut object = match &node.workspace {
        Some(workspace) => row::object(here, &place, workspace, &access),
        None => json!({"path": place, "access": access.word(), "address": here.address()}),
    };
    match &node.found {
        Some(Found::Open { hidden: more @ 1.., .. }) => object["childrenNotShown"] = (*more).into(),
        Some(Found::Closed) => object["childrenListed"] = false.into(),
        Some(_) | None => {}
    }
    object
}

/// What can be done with what is shown: reading in the first workspace that may be entered and has none below it here, and
/// the whole list of what has too many.
fn next(here: &Here, shown: &[&Node]) -> Vec<Next> {
    let inside = |node: &&&Node| node.workspace.is_some() && survey::access(node.found.as_ref()) == Entering::Yes;
    let above = |path: &[_]| shown.iter().any(|other| other.path.len() > path.len() && other.path.starts_with(path));
    let leaf = shown.iter().filter(inside).find(|node| !above(&node.path));
    let address = |node: &Node| {
        let cluster = node.workspace.as_ref().and_then(|workspace| workspace.cluster.as_ref());
        here.address_of(&here.below(&node.path), cluster)
    };
    let crowd = shown.iter().find(|node| matches!(node.found, Some(Found::Open { hidden: 1.., .. })));
    let reads = leaf.map(|node| row::reads(&address(node)));
    let lists = crowd.map(|node| Next::at("kcp_workspaces_list", &address(node)));
    reads.into_iter().flatten().chain(lists).collect()
}

#[cfg(test)]
mod tests;
