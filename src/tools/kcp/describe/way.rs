//! The way from the top of a kcp to a workspace, by the Workspace objects on it.

use serde_json::Value;

use super::super::part;
use crate::model::{Failure, LogicalCluster, WorkspacePath};
use crate::pool::ClusterClient;

/// Names of authentication configurations that are said, at most.
const NAMED: usize = 5;

/// A workspace on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The last segment of its path.
    pub(super) name: String,
    /// `None` for a mount, and while it has none.
    pub(super) cluster: Option<LogicalCluster>,
}

/// The way, as far as the caller may read it.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// From the top.
    pub(super) steps: Vec<Step>,
    /// True when all of the path was read.
    pub(super) whole: bool,
    /// The Workspace object at its end, when that was read.
    object: Option<Value>,
}

impl Way {
    /// Walks `path` from its first segment, each child read in its parent by name, never through a mount.
    pub(super) async fn walk(client: &ClusterClient, path: &WorkspacePath) -> Self {
        let mut segments = path.segments();
        let first = segments.next().unwrap_or_default();
        let Ok(mut here) = LogicalCluster::parse(first) else { return Self::default() };
        let mut way =
            Self { steps: vec![Step { name: first.to_owned(), cluster: Some(here.clone()) }], ..Self::default() };
        for segment in segments {
            let Ok(parent) = client.at(&here, None) else { return way };
            match parent.get(&part::workspaces(), None, segment).await {
                Ok(object) => way.step(segment, object),
                Err(_) => {
                    way.object = None;
                    return way;
                }
            }
            match way.cluster() {
                Some(next) => here = next,
                None => break,
            }
        }
        way.whole = way.steps.len() == path.segments().count();
        if !way.whole {
            way.object = None;
        }
        way
    }

    /// The end alone, from the Workspace that owns a logical cluster.
    pub(super) async fn from_owner(client: &ClusterClient, parent: LogicalCluster, name: &str) -> Self {
        let mut way =
            Self { steps: vec![Step { name: parent.to_string(), cluster: Some(parent.clone()) }], ..Self::default() };
        let Ok(above) = client.at(&parent, None) else { return Self::default() };
        if LogicalCluster::parse(name).is_err() {
            return Self::default();
        }
        match above.get(&part::workspaces(), None, name).await {
            Ok(object) => {
                way.step(name, object);
                way
            }
            Err(_) => Self::default(),
        }
    }

    /// Goes one further.
    pub(super) fn step(&mut self, name: &str, object: Value) {
        let mount = object.pointer("/spec/mount").is_some_and(|mount| !mount.is_null());
        let cluster = object.pointer("/spec/cluster").and_then(Value::as_str).filter(|_| !mount);
        let cluster = cluster.and_then(|name| LogicalCluster::parse(name).ok());
        self.steps.push(Step { name: name.to_owned(), cluster });
        self.object = Some(object);
    }

    /// The Workspace object at its end.
    pub(super) fn object(&self) -> Option<&Value> {
        self.object.as_ref()
    }

    /// True when its end is the workspace itself, and not the last of its parents that may be read.
    pub(super) fn arrives(&self) -> bool {
        self.whole || self.object.is_some()
    }

    /// The logical cluster at its end.
    pub(super) fn cluster(&self) -> Option<LogicalCluster> {
        self.steps.last().and_then(|step| step.cluster.clone())
    }

    /// True when another server is at its end.
    pub(super) fn is_mount(&self) -> bool {
        self.mount().is_some()
    }

    /// What is mounted at its end.
    pub(super) fn mount(&self) -> Option<&Value> {
        self.object.as_ref()?.pointer("/spec/mount").filter(|mount| !mount.is_null())
    }
}

/// Whether workspaces of a type, as `root:universal`, accept tokens of their own, in words.
pub(super) async fn authentication(client: &ClusterClient, kind: Option<&str>) -> String {
    let told = match kind {
        Some(kind) => type_of(client, kind).await,
        None => None,
    };
    let Some(found) = told else { return "cannot be told: you cannot read its type".to_owned() };
    let configurations = found.pointer("/spec/authenticationConfigurations").and_then(Value::as_array);
    let named = configurations.into_iter().flatten().filter_map(|one| one["name"].as_str());
    let names: Vec<String> = named.take(NAMED).map(part::line).collect();
    match names.as_slice() {
        [] => "as in every workspace of this kcp: its type names none of its own".to_owned(),
        names => format!("its type names {}: tokens of other issuers are accepted there, too", names.join(", ")),
    }
}

async fn type_of(client: &ClusterClient, kind: &str) -> Option<Value> {
    let (path, name) = kind.rsplit_once(':')?;
    let path = WorkspacePath::parse(path).ok()?;
    let found: Result<LogicalCluster, Failure> = match path.parent() {
        None => LogicalCluster::parse(path.as_str()).map_err(|error| Failure::arguments(error.to_string())),
        Some(_) => client.find_told(&path).await,
    };
    let there = client.at(&found.ok()?, Some(&path)).ok()?;
    there.get(&part::workspace_types(), None, name).await.ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Way;

    #[test]
    fn a_mount_is_the_end_of_the_way() {
        let mut way = Way::default();
        way.step("org", json!({"spec": {"cluster": "abc"}}));
        assert_eq!(way.cluster().unwrap().as_str(), "abc");
        way.step("edge", json!({"spec": {"mount": {"ref": {"kind": "KubeCluster"}}, "cluster": "def"}}));
        assert!(way.is_mount() && way.cluster().is_none(), "whatever else it says");
        let mut way = Way::default();
        way.step("odd", json!({"spec": {"cluster": "../x"}}));
        assert!(way.cluster().is_none() && !way.is_mount());
    }
}
