//! `[[policy.rules]]`: which calls are denied beyond the hard limits. The first rule whose conditions all hold decides;
//! where none does, a read is allowed.
//!
//! The condition `workspace` is about the canonical path of a kcp workspace, which is not always known when a call is
//! decided on: a logical cluster name says nothing of it. A path that stays unknown counts as a match in a rule that
//! denies, and as none in a rule that allows (DESIGN 15).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Access, Cluster, ClusterKind, NameError, Principal, RealmName, ToolRef, WorkspacePath};

const PATTERN_GRAMMAR: &str = "write the whole text, or its beginning with one '*' at the end";
const WORKSPACE_GRAMMAR: &str =
    "write a path as root:org:team; with '*' at the end its beginning: root:org:* is all that is below root:org";

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Dotted path of its table, `policy.rules[0]`.
    pub origin: String,
    /// Its name, which a denied caller is told.
    pub name: String,
    /// Which calls it is about.
    pub matches: RuleMatch,
    /// What becomes of them.
    pub effect: Effect,
}

/// What a rule does with the calls that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// They are allowed, within the hard limits.
    Allow,
    /// They are denied.
    Deny,
}

/// Conditions of a rule; all that are set must hold. Of several values one must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleMatch {
    /// The caller's realm.
    pub realm: Vec<Pattern>,
    /// The cluster's name.
    pub cluster: Vec<Pattern>,
    /// Labels of the cluster; each must fit.
    pub labels: BTreeMap<String, Pattern>,
    /// The cluster's tier; `prod` where none is set.
    pub tier: Vec<Pattern>,
    /// The tool's name.
    pub tool: Vec<Pattern>,
    /// The tool's class of access.
    pub access: Vec<Access>,
    /// The caller is in one of these.
    pub groups: Vec<Group>,
    /// The caller is in none of these.
    pub not_groups: Vec<Group>,
    /// The canonical path of the workspace. Never holds where there are no workspaces.
    pub workspace: Vec<Pattern>,
}

/// A text, or the beginning of one with `*` at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// A group of a realm: `corp:platform-oncall`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The realm that says who is in it.
    pub realm: RealmName,
    /// The value of the realm's group claim.
    pub name: String,
}

impl Pattern {
    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// When it is empty, or a `*` stands elsewhere than at its end.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let before = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || before.contains('*') {
            return Err(NameError::new("pattern", text, PATTERN_GRAMMAR));
        }
        Ok(Self(text.to_owned()))
    }

    /// Checks and takes a pattern of canonical workspace paths, which all begin with `root`; `*` alone is any workspace.
    ///
    /// # Errors
    /// When no canonical path could ever fit it, as a logical cluster name.
    pub fn workspace(text: &str) -> Result<Self, NameError> {
        let pattern = Self::parse(text).map_err(|error| NameError { grammar: WORKSPACE_GRAMMAR, ..error })?;
        let below_root = |text: &str| text == "root" || text.starts_with("root:");
        let path = |text: &str| WorkspacePath::parse(text).is_ok();
        let fits = match text.strip_suffix('*') {
            Some(beginning) => beginning.is_empty() || (below_root(beginning) && path(&format!("{beginning}x"))),
            None => below_root(text) && path(text),
        };
        if fits { Ok(pattern) } else { Err(NameError::new("workspace pattern", text, WORKSPACE_GRAMMAR)) }
    }

    /// Whether it stands for `text`.
    pub fn fits(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => text.starts_with(beginning),
            None => self.0 == text,
        }
    }

    /// The text, when there is no `*` in it.
    pub fn whole(&self) -> Option<&str> {
        (!self.0.ends_with('*')).then_some(self.0.as_str())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Group {
    /// Reads `realm:group`; a group may have `:` in it.
    ///
    /// # Errors
    /// When the realm or the group is missing or malformed, or a `*` stands in it: groups are named whole.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refused =
            || NameError::new("group", text, "write realm:group, as corp:platform-oncall; there are no wildcards");
        let (realm, name) = text.split_once(':').ok_or_else(refused)?;
        if name.is_empty() || name.contains('*') {
            return Err(refused());
        }
        Ok(Self { realm: RealmName::parse(realm)?, name: name.to_owned() })
    }

    fn has(&self, principal: &Principal) -> bool {
        self.realm == principal.realm && principal.groups.contains(&self.name)
    }
}

impl RuleMatch {
    /// True when nothing is set: such a rule is a mistake, not one for every call.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Whether all conditions but `workspace` hold.
    fn holds(&self, principal: &Principal, tool: ToolRef, cluster: &Cluster) -> bool {
        self.is_about(principal, cluster)
            && (self.tool.is_empty() || self.tool.iter().any(|pattern| pattern.fits(tool.name)))
            && self.takes(tool.access)
    }

