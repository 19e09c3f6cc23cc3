//! `namespaces_list`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Access, Failure};
use crate::output::Output;
use crate::pool::ClusterClient;
use crate::tools::{Cx, Spec, TargetNeed, Tool, arguments};

use super::resources;

/// `namespaces_list`.
pub(super) struct NamespacesList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    label_selector: Option<String>,
    field_selector: Option<String>,
}

impl Tool for NamespacesList {
    const SPEC: Spec = Spec {
        name: "namespaces_list",
        title: "Namespaces: list",
        description: "List namespaces",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let what = resources::What {
            namespace: None,
            label_selector: arguments::label_selector(args.label_selector)?,
            field_selector: arguments::field_selector(args.field_selector)?,
        };
        let resource = client.kind("namespaces", Some("v1")).await?;
        resources::list(cx, client, &resource, what).await
    }
}
