//! `projects_list`: OpenShift's view of namespaces.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Access, Failure};
use crate::output::Output;
use crate::pool::ClusterClient;
use crate::tools::core::resources;
use crate::tools::{Cx, Spec, TargetNeed, Tool};

/// `projects_list`.
pub(super) struct ProjectsList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {}

impl Tool for ProjectsList {
    const SPEC: Spec = Spec {
        name: "projects_list",
        title: "Projects: list",
        description: "List OpenShift projects",
        toolset: "extra",
        access: Access::Read,
        target: TargetNeed::One,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, _args: Args) -> Result<Output, Failure> {
        let found = client.kind("projects", Some("project.openshift.io/v1")).await;
        let resource = found.map_err(|failure| match failure.code {
            "kind_not_served" => failure.hint("This is no OpenShift: namespaces_list lists its namespaces"),
            _ => failure,
        })?;
        let what = resources::What { namespace: None, label_selector: None, field_selector: None };
        resources::list(cx, client, &resource, what).await
    }
}
