//! Where a workspace lies, as its caller may write it.

use std::sync::Arc;

use crate::model::{Failure, FailureKind, LogicalCluster, Place, WorkspacePath};
use crate::pool::ClusterClient;
use crate::pool::workspaces::Workspace;

/// A workspace as its caller may write it: a path below the kcp where it is known, else a logical cluster name, with the
/// children below it.
#[derive(Debug, Clone)]
pub(super) struct Here {
    kcp: String,
    place: String,
}

impl Here {
    /// The target of a call.
    ///
    /// # Errors
    /// Internal, when the target is no workspace.
    pub(super) fn of(client: &ClusterClient) -> Result<Self, Failure> {
        let target = client.target();
        let place = match &target.place {
            Place::Name(name) => name.to_string(),
            Place::Path(path) => path.to_string(),
            Place::Whole => return Err(Failure::internal("a tool for workspaces ran without one")),
        };
        Ok(Self::new(target.cluster.name.as_str(), place))
    }

    /// The workspace at `place` of a kcp.
    pub(super) fn new(kcp: &str, place: String) -> Self {
        Self { kcp: kcp.to_owned(), place }
    }

    /// What `cluster` takes.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.kcp, self.place)
    }

    /// What `cluster` takes for the workspace at `place`, a path in this kcp; by `cluster` where the path is too deep.
    pub(super) fn address_of(&self, place: &str, cluster: Option<&LogicalCluster>) -> String {
        match (WorkspacePath::parse(place), cluster) {
            (Err(_), Some(cluster)) => format!("{}:{cluster}", self.kcp),
            (Ok(_), _) | (Err(_), None) => format!("{}:{place}", self.kcp),
        }
    }

    /// The path of the workspace at `path` below it.
    pub(super) fn below(&self, path: &[Arc<str>]) -> String {
        let mut place = self.place.clone();
        for name in path {
            place.push(':');
            place.push_str(name);
        }
        place
    }
}

/// A client of the workspace at `place`; `None` for a mount and for what has no logical cluster: nothing is sent there.
pub(super) fn client_of(client: &ClusterClient, place: &str, workspace: &Workspace) -> Option<ClusterClient> {
    let cluster = workspace.cluster.as_ref().filter(|_| !workspace.mount)?;
    client.at(cluster, WorkspacePath::parse(place).ok().as_ref()).ok()
}

/// No or unknown: the two are not told apart. Hop 3 says it in the words of every tool.
pub(super) fn outside(here: &Here) -> Failure {
    Failure::new(FailureKind::Refused, "forbidden", "you have no access to this workspace").target(here.address())
}

/// Whoever may enter, but not look around.
pub(super) fn closed(here: &Here) -> Failure {
    let cause = "you may enter this workspace, but not list the workspaces in it";
    Failure::new(FailureKind::Refused, "workspaces_not_listed", cause)
        .target(here.address())
        .hint("Address one by its logical cluster name, or ask for the verb list on workspaces.tenancy.kcp.io here")
}
