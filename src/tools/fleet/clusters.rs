//! `clusters_list`: the inventory query.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Access, ClusterKind, ClusterName, Column, Failure, Row, Table, Way, WorkspacePath, names};
use crate::output::{Body, Listing, Output};
use crate::policy::{Seen, Visible};
use crate::tools::labels::Selector;
use crate::tools::next::Next;
use crate::tools::{Cx, Query, Spec, TargetNeed, arguments};

use super::default_target;

/// Longest `search`, `realm` and `tier`, in bytes.
const MAX_WORD: usize = 256;
/// Lines of what to call next, at most: one per kcp.
const MAX_NEXT: usize = 3;

/// `clusters_list`.
pub(super) struct ClustersList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    #[schemars(description = "*, names a,b or label selector k=v")]
    clusters: Option<String>,
    realm: Option<String>,
    tier: Option<String>,
    #[schemars(description = "kubernetes, kind or kcp")]
    kind: Option<String>,
    search: Option<String>,
}

impl Query for ClustersList {
    const SPEC: Spec = Spec {
        name: "clusters_list",
        title: "Clusters: list",
        description: "List clusters you can reach, and how",
        toolset: "fleet",
        access: Access::Read,
        target: TargetNeed::None,
        list: true,
        idempotent: true,
        open_world: false,
    };
    type Args = Args;

    fn query(&self, cx: &Cx, visible: &Visible, args: Args) -> Result<Output, Failure> {
        let filter = Filter::read(args)?;
        let found: Vec<&Seen> = visible.iter().filter(|seen| filter.takes(seen)).collect();
        let next = found.iter().filter_map(|seen| inside(seen)).take(MAX_NEXT).map(|next| next.to_string()).collect();
        let steps = found.iter().any(|seen| !is_open(seen));
        let mut columns = vec![("NAME", 0), ("KIND", 0), ("REALM", 0), ("WAY", 0), ("TIER", 0), ("LABELS", 0)];
        columns.extend(steps.then_some(("MISSING", 0)));
        columns.extend([("AS", 1), ("ENTRY", 1), ("SOURCE", 1)]);
        let columns = columns.into_iter().map(|(name, priority)| Column { name: name.into(), priority });
        let rows = found.into_iter().map(|seen| row(seen, steps));
        let table = Table { columns: columns.collect(), rows: rows.collect(), ..Table::default() };
        let body = Body::Table(Listing {
            resource: "clusters".into(),
            content: table,
            page: cx.page.clone(),
            narrow: "clusters, realm, tier, kind or search",
        });
        let output = Output { next, ..Output::new(body) };
        let output = match filter.clusters.unknown(visible).as_slice() {
            [] => output,
            unknown => output.note(format!("no such cluster that you can see: {}", unknown.join(", "))),
        };
        Ok(match default_target(&cx.principal, visible) {
            Some(default) => output.note(format!("default target: {} ({})", default.name, default.reason)),
            None => output,
        })
    }
}

fn is_open(seen: &Seen) -> bool {
    seen.way.as_ref().is_some_and(|way| way != &Way::Unbound)
}

/// What shows the workspaces of a kcp: from its entry, or else from the top.
fn inside(seen: &Seen) -> Option<Next> {
    let cluster = &seen.cluster;
    if cluster.kind != ClusterKind::Kcp || !is_open(seen) {
        return None;
    }
    let entry = cluster.entry.first().map_or("root", WorkspacePath::as_str);
    Some(Next::at("kcp_workspace_tree", &format!("{}:{entry}", cluster.name)))
}

/// An advertised cluster shows its realm and the missing step, no more.
fn row(seen: &Seen, steps: bool) -> Row {
    let cluster = &seen.cluster;
    let realm = cluster.realm.as_ref().map(ToString::to_string).unwrap_or_default();
    let step = match &seen.way {
        None => cluster.reach.missing_step.clone(),
        Some(Way::Unbound) => "not bound: add a [[bind]] rule or a [clusters.*] entry".into(),
        Some(_) => String::new(),
    };
    let mut cells = match &seen.way {
        Some(way) => vec![
            cluster.name.to_string(),
            cluster.kind.word().to_owned(),
            realm,
            way.word().to_owned(),
            cluster.tier.word().to_owned(),
            joined(cluster.labels.iter().map(|(key, value)| format!("{key}={value}"))),
        ],
        None => {
            let hidden = String::new;
            vec![cluster.name.to_string(), hidden(), realm, hidden(), hidden(), hidden()]
        }
    };
    cells.extend(steps.then_some(step));
    cells.extend(match &seen.way {
        Some(way) => {
            [as_whom(way).to_owned(), joined(cluster.entry.iter().map(ToString::to_string)), cluster.source.clone()]
        }
        None => Default::default(),
    });
    Row { namespace: None, cells }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

fn as_whom(way: &Way) -> &'static str {
    match way {
        Way::Passthrough { .. } | Way::Exchange | Way::Chain { .. } => "you",
        Way::Impersonate => "you (impersonated)",
        Way::Local => "kubeconfig user",
        Way::Shared => "shared identity",
        Way::Unbound => "",
    }
}

