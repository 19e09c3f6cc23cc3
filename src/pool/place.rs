//! From a workspace's path to its logical cluster name, so that no credential ever goes below a possible mount.
//!
//! A shard forwards a request below a mount to any URL, with all its headers, before authentication. A single segment is
//! never a mount. So the walk starts at the path's first segment and reads, with the caller's own credential, each
//! child's Workspace object in its parent, addressed by name: `spec.cluster` is the next step; an item with `spec.mount`
//! or without `spec.cluster` is a leaf that is never followed (DESIGN 15).

use serde::Deserialize;

use super::send::{Ask, Sender};
use super::shard;
use super::unaccepted;
use super::workspaces::{State, Workspace};
use crate::model::names::NameError;
use crate::model::{ClusterName, Failure, FailureKind, LogicalCluster, WorkspacePath};

/// The prefix of requests to a logical cluster.
pub(super) fn prefix(name: &LogicalCluster) -> String {
    format!("/clusters/{name}")
}

/// A workspace on the way to another, and where it was found.
#[derive(Debug, Clone)]
pub(super) struct Passed {
    pub(super) path: WorkspacePath,
    pub(super) name: LogicalCluster,
}

impl Passed {
    /// Where a walk to `path` begins when nothing is known: its first segment, which is a logical cluster name.
    pub(super) fn first(path: &WorkspacePath) -> Result<Self, Failure> {
        let arguments = |error: NameError| Failure::arguments(error.to_string());
        let first = path.segments().next().unwrap_or_default();
        let (path, name) = (WorkspacePath::parse(first), LogicalCluster::parse(first));
        Ok(Self { path: path.map_err(arguments)?, name: name.map_err(arguments)? })
    }
}

/// What the annotation of a logical cluster says of its path: a claim, which its administrator can write.
///
/// # Errors
/// The API server's answer when it is none, or no answer.
pub(super) async fn claimed_path(sender: &Sender, name: &LogicalCluster) -> Result<Option<WorkspacePath>, Failure> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default)]
        annotations: Annotations,
    }
    #[derive(Deserialize, Default)]
    struct Annotations {
        #[serde(rename = "kcp.io/path")]
        path: Option<String>,
    }
    let ask = Ask { cluster_scoped: true, ..Ask::get("/apis/core.kcp.io/v1alpha1/logicalclusters/cluster") };
    let reply = sender.send(&prefix(name), &ask).await?;
    let object: Object = serde_json::from_slice(&reply.body).map_err(|error| {
        Failure::new(FailureKind::Cluster, "unexpected_answer", "the LogicalCluster object cannot be read")
            .because(&error)
    })?;
    Ok(object.metadata.annotations.path.and_then(|path| WorkspacePath::parse(&path).ok()))
}

/// Walks down to `path` from one above it, which is not among those passed.
///
/// # Errors
/// When a parent cannot be read, a child is not there, or is a mount or not ready.
pub(super) async fn walk(sender: &Sender, from: Passed, path: &WorkspacePath) -> Result<Vec<Passed>, Failure> {
    let (mut here, mut passed) = (from, Vec::new());
    let depth = here.path.segments().count();
    for child in path.segments().skip(depth) {
        let name = step(sender, &here.name, here.path.as_str(), child).await?;
        let path = here.path.child(child).map_err(|error| Failure::arguments(error.to_string()))?;
        here = Passed { path, name };
        passed.push(here.clone());
    }
    Ok(passed)
}

async fn step(sender: &Sender, parent: &LogicalCluster, walked: &str, child: &str) -> Result<LogicalCluster, Failure> {
    let workspace = match object(sender, parent, child).await {
        Ok(workspace) => workspace,
        // A 401 says that the credential is not accepted here at all, which no other spelling of the address mends.
        Err(failure) if matches!(failure.code, "forbidden" | "not_found") => {
            return Err(unreadable(walked, child, &failure));
        }
        Err(failure) if failure.code == "cluster_rejected_credential" && failure.retry.is_some() => {
            return Err(unaccepted::on_the_way(failure, walked));
        }
        Err(failure) if failure.code == "workspace_unreachable" => return Err(shard::on_the_way(failure, walked)),
        Err(failure) => return Err(failure),
    };
    let path = format!("{walked}:{child}");
    let cluster = &sender.permit.target().cluster.name;
    if workspace.mount {
        let what = format!("workspace {path} is a mount of another server; no credential is sent there");
        let hint = format!("{} shows it; its target can be a cluster of its own", look_at(cluster, &path));
        return Err(leaf("workspace_mount", what).hint(hint));
    }
    workspace.cluster.clone().ok_or_else(|| {
        not_usable(cluster, &path, &workspace).unwrap_or_else(|| {
            leaf("workspace_not_ready", format!("workspace {path} has no logical cluster yet"))
                .hint(format!("{} shows it", look_at(cluster, &path)))
        })
    })
}

/// What shows a workspace that cannot be entered: its own object, in its parent.
fn look_at(cluster: &ClusterName, path: &str) -> String {
    let (parent, name) = path.rsplit_once(':').unwrap_or(("root", path));
    format!("kcp_workspace_describe cluster={cluster}:{parent} name={name}")
}

/// The Workspace `child`, as its parent holds it.
///
/// # Errors
/// The API server's answer when it is none, or no answer.
pub(super) async fn object(sender: &Sender, parent: &LogicalCluster, child: &str) -> Result<Workspace, Failure> {
    let ask = Ask { cluster_scoped: true, ..Ask::get(format!("/apis/tenancy.kcp.io/v1alpha1/workspaces/{child}")) };
    let reply = sender.send(&prefix(parent), &ask).await?;
    Workspace::read(&reply.body)
}

/// Why a workspace is none to be used, in the words of its own object; `None` for one that says that it is ready.
pub(super) fn not_usable(cluster: &ClusterName, path: &str, workspace: &Workspace) -> Option<Failure> {
    let (what, hint) = match workspace.state {
        State::Ready => return None,
        State::Deleting => ("is being deleted", "Its name is free again when what is in it is gone"),
        State::Scheduling => ("has no logical cluster yet: it is scheduling", "Try again when it is ready"),
        State::Initializing => ("is initializing", "Try again when it is ready"),
        State::Unavailable => ("is unavailable", "Try again later"),
        State::Inactive => ("is switched off", "Ask whoever runs this kcp"),
        State::Other => ("is not ready", "Try again when it is ready"),
    };
    let why = if workspace.why.is_empty() { String::new() } else { format!(": {}", workspace.why) };
    let hint = format!("{hint}; {} says more", look_at(cluster, path));
    Some(leaf("workspace_not_ready", format!("workspace {path} {what}{why}")).hint(hint))
}

fn leaf(code: &'static str, what: String) -> Failure {
    Failure::new(FailureKind::NotFound, code, what).doing("resolving the workspace")
}

/// No or unknown: a 403 and a 404 say the same.
fn unreadable(walked: &str, child: &str, failure: &Failure) -> Failure {
    let cause = format!("workspace {child} in {walked} is not there, or you cannot read it");
    let hint = "Use its logical cluster name, <kcp>:<name>; or have the operator set paths = \"trusted\", where there are no mounts";
    let detail = failure.to_string();
    Failure { detail: Some(detail), ..Failure::new(FailureKind::NotFound, "workspace_unresolved", cause) }
        .doing("resolving the workspace")
        .hint(hint)
}
