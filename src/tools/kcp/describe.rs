//! `kcp_workspace_describe`: one workspace from both sides, its Workspace object in the parent and its own LogicalCluster, with
//! its state in plain words. Of a mount only what the parent's object says: nothing is sent there.

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::model::{Access, Failure, FailureKind, LogicalCluster, WorkspacePath, names};
use crate::output::{Body, Output};
use crate::pool::ClusterClient;
use crate::pool::workspaces::{Entry, Look};
use crate::tools::{Cx, Spec, TargetNeed, Tool};

mod facts;
mod print;
mod state;
mod way;

use super::apis::{Found, given};
use super::part;
use super::place::{Here, outside};
use facts::{Facts, Serves};
use way::Way;

/// `kcp_workspace_describe`.
pub(super) struct WorkspaceDescribe;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    #[schemars(description = "A child of the workspace instead, as a mount")]
    name: Option<String>,
}

impl Tool for WorkspaceDescribe {
    const SPEC: Spec = Spec {
        name: "kcp_workspace_describe",
        title: "kcp workspace: describe",
        description: "One workspace: state and why, type, owner, path, what it serves",
        toolset: "kcp",
        access: Access::Read,
        target: TargetNeed::Workspace,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, _cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let now = Timestamp::now();
        let facts = match given(args.name) {
            Some(name) => child(client, &name).await?,
            None => itself(client).await?,
        };
        let output = Output::new(Body::Text(print::text(&facts, now)));
        Ok(Output { next: print::next(&facts), structured: Some(print::structured(&facts, now)), ..output })
    }
}

/// The target of the call.
async fn itself(client: &ClusterClient) -> Result<Facts, Failure> {
    let (inside, way) = futures::join!(inside(client), async {
        match client.target().place.path() {
            Some(path) => Some(Way::walk(client, &path).await),
            None => None,
        }
    });
    let way = match way {
        Some(way) => way,
        None => above(client, inside.object.as_ref()).await,
    };
    let address = client.target().address().to_string();
    both(client, address, way, inside).await
}

/// The child `name` of the target of the call.
async fn child(client: &ClusterClient, name: &str) -> Result<Facts, Failure> {
    LogicalCluster::parse(name).map_err(|_| {
        Failure::arguments(format!("name {} is no name of a workspace", names::quote(name)))
            .hint("Write one segment, as team-a")
    })?;
    let object = client.get(&part::workspaces(), None, name).await.map_err(|failure| match failure.code {
        // An unknown child answers as a forbidden one does.
        "forbidden" | "not_found" => hidden(name, client),
        _ => failure,
    })?;
    let mut way = match client.target().place.path() {
        Some(path) => Way::walk(client, &path).await,
        None => Way::default(),
    };
    if !way.whole {
        // What leads here is not known; half of it would look like another path.
        way = Way::default();
    }
    way.step(name, object);
    let Some(cluster) = way.cluster().filter(|_| !way.is_mount()) else {
        let address = format!("{}:{name}", client.target().address());
        return Ok(Facts { address, way, ..Facts::default() });
    };
    let path = client.target().place.path().and_then(|path| path.child(name).ok());
    let there = client.at(&cluster, path.as_ref())?;
    let inside = inside(&there).await;
    let address = there.target().address().to_string();
    both(&there, address, way, inside).await
}

/// What a workspace says of itself.
struct Inside {
    look: Result<Look, Failure>,
    /// Its LogicalCluster.
    object: Result<Value, Failure>,
    serves: Result<Serves, Failure>,
}

async fn inside(client: &ClusterClient) -> Inside {
    let (view, logical) = (client.workspaces(), part::logical_clusters());
    let serves = async { Found::read(client).await.map(|found| Serves::of(&found)) };
    let (look, object, serves) = futures::join!(view.look(client), client.get(&logical, None, "cluster"), serves);
    Inside { look, object, serves }
}

async fn both(client: &ClusterClient, address: String, way: Way, inside: Inside) -> Result<Facts, Failure> {
    let access = access(&inside.look, inside.object.is_ok());
    if way.object().is_none() && inside.object.is_err() {
        // Nobody says anything of it: it is not there, or this caller may see nothing of it.
        match (access, inside.look.as_ref()) {
            (Entry::No, _) => return Err(outside(&Here::of(client)?)),
            (Entry::Unknown, Err(failure)) => return Err(failure.clone()),
            (Entry::Yes | Entry::Unknown, _) => {}
        }
    }
    let mut facts = Facts { address, way, access: Some(access), ..Facts::default() };
    facts.children = match &inside.look {
        Ok(Look::Children(children)) => Some((children.items.len(), children.cut)),
        Ok(Look::Closed | Look::Refused) | Err(_) => None,
    };
    facts.unread.extend(inside.object.as_ref().err().map(|failure| part::unread("its LogicalCluster", failure)));
    facts.unread.extend(inside.serves.as_ref().err().map(|failure| part::unread("what it serves", failure)));
    facts.logical = inside.object.ok();
    facts.cluster = facts.own_cluster().or_else(|| client.logical_cluster());
    facts.serves = inside.serves.ok();
    facts.authentication = Some(way::authentication(client, facts.kind().as_deref()).await);
    Ok(facts)
}

/// Who reads the LogicalCluster has entered, whatever was seen of the workspace before.
fn access(look: &Result<Look, Failure>, read: bool) -> Entry {
    if read {
        return Entry::Yes;
    }
    match look {
        Ok(Look::Children(_) | Look::Closed) => Entry::Yes,
        Ok(Look::Refused) => Entry::No,
        Err(_) => Entry::Unknown,
    }
}

/// From inside to its parents, for a target that is given by its name: by its path, as its LogicalCluster says it, or else
/// by its owner, which is its Workspace in its parent.
async fn above(client: &ClusterClient, logical: Result<&Value, &Failure>) -> Way {
    let Ok(logical) = logical else { return Way::default() };
    let text = |pointer: &str| logical.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    // The paths of homes lead nowhere.
    let path = WorkspacePath::parse(text("/metadata/annotations/kcp.io~1path")).ok();
    if let Some(path) = path.filter(|path| path.segments().next() == Some("root")) {
        let way = Way::walk(client, &path).await;
        if way.cluster() == client.logical_cluster() {
            return way;
        }
    }
    let owner = LogicalCluster::parse(text("/spec/owner/cluster")).ok();
    match owner {
        Some(parent) => Way::from_owner(client, parent, text("/spec/owner/name")).await,
        None => Way::default(),
    }
}

/// No or unknown: the same words.
fn hidden(name: &str, client: &ClusterClient) -> Failure {
    let cause = format!("workspace {name} in it is not there, or you cannot read it");
    Failure::new(FailureKind::NotFound, "workspace_unresolved", cause)
        .target(client.target().address().to_string())
        .doing("describing a workspace")
}
