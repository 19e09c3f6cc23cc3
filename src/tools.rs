//! What a tool is, and the catalog of all of them.
//!
//! A tool is a unit struct with one of four traits, by what it needs: [`Tool`] (one target), [`Query`] (the list of
//! clusters that the caller sees), [`Either`] (a target if the caller names one) or [`Look`] (the way to one target, which
//! is not taken). It gets typed arguments and never a token. A new tool is one file and one line in its toolset's `entries`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::model::{Access, Failure, Principal, Problem, Target, ToolRef, names};
use crate::output::{Output, Page, Presentation, Progress};
use crate::policy::Visible;
use crate::pool::{ClusterClient, Route};

mod age;
mod anomalies;
pub mod arguments;
mod config;
mod core;
mod extra;
pub mod fleet;
mod groups;
mod kcp;
mod kubelet;
mod labels;
mod lines;
mod next;
mod pods;
mod quantity;
mod rows;
mod schema;

#[cfg(test)]
pub(crate) mod odd;
#[cfg(test)]
pub(crate) mod tests;

pub use arguments::ListArguments;

/// A JSON object.
pub type JsonObject = Map<String, Value>;

/// What is known of a tool before it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Name, `snake_case`.
    pub name: &'static str,
    /// Title for people.
    pub title: &'static str,
    /// Description for models, as short as it can be.
    pub description: &'static str,
    /// The toolset it is in.
    pub toolset: &'static str,
    /// The strongest thing that it does.
    pub access: Access,
    /// Whether it goes to a target.
    pub target: TargetNeed,
    /// True when it answers a list: the dispatcher adds `limit`, `continue`, `columns` and `format`.
    pub list: bool,
    /// True when a repetition changes nothing more.
    pub idempotent: bool,
    /// True when it speaks to something outside of kubeferry.
    pub open_world: bool,
}

impl Spec {
    /// What policy knows of it.
    pub fn tool_ref(&self) -> ToolRef {
        ToolRef { name: self.name, toolset: self.toolset, access: self.access }
    }

    /// MCP's `readOnlyHint`.
    pub fn read_only(&self) -> bool {
        self.access == Access::Read
    }

    /// MCP's `destructiveHint`.
    pub fn destructive(&self) -> bool {
        !self.read_only()
    }
}

/// Whether a tool goes to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetNeed {
    /// To exactly one, named or defaulted.
    One,
    /// To exactly one workspace of a kcp: the tool exists only for those who reach a kcp.
    Workspace,
    /// To one if the caller names it; never a defaulted one.
    Optional,
    /// To none.
    None,
}

/// What every call has beside its arguments.
#[derive(Debug, Clone)]
pub struct Cx {
    /// Who calls.
    pub principal: Arc<Principal>,
    /// How the answer is wanted.
    pub presentation: Presentation,
    /// Which page of a list is wanted.
    pub page: Page,
    /// True for the caller of local mode, who owns the kubeconfig.
    pub local: bool,
    /// Where a tool that takes its time says how far it has come.
    pub progress: Progress,
}

/// A tool that goes to one target.
pub trait Tool: Send + Sync + 'static {
    /// What is known of it.
    const SPEC: Spec;
    /// Its own arguments, `deny_unknown_fields`.
    type Args: DeserializeOwned + JsonSchema + Send;

    /// Does it. The dispatcher holds the deadline.
    fn call(
        &self,
        cx: &Cx,
        client: &ClusterClient,
        args: Self::Args,
    ) -> impl Future<Output = Result<Output, Failure>> + Send;
}

/// A tool that only looks at the inventory.
pub trait Query: Send + Sync + 'static {
    /// What is known of it.
    const SPEC: Spec;
    /// Its own arguments, `deny_unknown_fields`.
    type Args: DeserializeOwned + JsonSchema + Send;

    /// Answers.
    ///
    /// # Errors
    /// When the arguments are wrong.
    fn query(&self, cx: &Cx, visible: &Visible, args: Self::Args) -> Result<Output, Failure>;
}

