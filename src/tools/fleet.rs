//! The toolset `fleet`: which clusters there are, and who the caller is there.

use crate::model::{ClusterName, Principal};
use crate::policy::{Seen, Visible};

use super::Entry;

mod clusters;
mod whoami;

/// Its tools.
pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::query(clusters::ClustersList), Entry::either(whoami::Whoami)]
}

/// The cluster that a read without a target goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultTarget {
    /// The cluster.
    pub name: ClusterName,
    /// Why this one, as "the only cluster you can reach".
    pub reason: &'static str,
    /// True when only the kubeconfig's current-context speaks for it.
    pub current_context: bool,
}

/// The default target (DESIGN 4): the only reachable cluster; else the one that the token's audience singles out; else,
/// for the local caller, the kubeconfig's current-context. Nothing is guessed.
pub fn default_target(principal: &Principal, visible: &Visible) -> Option<DefaultTarget> {
    let named = |seen: &Seen, reason| DefaultTarget { name: seen.cluster.name.clone(), reason, current_context: false };
    let mut reachable = visible.reachable();
    if let (Some(only), None) = (reachable.next(), reachable.next()) {
        return Some(named(only, "the only cluster you can reach"));
    }
    if let Some(seen) = singled_out(principal, visible) {
        return Some(named(seen, "your token was issued for it"));
    }
    let mut current = visible.reachable().filter(|seen| principal.is_local() && seen.cluster.current);
    match (current.next(), current.next()) {
        (Some(seen), None) => {
            Some(DefaultTarget { current_context: true, ..named(seen, "the kubeconfig's current-context") })
        }
        _ => None,
    }
}

/// An audience that belongs to exactly one reachable cluster singles it out; two that disagree single out nothing.
fn singled_out<'a>(principal: &Principal, visible: &'a Visible) -> Option<&'a Seen> {
    let mut found: Option<&Seen> = None;
    for audience in &principal.audiences {
        let mut owners = visible.reachable().filter(|seen| seen.cluster.all_audiences().any(|known| known == audience));
        let (Some(owner), None) = (owners.next(), owners.next()) else { continue };
        match found {
            Some(other) if other.cluster.name != owner.cluster.name => return None,
            Some(_) | None => found = Some(owner),
        }
    }
    found
}
