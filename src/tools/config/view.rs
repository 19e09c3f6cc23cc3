//! `configuration_view`: the inventory in the form of a kubeconfig, without any credential.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::model::{Access, Failure};
use crate::output::{Body, Output};
use crate::policy::{Seen, Visible};
use crate::tools::fleet::default_target;
use crate::tools::{Cx, Query, Spec, TargetNeed};

/// Clusters that one answer shows, at most.
const MAX_CLUSTERS: usize = 100;

/// `configuration_view`.
pub(super) struct ConfigurationView;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    #[schemars(description = "Only the default target; default true")]
    minified: Option<bool>,
}

impl Query for ConfigurationView {
    const SPEC: Spec = Spec {
        name: "configuration_view",
        title: "Configuration: view",
        description: "Your clusters as a kubeconfig without credentials",
        toolset: "config",
        access: Access::Read,
        target: TargetNeed::None,
        list: false,
        idempotent: true,
        open_world: false,
    };
    type Args = Args;

    /// Users are the ways that credentials are had; none of them holds one. Servers are for the local caller, who owns
    /// the kubeconfig.
    fn query(&self, cx: &Cx, visible: &Visible, args: Args) -> Result<Output, Failure> {
        let default = default_target(&cx.principal, visible).map(|default| default.name);
        let all: Vec<&Seen> = visible.reachable().collect();
        let only = default.as_ref().filter(|_| args.minified.unwrap_or(true));
        let mut shown = all.clone();
        shown.retain(|seen| only.is_none_or(|only| &seen.cluster.name == only));
        let found = shown.len();
        shown.truncate(MAX_CLUSTERS);
        let view = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": default.as_ref().map_or("", |name| name.as_str()),
            "clusters": shown.iter().map(|seen| cluster(seen, cx.local)).collect::<Vec<_>>(),
            "contexts": shown.iter().map(|seen| context(seen, cx.local)).collect::<Vec<_>>(),
            "users": [],
        });
        let output = Output::new(Body::Object(view));
        Ok(if shown.len() < found {
            output.note(format!("{} of {found} clusters shown: clusters_list pages and filters", shown.len()))
        } else if found < all.len() {
            output.note(format!("only the default target of {} clusters: minified=false shows all", all.len()))
        } else {
            output
        })
    }
}

fn cluster(seen: &Seen, local: bool) -> Value {
    let cluster = &seen.cluster;
    let mut fields = Map::new();
    if local {
        fields.insert("server".into(), cluster.endpoint.server.as_str().into());
        if let Some(name) = &cluster.endpoint.tls_server_name {
            fields.insert("tls-server-name".into(), name.as_str().into());
        }
        if cluster.endpoint.insecure {
            fields.insert("insecure-skip-tls-verify".into(), true.into());
        }
    }
    let mut about = json!({"kind": cluster.kind.word(), "tier": cluster.tier.word()});
    if let (Some(realm), Some(about)) = (&cluster.realm, about.as_object_mut()) {
        about.insert("realm".into(), realm.as_str().into());
    }
    fields.insert("extensions".into(), json!([{"name": "kubeferry", "extension": about}]));
    json!({"name": cluster.name.as_str(), "cluster": fields})
}

fn context(seen: &Seen, local: bool) -> Value {
    let cluster = &seen.cluster;
    let mut fields = Map::new();
    fields.insert("cluster".into(), cluster.name.as_str().into());
    if let Some(namespace) = cluster.namespace.as_ref().filter(|_| local) {
        fields.insert("namespace".into(), namespace.as_str().into());
    }
    fields.insert("user".into(), seen.way.as_ref().map_or("", |way| way.word()).into());
    json!({"name": cluster.name.as_str(), "context": fields})
}