/// What a caller asks for. Advertised clusters match by name and realm only: a filter over what they hide would tell it.
struct Filter {
    clusters: Wanted,
    realm: Option<String>,
    tier: Option<String>,
    kind: Option<String>,
    search: Option<String>,
}

/// A `clusters` argument.
enum Wanted {
    All,
    Names(BTreeSet<ClusterName>),
    Labels(Selector),
}

impl Filter {
    fn read(args: Args) -> Result<Self, Failure> {
        let kind = word("kind", args.kind)?;
        if let Some(kind) = kind.as_deref().filter(|kind| !["kubernetes", "kind", "kcp"].contains(kind)) {
            let cause = format!("there is no kind of cluster {}", names::quote(kind));
            return Err(Failure::arguments(cause).hint("Kinds are kubernetes, kind, kcp"));
        }
        Ok(Self {
            clusters: Wanted::read(args.clusters)?,
            realm: word("realm", args.realm)?,
            tier: word("tier", args.tier)?,
            kind,
            search: word("search", args.search)?.map(|search| search.to_lowercase()),
        })
    }

    fn takes(&self, seen: &Seen) -> bool {
        let cluster = &seen.cluster;
        let open = seen.way.is_some();
        let hidden = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| open && wanted == found);
        let realm = cluster.realm.as_ref().map(|realm| realm.as_str());
        let contains = |text: &str| self.search.as_ref().is_none_or(|search| text.to_lowercase().contains(search));
        let labels = || cluster.labels.iter().any(|(key, value)| contains(&format!("{key}={value}")));
        let named = match &self.clusters {
            Wanted::All => true,
            Wanted::Names(names) => names.contains(&cluster.name),
            Wanted::Labels(labels) => open && labels.holds(|key| cluster.labels.get(key).map(String::as_str)),
        };
        named
            && self.realm.as_deref().is_none_or(|wanted| realm == Some(wanted))
            && hidden(self.tier.as_deref(), cluster.tier.word())
            && hidden(self.kind.as_deref(), cluster.kind.word())
            && (contains(cluster.name.as_str())
                || (open && (cluster.aliases.iter().any(|alias| contains(alias)) || labels())))
    }
}

impl Wanted {
    /// `*`, a comma list of names, or else a label selector.
    fn read(text: Option<String>) -> Result<Self, Failure> {
        let Some(text) = text.filter(|text| !matches!(text.trim(), "" | "*")) else { return Ok(Self::All) };
        if text.len() > arguments::MAX_SELECTOR {
            let cause = format!("clusters has more than {} bytes", arguments::MAX_SELECTOR);
            return Err(Failure::arguments(cause).hint("Use a label selector, or several calls"));
        }
        let names: Result<BTreeSet<ClusterName>, _> =
            text.split(',').map(|name| ClusterName::parse(name.trim())).collect();
        match names {
            Ok(names) => Ok(Self::Names(names)),
            Err(error) if !text.contains(['=', '!', ' ', '(', '/']) => Err(Failure::arguments(error.to_string())),
            Err(_) => Selector::read(text).map(Self::Labels),
        }
    }

    /// Names that were asked for and are not among `visible`.
    fn unknown(&self, visible: &Visible) -> Vec<&str> {
        let Self::Names(names) = self else { return Vec::new() };
        let exists = |name: &ClusterName| visible.iter().any(|seen| &seen.cluster.name == name);
        names.iter().filter(|name| !exists(name)).map(ClusterName::as_str).collect()
    }
}

fn word(name: &str, text: Option<String>) -> Result<Option<String>, Failure> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if text.len() > MAX_WORD => {
            Err(Failure::arguments(format!("{name} is longer than {MAX_WORD} bytes")))
        }
        text => Ok(text),
    }
}
