//! Rules of the policy about workspaces, held against where a client really goes. Only callers for whom such a rule can
//! decide pay for this; to all others it is one comparison.
//!
//! What a workspace says of its own path is no proof: its administrator can write the annotation `kcp.io/path` (kcp 0.31
//! keeps nobody from it). So it only says where to look, and counts when that path leads back to the very same logical
//! cluster. Which logical cluster a Workspace has is written by kcp alone.

use std::sync::atomic::Ordering;

use super::ClusterClient;
use crate::model::{Access, Failure, FailureKind, LogicalCluster, Place, WorkspacePath};
use crate::pool::place;

impl ClusterClient {
    /// Asks the rules about the target itself where its address does not tell the path, before anything else is sent
    /// there or resolved. Of a path that begins with a logical cluster name only that one is asked where it is: the rest are
    /// names, which are what they say.
    ///
    /// # Errors
    /// As [`ClusterClient::enter`].
    pub(in crate::pool) async fn admit(&self) -> Result<(), Failure> {
        if !self.sender.permit.waits_for_path() {
            return Ok(());
        }
        let entered = self.admitted().await.map_err(|failure| self.named(failure));
        self.caches.metrics.decision(entered.as_ref().map_or_else(|refusal| refusal.code, |()| "allowed"));
        entered
    }

    async fn admitted(&self) -> Result<(), Failure> {
        let names = match &self.target.place {
            Place::Path(path) => path.as_str().split_once(':').map(|(_, names)| names),
            Place::Name(_) | Place::Whole => None,
        };
        let path = self.look_up_path().await?.and_then(|first| match names {
            // One that is too deep is not known.
            Some(names) => first.below(names).ok(),
            None => Some(first),
        });
        self.sender.permit.enter(path.as_ref())?;
        if let Some(path) = path {
            let _first = self.canonical.set(path);
        }
        Ok(())
    }

    /// Whether a rule of the policy may deny the caller some tool here: any, or of `access` alone.
    pub fn rules_may_deny(&self, access: Option<Access>) -> bool {
        self.sender.permit.rules_may_deny(self.canonical.get(), access)
    }

    /// Asks the rules whether the workspace at `path` may be entered, before anybody walks there.
    ///
    /// # Errors
    /// When a rule denies it.
    pub(super) fn ask_about(&self, path: &WorkspacePath) -> Result<(), Failure> {
        let permit = &self.sender.permit;
        if !permit.asks_path() {
            return Ok(());
        }
        let path = self.below(path).or_else(|| Some(path.clone()).filter(WorkspacePath::is_from_root));
        permit.enter(path.as_ref()).map_err(|failure| self.named(failure))
    }

    /// Asks the rules, once in the life of a client, before its first request to a place of which the permit knew no path.
    ///
    /// # Errors
    /// When a rule denies it, or the path could not be looked at because the server gives no answer.
    pub(in crate::pool) async fn enter(&self) -> Result<(), Failure> {
        let permit = &self.sender.permit;
        if !permit.asks_path() || self.entered.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = match self.canonical.get() {
            Some(path) => Some(path.clone()),
            None => self.look_up_path().await.map_err(|failure| self.named(failure))?,
        };
        permit.enter(path.as_ref()).map_err(|failure| self.named(failure))?;
        if let Some(path) = path {
            // Of two at the same time both found the same.
            let _first = self.canonical.set(path);
        }
        self.entered.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The canonical path of the logical cluster that this client is bound to, proven and kept for five minutes; `None` =
    /// not readable for this caller, or not proven.
    async fn look_up_path(&self) -> Result<Option<WorkspacePath>, Failure> {
        // Nothing for a cluster that is no kcp by its entry: there is no way to look at what is above it.
        let Some(name) = self.logical_cluster() else { return Ok(None) };
        if name == LogicalCluster::root() {
            return Ok(WorkspacePath::parse(name.as_str()).ok());
        }
        let key = self.sender_view("path").field("logical cluster", name.as_str()).finish();
        let prove = Box::pin(async {
            let proven = match &self.claimed {
                Some(claimed) => self.proven(&name, claimed.clone()).await?,
                None => match place::claimed_path(&self.sender, &name).await? {
                    Some(claimed) => self.proven(&name, claimed).await?,
                    None => None,
                },
            };
            proven.ok_or_else(not_known)
        });
        known(self.caches.look_up("paths", &self.caches.paths, key, prove).await)
    }

    /// `claimed`, when it leads to `name`. It was written by whoever administers the workspace, so it is walked by names also
    /// where paths are trusted: sent as it is, it could lead to another server, which answers what it likes.
    async fn proven(&self, name: &LogicalCluster, claimed: WorkspacePath) -> Result<Option<WorkspacePath>, Failure> {
        if !claimed.is_from_root() {
            return Ok(None);
        }
        let found = known(self.resolve(&claimed, false).await)?;
        Ok(found.filter(|found| found == name).map(|_| claimed))
    }
}

/// Nothing, where an answer says that this caller may not know or that there is nothing to be known. What is no answer
/// stays a failure: it may be another one the next time.
fn known<T>(found: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(failure) => match failure.kind {
            FailureKind::Refused | FailureKind::NotFound | FailureKind::Denied | FailureKind::SignIn => Ok(None),
            FailureKind::Arguments
            | FailureKind::UnknownTarget
            | FailureKind::UnknownTool
            | FailureKind::Credential
            | FailureKind::Cluster
            | FailureKind::Unreachable
            | FailureKind::Overloaded
            | FailureKind::Internal => Err(failure),
        },
    }
}

/// It never leaves this module.
fn not_known() -> Failure {
    Failure::new(FailureKind::NotFound, "workspace_unresolved", "the path of this workspace is not known")
}

#[cfg(test)]
mod tests;
