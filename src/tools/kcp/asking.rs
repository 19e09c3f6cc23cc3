//! Asking many workspaces at once without letting those that do not answer delay the others.
//!
//! A kcp waits up to 10 s for the issuer of a workspace type with its own authentication when that does not answer, whoever
//! asks. So a type has a part of the requests under way until one of them was answered. A workspace on a shard that is away
//! does not answer either: so those that are tried first lie apart from each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::place::client_of;
use crate::model::{Failure, FailureKind};
use crate::pool::ClusterClient;
use crate::pool::workspaces::{Entry, View, Workspace};

/// What one workspace has for its answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Time of the call that is kept for the answer itself.
const MARGIN: Duration = Duration::from_secs(1);
/// Requests of one list at a time.
const AT_ONCE: usize = 32;
/// Requests at a time to a type of which nothing was answered yet.
const TRIALS: usize = 12;
/// Requests at a time to all such types together; beyond these each has one.
const ALL_TRIALS: usize = 24;
/// Characters of a reason.
const REASON: usize = 80;

/// Whether the caller may enter a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    Yes,
    No,
    /// It was not asked, or did not answer; and why.
    Unknown(String),
}

impl Access {
    /// The word in answers.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Why it is not known.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Unknown(why) => why,
            Self::Yes | Self::No => "",
        }
    }

    /// The word, and why.
    pub(super) fn said(&self) -> String {
        match self.why() {
            "" => self.word().to_owned(),
            why => format!("unknown: {why}"),
        }
    }

    /// Nothing is sent to a mount, nor to what is not there yet.
    pub(super) fn never_asked(workspace: &Workspace) -> Self {
        Self::Unknown(if workspace.mount { "a mount is never asked" } else { "it has no logical cluster yet" }.into())
    }

    /// What a failed question says about access: nothing, unless it was not asked because a rule denies it.
    pub(super) fn failed(failure: &Failure) -> Self {
        match (failure.kind, failure.code) {
            (FailureKind::Denied, _) => Self::No,
            (_, "cluster_rejected_credential") => Self::Unknown("your token is not accepted there".to_owned()),
            _ => Self::Unknown(failure.cause.chars().take(REASON).collect()),
        }
    }

    /// It did not answer in time.
    pub(super) fn late() -> Self {
        Self::Unknown("no answer in time".to_owned())
    }

    /// There was no time to ask it.
    pub(super) fn unasked() -> Self {
        Self::Unknown("others did not answer in time".to_owned())
    }
}

impl From<Entry> for Access {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Yes => Self::Yes,
            Entry::No => Self::No,
            Entry::Unknown => Self::Unknown("the answer is not that of a kcp".to_owned()),
        }
    }
}

/// Whether a workspace of a type may be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// When one of its type has answered, or was given up.
    Later,
}

/// What became of the requests to the types of workspaces.
#[derive(Debug, Default)]
pub(super) struct Trials {
    types: HashMap<Arc<str>, Trial>,
    /// Requests under way to types of which nothing was answered.
    waiting: usize,
}

#[derive(Debug, Default)]
struct Trial {
    waiting: usize,
    answered: bool,
}

impl Trials {
    pub(super) fn turn(&self, kind: &str) -> Turn {
        let most = if self.waiting < ALL_TRIALS { TRIALS } else { 1 };
        match self.types.get(kind) {
            Some(Trial { answered: false, waiting }) if *waiting >= most => Turn::Later,
            Some(_) | None => Turn::Now,
        }
    }

    pub(super) fn asked(&mut self, kind: &Arc<str>) {
        let trial = self.types.entry(Arc::clone(kind)).or_default();
        trial.waiting += 1;
        self.waiting += usize::from(!trial.answered);
    }

    pub(super) fn ended(&mut self, kind: &str, answered: bool) {
        let Some(trial) = self.types.get_mut(kind) else { return };
        if !trial.answered {
            self.waiting = self.waiting.saturating_sub(if answered { trial.waiting } else { 1 });
        }
        trial.waiting = trial.waiting.saturating_sub(1);
        trial.answered |= answered;
    }
}

/// `most`, or what is left of the call's time without what the answer needs, when that is less.
pub(super) fn span(client: &ClusterClient, most: Duration) -> Duration {
    most.min(client.time_left().saturating_sub(MARGIN))
}

