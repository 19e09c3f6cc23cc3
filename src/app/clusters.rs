//! From what sources found and the operator wrote to clusters with their strategies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;

use crate::inventory::{BindRule, Discovered, Entry, SourceConfig};
use crate::model::{Cluster, ClusterKind, ClusterName, Endpoint, Problem, RealmName, Way, chain};
use crate::pool::credential::{self, CompileContext, Compiled};

/// A cluster and what obtains credentials for it.
#[derive(Debug)]
pub(super) struct One {
    pub(super) cluster: Cluster,
    pub(super) compiled: Compiled,
}

/// A cluster that cannot be used.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The operator wrote it: a mistake.
    Written(Problem),
    /// A source found it: the others work without it.
    Found(String),
}

/// What all sources found.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    pub(super) found: Vec<Discovered>,
    /// Contexts left out: one line each.
    pub(super) notes: Vec<String>,
    /// Sources that failed, or were late, by name: one line each.
    pub(super) failed: BTreeMap<String, String>,
}

/// Asks all sources at once, each within `limit`. A source that fails, or is late, costs the others nothing.
pub(super) async fn discover(sources: &[SourceConfig], limit: Duration) -> Discovery {
    let asked = sources.iter().map(|config| async move {
        let source = config.open();
        (config.name().to_owned(), tokio::time::timeout(limit, source.discover()).await)
    });
    let mut all = Discovery::default();
    for (name, answer) in join_all(asked).await {
        match answer {
            Ok(Ok(findings)) => {
                all.found.extend(findings.clusters);
                all.notes.extend(findings.skipped.into_iter().map(|skipped| {
                    format!("source {name}: context {:?} is left out: {}", skipped.foreign, skipped.why)
                }));
            }
            Ok(Err(error)) => {
                let why = format!("source {name} cannot be read: {}", chain(&error));
                drop(all.failed.insert(name, why));
            }
            Err(_elapsed) => {
                let why = format!("source {name} did not answer within {} s", limit.as_secs());
                drop(all.failed.insert(name, why));
            }
        }
    }
    all
}

/// Compiles the strategy of each entry.
pub(super) fn compile(entries: &[Entry], context: &CompileContext) -> (Vec<One>, Vec<Wrong>) {
    let mut clusters = Vec::new();
    let mut wrong = Vec::new();
    for entry in entries {
        match credential::compile(entry, context) {
            Ok(mut compiled) => clusters.push(One { cluster: cluster(entry, &mut compiled), compiled }),
            Err(problems) if entry.origin.is_some() => wrong.extend(problems.into_iter().map(Wrong::Written)),
            Err(problems) => {
                wrong.extend(
                    problems
                        .iter()
                        .map(|problem| Wrong::Found(format!("{} is left out: {}", entry.name, problem.what))),
                );
            }
        }
    }
    (clusters, wrong)
}

/// Mistakes in bind rules, also in those that match nothing now: an incomplete rule must not wait for its first cluster.
pub(super) fn check_binds(binds: &[BindRule], context: &CompileContext) -> Vec<Problem> {
    let mut problems = Vec::new();
    for rule in binds {
        let wrong = credential::compile(&stand_in(rule), context).err().unwrap_or_default();
        // Whether the gateway's kubeconfig has a context for a cluster is known only once there is one.
        let open = |problem: &Problem| {
            problem.key.ends_with(".gateway_credentials") && rule.settings.gateway_kubeconfig.is_some()
        };
        problems.extend(wrong.into_iter().filter(|problem| !open(problem)));
    }
    problems
}

/// A cluster that a rule could bind.
fn stand_in(rule: &BindRule) -> Entry {
    Entry {
        name: ClusterName::slug("any"),
        aliases: Vec::new(),
        origin: Some(rule.origin.clone()),
        source: String::new(),
        kind: ClusterKind::Kubernetes,
        endpoint: Endpoint {
            server: "https://any.invalid".to_owned(),
            ca: None,
            tls_server_name: None,
            insecure: false,
        },
        settings: rule.settings.clone(),
        labels: BTreeMap::new(),
        tier: rule.tier.clone(),
        advertise: false,
        entry: Vec::new(),
        paths: rule.paths,
        namespace: None,
        current: false,
    }
}

/// Takes the reach over: nobody looks at that of a strategy any more.
fn cluster(entry: &Entry, compiled: &mut Compiled) -> Cluster {
    let settings = &entry.settings;
    Cluster {
        name: entry.name.clone(),
        aliases: entry.aliases.clone(),
        kind: entry.kind,
        endpoint: entry.endpoint.clone(),
        realm: settings.realm.clone(),
        audiences: settings.audiences.clone(),
        strategy: compiled.name,
        reach: std::mem::take(&mut compiled.reach),
        labels: entry.labels.clone(),
        tier: entry.tier.clone(),
        source: entry.source.clone(),
        advertise: entry.advertise,
        entry: entry.entry.clone(),
        paths: entry.paths,
        namespace: entry.namespace.clone(),
        current: entry.current,
        key: compiled.key,
    }
}

/// The audiences by which a token may be accepted at the door for passthrough alone, per realm.
pub(super) fn passthrough_audiences(clusters: &[One]) -> BTreeMap<RealmName, BTreeSet<String>> {
    let mut audiences: BTreeMap<RealmName, BTreeSet<String>> = BTreeMap::new();
    for One { cluster, .. } in clusters {
        for realm in cluster.reach.realms() {
            if let Some(Way::Passthrough { audiences: own }) = cluster.reach.way_of(realm) {
                audiences.entry(realm.clone()).or_default().extend(own.iter().cloned());
            }
        }
    }
    audiences
}