/// A tool that goes to a target if there is one.
pub trait Either: Send + Sync + 'static {
    /// What is known of it.
    const SPEC: Spec;
    /// Its own arguments, `deny_unknown_fields`.
    type Args: DeserializeOwned + JsonSchema + Send;

    /// Does it. The dispatcher holds the deadline.
    fn call(
        &self,
        cx: &Cx,
        visible: &Visible,
        client: Option<&ClusterClient>,
        args: Self::Args,
    ) -> impl Future<Output = Result<Output, Failure>> + Send;
}

/// A tool that looks at the way to one target and does not take it.
pub trait Look: Send + Sync + 'static {
    /// What is known of it.
    const SPEC: Spec;
    /// Its own arguments, `deny_unknown_fields`.
    type Args: DeserializeOwned + JsonSchema + Send;

    /// Answers.
    ///
    /// # Errors
    /// When the arguments are wrong.
    fn look(&self, cx: &Cx, target: &Target, route: &Route, args: Self::Args) -> Result<Output, Failure>;
}

/// The object-safe twin of [`Tool`].
pub trait ErasedTool: Send + Sync {
    /// Reads the arguments and calls.
    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        client: &'a ClusterClient,
        args: JsonObject,
    ) -> BoxFuture<'a, Result<Output, Failure>>;
}

/// The object-safe twin of [`Query`].
pub trait ErasedQuery: Send + Sync {
    /// Reads the arguments and answers.
    ///
    /// # Errors
    /// When the arguments are wrong.
    fn query(&self, cx: &Cx, visible: &Visible, args: JsonObject) -> Result<Output, Failure>;
}

/// The object-safe twin of [`Either`].
pub trait ErasedEither: Send + Sync {
    /// Reads the arguments and calls.
    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        visible: &'a Visible,
        client: Option<&'a ClusterClient>,
        args: JsonObject,
    ) -> BoxFuture<'a, Result<Output, Failure>>;
}

/// The object-safe twin of [`Look`].
pub trait ErasedLook: Send + Sync {
    /// Reads the arguments and answers.
    ///
    /// # Errors
    /// When the arguments are wrong.
    fn look(&self, cx: &Cx, target: &Target, route: &Route, args: JsonObject) -> Result<Output, Failure>;
}

/// How a tool runs. `args` are its own arguments only: the dispatcher took its own off.
pub enum Run {
    /// With one target.
    Tool(Box<dyn ErasedTool>),
    /// Without a target.
    Query(Box<dyn ErasedQuery>),
    /// With or without.
    Either(Box<dyn ErasedEither>),
    /// With the way to one target, which is not taken.
    Look(Box<dyn ErasedLook>),
}

/// A tool in the catalog.
pub struct Entry {
    /// What is known of it.
    pub spec: &'static Spec,
    /// The schema that clients see: its own arguments and the dispatcher's.
    pub schema: Arc<JsonObject>,
    /// How it runs.
    pub run: Run,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

impl Entry {
    fn tool<T: Tool>(tool: T) -> Self {
        struct Erased<T>(T, JsonObject);
        impl<T: Tool> ErasedTool for Erased<T> {
            fn call<'a>(
                &'a self,
                cx: &'a Cx,
                client: &'a ClusterClient,
                args: JsonObject,
            ) -> BoxFuture<'a, Result<Output, Failure>> {
                Box::pin(async move { self.0.call(cx, client, arguments::read(args, &self.1)?).await })
            }
        }
        let own = schema::own::<T::Args>();
        let schema = schema::published(&T::SPEC, own.clone());
        Self { spec: &T::SPEC, schema: Arc::new(schema), run: Run::Tool(Box::new(Erased(tool, own))) }
    }

    fn query<T: Query>(tool: T) -> Self {
        struct Erased<T>(T, JsonObject);
        impl<T: Query> ErasedQuery for Erased<T> {
            fn query(&self, cx: &Cx, visible: &Visible, args: JsonObject) -> Result<Output, Failure> {
                self.0.query(cx, visible, arguments::read(args, &self.1)?)
            }
        }
        let own = schema::own::<T::Args>();
        let schema = schema::published(&T::SPEC, own.clone());
        Self { spec: &T::SPEC, schema: Arc::new(schema), run: Run::Query(Box::new(Erased(tool, own))) }
    }

    fn look<T: Look>(tool: T) -> Self {
        struct Erased<T>(T, JsonObject);
        impl<T: Look> ErasedLook for Erased<T> {
            fn look(&self, cx: &Cx, target: &Target, route: &Route, args: JsonObject) -> Result<Output, Failure> {
                self.0.look(cx, target, route, arguments::read(args, &self.1)?)
            }
        }
        let own = schema::own::<T::Args>();
        let schema = schema::published(&T::SPEC, own.clone());
        Self { spec: &T::SPEC, schema: Arc::new(schema), run: Run::Look(Box::new(Erased(tool, own))) }
    }

    fn either<T: Either>(tool: T) -> Self {
        struct Erased<T>(T, JsonObject);
        impl<T: Either> ErasedEither for Erased<T> {
            fn call<'a>(
                &'a self,
                cx: &'a Cx,
                visible: &'a Visible,
                client: Option<&'a ClusterClient>,
                args: JsonObject,
            ) -> BoxFuture<'a, Result<Output, Failure>> {
                Box::pin(async move { self.0.call(cx, visible, client, arguments::read(args, &self.1)?).await })
            }
        }
        let own = schema::own::<T::Args>();
        let schema = schema::published(&T::SPEC, own.clone());
        Self { spec: &T::SPEC, schema: Arc::new(schema), run: Run::Either(Box::new(Erased(tool, own))) }
    }
}

