//! May this caller do this there? One decision per target, made here and nowhere else.
//!
//! [`Policy::authorize`] is the only maker of a [`Permit`], and `pool` gives a client for a permit only: a call that was
//! not authorised cannot be expressed. What a caller may not see does not exist for it: [`Visible`] is the only list of
//! clusters that tools get.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{
    Access, Caller, Cluster, ClusterName, Failure, FailureKind, Principal, Target, ToolRef, Way, WorkspacePath,
};

mod limits;
mod rules;

pub use limits::{DeniedKind, Limits, Namespaces, Operation, Refusal};
pub use rules::{Effect, Group, Pattern, Rule, RuleMatch};

use rules::Bearing;

/// `[policy]`: hard limits, which no rule can lift, and rules.
#[derive(Debug, Clone, Default)]
pub struct PolicyConfig {
    /// Only tools that read, and only requests that read.
    pub read_only: bool,
    /// No tool that deletes or executes.
    pub disable_destructive: bool,
    /// When not empty: only these tools.
    pub enabled_tools: BTreeSet<String>,
    /// Never these tools.
    pub disabled_tools: BTreeSet<String>,
    /// Kinds that are out of bounds.
    pub denied: Vec<DeniedKind>,
    /// Namespaces that are in or out of bounds.
    pub namespaces: Namespaces,
    /// Callers that share an identity may only read.
    pub shared_reads_only: bool,
    /// The first one that is about a call decides.
    pub rules: Vec<Rule>,
}

/// The decision maker of one generation.
#[derive(Debug)]
pub struct Policy {
    config: PolicyConfig,
    denied: Arc<[DeniedKind]>,
    namespaces: Arc<Namespaces>,
    rules: Arc<[Rule]>,
}

/// The clusters that exist for a caller. Only [`Policy::visible`] makes one.
#[derive(Debug, Clone)]
pub struct Visible {
    clusters: Vec<Seen>,
}

/// A cluster in the eyes of one caller.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// How the caller reaches it; `None` = it is only advertised: its realm and the missing step may be shown, no more.
    pub way: Option<Way>,
}

/// The proof that this caller may use this tool on this target, with its limits. It cannot be cloned, and only
/// [`Policy::authorize`] makes one.
#[derive(Debug)]
pub struct Permit {
    caller: Caller,
    target: Target,
    way: Way,
    tool: ToolRef,
    limits: Limits,
    bearing: Bearing,
}

impl Permit {
    /// Whose call it is.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The way by which the caller reaches the cluster.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// The tool.
    pub fn tool(&self) -> ToolRef {
        self.tool
    }

    /// What the requests of this call may do; the send site holds each one against it.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether some workspaces of the target's kcp are denied to this call and others are not, so that [`Permit::enter`]
    /// has to be asked for each.
    pub fn asks_path(&self) -> bool {
        self.bearing.asks_path()
    }

    /// What tells apart calls that the rules let into different workspaces; `None` where the path decides nothing.
    pub fn standing(&self) -> Option<String> {
        self.asks_path().then(|| self.bearing.text())
    }

    /// Whether [`Permit::enter`] was not asked yet for the target itself, because its address does not tell the path.
    pub fn waits_for_path(&self) -> bool {
        self.target.place.canonical().is_none() && self.asks_path()
    }

    /// Whether a rule may deny the caller another tool at the same target, whose canonical path is `path`, as far as it is
    /// known: any tool, or of `access` alone.
    pub fn rules_may_deny(&self, path: Option<&WorkspacePath>, access: Option<Access>) -> bool {
        self.bearing.may_deny(self.caller.principal(), &self.target.cluster, path, access)
    }

    /// Whether the rules let this call into the workspace at the canonical `path`; `None` = not known. To be asked before
    /// the first request to any workspace, also of one whose path was not known when the permit was made.
    ///
    /// # Errors
    /// When a rule denies it. The failure names the rule.
    pub fn enter(&self, path: Option<&WorkspacePath>) -> Result<(), Failure> {
        let path = path.filter(|path| path.is_from_root());
        let Some(rule) = self.bearing.rule(path).filter(|rule| rule.effect == Effect::Deny) else { return Ok(()) };
        tracing::debug!(
            tool = self.tool.name,
            cluster = %self.target.cluster.name,
            path = path.map(WorkspacePath::as_str),
            rule = rule.name,
            "denied"
        );
        Err(denied(rule, path, self.bearing.asks_path(), self.caller.principal()))
    }
}

impl Policy {
    /// The policy of one generation.
    pub fn new(config: PolicyConfig) -> Self {
        let denied = config.denied.clone().into();
        let namespaces = Arc::new(config.namespaces.clone());
        let rules = config.rules.clone().into();
        Self { config, denied, namespaces, rules }
    }

    /// Whether `principal` may call `tool` at all, somewhere: the same answer in `tools/list` and at the call.
    pub fn may_call(&self, principal: &Principal, tool: ToolRef) -> bool {
        let config = &self.config;
        let named = |names: &[String]| names.iter().any(|name| name == tool.name);
        let reads = tool.access == Access::Read;
        let destroys = matches!(tool.access, Access::Delete | Access::Exec);
        (config.enabled_tools.is_empty() || config.enabled_tools.contains(tool.name))
            && !config.disabled_tools.contains(tool.name)
            && principal.roles.as_deref().is_none_or(named)
            && (reads || !(config.read_only || (principal.shared && config.shared_reads_only)))
            && !(destroys && config.disable_destructive)
    }