    fn takes(&self, access: Access) -> bool {
        self.access.is_empty() || self.access.contains(&access)
    }

    /// Whether the conditions on the caller and the cluster hold.
    fn is_about(&self, principal: &Principal, cluster: &Cluster) -> bool {
        let any =
            |patterns: &[Pattern], text: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(text));
        let label = |(key, pattern): (&String, &Pattern)| cluster.labels.get(key).is_some_and(|is| pattern.fits(is));
        any(&self.realm, principal.realm.as_str())
            && any(&self.cluster, cluster.name.as_str())
            && self.labels.iter().all(label)
            && any(&self.tier, cluster.tier.word())
            && (self.groups.is_empty() || self.groups.iter().any(|group| group.has(principal)))
            && !self.not_groups.iter().any(|group| group.has(principal))
    }
}

/// The rules that can decide on one call, in their order: of each, everything but the path of the workspace holds.
#[derive(Debug)]
pub(super) struct Bearing {
    rules: Arc<[Rule]>,
    /// The last one may be without a condition on the workspace; no other is.
    indexes: Vec<usize>,
}

impl Bearing {
    pub(super) fn new(rules: &Arc<[Rule]>, principal: &Principal, tool: ToolRef, cluster: &Cluster) -> Self {
        let workspaces = has_workspaces(cluster);
        let mut indexes = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let anywhere = rule.matches.workspace.is_empty();
            if (anywhere || workspaces) && rule.matches.holds(principal, tool, cluster) {
                indexes.push(index);
                if anywhere {
                    break;
                }
            }
        }
        Self { rules: Arc::clone(rules), indexes }
    }

    /// Whether what becomes of the call depends on the path of its workspace.
    pub(super) fn asks_path(&self) -> bool {
        let mut effects = self.rules().map(|rule| rule.effect);
        let decided = self.rules().any(|rule| rule.matches.workspace.is_empty());
        // Without a rule that decides in any case, a read is allowed in the end.
        let Some(first) = effects.next() else { return false };
        effects.any(|effect| effect != first) || (!decided && first != Effect::Allow)
    }

    /// The rule that decides in the workspace at the canonical `path`; `None` = not known.
    pub(super) fn rule(&self, path: Option<&WorkspacePath>) -> Option<&Rule> {
        self.rules().find(|rule| match (rule.matches.workspace.as_slice(), path) {
            ([], _) => true,
            (patterns, Some(path)) => patterns.iter().any(|pattern| pattern.fits(path.as_str())),
            (_, None) => rule.effect == Effect::Deny,
        })
    }

    /// Whether a rule may deny `principal` some tool at `cluster`, in the workspace at the canonical `path` (`None` = not
    /// known): of any class of access, or of `access` alone. Other rules than those of this call.
    pub(super) fn may_deny(
        &self,
        principal: &Principal,
        cluster: &Cluster,
        path: Option<&WorkspacePath>,
        access: Option<Access>,
    ) -> bool {
        let workspaces = has_workspaces(cluster);
        for rule in self.rules.iter() {
            let matches = &rule.matches;
            let anywhere = matches.workspace.is_empty();
            let here = anywhere
                || (workspaces
                    && path.is_none_or(|path| matches.workspace.iter().any(|pattern| pattern.fits(path.as_str()))));
            let taken = access.is_none_or(|access| matches.takes(access));
            if !(here && taken && matches.is_about(principal, cluster)) {
                continue;
            }
            let all = match access {
                Some(_) => matches.tool.is_empty(),
                None => matches.tool.is_empty() && matches.access.is_empty(),
            };
            match rule.effect {
                Effect::Deny => return true,
                // What comes after it decides nothing.
                Effect::Allow if all && (anywhere || path.is_some()) => return false,
                Effect::Allow => {}
            }
        }
        false
    }

    /// These rules and no others have this text.
    pub(super) fn text(&self) -> String {
        format!("{:?}", self.rules().collect::<Vec<_>>())
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.indexes.iter().filter_map(|index| self.rules.get(*index))
    }
}

/// A kcp, or an entry of another kind whose server is a workspace of one.
fn has_workspaces(cluster: &Cluster) -> bool {
    let path = cluster.endpoint.server.splitn(4, '/').nth(3);
    cluster.kind == ClusterKind::Kcp || path.is_some_and(|path| path.starts_with("clusters/"))
}

#[cfg(test)]
mod tests;
