//! `targets_list`: what `cluster` may be, ready to copy.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Access, Cluster, ClusterKind, Column, Failure, Row, Table};
use crate::output::{Body, Listing, Output};
use crate::policy::Visible;
use crate::tools::fleet::default_target;
use crate::tools::{Cx, Query, Spec, TargetNeed};

/// `targets_list`.
pub(super) struct TargetsList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {}

impl Query for TargetsList {
    const SPEC: Spec = Spec {
        name: "targets_list",
        title: "Targets: list",
        description: "List addresses for cluster; of a kcp its entry workspaces",
        toolset: "config",
        access: Access::Read,
        target: TargetNeed::None,
        list: true,
        idempotent: true,
        open_world: false,
    };
    type Args = Args;

    fn query(&self, cx: &Cx, visible: &Visible, _args: Args) -> Result<Output, Failure> {
        let default = default_target(&cx.principal, visible);
        let is_default = |cluster: &Cluster| default.as_ref().is_some_and(|default| default.name == cluster.name);
        let rows = visible.reachable().flat_map(|seen| {
            let mark = if is_default(&seen.cluster) { "*" } else { "" };
            addresses(&seen.cluster)
                .into_iter()
                .map(move |address| Row { namespace: None, cells: vec![address, mark.to_owned()] })
        });
        let columns = ["TARGET", "DEFAULT"].map(|name| Column { name: name.into(), priority: 0 });
        let table = Table { columns: columns.to_vec(), rows: rows.collect(), ..Table::default() };
        Ok(Output::new(Body::Table(Listing {
            resource: "targets".into(),
            content: table,
            page: cx.page.clone(),
            narrow: "clusters_list, which filters",
        })))
    }
}

/// A kcp without entries says what is to be filled in.
fn addresses(cluster: &Cluster) -> Vec<String> {
    match (cluster.kind, cluster.entry.as_slice()) {
        (ClusterKind::Kubernetes | ClusterKind::Kind, _) => vec![cluster.name.to_string()],
        (ClusterKind::Kcp, []) => vec![format!("{}:<workspace>", cluster.name)],
        (ClusterKind::Kcp, entries) => entries.iter().map(|entry| format!("{}:{entry}", cluster.name)).collect(),
    }
}
