//! A catalog for tests of higher floors: a tool that panics, one that counts aloud, and some that are well.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Catalog, Cx, Either, Entry, Query, Spec, TargetNeed, fleet};
use crate::model::{Access, Failure, FailureKind};
use crate::output::{Body, Output};
use crate::policy::Visible;
use crate::pool::ClusterClient;

/// `panics`.
struct Panics;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Args {}

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

impl Query for Panics {
    const SPEC: Spec = SPEC;
    type Args = Args;

    fn query(&self, _cx: &Cx, _visible: &Visible, _args: Args) -> Result<Output, Failure> {
        panic!("on purpose")
    }
}

/// `counts`: says each number that it reaches.
struct Counts;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Count {
    to: u64,
    every_ms: u64,
    /// Fails in the end.
    #[serde(default)]
    fails: bool,
}

impl Either for Counts {
    const SPEC: Spec = Spec { name: "counts", target: TargetNeed::Optional, ..SPEC };
    type Args = Count;

    async fn call(
        &self,
        cx: &Cx,
        _visible: &Visible,
        _client: Option<&ClusterClient>,
        args: Count,
    ) -> Result<Output, Failure> {
        for done in 1..=args.to {
            tokio::time::sleep(Duration::from_millis(args.every_ms)).await;
            cx.progress.report(done, Some(args.to), format!("at {done}\u{1b}[31m\u{202e}"));
        }
        if args.fails {
            let ended = "your token expired during the call";
            return Err(Failure::new(FailureKind::SignIn, "sign_in_again", ended));
        }
        Ok(Output::new(Body::Lines(format!("counted to {}", args.to))))
    }
}

/// The tools of `fleet`, and those here.
pub(crate) fn catalog() -> Catalog {
    let entries = fleet::entries().into_iter().chain([Entry::query(Panics), Entry::either(Counts)]);
    Catalog { entries: entries.map(|entry| (entry.spec.name, entry)).collect::<BTreeMap<_, _>>() }
}
