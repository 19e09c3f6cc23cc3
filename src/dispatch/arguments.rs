//! The arguments that every tool has through the dispatcher, taken off before the tool sees its own: where the call goes,
//! and for lists which part is wanted and in which form.

use serde_json::Value;

use crate::model::Failure;
use crate::tools::{JsonObject, ListArguments, Spec, TargetNeed};

/// What was taken off, and what is left.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) target: TargetArguments,
    pub(super) list: ListArguments,
    /// The tool's own arguments.
    pub(super) own: JsonObject,
    /// All arguments but `continue`: what a continue handle is bound to.
    pub(super) question: JsonObject,
}

/// Where a call goes, as the caller wrote it.
#[derive(Debug, Default)]
pub(super) struct TargetArguments {
    pub(super) cluster: Option<String>,
    pub(super) workspace: Option<String>,
    pub(super) from: Option<String>,
}

impl TargetArguments {
    /// True when nothing was written.
    pub(super) fn is_empty(&self) -> bool {
        self.cluster.is_none() && self.workspace.is_none() && self.from.is_none()
    }
}

impl Taken {
    /// Takes the dispatcher's arguments off.
    pub(super) fn split(spec: &Spec, mut own: JsonObject) -> Result<Self, Failure> {
        let mut question = own.clone();
        question.remove("continue");
        let target = match spec.target {
            TargetNeed::None => TargetArguments::default(),
            TargetNeed::One | TargetNeed::Workspace | TargetNeed::Optional => take_target(&mut own)?,
        };
        let list = if spec.list { ListArguments::take(&mut own)? } else { ListArguments::default() };
        Ok(Self { target, list, own, question })
    }
}

fn take_target(own: &mut JsonObject) -> Result<TargetArguments, Failure> {
    let mut cluster = None;
    for spelling in ["cluster", "context", "target"] {
        let Some(given) = take_text(own, spelling)? else { continue };
        if cluster.as_ref().is_some_and(|first| first != &given) {
            return Err(
                Failure::arguments("cluster, context and target name different clusters").hint("Use cluster alone")
            );
        }
        cluster = Some(given);
    }
    Ok(TargetArguments { cluster, workspace: take_text(own, "workspace")?, from: take_text(own, "from")? })
}

/// An optional text; `null` and `""` count as absent, as some clients send them for arguments that are left out.
fn take_text(own: &mut JsonObject, key: &str) -> Result<Option<String>, Failure> {
    match own.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(Failure::arguments(format!("{key} must be a string"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Taken;
    use crate::model::Access;
    use crate::tools::{Spec, TargetNeed};

    const LIST: Spec = Spec {
        name: "things_list",
        title: "",
        description: "",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: true,
        idempotent: true,
        open_world: true,
    };

    fn split(arguments: &serde_json::Value) -> Result<Taken, crate::model::Failure> {
        Taken::split(&LIST, arguments.as_object().unwrap().clone())
    }

    #[test]
    fn the_dispatchers_arguments_are_taken_off() {
        let taken =
            split(&json!({"context": "c1", "limit": 7, "columns": "a, b", "format": "json", "continue": "h", "x": 1}))
                .unwrap();
        assert_eq!(taken.target.cluster.as_deref(), Some("c1"));
        assert_eq!((taken.list.rows(), taken.list.handle.as_deref()), (7, Some("h")));
        assert_eq!(taken.list.columns, ["a", "b"]);
        assert_eq!(json!(taken.own), json!({"x": 1}));
        assert!(!taken.question.contains_key("continue") && taken.question.contains_key("limit"));
    }

    #[test]
    fn wrong_values_name_their_argument() {
        for (arguments, named) in [
            (json!({"cluster": 1}), "cluster"),
            (json!({"cluster": "a", "context": "b"}), "context"),
            (json!({"limit": 0}), "limit"),
            (json!({"limit": 1e9}), "limit"),
            (json!({"format": "xml"}), "xml"),
            (json!({"columns": {"a": 1}}), "columns"),
        ] {
            assert!(split(&arguments).unwrap_err().to_string().contains(named), "{arguments}");
        }
    }
}
