//! A workspace as its parent lists it.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::super::reply::clean;
use crate::model::{Failure, FailureKind, LogicalCluster, names};

/// Bytes of the labels that are kept of a workspace, keys and values: there may be many thousands of workspaces.
const LABELS: usize = 1024;

/// A workspace as its parent lists it. Names and texts are the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its name in its parent: the last segment of its path.
    pub name: Arc<str>,
    /// Its logical cluster; `None` for a mount, and until it is scheduled.
    pub cluster: Option<LogicalCluster>,
    /// Its type: `universal`, and with its path where that is not `root`.
    pub kind: Arc<str>,
    /// What state it is in.
    pub state: State,
    /// What it waits for or why it is not ready; empty for one that is.
    pub why: Arc<str>,
    /// True for a mount: another server stands behind it, and no credential is sent there.
    pub mount: bool,
    /// Its labels, without those of kcp itself; in their order, as many as have room in 1 KiB.
    pub labels: Arc<[(String, String)]>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When its deletion began.
    pub deleted: Option<Timestamp>,
}

impl Workspace {
    /// A Workspace object, as the server answers it.
    ///
    /// # Errors
    /// When it is none.
    pub(in crate::pool) fn read(body: &[u8]) -> Result<Self, Failure> {
        let unexpected =
            || Failure::new(FailureKind::Cluster, "unexpected_answer", "the Workspace object cannot be read");
        let read = serde_json::from_slice::<Wire>(body).map_err(|error| unexpected().because(&error))?;
        read.read().ok_or_else(unexpected)
    }
}

/// The state of a workspace. That one is being deleted shows in its `deletionTimestamp` alone, whatever its phase says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It can be used.
    Ready,
    /// It is being deleted: its content goes first, the Workspace last.
    Deleting,
    /// It has no shard yet.
    Scheduling,
    /// It is being set up.
    Initializing,
    /// Nobody can use it: a mount whose target is not ready, a workspace whose shard is away.
    Unavailable,
    /// It was switched off.
    Inactive,
    /// A phase that this version does not know.
    Other,
}

impl State {
    /// The word in answers and filters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Deleting => "deleting",
            Self::Scheduling => "scheduling",
            Self::Initializing => "initializing",
            Self::Unavailable => "unavailable",
            Self::Inactive => "inactive",
            Self::Other => "other",
        }
    }

    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Deleting,
        Self::Scheduling,
        Self::Initializing,
        Self::Unavailable,
        Self::Inactive,
        Self::Other,
    ];
}

impl Workspace {
    /// Reads a whole Workspace object; `None` when it is none.
    pub fn of(object: &serde_json::Value) -> Option<Self> {
        Wire::deserialize(object).ok()?.read()
    }
}