    /// Whether `cluster` exists for `principal`.
    pub fn sees(principal: &Principal, cluster: &Cluster) -> bool {
        cluster.advertise || cluster.reach.way(principal).is_some()
    }

    /// What a caller is told of an advertised cluster that it cannot reach: the missing step, and nothing else of it.
    pub fn out_of_reach(cluster: &Cluster) -> Failure {
        let cause = format!("you cannot reach cluster {}", cluster.name);
        let hint = cluster.reach.missing_step.clone();
        Failure::new(FailureKind::Denied, "cluster_out_of_reach", cause).hint(hint)
    }

    /// The clusters that exist for `principal`, in the order given.
    pub fn visible<'a>(principal: &Principal, clusters: impl IntoIterator<Item = &'a Arc<Cluster>>) -> Visible {
        let seen = clusters.into_iter().filter_map(|cluster| {
            let way = cluster.reach.way(principal).cloned();
            (way.is_some() || cluster.advertise).then(|| Seen { cluster: Arc::clone(cluster), way })
        });
        Visible { clusters: seen.collect() }
    }

    /// Decides whether `caller` may use `tool` on `target`, and logs the decision. Where a rule asks for the path of a
    /// workspace that the target does not tell, the permit still has to be asked ([`Permit::enter`]).
    ///
    /// # Errors
    /// A denied tool answers as an unknown one, a cluster out of reach as an unknown one (unless it is advertised: then
    /// the missing step is named). A rule that denies is named.
    pub fn authorize(&self, caller: Caller, tool: ToolRef, target: Target) -> Result<Permit, Failure> {
        let address = target.address();
        let realm = caller.principal().realm.clone();
        let decision = self.decide(caller, tool, target);
        let outcome = match &decision {
            Ok(permit) if permit.waits_for_path() => "depends on the path",
            Ok(_) => "allowed",
            Err(failure) => failure.code,
        };
        tracing::debug!(tool = tool.name, target = %address, %realm, outcome, allowed = decision.is_ok(), "decided");
        decision
    }

    fn decide(&self, caller: Caller, tool: ToolRef, target: Target) -> Result<Permit, Failure> {
        let way = self.hard(caller.principal(), tool, &target)?;
        let limits = Limits {
            access: tool.access,
            dry_run_only: tool.access == Access::Write,
            denied: Arc::clone(&self.denied),
            namespaces: Arc::clone(&self.namespaces),
        };
        let bearing = Bearing::new(&self.rules, caller.principal(), tool, &target.cluster);
        let permit = Permit { caller, target, way, tool, limits, bearing };
        if !permit.waits_for_path() {
            permit.enter(permit.target.place.canonical().as_ref())?;
        }
        Ok(permit)
    }

    /// The hard limits.
    fn hard(&self, principal: &Principal, tool: ToolRef, target: &Target) -> Result<Way, Failure> {
        if !self.may_call(principal, tool) {
            return Err(Failure::new(FailureKind::UnknownTool, "unknown_tool", format!("unknown tool {}", tool.name)));
        }
        let cluster = &target.cluster;
        match cluster.reach.way(principal) {
            Some(Way::Unbound) => Err(unbound(&cluster.name)),
            Some(way) => Ok(way.clone()),
            None if cluster.advertise => Err(Self::out_of_reach(cluster)),
            None => Err(Failure::new(
                FailureKind::UnknownTarget,
                "unknown_target",
                format!("no cluster {} that you can reach", cluster.name),
            )),
        }
    }
}

/// A rule is named to everybody, and where it stands to the person at this machine.
fn denied(rule: &Rule, path: Option<&WorkspacePath>, by_path: bool, principal: &Principal) -> Failure {
    let unknown = path.is_none() && by_path;
    let because = if unknown { ", because the path of this workspace is not known" } else { "" };
    let cause = format!("rule {} of the policy denies this{because}", rule.name);
    let failure = Failure::new(FailureKind::Denied, "policy", cause);
    if unknown {
        failure.hint("Name the workspace by its path, as <kcp>:root:org:team")
    } else if principal.owns_this_machine() {
        failure.hint(format!("It is {} of the configuration", rule.origin))
    } else {
        failure
    }
}

fn unbound(name: &ClusterName) -> Failure {
    Failure::new(FailureKind::Denied, "cluster_unbound", format!("cluster {name} was discovered but is not bound"))
        .hint("Add a [[bind]] rule that matches it, or a [clusters.*] entry, to say with which credential it is used")
}

impl Visible {
    /// The clusters, in inventory order.
    pub fn iter(&self) -> impl Iterator<Item = &Seen> {
        self.clusters.iter()
    }

    /// Of these, the ones that `keep` keeps.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&Cluster) -> bool) -> Self {
        self.clusters.retain(|seen| keep(&seen.cluster));
        self
    }

    /// The clusters that the caller can use.
    pub fn reachable(&self) -> impl Iterator<Item = &Seen> {
        self.clusters.iter().filter(|seen| seen.way.as_ref().is_some_and(|way| way != &Way::Unbound))
    }
}
