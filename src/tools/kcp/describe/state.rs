//! The state of a workspace in plain words, with what to do about it and who can.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::part::{Condition, line};
use super::facts::Facts;
use crate::pool::workspaces::{Entry, State, Workspace};
use crate::tools::age;

/// Seconds within which a workspace may still be set up; it takes one or two on an idle kcp.
const YOUNG: i64 = 30;

/// What is said of a state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// One word.
    pub(super) word: &'static str,
    /// In one sentence.
    pub(super) what: String,
    /// What to do and who can, when something is to be done.
    pub(super) next: Option<String>,
    /// The conditions that are not True, as evidence.
    pub(super) conditions: Vec<String>,
}

/// The state, from the Workspace in the parent, or else from the LogicalCluster, which says the same of phase, deletion and
/// conditions.
pub(super) fn said(facts: &Facts, now: Timestamp) -> Option<Said> {
    let (object, listed) = match (facts.way.object(), &facts.logical) {
        (Some(object), _) => (object.clone(), true),
        (None, Some(logical)) => (as_workspace(logical), false),
        (None, None) => return None,
    };
    let workspace = Workspace::of(&object)?;
    let texts = |pointer: &str| -> Vec<String> {
        let all = object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).map(line).collect()
    };
    let conditions: Vec<Condition> = object
        .pointer("/status/conditions")
        .and_then(|conditions| Vec::deserialize(conditions).ok())
        .unwrap_or_default();
    let bad: Vec<&Condition> = conditions.iter().filter(|condition| condition.is_bad()).collect();
    let since = |pointer: &str| age::ago(object.pointer(pointer).and_then(Value::as_str).and_then(age::parse), now);
    let (what, next) = match workspace.state {
        _ if workspace.mount => mount(&object, workspace.state),
        State::Ready => ready(facts.access, listed),
        State::Deleting => deleting(&since("/metadata/deletionTimestamp"), &bad, &texts("/status/terminators")),
        State::Initializing => {
            let since = since("/metadata/creationTimestamp");
            initializing(&since, is_young(&object, now), &texts("/status/initializers"))
        }
        State::Scheduling => (
            format!("it has no shard yet, for {} by now", since("/metadata/creationTimestamp")),
            Some(
                "you: ask again in some seconds; operator of kcp: if it stays, look for a shard that takes it"
                    .to_owned(),
            ),
        ),
        State::Unavailable => (
            "it cannot be used at the moment: its shard is away".to_owned(),
            Some("operator of kcp: bring the shard back".to_owned()),
        ),
        State::Inactive => {
            ("it was switched off".to_owned(), Some("admin of the parent: find out who did so, and why".to_owned()))
        }
        State::Other => (format!("it is in the phase {}", workspace.why), None),
    };
    let conditions = bad.into_iter().map(Condition::evidence).collect();
    Some(Said { word: workspace.state.word(), what, next, conditions })
}

fn ready(access: Option<Entry>, listed: bool) -> (String, Option<String>) {
    match access {
        Some(Entry::No) if listed => (
            "its parent lists it as ready, and it does not let you in: you have no access, or it is gone by now; the two \
             cannot be told apart"
                .to_owned(),
            Some("admin of the workspace: grant you the ClusterRole system:kcp:workspace:access".to_owned()),
        ),
        Some(Entry::Unknown) => ("it is ready, and gave no answer just now".to_owned(), None),
        Some(Entry::No | Entry::Yes) | None => ("it can be used".to_owned(), None),
    }
}

fn deleting(since: &str, bad: &[&Condition], terminators: &[String]) -> (String, Option<String>) {
    let remains = bad.iter().find(|condition| condition.kind == "WorkspaceContentDeleted");
    let mut what =
        format!("it is being deleted, for {since} by now: bindings and content go first, the Workspace last");
    if let Some(remains) = remains {
        what.push_str(&format!("; {}", line(&remains.message)));
    }
    if !terminators.is_empty() {
        what.push_str(&format!("; it waits for the terminators {}", terminators.join(", ")));
    }
    let next = match (remains, terminators) {
        (_, [_, ..]) => "owner of its type: the controller of each terminator has to finish",
        (Some(_), []) => "admin of the workspace: what remains has finalizers, whose controllers have to finish",
        (None, []) => "you: wait; it takes 5 to 30 s, and longer with children",
    };
    (what, Some(next.to_owned()))
}

fn initializing(since: &str, young: bool, initializers: &[String]) -> (String, Option<String>) {
    if initializers.is_empty() {
        let next = "you: ask again in some seconds".to_owned();
        return (format!("it is being set up, for {since} by now"), Some(next));
    }
    let what =
        format!("it is being set up, for {since} by now, and waits for the initializers {}", initializers.join(", "));
    let bindings = initializers.iter().any(|name| name == "system:apibindings");
    let next = if bindings {
        "owner of its type, operator of kcp: system:apibindings binds the exports that its type names by default, as the one who \
         made the workspace; it never ends where that user may not, as one who signed in by an authentication of the parent's \
         own. Ready is not to be waited for then"
    } else {
        "owner of its type: the controller of each initializer has to finish, and is perhaps not running; Ready is not to be \
         waited for until it does"
    };
    let next = if young { format!("you: ask again in some seconds; if it stays, {next}") } else { next.to_owned() };
    (what, Some(next))
}

