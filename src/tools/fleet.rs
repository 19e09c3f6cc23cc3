//! The toolset `fleet`: which clusters there are, who the caller is there, by which way, and what it may do there.

use std::time::Duration;

use crate::model::{ClusterName, Principal};
use crate::policy::{Seen, Visible};

use super::Entry;

mod can_i;
mod clusters;
mod explain;
mod whoami;

/// Names that one line lists, at most.
const MAX_NAMES: usize = 20;

/// Its tools.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::look(explain::AuthExplain),
        Entry::tool(can_i::CanI),
        Entry::query(clusters::ClustersList),
        Entry::either(whoami::Whoami),
    ]
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

/// The lines that say something.
fn text<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    lines.filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}: {value}\n")).collect()
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = names.collect();
    let shown = all.get(..MAX_NAMES).unwrap_or(&all).join(", ");
    if all.len() > MAX_NAMES { format!("{shown} and {} more", all.len() - MAX_NAMES) } else { shown }
}

fn in_words(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{in_words, listed};

    #[test]
    fn long_lists_and_times_are_short() {
        assert!(listed((0..25).map(|at| at.to_string())).ends_with("18, 19 and 5 more"));
        assert_eq!(in_words(Duration::from_secs(3599)), "59 min");
    }
}
