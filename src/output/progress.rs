//! What a call says of itself while it runs, for a client that asked.
//!
//! One cell holds the latest word: a tool writes it and never waits, the server takes it at its own pace. Whoever is not
//! listened to pays for nothing.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Time between two steps, and before the first one: of a call that is shorter nothing is said but its answer.
pub const PACE: Duration = Duration::from_millis(250);

/// Where a call reports to; the default is nobody. Clones report to the same place.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<Arc<watch::Sender<Option<Step>>>>);

/// How far a call has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is done, in any unit; only ever more.
    pub done: u64,
    /// What there is to do, in the same unit, if that is known.
    pub total: Option<u64>,
    /// For people, as the tool wrote it: not neutralised yet. May be empty.
    pub message: String,
}

/// The other end of a [`Progress`]: steps that go forward, one per [`PACE`] at most.
#[derive(Debug)]
pub struct Steps {
    latest: watch::Receiver<Option<Step>>,
    /// What the last step had done.
    taken: Option<u64>,
    /// Not before.
    next: Instant,
}

impl Progress {
    /// One that is listened to.
    pub fn heard() -> (Self, Steps) {
        let (sender, latest) = watch::channel(None);
        (Self(Some(Arc::new(sender))), Steps { latest, taken: None, next: Instant::now() + PACE })
    }

    /// Says how far the call has come. Never waits; the latest word replaces the one before, and one that goes back is
    /// dropped, so that several tasks may report what they count together.
    pub fn report(&self, done: u64, total: Option<u64>, message: impl Into<String>) {
        let Some(sender) = &self.0 else { return };
        let message = message.into();
        sender.send_if_modified(|latest| {
            let forward = latest.as_ref().is_none_or(|before| before.done <= done);
            if forward {
                *latest = Some(Step { done, total, message });
            }
            forward
        });
    }
}

impl Steps {
    /// The next step, when its time has come; never, once nobody reports any more. Nothing is lost if this is dropped.
    pub async fn next(&mut self) -> Step {
        loop {
            if self.is_news() {
                sleep_until(self.next).await;
                if let Some(step) = self.rest() {
                    return step;
                }
            }
            if self.latest.changed().await.is_err() && !self.is_news() {
                return pending().await;
            }
        }
    }

    /// What was reported since the last step, at once.
    pub fn rest(&mut self) -> Option<Step> {
        if !self.is_news() {
            return None;
        }
        let step = self.latest.borrow_and_update().clone()?;
        self.taken = Some(step.done);
        self.next = Instant::now() + PACE;
        Some(step)
    }

    /// True when there is a step beyond the last one.
    fn is_news(&self) -> bool {
        self.latest.borrow().as_ref().is_some_and(|step| self.taken.is_none_or(|taken| step.done > taken))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::{PACE, Progress};

    #[tokio::test(start_paused = true)]
    async fn the_latest_word_wins_and_there_is_one_per_pace() {
        let (progress, mut steps) = Progress::heard();
        let began = Instant::now();
        for done in 0..1000 {
            progress.report(done, Some(2000), format!("{done} done"));
        }
        let first = steps.next().await;
        assert_eq!((first.done, first.total, first.message.as_str()), (999, Some(2000), "999 done"));
        assert_eq!(began.elapsed(), PACE, "nothing is said of a call that is shorter");
        progress.report(1000, None, "");
        assert_eq!((steps.next().await.done, began.elapsed()), (1000, 2 * PACE));
        tokio::time::advance(10 * PACE).await;
        progress.report(1001, None, "");
        let asked = Instant::now();
        assert_eq!((steps.next().await.done, asked.elapsed()), (1001, Duration::ZERO), "after a pause at once");
    }

    #[tokio::test(start_paused = true)]
    async fn steps_go_forward_only() {
        let (progress, mut steps) = Progress::heard();
        let other = progress.clone();
        progress.report(5, None, "five");
        other.report(4, None, "four");
        assert_eq!(steps.next().await.message, "five");
        other.report(5, None, "five again");
        assert!(timeout(20 * PACE, steps.next()).await.is_err());
        assert_eq!(steps.rest(), None);
        other.report(6, None, "six");
        drop((progress, other));
        assert_eq!(steps.rest().map(|step| step.done), Some(6), "what was said stays said");
        assert!(timeout(20 * PACE, steps.next()).await.is_err(), "nobody reports any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_was_waited_for_in_vain_is_not_lost() {
        let (progress, mut steps) = Progress::heard();
        progress.report(1, None, "one");
        assert!(timeout(PACE / 2, steps.next()).await.is_err());
        drop(progress);
        assert_eq!(steps.next().await.done, 1);
    }
}
