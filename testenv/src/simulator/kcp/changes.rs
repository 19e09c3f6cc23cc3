//! What becomes of workspaces that were there: gone, made anew, with another at their address.

use std::sync::PoisonError;

use serde_json::Value;

use super::{WORKSPACE_VERSION, World, workspace};

impl World {
    /// Drops the logical cluster at `path` and all below it; the Workspace object stays as it is.
    pub(in super::super) fn lose(&self, path: &str) {
        let lost = self.ensure(path);
        let below = format!("{path}:");
        let mut clusters = self.clusters.write().unwrap_or_else(PoisonError::into_inner);
        clusters.retain(|name, scope| *name != lost.name() && !scope.path().starts_with(&below));
    }

    /// Removes the Workspace at `path`, with its logical cluster and all below it.
    pub(in super::super) fn remove(&self, path: &str) {
        let (parent, name) = path.rsplit_once(':').expect("a workspace lies in another");
        let parent = self.ensure(parent);
        {
            let mut space = parent.write();
            let ty = space.types.find_kind(WORKSPACE_VERSION, "Workspace").expect("a kcp serves workspaces");
            space.store.remove(&ty, "", name);
        }
        self.forget_orphans();
    }

    /// Merges `change` into the Workspace object at `path`.
    pub(in super::super) fn change(&self, path: &str, change: &Value) {
        let (parent, name) = path.rsplit_once(':').expect("a workspace lies in another");
        let parent = self.ensure(parent);
        let mut object = workspace(&parent, name).unwrap_or_else(|| panic!("there is no workspace {path}"));
        super::super::objects::merge(&mut object, change);
        object["apiVersion"] = WORKSPACE_VERSION.into();
        object["kind"] = "Workspace".into();
        parent.put(object);
    }
}
