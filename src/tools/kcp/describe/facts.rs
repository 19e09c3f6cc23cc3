//! What is known of one workspace.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::apis::{Found, Origin};
use super::super::part;
use super::way::Way;
use crate::model::{LogicalCluster, names};
use crate::pool::workspaces::Entry;

/// Groups that are named, at most.
const GROUPS: usize = 20;

/// What is known of one workspace.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// As callers name it.
    pub(super) address: String,
    pub(super) way: Way,
    pub(super) cluster: Option<LogicalCluster>,
    /// Its LogicalCluster object.
    pub(super) logical: Option<Value>,
    /// Whether the caller may enter; `None` for what has no logical cluster.
    pub(super) access: Option<Entry>,
    /// How many, and whether there are more.
    pub(super) children: Option<(usize, bool)>,
    pub(super) serves: Option<Serves>,
    pub(super) authentication: Option<String>,
    /// What could not be read, in words.
    pub(super) unread: Vec<String>,
}

impl Facts {
    /// Its logical cluster as it says it itself, or else as the object at the end of the whole way says it.
    pub(super) fn own_cluster(&self) -> Option<LogicalCluster> {
        let own = self.logical.as_ref().and_then(|own| own["metadata"]["annotations"]["kcp.io/cluster"].as_str());
        let own = own.and_then(|name| LogicalCluster::parse(name).ok());
        own.or_else(|| self.way.cluster().filter(|_| self.way.arrives()))
    }

    /// Its type with its path, as `root:universal`.
    pub(super) fn kind(&self) -> Option<String> {
        let of_object = self.way.object().and_then(|object| {
            let (path, name) =
                (object.pointer("/spec/type/path")?.as_str()?, object.pointer("/spec/type/name")?.as_str()?);
            Some(format!("{path}:{name}"))
        });
        let annotation = || self.annotation("internal.tenancy.kcp.io/type");
        of_object.or_else(annotation).map(|kind| part::line(&kind))
    }

    /// Who made it, and so administers it: the user name.
    pub(super) fn owner(&self) -> Option<String> {
        let owner = self.annotation("experimental.tenancy.kcp.io/owner")?;
        let owner: Value = serde_json::from_str(&owner).ok()?;
        owner["username"].as_str().map(part::line)
    }

    /// From its Workspace, or else its LogicalCluster.
    pub(super) fn text(&self, pointer: &str) -> Option<String> {
        let objects = [self.way.object(), self.logical.as_ref()];
        objects.into_iter().flatten().find_map(|object| object.pointer(pointer)?.as_str()).map(part::line)
    }

    /// Its labels, without those of kcp itself.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.way.object().and_then(|object| object.pointer("/metadata/labels")?.as_object());
        let labels = labels.into_iter().flatten().filter(|(key, _)| !names::is_of_kcp(key));
        labels.map(|(key, value)| (part::line(key), part::line(value.as_str().unwrap_or_default()))).collect()
    }

    fn annotation(&self, name: &str) -> Option<String> {
        let objects = [self.way.object(), self.logical.as_ref()];
        let of = |object: &Value| object["metadata"]["annotations"][name].as_str().map(str::to_owned);
        objects.into_iter().flatten().find_map(of)
    }
}

/// What a workspace serves, in short.
#[derive(Debug)]
pub(super) struct Serves {
    /// Resources of all groups.
    pub(super) kinds: usize,
    /// Those that are not built in: from where, and what.
    pub(super) from: BTreeMap<String, Vec<String>>,
    /// Sources that are not named.
    pub(super) more: usize,
    pub(super) missing: Vec<String>,
}

impl Serves {
    pub(super) fn of(found: &Found) -> Self {
        let resources = found.resources();
        let mut from: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for resource in &resources {
            if resource.origin != Origin::BuiltIn {
                from.entry(resource.origin.words()).or_default().push(resource.kind.qualified());
            }
        }
        let more = from.len().saturating_sub(GROUPS);
        let from = from.into_iter().take(GROUPS).collect();
        let unknown = resources.iter().any(|resource| resource.origin == Origin::Unknown);
        Self { kinds: resources.len(), from, more, missing: found.missing().filter(|_| unknown).collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::way::{Step, Way};
    use super::Facts;
    use crate::model::LogicalCluster;

    #[test]
    fn the_end_of_half_a_way_is_another_workspace() {
        let root = || Step { name: "root".into(), cluster: LogicalCluster::parse("root").ok() };
        let mut facts = Facts::default();
        facts.way.steps.push(root());
        assert_eq!(facts.own_cluster(), None);
        facts.logical = Some(json!({"metadata": {"annotations": {"kcp.io/cluster": "abc"}}}));
        assert_eq!(facts.own_cluster().unwrap().as_str(), "abc");
        facts.logical = None;
        facts.way.step("team", json!({"spec": {"cluster": "def"}}));
        assert_eq!(facts.own_cluster().unwrap().as_str(), "def");
        facts.way = Way::default();
        facts.way.steps.push(root());
        facts.way.whole = true;
        assert_eq!(facts.own_cluster().unwrap().as_str(), "root");
    }
}
