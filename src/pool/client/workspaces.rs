//! The workspaces of a kcp: going on to another one under the same permit, and finding the logical cluster of a path.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use super::ClusterClient;
use crate::model::{ClusterKind, Failure, LogicalCluster, Place, Target, WorkspacePath};
use crate::pool::place::{self, Passed};
use crate::pool::workspaces::{Entry, View, Workspace};

impl ClusterClient {
    /// A client for another workspace of the same kcp, under the same permit: sends nothing. `path` is its path, where the
    /// caller knows it; one below this client's own must come from the names of the Workspaces that lead there, and from no
    /// annotation. Rules of the policy about workspaces are asked before the first request.
    ///
    /// # Errors
    /// When this client's target is no kcp.
    pub fn at(&self, place: &LogicalCluster, path: Option<&WorkspacePath>) -> Result<Self, Failure> {
        let cluster = Arc::clone(&self.target.cluster);
        if cluster.kind != ClusterKind::Kcp {
            return Err(Failure::internal("a workspace of a cluster that is no kcp was asked for"));
        }
        let named = path.filter(|path| path.parent().is_some()).cloned().map(Place::Path);
        let target = Target { cluster, place: named.unwrap_or_else(|| Place::Name(place.clone())), defaulted: None };
        Ok(Self {
            canonical: path.and_then(|path| self.below(path)).map(OnceLock::from).unwrap_or_default(),
            claimed: path.filter(|path| path.is_from_root()).cloned(),
            entered: AtomicBool::new(false),
            sender: Arc::clone(&self.sender),
            caches: Arc::clone(&self.caches),
            target,
            prefix: Mutex::new(place::prefix(place).into()),
            // It was found by its name: the path is for people.
            resolved_again: AtomicBool::new(true),
        })
    }

    /// The canonical path of what is at `path`, when that is below this client's own place as it was written.
    pub(super) fn below(&self, path: &WorkspacePath) -> Option<WorkspacePath> {
        let own = match &self.target.place {
            Place::Name(name) => name.as_str(),
            Place::Path(path) => path.as_str(),
            Place::Whole => return None,
        };
        let rest = path.as_str().strip_prefix(own).filter(|rest| rest.starts_with(':'))?;
        WorkspacePath::parse(&format!("{}{rest}", self.canonical.get()?)).ok()
    }

    /// The logical cluster that requests go to; `None` when a path goes there as it is, and for what is no kcp.
    pub fn logical_cluster(&self) -> Option<LogicalCluster> {
        LogicalCluster::parse(&self.place_name()).ok()
    }

    /// What stands behind `/clusters/` in requests; empty for what is no kcp.
    pub(in crate::pool) fn place_name(&self) -> String {
        self.prefix().strip_prefix("/clusters/").unwrap_or_default().to_owned()
    }

    /// What this caller has seen of the workspaces of this kcp within the last minute.
    pub fn workspaces(&self) -> Arc<View> {
        self.caches.views.view(self.views_key(), self.sender.transport.key().bytes())
    }

    /// The logical cluster at `path` in this kcp, which the caller wrote, found as every path is: never through a mount.
    ///
    /// # Errors
    /// When a rule of the policy denies it: then nothing is sent. When a workspace on the way cannot be read, is not there,
    /// is a mount or not ready.
    pub async fn find(&self, path: &WorkspacePath) -> Result<LogicalCluster, Failure> {
        self.written(self.find_told(path).await)
    }

    /// As [`ClusterClient::find`], once more from the top: the workspace may have been made anew.
    ///
    /// # Errors
    /// As [`ClusterClient::find`].
    pub async fn find_again(&self, path: &WorkspacePath) -> Result<LogicalCluster, Failure> {
        self.ask_about(path)?;
        self.written(self.resolve(path, true).await)
    }

    /// As [`ClusterClient::find`], for a path that the caller did not write: it stands in an object, and where it leads says
    /// nothing of what the caller was shown.
    ///
    /// # Errors
    /// As [`ClusterClient::find`].
    pub async fn find_told(&self, path: &WorkspacePath) -> Result<LogicalCluster, Failure> {
        self.ask_about(path)?;
        self.resolve(path, false).await
    }

    /// What became of a path that the caller wrote. Where a workspace on it is not there, what this caller was shown of the way
    /// is not so, or not any more.
    pub(super) fn written(&self, found: Result<LogicalCluster, Failure>) -> Result<LogicalCluster, Failure> {
        if found.as_ref().is_err_and(|failure| failure.code == "workspace_unresolved") {
            self.forget_view();
        }
        found
    }

    /// The workspace cannot be entered. A view that says otherwise is out of date, and who knows what else in it.
    pub(in crate::pool) fn no_way_in(&self) {
        if self.workspaces().entry(&self.place_name()) == Entry::Yes {
            self.forget_view();
        }
    }

    /// The Workspace object of `path` in its parent; `None` where it cannot be read.
    pub(in crate::pool) async fn own_object(&self, path: &WorkspacePath) -> Option<Workspace> {
        let parent = self.resolve(&path.parent()?, false).await.ok()?;
        place::object(&self.sender, &parent, path.name()).await.ok()
    }

    fn forget_view(&self) {
        self.caches.views.forget(&self.views_key());
    }

    pub(super) async fn resolve(&self, path: &WorkspacePath, fresh: bool) -> Result<LogicalCluster, Failure> {
        let key = self.place_key(path);
        if fresh {
            self.caches.places.invalidate(&key).await;
        }
        self.caches.look_up("places", &self.caches.places, key, Box::pin(self.walk(path, fresh))).await
    }

    /// Walks to `path` from the nearest workspace above it that this caller has passed, and from the top when that leads
    /// nowhere: it may have been made anew.
    async fn walk(&self, path: &WorkspacePath, fresh: bool) -> Result<LogicalCluster, Failure> {
        let (top, near) = (Passed::first(path)?, if fresh { None } else { self.passed(path).await });
        let tried = match near {
            Some(near) => match place::walk(&self.sender, near, path).await {
                Err(failure) if failure.code == "workspace_unresolved" => None,
                walked => Some(walked?),
            },
            None => None,
        };
        let passed = match tried {
            Some(passed) => passed,
            None => place::walk(&self.sender, top.clone(), path).await?,
        };
        let Some((last, above)) = passed.split_last() else { return Ok(top.name) };
        for Passed { path, name } in above {
            self.caches.places.insert(self.place_key(path), name.clone()).await;
        }
        Ok(last.name.clone())
    }

    /// The nearest workspace above `path` that this caller has passed.
    async fn passed(&self, path: &WorkspacePath) -> Option<Passed> {
        let mut above = path.parent();
        while let Some(path) = above.filter(|path| path.parent().is_some()) {
            if let Some(name) = self.caches.places.get(&self.place_key(&path)).await {
                return Some(Passed { path, name });
            }
            above = path.parent();
        }
        None
    }

    /// What one rule of the policy lets a caller see, another one may not: whoever has such rules has a view for each set.
    fn views_key(&self) -> [u8; 32] {
        let key = self.sender_view("workspaces");
        match self.sender.permit.standing() {
            Some(rules) => key.field("rules", rules).finish(),
            None => key.finish(),
        }
    }

    fn place_key(&self, path: &WorkspacePath) -> [u8; 32] {
        self.sender_view("place").field("path", path.as_str()).finish()
    }
}
