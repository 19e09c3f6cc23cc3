//! What a kcp's refusal means: of a workspace that the caller may not enter nothing more is said than that, in the words
//! that are used for one that is not there.
//!
//! To a path that is not there a shard answers 404 and to one that is 403; a front-proxy answers 403 to both, in two
//! wordings, and so it does for logical cluster names. `/version` needs access to the workspace and nothing else, so one
//! request tells a lack of access from a lack of a role in the workspace.

use super::client::ClusterClient;
use super::place;
use super::unaccepted;
use super::workspaces::{Entry, probe};
use crate::model::{ClusterKind, Failure, FailureKind, PathTrust, Place};

/// 401.
const REJECTED: &str = "cluster_rejected_credential";

impl ClusterClient {
    /// `failure` as the caller may hear it. One more request, and only for what says no; and of a workspace that was named
    /// by its path and cannot be entered, what its own object says.
    pub async fn heard(&self, failure: Failure) -> Failure {
        if self.target().cluster.kind != ClusterKind::Kcp || self.target().place == Place::Whole {
            return failure;
        }
        // A shard looks at the credential only where there is a workspace: to a path that leads nowhere it says 404.
        if self.is_guessed() && failure.code == REJECTED {
            return self.no_way(&failure).await;
        }
        if !says_no(&failure) {
            return failure;
        }
        match probe(self).await {
            Ok(Entry::Yes | Entry::Unknown) => failure,
            Ok(Entry::No) => self.no_way(&failure).await,
            Err(unanswered) if self.is_guessed() && unanswered.code == REJECTED => self.no_way(&failure).await,
            // Without it, nobody knows what the first answer tells.
            Err(unanswered) => unanswered,
        }
    }

    /// A path that is sent as it is, and that the operator does not name to everybody who reaches this kcp.
    fn is_guessed(&self) -> bool {
        let cluster = &self.target().cluster;
        let Place::Path(path) = &self.target().place else { return false };
        cluster.paths == PathTrust::Trusted && !cluster.entry.contains(path)
    }

    async fn no_way(&self, failure: &Failure) -> Failure {
        self.no_way_in();
        let mut said = self.not_usable().await.unwrap_or_else(|| outside(failure));
        let advice = unaccepted::advice(self.target(), self.principal(), self.way()).filter(|_| self.is_guessed());
        if let Some((hint, retry)) = advice {
            let both = said.hint.take().map_or_else(|| hint.clone(), |first| format!("{first}. {hint}"));
            said = Failure { retry, ..said.hint(both) };
        }
        said.target(self.target().address().to_string())
    }

    /// What the Workspace object in the parent says, where a walk came by and it does not say that it is ready. A path that
    /// is trusted was not walked.
    async fn not_usable(&self) -> Option<Failure> {
        let walked = self.target().cluster.paths == PathTrust::Resolve;
        let path = self.target().place.path().filter(|_| walked)?;
        let workspace = self.own_object(&path).await?;
        place::not_usable(&self.target().cluster.name, path.as_str(), &workspace)
    }
}

/// An answer to a request that may come from outside of the workspace, or a conclusion from one. What its own object says
/// was read in its parent.
fn says_no(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Refused | FailureKind::NotFound)
        && !matches!(failure.code, REJECTED | "workspace_mount" | "workspace_not_ready")
}

fn outside(failure: &Failure) -> Failure {
    let cause = "this workspace is not there, or you have no access to it";
    let said = Failure::new(FailureKind::Refused, "forbidden", cause)
        .hint("Check the address; access is what its ClusterRole system:kcp:workspace:access gives");
    Failure { detail: Some(failure.to_string()), ..said }
}
