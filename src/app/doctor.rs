//! `kubeferry doctor`: what works, what does not, and the exact fix, for the listener, each realm, our clients there, the
//! links between realms, and each cluster.
//!
//! No caller's token is needed and none is used: realms are read and probed with our own client, clusters are asked without any credential, and where
//! kubeferry holds a credential of its own (a gateway's, or in local mode the kubeconfig users of the person at this
//! machine) the API server says whose it is. Everything goes over the connections that calls use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;

use super::App;
use crate::model::{Cluster, Failure, RealmName, Way};

mod access;
mod certificate;
mod clusters;
mod links;
mod listener;
mod realms;

/// Clocks that differ by more than this refuse good tokens: it is the leeway of the token check.
const SKEW: Duration = crate::auth::LEEWAY;
/// Checks under way at once.
const AT_ONCE: usize = 16;
/// Time for one check; each waits for a few answers that have a limit of their own.
const DEADLINE: Duration = Duration::from_secs(20);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Ok,
    /// It works, and should be looked at.
    Warning,
    /// It does not work.
    Failed,
}

impl Level {
    /// The word in the report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, as `listener`, `realm corp`, `cluster plant-1`.
    pub about: String,
    /// How it ended.
    pub level: Level,
    /// What is so, in one line.
    pub said: String,
    /// What to do; empty when all is well.
    pub fix: String,
}

impl Finding {
    fn ok(about: &str, said: impl Into<String>) -> Self {
        Self { about: about.to_owned(), level: Level::Ok, said: said.into(), fix: String::new() }
    }

    fn warning(about: &str, said: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { about: about.to_owned(), level: Level::Warning, said: said.into(), fix: fix.into() }
    }

    fn failed(about: &str, said: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { about: about.to_owned(), level: Level::Failed, said: said.into(), fix: fix.into() }
    }

    /// A failure of a request, with its own next step if it has one.
    fn of(about: &str, doing: &str, failure: &Failure, fix: &str) -> Self {
        let fix = failure.hint.clone().unwrap_or_else(|| fix.to_owned());
        Self::failed(about, format!("{doing}: {}", failure.cause), fix)
    }
}

/// One check: what it is about, and the work.
type Check<'a> = (String, BoxFuture<'a, Vec<Finding>>);

impl App {
    /// Looks at everything that the configuration names; findings in its order. `progress` hears how many of how many
    /// checks are done.
    pub async fn examine(&self, progress: impl Fn(usize, usize)) -> Vec<Finding> {
        let live = self.live.load_full();
        let mut checks: Vec<Check<'_>> = vec![("listener".to_owned(), Box::pin(listener::check(&self.config)))];
        for realm in &self.config.realms {
            checks.push((format!("realm {}", realm.name), Box::pin(realms::check(realm))));
        }
        let needs = links::Needs::of(&live);
        for (realm, needs) in needs.exchanges {
            let about = format!("client {realm}");
            checks.push((about.clone(), Box::pin(links::exchanges(about, needs))));
        }
        for (name, link) in needs.links {
            let about = format!("link {name}");
            checks.push((about.clone(), Box::pin(links::crossing(about, link))));
        }
        let person = live.auth.local_caller();
        for cluster in live.inventory.iter() {
            let check = clusters::check(
                std::sync::Arc::clone(&live),
                cluster.clone(),
                person.clone(),
                self.config.limits.clusters,
            );
            checks.push((format!("cluster {}", cluster.name), Box::pin(check)));
        }
        let all = checks.len();
        let running = checks.into_iter().enumerate().map(|(index, (about, check))| async move {
            let late = |_elapsed| {
                let said = format!("no result within {} s", DEADLINE.as_secs());
                vec![Finding::failed(&about, said, "look whether its host answers at all")]
            };
            (index, tokio::time::timeout(DEADLINE, check).await.unwrap_or_else(late))
        });
        let mut running = stream::iter(running).buffer_unordered(AT_ONCE);
        let mut done = BTreeMap::new();
        while let Some((index, findings)) = running.next().await {
            drop(done.insert(index, findings));
            progress(done.len(), all);
        }
        let mut findings = vec![Finding::ok("configuration", "no mistake")];
        findings.extend(
            self.notes
                .iter()
                .map(|note| Finding::warning("configuration", note.clone(), "correct it, or leave it out")),
        );
        findings.extend(done.into_values().flatten());
        findings.extend(live.inventory.iter().filter_map(|cluster| access::check(&live, &self.config, cluster)));
        let clusters: Vec<Cluster> = live.inventory.iter().map(|cluster| Cluster::clone(cluster)).collect();
        findings.extend(shared_audiences(&clusters, &self.own_audiences()));
        findings
    }

    /// The audiences that open our own door.
    fn own_audiences(&self) -> Vec<&str> {
        let server = &self.config.server;
        server.resource.iter().chain(&server.audiences).map(String::as_str).collect()
    }
}

/// Audiences by which a token is for more than one place: it singles out nothing, and each of them could show it to the
/// others. It does not matter whether the token is the caller's or an issued one, only which realm it is of.
fn shared_audiences(clusters: &[Cluster], own: &[&str]) -> Vec<Finding> {
    let mut holders: BTreeMap<(&RealmName, &str), Vec<&str>> = BTreeMap::new();
    for cluster in clusters {
        let ways = cluster.reach.realms().filter_map(|realm| Some((realm, cluster.reach.way_of(realm)?)));
        let tokens: BTreeSet<(&RealmName, &str)> = ways
            .filter_map(|(realm, way)| match way {
                Way::Passthrough { audiences } => Some((realm, audiences)),
                Way::Exchange | Way::Chain { .. } => Some((cluster.realm.as_ref()?, &cluster.audiences)),
                Way::Impersonate | Way::Local | Way::Shared | Way::Unbound => None,
            })
            .flat_map(|(realm, audiences)| audiences.iter().map(move |audience| (realm, audience.as_str())))
            .collect();
        for token in tokens {
            holders.entry(token).or_default().push(cluster.name.as_str());
        }
    }
    let mut findings = Vec::new();
    for ((realm, audience), mut names) in holders {
        if own.contains(&audience) {
            names.push("kubeferry itself");
        }
        if names.len() > 1 {
            let said = format!("audience {audience:?} of realm {realm} is shared by {}", names.join(", "));
            let fix = "give each cluster an audience of its own: a token for one is accepted by all of them, and singles out none";
            findings.push(Finding::warning("audiences", said, fix));
        }
    }
    findings
}

#[cfg(test)]
mod tests;
