//! `pods_list`, `pods_list_in_namespace` and `pods_get`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Access, Failure};
use crate::output::{Body, Output, check_fields};
use crate::pool::ClusterClient;
use crate::tools::{Cx, Spec, TargetNeed, Tool, arguments};

use super::resources;

/// `pods_list`.
pub(super) struct PodsList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListArgs {
    label_selector: Option<String>,
    field_selector: Option<String>,
}

impl Tool for PodsList {
    const SPEC: Spec = Spec {
        name: "pods_list",
        title: "Pods: list",
        description: "List pods of all namespaces, unhealthy first",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = ListArgs;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: ListArgs) -> Result<Output, Failure> {
        list(cx, client, None, args.label_selector, args.field_selector).await
    }
}

/// `pods_list_in_namespace`.
pub(super) struct PodsListInNamespace;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NamespaceArgs {
    namespace: String,
    label_selector: Option<String>,
    field_selector: Option<String>,
}

impl Tool for PodsListInNamespace {
    const SPEC: Spec = Spec {
        name: "pods_list_in_namespace",
        title: "Pods: list in namespace",
        description: "List pods of one namespace, unhealthy first",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = NamespaceArgs;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: NamespaceArgs) -> Result<Output, Failure> {
        let Some(namespace) = arguments::namespace(Some(args.namespace))? else {
            return Err(Failure::arguments("namespace is empty").hint("pods_list lists pods of all namespaces"));
        };
        list(cx, client, Some(namespace), args.label_selector, args.field_selector).await
    }
}

async fn list(
    cx: &Cx,
    client: &ClusterClient,
    namespace: Option<String>,
    label_selector: Option<String>,
    field_selector: Option<String>,
) -> Result<Output, Failure> {
    let what = resources::What {
        namespace,
        label_selector: arguments::label_selector(label_selector)?,
        field_selector: arguments::field_selector(field_selector)?,
    };
    let resource = client.kind("pods", Some("v1")).await?;
    resources::list(cx, client, &resource, what).await
}

/// `pods_get`.
pub(super) struct PodsGet;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GetArgs {
    name: String,
    namespace: Option<String>,
    fields: Option<Vec<String>>,
}

impl Tool for PodsGet {
    const SPEC: Spec = Spec {
        name: "pods_get",
        title: "Pods: get",
        description: "Get one pod as YAML",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = GetArgs;

    async fn call(&self, _cx: &Cx, client: &ClusterClient, args: GetArgs) -> Result<Output, Failure> {
        let which = resources::Which::read(args.name, args.namespace)?;
        let fields = args.fields.unwrap_or_default();
        check_fields(&fields)?;
        let resource = client.kind("pods", Some("v1")).await?;
        let found = resources::get(client, &resource, which).await?;
        let output = Output::new(Body::Fields { object: found.object, fields });
        Ok(Output { notes: found.note.into_iter().collect(), ..output })
    }
}
