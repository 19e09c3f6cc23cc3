//! A CustomResourceDefinition of the workspace itself. What is bound is not among them.

use serde::Deserialize;

use super::super::part::{Condition, Meta, line};

/// What is read of a CustomResourceDefinition.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::tools::kcp) struct Crd {
    metadata: Meta,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Spec {
    group: String,
    names: Names,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Names {
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) kind: String,
    pub(super) short_names: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

impl Crd {
    pub(super) fn name(&self) -> String {
        line(&self.metadata.name)
    }

    pub(super) fn group(&self) -> &str {
        &self.spec.group
    }

    pub(super) fn names(&self) -> &Names {
        &self.spec.names
    }

    /// True when it defines this resource.
    pub(super) fn defines(&self, plural: &str, group: &str) -> bool {
        self.spec.names.plural == plural && self.spec.group == group
    }

    /// True when it is served.
    pub(super) fn is_established(&self) -> bool {
        self.status.conditions.iter().any(|condition| condition.kind == "Established" && !condition.is_bad())
    }

    /// Why it is not served.
    pub(super) fn troubles(&self) -> impl Iterator<Item = &Condition> {
        self.status.conditions.iter().filter(|condition| condition.is_bad())
    }
}
