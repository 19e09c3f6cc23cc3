//! A workspace in words.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::asking::Access;
use super::place::Here;
use crate::pool::workspaces::{State, Workspace};
use crate::tools::age;

/// Characters of what a workspace waits for, in a table.
const WHY: usize = 100;

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
pub(super) fn labels(workspace: &Workspace) -> String {
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
