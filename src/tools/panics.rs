//! A catalog for tests of higher floors: a tool that panics, and one that is well.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Catalog, Cx, Entry, Query, Spec, TargetNeed, fleet};
use crate::model::{Access, Failure};
use crate::output::Output;
use crate::policy::Visible;

/// `panics`.
struct Panics;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Args {}

impl Query for Panics {
    const SPEC: Spec = Spec {
        name: "panics",
        title: "Panics",
        description: "A mistake of ours",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::None,
        list: false,
        idempotent: true,
        open_world: false,
    };
    type Args = Args;

    fn query(&self, _cx: &Cx, _visible: &Visible, _args: Args) -> Result<Output, Failure> {
        panic!("on purpose")
    }
}

/// The tools of `fleet`, and `panics`.
pub(crate) fn catalog() -> Catalog {
    let entries = fleet::entries().into_iter().chain([Entry::query(Panics)]);
    Catalog { entries: entries.map(|entry| (entry.spec.name, entry)).collect::<BTreeMap<_, _>>() }
}