/// What is read of a Workspace object.
#[derive(Debug, Deserialize)]
pub(super) struct Wire {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    #[serde(default)]
    labels: Option<std::collections::BTreeMap<String, String>>,
    #[serde(default)]
    creation_timestamp: Option<String>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Spec {
    #[serde(default)]
    cluster: String,
    #[serde(default, rename = "type")]
    kind: Option<Kind>,
    #[serde(default)]
    mount: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
struct Kind {
    #[serde(default)]
    name: String,
    #[serde(default)]
    path: String,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    phase: String,
    #[serde(default)]
    conditions: Vec<Condition>,
    #[serde(default)]
    initializers: Vec<String>,
    #[serde(default)]
    terminators: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Wire {
    /// The workspace; `None` when its name is none.
    pub(super) fn read(self) -> Option<Workspace> {
        let Self { metadata, spec, status } = self;
        // A name that no address can have leads nowhere.
        LogicalCluster::parse(&metadata.name).ok()?;
        let mount = spec.mount.is_some();
        let state = status.state(metadata.deletion_timestamp.is_some(), !mount && spec.cluster.is_empty());
        let labels = metadata.labels.unwrap_or_default().into_iter();
        let mut room = LABELS;
        let own = labels.filter(|(key, _)| !names::is_of_kcp(key)).take_while(|(key, value)| {
            let rest = room.checked_sub(key.len() + value.len());
            room = rest.unwrap_or(0);
            rest.is_some()
        });
        let time = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Some(Workspace {
            name: metadata.name.into(),
            cluster: LogicalCluster::parse(&spec.cluster).ok().filter(|_| !mount),
            kind: spec.kind.unwrap_or_default().text().into(),
            why: status.why(state).into(),
            state,
            mount,
            labels: own.collect(),
            created: time(metadata.creation_timestamp),
            deleted: time(metadata.deletion_timestamp),
        })
    }
}

impl Kind {
    fn text(&self) -> String {
        match self.path.as_str() {
            "" | "root" => clean(&self.name),
            path => clean(&format!("{path}:{}", self.name)),
        }
    }
}

impl Status {
    fn state(&self, deleted: bool, homeless: bool) -> State {
        match self.phase.as_str() {
            _ if deleted => State::Deleting,
            "Scheduling" | "" => State::Scheduling,
            "Initializing" => State::Initializing,
            "Unavailable" => State::Unavailable,
            "Inactive" => State::Inactive,
            "Terminating" | "Deleting" => State::Deleting,
            // A phase may lag behind what is there.
            "Ready" if homeless => State::Scheduling,
            "Ready" => State::Ready,
            _ => State::Other,
        }
    }

    /// What a workspace that is not ready waits for, in the words of its conditions.
    fn why(&self, state: State) -> String {
        let waits = |names: &[String]| clean(&format!("waits for {}", names.join(", ")));
        let condition = self.conditions.iter().find(|condition| condition.status == "False");
        match state {
            State::Ready => String::new(),
            State::Initializing if !self.initializers.is_empty() => waits(&self.initializers),
            State::Deleting if !self.terminators.is_empty() => waits(&self.terminators),
            State::Other => clean(&self.phase),
            State::Deleting | State::Scheduling | State::Initializing | State::Unavailable | State::Inactive => {
                condition.map(Condition::text).unwrap_or_default()
            }
        }
    }
}

impl Condition {
    fn text(&self) -> String {
        let said = if self.message.is_empty() { &self.reason } else { &self.message };
        clean(&format!("{}: {said}", self.kind))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{State, Wire, Workspace};

    fn read(object: &Value) -> Option<Workspace> {
        serde_json::from_value::<Wire>(object.clone()).unwrap().read()
    }

    #[test]
    fn states_are_said_in_words() {
        let waits = json!({"phase": "Initializing", "initializers": ["system:apibindings"]});
        let stuck = json!({"phase": "Ready", "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "WorkspaceContentDeleted", "status": "False", "reason": "SomeResourcesRemain", "message": "2 remain"}]});
        for (metadata, spec, status, state, why) in [
            (json!({"name": "a"}), json!({"cluster": "x1"}), json!({"phase": "Ready"}), State::Ready, ""),
            (json!({"name": "a"}), json!({}), json!({"phase": "Ready"}), State::Scheduling, ""),
            (
                json!({"name": "a"}),
                json!({"cluster": "x1"}),
                waits,
                State::Initializing,
                "waits for system:apibindings",
            ),
            (
                json!({"name": "a", "deletionTimestamp": "2026-11-20T00:00:00Z"}),
                json!({"cluster": "x1"}),
                stuck,
                State::Deleting,
                "WorkspaceContentDeleted: 2 remain",
            ),
            (json!({"name": "a"}), json!({"cluster": "x1"}), json!({"phase": "Moved"}), State::Other, "Moved"),
        ] {
            let found = read(&json!({"metadata": metadata, "spec": spec, "status": status})).unwrap();
            assert_eq!((found.state, &*found.why), (state, why), "{status}");
        }
    }

    #[test]
    fn labels_take_no_more_than_their_room() {
        let labels: serde_json::Map<String, Value> =
            (0..100).map(|at| (format!("label-{at:02}"), "v".repeat(56).into())).collect();
        let found = read(&json!({"metadata": {"name": "a", "labels": labels}})).unwrap();
        assert_eq!((found.labels.len(), found.labels[15].0.as_str()), (16, "label-15"), "64 bytes each");
    }

    #[test]
    fn a_mount_has_no_logical_cluster_and_labels_of_kcp_are_left_out() {
        let mount = json!({"metadata": {"name": "edge", "labels": {"team": "a", "mykcp.io/a": "b", "tenancy.kcp.io/phase": "Ready"}},
            "spec": {"mount": {"ref": {}}, "cluster": "abc", "URL": "https://elsewhere"}, "status": {"phase": "Ready"}});
        let found = read(&mount).unwrap();
        assert!(found.mount && found.cluster.is_none() && found.state == State::Ready);
        assert_eq!(
            &*found.labels,
            [("mykcp.io/a", "b"), ("team", "a")].map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert!(read(&json!({"metadata": {"name": "../x"}})).is_none(), "a name that is none");
        let kind = json!({"metadata": {"name": "a"}, "spec": {"type": {"name": "team", "path": "root:org"}}});
        assert_eq!(&*read(&kind).unwrap().kind, "root:org:team");
    }
}
