//! The log of one container, while it is written and while it is followed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::simulator::body::Cut;

/// How many lines one run of a container keeps; the oldest go first.
const KEPT: usize = 200_000;
/// How long a follower waits for the next line.
const IDLE: Duration = Duration::from_secs(3600);

/// What a container has written, in its present run and in the one before. Clones are the same log.
#[derive(Clone, Default)]
pub struct ContainerLog {
    runs: Arc<Mutex<Runs>>,
}

#[derive(Default)]
struct Runs {
    present: Arc<Run>,
    previous: Option<Arc<Run>>,
}

/// One run of a container.
#[derive(Default)]
pub(super) struct Run {
    written: Mutex<Written>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Written {
    /// How many lines were dropped before the first that is kept.
    dropped: usize,
    lines: VecDeque<Line>,
    ended: bool,
}

struct Line {
    at: Timestamp,
    text: String,
}

/// Which part of a log is wanted, and how it is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Excerpt {
    pub(super) since: Option<Timestamp>,
    pub(super) tail: Option<usize>,
    pub(super) limit_bytes: Option<usize>,
    pub(super) timestamps: bool,
}

impl ContainerLog {
    /// Writes one line, now.
    pub fn append(&self, line: &str) {
        self.append_ago(0, line);
    }

    /// Writes one line as if that had been so many seconds ago. Lines are kept in the order in which they are written.
    pub fn append_ago(&self, seconds: i64, line: &str) {
        let at = Timestamp::now() - SignedDuration::from_secs(seconds);
        self.runs().present.write(at, line);
    }

    /// Writes each line of a text, now.
    pub fn append_all(&self, text: &str) {
        text.lines().for_each(|line| self.append(line));
    }

    /// The container has ended: whoever follows its log reads what is left and is done.
    pub fn close(&self) {
        self.runs().present.end();
    }

    /// The container has ended and runs again: what it wrote becomes the log of the previous run.
    ///
    /// That log can only be had when the pod's status has a last termination with a container id, as in a real kubelet.
    pub fn restart(&self) {
        let mut runs = self.runs();
        runs.present.end();
        runs.previous = Some(std::mem::take(&mut runs.present));
    }

    pub(super) fn run(&self, previous: bool) -> Option<Arc<Run>> {
        let runs = self.runs();
        if previous { runs.previous.clone() } else { Some(Arc::clone(&runs.present)) }
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ContainerLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerLog").finish_non_exhaustive()
    }
}

impl Run {
    fn write(&self, at: Timestamp, text: &str) {
        let mut written = self.written();
        if written.lines.len() == KEPT {
            written.lines.pop_front();
            written.dropped += 1;
        }
        written.lines.push_back(Line { at, text: text.to_owned() });
        drop(written);
        self.changed.send_replace(());
    }

    fn end(&self) {
        self.written().ended = true;
        self.changed.send_replace(());
    }

    /// All that there is now.
    pub(super) fn read(self: &Arc<Self>, excerpt: &Excerpt) -> Bytes {
        Reader::new(Arc::clone(self), excerpt).take().0
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log that is sent as it grows. It travels as an extension of the answer's head.
#[derive(Clone)]
pub(in crate::simulator) struct Follow {
    run: Arc<Run>,
    excerpt: Excerpt,
}

impl Follow {
    pub(super) const fn new(run: Arc<Run>, excerpt: Excerpt) -> Self {
        Self { run, excerpt }
    }

    /// What there is, and then each line as it comes, until the run ends.
    pub(in crate::simulator) fn chunks(&self) -> BoxStream<'static, Result<Bytes, Cut>> {
        let changed = self.run.changed.subscribe();
        let reader = Reader::new(Arc::clone(&self.run), &self.excerpt);
        stream::unfold((reader, changed), |(mut reader, mut changed)| async move {
            loop {
                changed.mark_unchanged();
                let (chunk, ended) = reader.take();
                if !chunk.is_empty() {
                    return Some((Ok(chunk), (reader, changed)));
                }
                if ended || !matches!(timeout(IDLE, changed.changed()).await, Ok(Ok(()))) {
                    return None;
                }
            }
        })
        .boxed()
    }
}

/// Where somebody is in a run.
struct Reader {
    run: Arc<Run>,
    since: Option<Timestamp>,
    timestamps: bool,
    /// The number of the next line, counted from the beginning of the run.
    next: usize,
    left: usize,
}

impl Reader {
    /// As a kubelet does it: first the tail is cut off, and then the time is looked at.
    fn new(run: Arc<Run>, excerpt: &Excerpt) -> Self {
        let next = {
            let written = run.written();
            let kept = written.lines.len();
            written.dropped + kept - excerpt.tail.map_or(kept, |tail| tail.min(kept))
        };
        let left = excerpt.limit_bytes.unwrap_or(usize::MAX);
        Self { run, since: excerpt.since, timestamps: excerpt.timestamps, next, left }
    }

