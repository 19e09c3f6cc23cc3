//! A walk through the workspaces of a kcp, with the caller's own credential: bounded in number, in time and in requests
//! under way, and what was seen within the last minute is not asked again.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::asking::{Access, PATIENCE, Trials, span};
use super::filter::Filter;
use super::place::{Here, client_of};
use super::walk::{Answer, Bounds, Found, Node, Step, Walk};
use crate::model::Failure;
use crate::output::{Progress, Resume};
use crate::pool::ClusterClient;
use crate::pool::workspaces::{Entry, Look, View, Workspace};

/// Workspaces that are asked at a time.
const AT_ONCE: usize = 48;
/// How long a walk goes on, at most.
const SPAN: Duration = Duration::from_secs(8);
/// Workspaces that one call looks at.
const MOST: usize = 2_500;
/// Children of one workspace that a tree shows.
pub(super) const BREADTH: usize = 50;
/// Levels below the start, at most: an address has no more.
pub(super) const DEEPEST: usize = 32;

/// What a walk asks and for whom.
pub(super) struct Survey<'a> {
    /// A client of the start.
    pub(super) client: &'a ClusterClient,
    /// What its caller has seen.
    pub(super) view: &'a View,
    /// Where it starts.
    pub(super) here: &'a Here,
    /// What the start showed.
    pub(super) start: Look,
    /// Who hears how far it is.
    pub(super) progress: &'a Progress,
    /// A kind or API group, and of which workspaces it is asked whether they serve it.
    pub(super) serves: Option<(&'a str, &'a Filter)>,
}

impl Survey<'_> {
    /// Walks `depth` levels down and through `breadth` children of each, behind the path in `token` where there is one.
    pub(super) async fn walk(&self, depth: usize, breadth: usize, token: Option<&str>) -> Walk {
        let bounds = Bounds { depth, breadth, most: MOST };
        let mut walk = Walk::new(bounds, token.map(read_token), self.client.logical_cluster());
        self.run(&mut walk).await;
        walk
    }

    async fn run(&self, walk: &mut Walk) {
        let until = Instant::now() + span(self.client, SPAN);
        let mut trials = Trials::default();
        let mut asked = FuturesUnordered::new();
        loop {
            while asked.len() < AT_ONCE
                && let Some(step) = walk.next(&trials)
            {
                if let Some(answer) = self.known(&step) {
                    walk.done(&step.key, answer, None);
                    continue;
                }
                if let Some(workspace) = &step.workspace {
                    trials.asked(&workspace.kind);
                }
                asked.push(self.ask(step));
            }
            let (read, left) = walk.progress();
            self.progress.report(read as u64, None, format!("{read} workspaces, {left} more known"));
            match timeout_at(until, asked.next()).await {
                Ok(Some((step, answer, serves))) => {
                    if let Some(workspace) = &step.workspace {
                        trials.ended(&workspace.kind, answer.is_some());
                    }
                    walk.done(&step.key, answer.unwrap_or_else(late), serves);
                }
                Ok(None) => break,
                Err(_elapsed) => {
                    walk.give_up_first("no answer in time");
                    break;
                }
            }
        }
    }

    /// What is known without a question.
    fn known(&self, step: &Step) -> Option<Answer> {
        let Some(workspace) = &step.workspace else { return Some(answer_of(self.start.clone())) };
        let cluster = workspace.cluster.as_ref()?;
        let answer = if step.children {
            self.view.known(cluster.as_str()).map(answer_of)
        } else {
            entered(self.view.entry(cluster.as_str()))
        };
        answer.filter(|answer| !may_enter(answer) || self.wanted(workspace).is_none())
    }

    /// The kind or group that a workspace is asked for.
    fn wanted(&self, workspace: &Workspace) -> Option<&str> {
        self.serves.filter(|(_, of)| of.takes(workspace)).map(|(wanted, _)| wanted)
    }

    /// Asks a workspace; without an answer there was none in time.
    async fn ask(&self, step: Step) -> (Step, Option<Answer>, Option<bool>) {
        let there = step.workspace.as_ref().and_then(|workspace| {
            let client = client_of(self.client, &self.here.below(&step.path), workspace)?;
            Some((client, workspace))
        });
        let Some((client, workspace)) = there else {
            return (step, Some(Answer::Unknown("it cannot be asked".to_owned())), None);
        };
        let look = async {
            if step.children {
                self.view.look(&client).await.map(answer_of)
            } else {
                self.view.enter(&client).await.map(|entry| entered(entry).unwrap_or_else(foreign))
            }
        };
        let answer = match timeout(PATIENCE, look).await {
            Ok(answer) => answer.unwrap_or_else(|failure| failed(&failure)),
            Err(_elapsed) => return (step, None, None),
        };
        let mut serves = None;
        if let Some(wanted) = self.wanted(workspace).filter(|_| may_enter(&answer)) {
            serves = timeout(PATIENCE, client.serves(wanted)).await.ok().and_then(Result::ok);
        }
        (step, Some(answer), serves)
    }
}