/// A named group of tools.
#[derive(Debug, Clone, Copy)]
pub struct Toolset {
    /// Its name in `toolsets`.
    pub name: &'static str,
    /// True when it is on unless the operator chooses.
    pub default: bool,
    entries: fn() -> Vec<Entry>,
}

/// All toolsets.
pub const TOOLSETS: &[Toolset] = &[
    Toolset { name: "core", default: true, entries: core::entries },
    Toolset { name: "config", default: true, entries: config::entries },
    Toolset { name: "fleet", default: true, entries: fleet::entries },
    Toolset { name: "kcp", default: true, entries: kcp::entries },
    Toolset { name: "extra", default: false, entries: extra::entries },
];

/// A named choice out of the toolsets, for clients that pay for every tool of a list. A tool stays in its toolset: policy
/// sees the same one.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Its name in `toolsets`.
    pub name: &'static str,
    /// Its tools.
    pub tools: &'static [&'static str],
}

/// All profiles.
pub const PROFILES: &[Profile] = &[Profile {
    // All that reads, with the fewest tools: the tools of one kind are covered by those of any kind.
    name: "lean",
    tools: &[
        "api_resources_list",
        "clusters_list",
        "events_list",
        "pods_log",
        "resources_describe",
        "resources_get",
        "resources_list",
        "whoami",
    ],
}];

/// The tools that this server offers; policy takes away per caller.
#[derive(Debug)]
pub struct Catalog {
    entries: BTreeMap<&'static str, Entry>,
}

impl Catalog {
    /// The tools of `toolsets`, which may name profiles too; of the default ones when it is empty.
    ///
    /// # Errors
    /// One problem per unknown name, each listing the valid ones.
    pub fn new(toolsets: &[String]) -> Result<Self, Vec<Problem>> {
        let sets = TOOLSETS.iter().map(|toolset| toolset.name);
        let known: Vec<&str> = sets.chain(PROFILES.iter().map(|profile| profile.name)).collect();
        let problems: Vec<Problem> = toolsets
            .iter()
            .filter(|name| !known.contains(&name.as_str()))
            .map(|name| {
                let what = format!("there is no toolset {}", names::quote(name));
                Problem::new("toolsets", what, format!("use some of {}", known.join(", ")))
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let named = |name: &str| toolsets.iter().any(|chosen| chosen == name);
        let chosen = |toolset: &Toolset| if toolsets.is_empty() { toolset.default } else { named(toolset.name) };
        let in_profile = |tool: &str| {
            let mut profiles = PROFILES.iter().filter(|profile| named(profile.name));
            profiles.any(|profile| profile.tools.contains(&tool))
        };
        let entries = TOOLSETS.iter().flat_map(|toolset| {
            let whole = chosen(toolset);
            let entries = (toolset.entries)().into_iter();
            entries.filter(move |entry| whole || in_profile(entry.spec.name))
        });
        Ok(Self { entries: entries.map(|entry| (entry.spec.name, entry)).collect() })
    }

    /// The tool of that name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All tools, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}