/// Whether the caller may enter each of `workspaces`, given with their places: from its view, or asked within 5 s in all.
pub(super) async fn entries(
    client: &ClusterClient,
    view: &View,
    workspaces: &[(String, Arc<Workspace>)],
) -> Vec<Access> {
    let until = Instant::now() + span(client, PATIENCE);
    let mut found: Vec<Option<Access>> = workspaces.iter().map(|(_, workspace)| known(view, workspace)).collect();
    let mut open: Vec<usize> = (0..found.len()).filter(|at| found.get(*at).is_some_and(Option::is_none)).collect();
    spread(&mut open, |at| workspaces.get(at).map(|(_, workspace)| &*workspace.kind));
    let mut trials = Trials::default();
    let mut asked = FuturesUnordered::new();
    loop {
        open.retain(|&at| {
            let Some((place, workspace)) = workspaces.get(at) else { return false };
            let turn = if asked.len() < AT_ONCE { trials.turn(&workspace.kind) } else { Turn::Later };
            if turn == Turn::Now {
                trials.asked(&workspace.kind);
                asked.push(async move { (at, enter(client, view, place, workspace, until).await) });
            }
            turn == Turn::Later
        });
        let Some((at, answer)) = asked.next().await else { break };
        if let Some((_, workspace)) = workspaces.get(at) {
            trials.ended(&workspace.kind, answer.is_some());
        }
        if let Some(slot) = found.get_mut(at) {
            *slot = Some(answer.unwrap_or_else(Access::late));
        }
    }
    found.into_iter().map(|access| access.unwrap_or_else(Access::unasked)).collect()
}

/// Orders a list so that the first [`TRIALS`] of each type lie apart in it.
fn spread<'a>(list: &mut [usize], kind: impl Fn(usize) -> Option<&'a str>) {
    let mut sizes = HashMap::<_, usize>::new();
    for at in list.iter() {
        *sizes.entry(kind(*at)).or_default() += 1;
    }
    let mut seen = HashMap::<_, usize>::new();
    list.sort_by_cached_key(|at| {
        let kind = kind(*at);
        let rank = seen.entry(kind).or_default();
        let turn = *rank % sizes.get(&kind).map_or(1, |size| size.div_ceil(TRIALS).max(1));
        *rank += 1;
        turn
    });
}

/// What is known without asking.
pub(super) fn known(view: &View, workspace: &Workspace) -> Option<Access> {
    let Some(cluster) = workspace.cluster.as_ref().filter(|_| !workspace.mount) else {
        return Some(Access::never_asked(workspace));
    };
    match view.entry(cluster.as_str()) {
        Entry::Unknown => None,
        known @ (Entry::Yes | Entry::No) => Some(known.into()),
    }
}

/// `None` when there is no answer in time.
async fn enter(
    client: &ClusterClient,
    view: &View,
    place: &str,
    workspace: &Workspace,
    until: Instant,
) -> Option<Access> {
    let Some(there) = client_of(client, place, workspace) else { return Some(Access::never_asked(workspace)) };
    let answer = timeout_at(until, view.enter(&there)).await.ok()?;
    Some(answer.map_or_else(|failure| Access::failed(&failure), Access::from))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{ALL_TRIALS, TRIALS, Trials, Turn, spread};

    #[test]
    fn a_type_that_does_not_answer_has_a_part_of_the_requests() {
        let (dead, well): (Arc<str>, Arc<str>) = ("dead".into(), "well".into());
        let mut trials = Trials::default();
        for _ in 0..TRIALS {
            assert_eq!((trials.turn(&dead), trials.turn(&well)), (Turn::Now, Turn::Now));
            trials.asked(&dead);
            trials.asked(&well);
        }
        assert_eq!((trials.turn(&dead), trials.turn(&well)), (Turn::Later, Turn::Later));
        assert_eq!(trials.waiting, ALL_TRIALS);
        assert_eq!(trials.turn("other"), Turn::Now, "each type has one at least");
        trials.ended(&well, true);
        trials.ended(&well, false);
        assert_eq!((trials.turn(&dead), trials.turn(&well)), (Turn::Later, Turn::Now), "one answer is enough");
        assert_eq!(trials.waiting, TRIALS);
        for _ in 0..TRIALS {
            trials.ended(&dead, false);
        }
        assert_eq!((trials.turn(&dead), trials.waiting), (Turn::Now, 0), "others of it are tried");
    }

    #[test]
    fn those_that_are_tried_first_lie_apart() {
        let mut list: Vec<usize> = (0..100).collect();
        spread(&mut list, |at| Some(if at < 40 { "a" } else { "b" }));
        let first =
            |range: std::ops::Range<usize>| list.iter().copied().filter(|at| range.contains(at)).take(10).collect();
        let (a, b): (Vec<_>, Vec<_>) = (first(0..40), first(40..100));
        assert_eq!(a, (0..10).map(|at| at * 4).collect::<Vec<_>>());
        assert_eq!(b, (0..10).map(|at| 40 + at * 5).collect::<Vec<_>>());
        list.sort_unstable();
        assert!(list.into_iter().eq(0..100), "all are there");
    }
}
