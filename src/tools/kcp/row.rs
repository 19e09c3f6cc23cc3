//! A workspace in words.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::asking::Access;
use super::place::Here;
use crate::model::{Column, Row, Table};
use crate::pool::workspaces::{State, Workspace};
use crate::tools::age;
use crate::tools::next::Next;

/// Characters of what a workspace waits for, in a table.
const WHY: usize = 100;

/// A workspace in an answer.
pub(super) struct Listed {
    /// Its path below the kcp.
    pub(super) place: String,
    pub(super) workspace: Arc<Workspace>,
    /// Whether the caller may enter it.
    pub(super) access: Access,
}

/// Where the next part of a list begins.
pub(super) struct Part {
    /// `None` when this is the last.
    pub(super) token: Option<String>,
    /// How many are left, when that is known.
    pub(super) remaining: Option<u64>,
}

/// Rows as a table.
pub(super) fn table(rows: &[Listed], part: &Part, now: Timestamp) -> Table {
    let columns = [("PATH", 0), ("TYPE", 0), ("STATE", 0), ("ACCESS", 0), ("CLUSTER", 0), ("AGE", 1), ("LABELS", 1)];
    let row = |Listed { place, workspace, access }: &Listed| Row {
        namespace: None,
        cells: vec![
            place.clone(),
            workspace.kind.to_string(),
            state(workspace, now),
            if workspace.mount { access.word().to_owned() } else { access.said() },
            cluster(workspace),
            age::ago(workspace.created, now),
            labels(workspace),
        ],
    };
    Table {
        columns: columns.map(|(name, priority)| Column { name: name.into(), priority }).to_vec(),
        rows: rows.iter().map(row).collect(),
        continue_token: part.token.clone(),
        remaining: part.remaining,
    }
}

/// Rows as a list of objects.
pub(super) fn objects(here: &Here, rows: &[Listed], part: &Part) -> Value {
    let items = rows.iter().map(|row| object(here, &row.place, &row.workspace, &row.access));
    list(items.collect(), part)
}

/// A list of objects.
pub(super) fn list(items: Vec<Value>, part: &Part) -> Value {
    let mut list = json!({"items": Value::Array(items)});
    if let Some(token) = &part.token {
        list["metadata"] = json!({"continue": token, "remainingItemCount": part.remaining});
    }
    list
}

/// What reads in the workspace at `address`: what it serves, and objects that every workspace has.
pub(super) fn reads(address: &str) -> [Next; 2] {
    [Next::at("kcp_apis_list", address), Next::at("resources_list", address).with("kind", "configmaps")]
}

/// Its state, since when it is being deleted, and what it waits for.
pub(super) fn state(workspace: &Workspace, now: Timestamp) -> String {
    let mut said = workspace.state.word().to_owned();
    let since = age::ago(workspace.deleted, now);
    if workspace.state == State::Deleting && !since.is_empty() {
        said = format!("{said} for {since}");
    }
    match workspace.why.char_indices().nth(WHY) {
        None if workspace.why.is_empty() => said,
        None => format!("{said}: {}", workspace.why),
        Some((at, _)) => format!("{said}: {}…", workspace.why.get(..at).unwrap_or_default()),
    }
}

/// Its logical cluster; of a mount, that it is one.
pub(super) fn cluster(workspace: &Workspace) -> String {
    match &workspace.cluster {
        _ if workspace.mount => "(mount)".to_owned(),
        Some(cluster) => cluster.to_string(),
        None => String::new(),
    }
}

/// Its labels, as `key=value`.
fn labels(workspace: &Workspace) -> String {
    workspace.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// All of it, for programs. `place` is its path.
pub(super) fn object(here: &Here, place: &str, workspace: &Workspace, access: &Access) -> Value {
    let labels: Map<String, Value> =
        workspace.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    let mut object = json!({
        "path": place,
        "type": &*workspace.kind,
        "state": workspace.state.word(),
        "access": access.word(),
        "mount": workspace.mount,
        "labels": labels,
        "address": here.address_of(place, workspace.cluster.as_ref()),
    });
    let optional = [
        ("why", workspace.why.to_string()),
        ("accessUnknown", access.why().to_owned()),
        ("cluster", workspace.cluster.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("created", workspace.created.map(|time| time.to_string()).unwrap_or_default()),
        ("deleted", workspace.deleted.map(|time| time.to_string()).unwrap_or_default()),
    ];
    for (name, value) in optional.into_iter().filter(|(_, value)| !value.is_empty()) {
        object[name] = value.into();
    }
    object
}

#[cfg(test)]
mod tests {
    use super::{cluster, state};
    use crate::pool::workspaces::{State, Workspace};
    use crate::tools::age;

    fn workspace(state: State, why: &str) -> Workspace {
        Workspace {
            name: "a".into(),
            cluster: None,
            kind: "universal".into(),
            state,
            why: why.into(),
            mount: false,
            labels: [].into(),
            created: None,
            deleted: age::parse("2026-01-01T00:00:00Z"),
        }
    }

    #[test]
    fn what_it_waits_for_is_said() {
        let now = age::parse("2026-01-04T00:00:00Z").unwrap();
        assert_eq!(state(&workspace(State::Ready, ""), now), "ready");
        assert_eq!(state(&workspace(State::Deleting, "2 remain"), now), "deleting for 3d: 2 remain");
        let long = state(&workspace(State::Initializing, &"ü".repeat(500)), now);
        assert!(long.starts_with("initializing: ü") && long.ends_with('…') && long.chars().count() < 120);
        let mount = Workspace { mount: true, ..workspace(State::Ready, "") };
        assert_eq!((cluster(&mount).as_str(), cluster(&workspace(State::Ready, "")).as_str()), ("(mount)", ""));
    }
}
