//! Where a call goes: what the caller named, or the one place that cannot be meant otherwise. Nothing is ever guessed.

use std::sync::Arc;

use super::arguments::TargetArguments;
use super::live::Live;
use crate::inventory::ResolveError;
use crate::model::{Access, Cluster, ClusterKind, ClusterName, Failure, FailureKind, Place, Principal, Target};
use crate::policy::Policy;
use crate::tools::fleet::default_target;
use crate::tools::{Spec, TargetNeed};

/// Bytes for names in a hint.
const ROOM: usize = 120;

/// The target of a call.
///
/// # Errors
/// When the name is unknown to this caller, ambiguous or malformed; when none was given and several could be meant.
pub(super) fn resolve(
    live: &Live,
    principal: &Principal,
    spec: &Spec,
    given: &TargetArguments,
) -> Result<Target, Failure> {
    let named = given.cluster.as_deref().or(given.from.as_ref().map(|_| ""));
    let (cluster, place, defaulted) = match named {
        Some(text) => {
            let sees = |cluster: &Cluster| Policy::sees(principal, cluster);
            let found = live.inventory.find(text, given.from.as_deref(), given.workspace.as_deref(), &sees);
            let named = found.as_ref().map_or_else(not_a_kcp, |(cluster, _)| Some(cluster.name.clone()));
            // An advertised cluster tells nothing of what is in it, not even what it is.
            let cluster = named.and_then(|name| live.inventory.get(&name));
            if let Some(beyond) = cluster.filter(|cluster| cluster.reach.way(principal).is_none()) {
                return Err(Policy::out_of_reach(beyond));
            }
            let (cluster, place) = found.map_err(|error| unresolved(&error))?;
            (cluster, place, None)
        }
        None => {
            let (cluster, why) = default_cluster(live, principal, spec)?;
            let place = match &given.workspace {
                Some(workspace) if cluster.kind == ClusterKind::Kcp => {
                    Place::relative(workspace, None).map_err(|error| Failure::arguments(error.to_string()))?
                }
                Some(_) => return Err(Failure::arguments(format!("{} is no kcp and has no workspaces", cluster.name))),
                None => Place::Whole,
            };
            (cluster, place, why)
        }
    };
    if spec.target == TargetNeed::Workspace && cluster.kind != ClusterKind::Kcp {
        return Err(no_workspaces(live, principal, &cluster.name));
    }
    let place = entry(&cluster, place)?;
    Ok(Target { cluster, place, defaulted })
}

/// The cluster that a refusal speaks of.
fn not_a_kcp(error: &ResolveError) -> Option<ClusterName> {
    match error {
        ResolveError::NotAKcp { cluster } => ClusterName::parse(cluster).ok(),
        ResolveError::Unknown { .. } | ResolveError::Ambiguous { .. } | ResolveError::Grammar(_) => None,
    }
}

/// A bare kcp means its only entry.
fn entry(cluster: &Cluster, place: Place) -> Result<Place, Failure> {
    if cluster.kind != ClusterKind::Kcp || place != Place::Whole {
        return Ok(place);
    }
    match cluster.entry.as_slice() {
        [only] => Place::parse(only.as_str()).map_err(|error| Failure::internal(error.to_string())),
        entries => {
            let choices = match entries {
                [] => format!("{}:root", cluster.name),
                entries => fitting(entries.iter().map(|entry| format!("{}:{entry}", cluster.name))),
            };
            let cause = format!("{} is a kcp: name a workspace in it", cluster.name);
            Err(Failure::arguments(cause).hint(format!("As {choices}")))
        }
    }
}

fn unresolved(error: &ResolveError) -> Failure {
    match error {
        ResolveError::Unknown { near, .. } => {
            let failure = Failure::new(FailureKind::UnknownTarget, "unknown_target", error.to_string());
            failure.hint(match near.as_slice() {
                [] => "clusters_list shows those that you can reach".to_owned(),
                near => format!("Near names: {}", fitting(near.iter().cloned())),
            })
        }
        ResolveError::Ambiguous { .. } => Failure::new(FailureKind::Arguments, "ambiguous_target", error.to_string())
            .hint("Use one of the full names"),
        ResolveError::Grammar(_) | ResolveError::NotAKcp { .. } => Failure::arguments(error.to_string()),
    }
}

/// The target when none was named (DESIGN 4). A write goes to the current-context never: it needs a name as soon as
/// several clusters are reachable.
fn default_cluster(live: &Live, principal: &Principal, spec: &Spec) -> Result<(Arc<Cluster>, Option<String>), Failure> {
    let all = Policy::visible(principal, live.inventory.iter());
    let several = all.reachable().nth(1).is_some();
    // A tool for workspaces can mean a kcp only.
    let visible = match spec.target {
        TargetNeed::Workspace => all.only(|cluster| cluster.kind == ClusterKind::Kcp),
        TargetNeed::One | TargetNeed::Optional | TargetNeed::None => all,
    };
    let reachable: Vec<&Arc<Cluster>> = visible.reachable().map(|seen| &seen.cluster).collect();
    let found =
        default_target(principal, &visible).filter(|found| spec.access == Access::Read || !found.current_context);
    let found =
        found.and_then(|found| live.inventory.get(&found.name).map(|cluster| (Arc::clone(cluster), found.reason)));
    let (cluster, reason) = found.ok_or_else(|| ask(&reachable))?;
    let reason = if reachable.len() == 1 && several { "the only kcp you can reach" } else { reason };
    let note = several.then(|| reason.to_owned());
    Ok((cluster, note))
}

fn no_workspaces(live: &Live, principal: &Principal, name: &ClusterName) -> Failure {
    let kcps = Policy::visible(principal, live.inventory.kcps());
    let kcps = fitting(kcps.reachable().map(|seen| seen.cluster.name.to_string()));
    Failure::arguments(format!("{name} is no kcp and has no workspaces")).hint(format!("These have workspaces: {kcps}"))
}

fn ask(reachable: &[&Arc<Cluster>]) -> Failure {
    if reachable.is_empty() {
        return Failure::new(FailureKind::UnknownTarget, "no_target", "there is no cluster that you can reach")
            .hint("clusters_list shows what is missing");
    }
    let names = fitting(reachable.iter().map(|cluster| cluster.name.to_string()));
    Failure::new(FailureKind::Arguments, "target_needed", format!("{} clusters could be meant", reachable.len()))
        .hint(format!("Name one in cluster: {names}"))
}

/// As many whole names as a line has room for: half a name would be copied.
fn fitting(names: impl Iterator<Item = String>) -> String {
    let mut line = String::new();
    for name in names {
        if line.len() + name.len() > ROOM {
            line.push_str(", …");
            break;
        }
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(&name);
    }
    line
}
