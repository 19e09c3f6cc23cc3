//! `configuration_contexts_list`: reachable clusters under the name that kubeconfig users know.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::model::{Access, Column, Failure, Row, Table};
use crate::output::{Body, Listing, MAX_LIMIT, Output, Page};
use crate::policy::{Seen, Visible};
use crate::tools::fleet::default_target;
use crate::tools::{Cx, Query, Spec, TargetNeed};

/// Contexts in the structured answer, at most.
const MAX_STRUCTURED: usize = 100;

/// `configuration_contexts_list`.
pub(super) struct ContextsList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {}

impl Query for ContextsList {
    const SPEC: Spec = Spec {
        name: "configuration_contexts_list",
        title: "Configuration: contexts",
        description: "List contexts",
        toolset: "config",
        access: Access::Read,
        target: TargetNeed::None,
        list: false,
        idempotent: true,
        open_world: false,
    };
    type Args = Args;

    /// Servers are for the local caller, who owns the kubeconfig.
    fn query(&self, cx: &Cx, visible: &Visible, _args: Args) -> Result<Output, Failure> {
        let default = default_target(&cx.principal, visible).map(|default| default.name.as_str().to_owned());
        let is_default = |seen: &Seen| default.as_deref() == Some(seen.cluster.name.as_str());
        let mut columns = vec!["NAME"];
        columns.extend(cx.local.then_some("SERVER"));
        columns.push("DEFAULT");
        let row = |seen: &Seen| {
            let mut cells = vec![seen.cluster.name.to_string()];
            cells.extend(cx.local.then(|| seen.cluster.endpoint.server.clone()));
            cells.push(if is_default(seen) { "*".into() } else { String::new() });
            Row { namespace: None, cells }
        };
        let context = |seen: &Seen| {
            let mut context = json!({"name": seen.cluster.name.as_str(), "default": is_default(seen)});
            if let (true, Some(fields)) = (cx.local, context.as_object_mut()) {
                fields.insert("server".into(), seen.cluster.endpoint.server.as_str().into());
            }
            context
        };
        let columns = columns.into_iter().map(|name| Column { name: name.into(), priority: 0 }).collect();
        let table = Table { columns, rows: visible.reachable().map(row).collect(), ..Table::default() };
        let contexts: Vec<_> = visible.reachable().take(MAX_STRUCTURED).map(context).collect();
        let mut output = Output::new(Body::Table(Listing {
            resource: "contexts".into(),
            content: table,
            page: Page::first(MAX_LIMIT),
            narrow: "clusters_list, which pages and filters",
        }));
        output.structured = Some(json!({"defaultContext": default, "contexts": contexts}));
        Ok(output)
    }
}
