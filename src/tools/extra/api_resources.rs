//! `api_resources_list`: the kinds that a cluster or workspace serves.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Access, ApiResource, Column, Failure, Row, Table, names};
use crate::output::{Body, Listing, Output};
use crate::pool::ClusterClient;
use crate::tools::{Cx, Spec, TargetNeed, Tool};

/// `api_resources_list`.
pub(super) struct ApiResourcesList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    #[schemars(description = "As apps; core for the core group")]
    group: Option<String>,
    namespaced: Option<bool>,
}

impl Tool for ApiResourcesList {
    const SPEC: Spec = Spec {
        name: "api_resources_list",
        title: "API resources: list",
        description: "List the kinds that are served; verbs with format=wide",
        toolset: "extra",
        access: Access::Read,
        target: TargetNeed::One,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let group = args.group.map(|group| if group == "core" { String::new() } else { group });
        if let Some(group) = &group {
            names::group(group).map_err(|error| Failure::arguments(error.to_string()))?;
        }
        let kinds = client.kinds().await.map_err(|failure| failure.doing("reading which kinds are served"))?;
        Ok(Output::new(Body::Table(Listing {
            resource: "kinds".into(),
            content: table(&kinds, group.as_deref(), args.namespaced),
            page: cx.page.clone(),
            narrow: "group or namespaced",
        })))
    }
}

/// kubectl's columns.
fn table(kinds: &[ApiResource], group: Option<&str>, namespaced: Option<bool>) -> Table {
    let columns = [("NAME", 0), ("SHORTNAMES", 0), ("APIVERSION", 0), ("NAMESPACED", 0), ("KIND", 0), ("VERBS", 1)];
    let wanted = |kind: &&ApiResource| {
        group.is_none_or(|group| kind.group == group) && namespaced.is_none_or(|wanted| kind.namespaced == wanted)
    };
    let row = |kind: &ApiResource| Row {
        namespace: None,
        cells: vec![
            kind.plural.clone(),
            kind.short_names.join(","),
            kind.api_version(),
            kind.namespaced.to_string(),
            kind.kind.clone(),
            kind.verbs.join(","),
        ],
    };
    let columns = columns.map(|(name, priority)| Column { name: name.into(), priority });
    Table { columns: columns.to_vec(), rows: kinds.iter().filter(wanted).map(row).collect(), ..Table::default() }
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::model::ApiResource;

    #[test]
    fn kinds_are_filtered_by_group_and_scope() {
        let kind = |group: &str, plural: &str, namespaced: bool| ApiResource {
            group: group.into(),
            version: "v1".into(),
            plural: plural.into(),
            singular: String::new(),
            kind: plural.to_uppercase(),
            short_names: vec!["a".into(), "b".into()],
            namespaced,
            verbs: vec!["get".into(), "list".into()],
        };
        let kinds = [kind("", "pods", true), kind("", "nodes", false), kind("apps", "deployments", true)];
        let names = |group: Option<&str>, namespaced: Option<bool>| -> Vec<String> {
            table(&kinds, group, namespaced).rows.into_iter().map(|row| row.cells[0].clone()).collect()
        };
        assert_eq!(names(None, None).len(), 3);
        assert_eq!(names(Some(""), None), ["pods", "nodes"]);
        assert_eq!(names(None, Some(true)), ["pods", "deployments"]);
        let row = &table(&kinds, Some("apps"), None).rows[0];
        assert_eq!(row.cells, ["deployments", "a,b", "apps/v1", "true", "DEPLOYMENTS", "get,list"]);
    }
}
