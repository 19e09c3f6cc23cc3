//! The order of a walk through the workspaces below one: what to ask next, and how far the answer may go. It asks nobody.
//!
//! Answers come in any order; rows are told in preorder, parents before children and siblings by name. So what comes first
//! is asked first, and rows end before the first workspace that is still open. A walk that was bounded goes on behind the
//! path of its last row: on the way there only the workspaces above that path are read again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::asking::{Trials, Turn};
use crate::model::LogicalCluster;
use crate::pool::workspaces::{Children, Workspace};

/// Workspaces that a walk holds before it looks at no more: each list that it reads may bring 10,000.
const KNOWN: usize = 20_000;

/// Where a workspace stands among the others: which child of which child.
pub(super) type Key = Vec<u32>;

/// How far a walk goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Levels below the start.
    pub(super) depth: usize,
    /// Children of one workspace.
    pub(super) breadth: usize,
    /// Workspaces that are looked at.
    pub(super) most: usize,
}

/// What became of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It may be entered, and its children were read: how many are below it that the walk leaves out, and whether the list
    /// itself was cut.
    Open { hidden: usize, cut: bool },
    /// It may be entered; its children were not asked for.
    Entered,
    /// It may be entered; its children may not be read.
    Closed,
    /// It may not be entered, or is gone.
    No,
    /// It did not answer, and why.
    Unknown(String),
    /// A mount: nothing is sent there.
    Mount,
    /// It has no logical cluster yet.
    Homeless,
    /// Its logical cluster was met before.
    Cycle,
}

/// One workspace of a walk.
#[derive(Debug)]
pub(super) struct Node {
    /// `None` for the start, whose parent was not read.
    pub(super) workspace: Option<Arc<Workspace>>,
    /// Names from the start down to it; none for the start itself.
    pub(super) path: Vec<Arc<str>>,
    /// `None` while it is open.
    pub(super) found: Option<Found>,
    /// What was asked beside: whether it serves something.
    pub(super) serves: Option<bool>,
}

/// What to ask next.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) key: Key,
    /// `None` for the start.
    pub(super) workspace: Option<Arc<Workspace>>,
    pub(super) path: Vec<Arc<str>>,
    /// True when its children are wanted, false when only whether it may be entered.
    pub(super) children: bool,
}

/// A walk under way.
#[derive(Debug)]
pub(super) struct Walk {
    bounds: Bounds,
    /// The path behind which it goes on.
    behind: Option<Vec<String>>,
    nodes: BTreeMap<Key, Node>,
    frontier: BTreeSet<Key>,
    met: HashSet<LogicalCluster>,
    /// How many were looked at, without those on the way to where it goes on.
    read: usize,
}

impl Walk {
    /// A walk from a workspace, behind the path `behind` of one below it. An empty path is the start itself.
    pub(super) fn new(bounds: Bounds, behind: Option<Vec<String>>, start: Option<LogicalCluster>) -> Self {
        let node = Node { workspace: None, path: Vec::new(), found: None, serves: None };
        Self {
            bounds,
            behind,
            nodes: BTreeMap::from([(Vec::new(), node)]),
            frontier: BTreeSet::from([Vec::new()]),
            met: start.into_iter().collect(),
            read: 0,
        }
    }

    /// The first workspace that may be asked now; it stays open until [`Walk::done`]. `None` when none may be, now or at all.
    pub(super) fn next(&mut self, trials: &Trials) -> Option<Step> {
        if self.is_at_bound() && !self.may_go_beyond() {
            return None;
        }
        let may_be_asked = |key: &&Key| {
            let kind = self.nodes.get(*key).and_then(|node| node.workspace.as_ref()).map(|workspace| &*workspace.kind);
            kind.is_none_or(|kind| trials.turn(kind) == Turn::Now)
        };
        let key = self.frontier.iter().find(may_be_asked)?.clone();
        self.frontier.remove(&key);
        let node = self.nodes.get(&key)?;
        self.read += usize::from(self.is_wanted(&node.path));
        Some(Step {
            workspace: node.workspace.clone(),
            path: node.path.clone(),
            children: key.len() < self.bounds.depth,
            key,
        })
    }

    /// Takes an answer; `serves` is what was asked beside.
    pub(super) fn done(&mut self, key: &Key, answer: Answer, serves: Option<bool>) {
        let found = match answer {
            Answer::Children(children) => self.open(key, &children),
            Answer::Closed => Found::Closed,
            Answer::Entered => Found::Entered,
            Answer::No => Found::No,
            Answer::Unknown(why) => Found::Unknown(why),
        };
        if let Some(node) = self.nodes.get_mut(key) {
            (node.found, node.serves) = (Some(found), serves);
        }
    }

