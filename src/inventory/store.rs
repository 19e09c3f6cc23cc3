//! The one place where clusters are merged, named and bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::kubeconfig::same_certificates;
use crate::model::{ClusterName, Endpoint, PathTrust, Tier, key};

use super::bind::BindRule;
use super::entry::{ClusterSettings, Entry};
use super::source::Discovered;

/// Pins that are remembered, at most; beyond it, those of clusters that are not there are forgotten.
const MAX_PINS: usize = 10_000;
/// Strategies that carry a person's identity, for which the server's certificate must be checked.
const OF_A_PERSON: [&str; 4] = ["exchange", "chain", "impersonate", "passthrough"];

/// Merges, names and binds. It remembers with which server and CA a discovered cluster was bound, so that one that
/// changes is unbound: whoever can write a source must not redirect the credentials of callers. A reload merges with a
/// clone, which takes the place of this one when its generation is published: a broken one changes no pin.
#[derive(Debug, Clone, Default)]
pub struct Store {
    pins: BTreeMap<(String, String), Pin>,
}

#[derive(Debug, Clone)]
struct Pin {
    rule: BindRule,
    endpoint: Endpoint,
}

/// What one generation has.
#[derive(Debug, Default)]
pub struct Merged {
    /// All clusters; names are unique.
    pub entries: Vec<Entry>,
    /// Short names that several discovered clusters would have, with the names that they got.
    pub ambiguous: BTreeMap<String, Vec<ClusterName>>,
    /// What the operator should know, for the log and `doctor`: one line each.
    pub notes: Vec<String>,
}

impl Store {
    /// Merges the operator's `own` entries with what was `found`. In local mode an unbound cluster gets the strategy
    /// `local`, elsewhere `none`. An own entry and a discovered one of the same server stay two clusters.
    pub fn merge(&mut self, own: &[Entry], found: &[Discovered], binds: &[BindRule], local_mode: bool) -> Merged {
        self.pins.retain(|_, pin| binds.contains(&pin.rule));
        let mut merged = Merged { entries: own.to_vec(), ..Merged::default() };
        let mut found: Vec<&Discovered> = found.iter().collect();
        found.sort_by(|a, b| (&a.source, &a.foreign).cmp(&(&b.source, &b.foreign)));
        if !local_mode {
            found.retain(|one| one.endpoint.server.starts_with("https://"));
        }
        let mut taken: BTreeSet<ClusterName> = own.iter().map(|entry| entry.name.clone()).collect();
        let names = names(&taken, &found, &mut merged.ambiguous);
        for (one, name) in found.iter().zip(names) {
            if !taken.insert(name.clone()) {
                merged
                    .notes
                    .push(format!("{:?} of source {} is left out: its name {name} is taken", one.foreign, one.source));
                continue;
            }
            let rule = self.rule(one, &name, binds, &mut merged.notes);
            merged.entries.push(entry(one, name, rule, local_mode));
        }
        if self.pins.len() > MAX_PINS {
            let there: BTreeSet<_> = found.iter().map(|one| (&one.source, &one.foreign)).collect();
            self.pins.retain(|(source, foreign), _| there.contains(&(source, foreign)));
        }
        merged
    }

    /// The rule that binds a cluster now: the first that matches, unless it must not be used.
    fn rule<'r>(
        &mut self,
        one: &Discovered,
        name: &ClusterName,
        binds: &'r [BindRule],
        notes: &mut Vec<String>,
    ) -> Option<&'r BindRule> {
        let rule = binds.iter().find(|rule| rule.matches.fits(one))?;
        if one.endpoint.insecure && OF_A_PERSON.contains(&rule.settings.strategy.as_str()) {
            notes.push(format!(
                "{name} stays unbound: insecure-skip-tls-verify does not go with strategy {}",
                rule.settings.strategy
            ));
            return None;
        }
        let id = (one.source.clone(), one.foreign.clone());
        let pin = self.pins.entry(id).or_insert_with(|| Pin { rule: rule.clone(), endpoint: one.endpoint.clone() });
        if pin.rule != *rule || rule.follow_changes {
            *pin = Pin { rule: rule.clone(), endpoint: one.endpoint.clone() };
        }
        if same_endpoint(&pin.endpoint, &one.endpoint) {
            return Some(rule);
        }
        notes.push(format!(
            "{name} is unbound: its server or CA changed since {} bound it; check it, then restart, or set follow_changes = true",
            rule.origin
        ));
        None
    }
}