    /// What has come since the last time, and whether nothing more will.
    fn take(&mut self) -> (Bytes, bool) {
        let written = self.run.written();
        let start = self.next.saturating_sub(written.dropped);
        let mut out = Vec::new();
        for line in written.lines.range(start.min(written.lines.len())..) {
            if self.since.is_some_and(|since| line.at < since) {
                continue;
            }
            if self.timestamps {
                out.extend_from_slice(format!("{} ", line.at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ")).as_bytes());
            }
            out.extend_from_slice(line.text.as_bytes());
            out.push(b'\n');
            if out.len() >= self.left {
                break;
            }
        }
        self.next = written.dropped + written.lines.len();
        out.truncate(self.left);
        self.left -= out.len();
        (out.into(), written.ended || self.left == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(log: &ContainerLog, excerpt: Excerpt) -> String {
        let bytes = log.run(false).unwrap().read(&excerpt);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn an_excerpt_is_the_tail_then_the_time_then_the_bytes() {
        let log = ContainerLog::default();
        log.append_ago(100, "one");
        log.append_ago(50, "two");
        log.append_all("three\nfour");
        assert_eq!(text(&log, Excerpt::default()), "one\ntwo\nthree\nfour\n");
        assert_eq!(text(&log, Excerpt { tail: Some(3), ..Excerpt::default() }), "two\nthree\nfour\n");
        let since = Some(Timestamp::now() - SignedDuration::from_secs(70));
        assert_eq!(text(&log, Excerpt { since, tail: Some(4), ..Excerpt::default() }), "two\nthree\nfour\n");
        assert_eq!(text(&log, Excerpt { tail: Some(0), ..Excerpt::default() }), "");
        assert_eq!(text(&log, Excerpt { limit_bytes: Some(6), ..Excerpt::default() }), "one\ntw");
        let stamped = text(&log, Excerpt { timestamps: true, tail: Some(1), ..Excerpt::default() });
        let (stamp, line) = stamped.split_once(' ').unwrap();
        assert_eq!((stamp.len(), line), ("2026-01-01T00:00:00.000000000Z".len(), "four\n"));
        assert!(stamp.parse::<Timestamp>().is_ok(), "{stamp}");
    }

    #[tokio::test]
    async fn a_follower_reads_until_the_end() {
        let log = ContainerLog::default();
        log.append_all("one\ntwo");
        let follow = Follow::new(log.run(false).unwrap(), Excerpt { tail: Some(1), ..Excerpt::default() });
        let mut chunks = follow.chunks();
        assert_eq!(chunks.next().await.unwrap().unwrap(), "two\n");
        log.append("three");
        assert_eq!(chunks.next().await.unwrap().unwrap(), "three\n");
        log.append("four");
        log.restart();
        log.append("of the next run");
        assert_eq!(chunks.next().await.unwrap().unwrap(), "four\n");
        assert!(chunks.next().await.is_none());
        assert_eq!(text(&log, Excerpt::default()), "of the next run\n");
        assert_eq!(log.run(true).unwrap().read(&Excerpt::default()), "one\ntwo\nthree\nfour\n");
    }
}