/// True within the time that it may take to set up a workspace: seconds, and more on a busy kcp.
fn is_young(object: &Value, now: Timestamp) -> bool {
    let made = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str).and_then(age::parse);
    made.is_some_and(|made| now.as_second().saturating_sub(made.as_second()) < YOUNG)
}

fn mount(object: &Value, state: State) -> (String, Option<String>) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(line).unwrap_or_default();
    let reference = format!("{} {}", text("/spec/mount/ref/kind"), text("/spec/mount/ref/name"));
    let what =
        format!("it is a mount of {reference}: another server stands behind it, and no credential is sent there");
    let next = if state == State::Ready {
        "operator of kubeferry: to use it, add that server as a cluster of its own, with its own realm and strategy"
    } else {
        "owner of the mounted object: it is not ready"
    };
    (what, Some(next.to_owned()))
}

/// A LogicalCluster with the names that a Workspace has for the same.
fn as_workspace(logical: &Value) -> Value {
    let cluster = &logical["metadata"]["annotations"]["kcp.io/cluster"];
    let mut metadata = logical["metadata"].clone();
    metadata["name"] = "cluster".into();
    json!({"metadata": metadata, "spec": {"cluster": cluster.as_str().unwrap_or("cluster")}, "status": logical["status"]})
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::super::facts::Facts;
    use super::super::way::Way;
    use super::{Said, said};
    use crate::pool::workspaces::Entry;

    fn now() -> Timestamp {
        "2026-11-21T22:41:43Z".parse().unwrap()
    }

    fn of(object: Value, access: Entry) -> Said {
        let mut way = Way::default();
        way.step("x", object);
        said(&Facts { way, access: Some(access), ..Facts::default() }, now()).unwrap()
    }

    /// As kcp v0.31.2 answered it.
    fn recorded(spec: &str, status: &Value) -> Value {
        json!({"metadata": {"name": "x", "creationTimestamp": "2026-11-21T22:40:34Z"}, "spec": {"cluster": spec}, "status": status})
    }

    #[test]
    fn a_workspace_that_waits_says_for_what() {
        let status = |initializer: &str| {
            json!({"conditions": [{"type": "WorkspaceInitialized", "status": "False",
            "message": format!("Initializers still exist: [{initializer}]"), "reason": "InitializerExists"},
            {"type": "WorkspaceScheduled", "status": "True"}], "initializers": [initializer], "phase": "Initializing"})
        };
        let waits = of(recorded("1y7vk97fe8zozekd", &status("root:waiting")), Entry::Yes);
        assert_eq!(waits.word, "initializing");
        assert_eq!(waits.what, "it is being set up, for 69s by now, and waits for the initializers root:waiting");
        assert!(waits.next.unwrap().starts_with("owner of its type: "));
        assert_eq!(
            waits.conditions,
            ["WorkspaceInitialized=False InitializerExists: Initializers still exist: [root:waiting]"]
        );
        let binds = of(recorded("1y7vk97fe8zozekd", &status("system:apibindings")), Entry::Yes);
        assert!(binds.next.unwrap().contains("binds the exports that its type names by default"));
    }

    #[test]
    fn one_that_is_being_deleted_is_not_ready_whatever_its_phase_says() {
        let status = json!({"conditions": [{"type": "WorkspaceContentDeleted", "status": "False", "reason": "SomeResourcesRemain",
            "message": "Some resources are remaining: namespaces. has 1 resource instances"}], "phase": "Ready"});
        let mut object = recorded("wy04s4xxdd5sz7na", &status);
        object["metadata"]["deletionTimestamp"] = "2026-11-21T22:40:43Z".into();
        let leaving = of(object.clone(), Entry::Yes);
        assert_eq!(leaving.word, "deleting");
        assert!(leaving.what.contains("for 60s by now") && leaving.what.contains("namespaces. has 1"), "{leaving:?}");
        // The LogicalCluster says the same where the parent may not be read.
        let mut logical = object;
        logical["metadata"]["annotations"] = json!({"kcp.io/cluster": "wy04s4xxdd5sz7na"});
        let facts = Facts { logical: Some(logical), access: Some(Entry::Yes), ..Facts::default() };
        assert_eq!(said(&facts, now()).unwrap().what, leaving.what);
    }

    #[test]
    fn ready_and_gone_and_forbidden_are_one_answer() {
        let ready = || recorded("2insgkojzwlzeyac", &json!({"phase": "Ready"}));
        assert_eq!(of(ready(), Entry::Yes).what, "it can be used");
        assert!(of(ready(), Entry::No).what.contains("cannot be told apart"));
        assert_eq!(of(recorded("", &json!({"phase": "Scheduling"})), Entry::Unknown).word, "scheduling");
        let mount = json!({"metadata": {"name": "edge"}, "spec": {"mount": {"ref": {"kind": "KubeCluster", "name": "e"}}},
            "status": {"phase": "Unavailable"}});
        let said = of(mount, Entry::Unknown);
        assert!(said.what.contains("it is a mount of KubeCluster e") && said.next.unwrap().contains("not ready"));
        assert!(super::said(&Facts::default(), now()).is_none());
    }
}