fn same_endpoint(one: &Endpoint, other: &Endpoint) -> bool {
    let rest = |endpoint: &Endpoint| (endpoint.server.clone(), endpoint.tls_server_name.clone(), endpoint.insecure);
    rest(one) == rest(other) && same_certificates(one.ca.as_deref(), other.ca.as_deref())
}

/// A name for each of `found`: the slug; `slug@source` where the slug is an own entry's or several want it; with a digest
/// of the foreign name where one source has several of the same slug.
fn names(
    own: &BTreeSet<ClusterName>,
    found: &[&Discovered],
    ambiguous: &mut BTreeMap<String, Vec<ClusterName>>,
) -> Vec<ClusterName> {
    let mut wanted: BTreeMap<&ClusterName, usize> = BTreeMap::new();
    let mut within: BTreeMap<(&ClusterName, &str), usize> = BTreeMap::new();
    for one in found {
        *wanted.entry(&one.slug).or_default() += 1;
        *within.entry((&one.slug, &one.source)).or_default() += 1;
    }
    let several = |slug: &ClusterName| wanted.get(slug).is_some_and(|count| *count > 1);
    let name = |one: &&Discovered| {
        if !own.contains(&one.slug) && !several(&one.slug) {
            return one.slug.clone();
        }
        let source = ClusterName::slug(&one.source);
        if within.get(&(&one.slug, &one.source)).is_some_and(|count| *count > 1) {
            with_digest(&one.slug, &one.foreign).at(&source)
        } else {
            one.slug.at(&source)
        }
    };
    let names: Vec<ClusterName> = found.iter().map(name).collect();
    for (one, name) in found.iter().zip(&names) {
        if several(&one.slug) && !own.contains(&one.slug) {
            ambiguous.entry(one.slug.as_str().to_owned()).or_default().push(name.clone());
        }
    }
    names
}

fn with_digest(slug: &ClusterName, foreign: &str) -> ClusterName {
    let mut text: String = slug.as_str().chars().take(54).collect();
    text.push('-');
    for byte in key::digest(foreign.as_bytes()).iter().take(4) {
        write!(text, "{byte:02x}").expect("writing to a String never fails");
    }
    ClusterName::slug(&text)
}

fn entry(one: &Discovered, name: ClusterName, rule: Option<&BindRule>, local_mode: bool) -> Entry {
    let unbound = || ClusterSettings {
        strategy: if local_mode { "local" } else { "none" }.to_owned(),
        ..ClusterSettings::default()
    };
    let mut settings = rule.map_or_else(unbound, |rule| rule.settings.clone());
    if local_mode && settings.strategy == "local" {
        settings.local = one.local.clone();
    }
    Entry {
        aliases: if one.foreign == name.as_str() { Vec::new() } else { vec![one.foreign.clone()] },
        name,
        origin: rule.map(|rule| rule.origin.clone()),
        source: one.source.clone(),
        kind: one.kind,
        endpoint: one.endpoint.clone(),
        settings,
        labels: rule.map(|rule| rule.labels.clone()).unwrap_or_default(),
        tier: rule.map_or_else(Tier::default, |rule| rule.tier.clone()),
        advertise: rule.is_some_and(|rule| rule.advertise),
        entry: one.entry.clone(),
        paths: rule.map_or(PathTrust::Resolve, |rule| rule.paths),
        namespace: one.namespace.clone().filter(|_| local_mode),
        current: one.current && local_mode,
    }
}

#[cfg(test)]
mod tests;
