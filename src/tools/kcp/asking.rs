//! Asking many workspaces at once without letting those that do not answer delay the others.
//!
//! A kcp waits up to 10 s for the issuer of a workspace type with its own authentication when that does not answer, whoever
//! asks. So a type has a few requests at a time until one of them was answered; when none was, no more of it are asked.

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
/// Requests of one list at a time.
const AT_ONCE: usize = 32;
/// Requests to a type of which nothing was answered yet.
const TRIALS: usize = 4;
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
        Self::Unknown("no answer in 5 s".to_owned())
    }

    /// Nothing of its type answered.
    pub(super) fn silent() -> Self {
        Self::Unknown("others of its type do not answer".to_owned())
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
    /// When one of its type has answered.
    Later,
    /// None of its type answered in time.
    Never,
}

/// What became of the requests to the types of workspaces.
#[derive(Debug, Default)]
pub(super) struct Trials(HashMap<Arc<str>, Trial>);

#[derive(Debug, Default)]
struct Trial {
    waiting: usize,
    late: usize,
    answered: bool,
}

impl Trials {
    pub(super) fn turn(&self, kind: &str) -> Turn {
        match self.0.get(kind) {
            Some(Trial { answered: false, late, .. }) if *late >= TRIALS => Turn::Never,
            Some(Trial { answered: false, late, waiting }) if late + waiting >= TRIALS => Turn::Later,
            Some(_) | None => Turn::Now,
        }
    }

    pub(super) fn asked(&mut self, kind: &Arc<str>) {
        self.0.entry(Arc::clone(kind)).or_default().waiting += 1;
    }

    pub(super) fn ended(&mut self, kind: &str, answered: bool) {
        let Some(trial) = self.0.get_mut(kind) else { return };
        trial.waiting = trial.waiting.saturating_sub(1);
        trial.answered |= answered;
        trial.late += usize::from(!answered);
    }
}

/// Whether the caller may enter each of `workspaces`, given with their places: from its view, or asked within 5 s in all.
pub(super) async fn entries(
    client: &ClusterClient,
    view: &View,
    workspaces: &[(String, Arc<Workspace>)],
) -> Vec<Access> {
    let until = Instant::now() + PATIENCE;
    let mut found: Vec<Option<Access>> = workspaces.iter().map(|(_, workspace)| known(view, workspace)).collect();
    let mut open: Vec<usize> = (0..found.len()).filter(|at| found.get(*at).is_some_and(Option::is_none)).collect();
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
    found.into_iter().map(|access| access.unwrap_or_else(Access::silent)).collect()
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

    use super::{TRIALS, Trials, Turn};

    #[test]
    fn a_type_that_does_not_answer_is_left_alone() {
        let (dead, well): (Arc<str>, Arc<str>) = ("dead".into(), "well".into());
        let mut trials = Trials::default();
        for _ in 0..TRIALS {
            assert_eq!((trials.turn(&dead), trials.turn(&well)), (Turn::Now, Turn::Now));
            trials.asked(&dead);
            trials.asked(&well);
        }
        assert_eq!((trials.turn(&dead), trials.turn(&well)), (Turn::Later, Turn::Later));
        trials.ended(&well, true);
        trials.ended(&well, false);
        assert_eq!((trials.turn(&dead), trials.turn(&well)), (Turn::Later, Turn::Now), "one answer is enough");
        for _ in 0..TRIALS {
            trials.ended(&dead, false);
        }
        assert_eq!((trials.turn(&dead), trials.turn(&well)), (Turn::Never, Turn::Now));
    }
}