/// Where a walk goes on behind each of `rows`, by its path from the start; a row that is told again leads nowhere. A token
/// ends in `:`, so that none is empty.
pub(super) fn resume(walk: &Walk, rows: &[&Node]) -> Resume {
    let token = |node: &&Node| walk.is_wanted(&node.path).then(|| format!("{}:", node.path.join(":")));
    Resume { tokens: rows.iter().map(token).collect(), partial: false }
}

/// Where a walk goes on: behind the workspace `last`, or where this one did, if it came no further.
pub(super) fn token(walk: &Walk, last: Option<&Node>, before: Option<&String>) -> Option<String> {
    let further = last.and_then(|last| resume(walk, &[last]).tokens.pop().flatten());
    further.or_else(|| before.cloned())
}

/// How many of `rows` to show for `limit` that count: those that are told again come first and do not.
pub(super) fn within(walk: &Walk, rows: &[&Node], limit: u32) -> usize {
    let again = rows.iter().take_while(|node| !walk.is_wanted(&node.path)).count();
    again.saturating_add(usize::try_from(limit).unwrap_or(usize::MAX)).min(rows.len())
}

fn read_token(token: &str) -> Vec<String> {
    token.split(':').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whether the caller may enter the workspace of a row.
pub(super) fn access(found: Option<&Found>) -> Access {
    match found {
        Some(Found::Open { .. } | Found::Entered | Found::Closed) => Access::Yes,
        Some(Found::No) => Access::No,
        Some(Found::Unknown(why)) => Access::Unknown(why.clone()),
        Some(Found::Mount) => Access::Unknown("a mount is never asked".to_owned()),
        Some(Found::Homeless) => Access::Unknown("it has no logical cluster yet".to_owned()),
        Some(Found::Cycle) => Access::Unknown("it was met before".to_owned()),
        None => Access::Unknown(String::new()),
    }
}

fn answer_of(look: Look) -> Answer {
    match look {
        Look::Children(children) => Answer::Children(children),
        Look::Closed => Answer::Closed,
        Look::Refused => Answer::No,
    }
}

fn entered(entry: Entry) -> Option<Answer> {
    match entry {
        Entry::Unknown => None,
        Entry::Yes => Some(Answer::Entered),
        Entry::No => Some(Answer::No),
    }
}

fn may_enter(answer: &Answer) -> bool {
    match answer {
        Answer::Children(_) | Answer::Entered | Answer::Closed => true,
        Answer::No | Answer::Unknown(_) => false,
    }
}

fn failed(failure: &Failure) -> Answer {
    match Access::failed(failure) {
        Access::Yes => Answer::Entered,
        Access::No => Answer::No,
        Access::Unknown(why) => Answer::Unknown(why),
    }
}

fn foreign() -> Answer {
    Answer::Unknown(Access::from(Entry::Unknown).why().to_owned())
}

fn late() -> Answer {
    Answer::Unknown(Access::late().why().to_owned())
}