    /// Rows in preorder, up to the first workspace that is still open. One above the place where the walk goes on is told again
    /// when it did not answer: what else is below it stays unknown. There is one at most: nothing is known below it.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Node> {
        let silent = |node: &Node| matches!(node.found, Some(Found::Unknown(_)));
        let told = self.nodes.values().take_while(|node| node.found.is_some());
        told.filter(move |node| silent(node) || self.is_wanted(&node.path))
    }

    /// True when rows end before the end of the walk.
    pub(super) fn is_open(&self) -> bool {
        self.nodes.values().any(|node| node.found.is_none())
    }

    /// True when it looked at as many workspaces as it may.
    pub(super) fn is_full(&self) -> bool {
        self.is_at_bound() && self.is_open()
    }

    fn is_at_bound(&self) -> bool {
        self.read >= self.bounds.most || self.nodes.len() >= KNOWN
    }

    /// How many were looked at so far, and how many are known to be left.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.read, self.frontier.len())
    }

    /// Closes the first open workspace: a walk that could look at nothing in its time says so of the first one, and the next
    /// begins behind it. Those above the place where it goes on are closed before.
    pub(super) fn give_up_first(&mut self, why: &str) {
        while !self.came_further()
            && let Some(key) = self.nodes.iter().find(|(_, node)| node.found.is_none()).map(|(key, _)| key.clone())
        {
            self.frontier.remove(&key);
            self.done(&key, Answer::Unknown(why.to_owned()), None);
        }
    }

    /// Whether there is a row that was not told before.
    fn came_further(&self) -> bool {
        self.rows().any(|node| self.is_wanted(&node.path))
    }

    /// Whether the first workspace may be asked although the bound is met: those above the place where the walk goes on do not
    /// count, and every walk tells one row at least.
    fn may_go_beyond(&self) -> bool {
        let Some((key, node)) = self.frontier.first().and_then(|key| self.nodes.get_key_value(key)) else {
            return false;
        };
        let is_first =
            || self.nodes.iter().find(|(_, node)| node.found.is_none()).is_some_and(|(first, _)| first == key);
        !self.is_wanted(&node.path) || (!self.came_further() && is_first())
    }

    fn open(&mut self, key: &Key, children: &Children) -> Found {
        let parent = self.nodes.get(key).map(|node| node.path.clone()).unwrap_or_default();
        let shown = children.items.iter().take(self.bounds.breadth);
        for (at, child) in (0..).zip(shown) {
            let path: Vec<Arc<str>> = parent.iter().cloned().chain([Arc::clone(&child.name)]).collect();
            if !self.is_wanted(&path) && !self.is_above(&path) {
                continue;
            }
            let found = self.without_asking(child);
            let key: Key = key.iter().copied().chain([at]).collect();
            if found.is_none() {
                self.frontier.insert(key.clone());
            }
            self.nodes.insert(key, Node { workspace: Some(Arc::clone(child)), path, found, serves: None });
        }
        Found::Open { hidden: children.items.len().saturating_sub(self.bounds.breadth), cut: children.cut }
    }

    /// What is clear of a workspace without a question.
    fn without_asking(&mut self, workspace: &Workspace) -> Option<Found> {
        match &workspace.cluster {
            _ if workspace.mount => Some(Found::Mount),
            None => Some(Found::Homeless),
            Some(cluster) => (!self.met.insert(cluster.clone())).then_some(Found::Cycle),
        }
    }

    /// Whether a path comes behind the one where the walk goes on.
    pub(super) fn is_wanted(&self, path: &[Arc<str>]) -> bool {
        let Some(behind) = &self.behind else { return true };
        // A path comes before those below it, as in the order of slices.
        path.iter().map(|name| &**name).gt(behind.iter().map(String::as_str))
    }

    /// Whether a path is the one where the walk goes on, or above it.
    fn is_above(&self, path: &[Arc<str>]) -> bool {
        let behind = self.behind.iter().flatten().map(String::as_str);
        self.behind.as_ref().is_some_and(|behind| path.len() <= behind.len())
            && path.iter().map(|name| &**name).zip(behind).all(|(one, other)| one == other)
    }
}

/// What one workspace answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// It may be entered, and these are its children.
    Children(Children),
    /// It may be entered.
    Entered,
    /// It may be entered; its children may not be read.
    Closed,
    /// It may not be entered, or is gone.
    No,
    /// It did not answer, and why.
    Unknown(String),
}

#[cfg(test)]
mod tests;
