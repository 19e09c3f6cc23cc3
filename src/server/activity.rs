//! What happens on one connection, so that its watch can end it when nothing does.
//!
//! hyper has one timer for a head, which runs between requests too: set to 10 s it would close every kept-alive
//! connection after 10 s. So the connection counts for itself: [`Tracked`] sees bytes, [`InFlight`] sees requests, and
//! [`Activity::overdue`] compares both with the limits.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// No such moment.
const NEVER: u64 = u64::MAX;

/// Moments of one connection, in milliseconds since it was opened.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// Requests whose answer is not wholly handed over.
    in_flight: AtomicUsize,
    /// When the last request ended, or the connection was opened.
    idle_since: AtomicU64,
    /// When the first byte of a head came, while that head is incomplete.
    head_since: AtomicU64,
    /// Since when the client takes no bytes.
    stalled_since: AtomicU64,
    had_request: AtomicBool,
    http2: AtomicBool,
}

/// How long each state of a connection may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) write_stall: Duration,
}

/// Why a connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request took too long.
    Head,
    /// No request for too long.
    Idle,
    /// The client does not take its answer.
    WriteStall,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            in_flight: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(NEVER),
            stalled_since: AtomicU64::new(NEVER),
            had_request: AtomicBool::new(false),
            http2: AtomicBool::new(false),
        })
    }

    /// A head is complete; the request lasts as long as what this returns.
    pub(super) fn begin(self: &Arc<Self>, http2: bool) -> InFlight {
        self.had_request.store(true, Relaxed);
        self.http2.store(http2, Relaxed);
        self.head_since.store(NEVER, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// What has lasted too long, if anything.
    pub(super) fn overdue(&self, patience: Patience) -> Option<Overdue> {
        let now = self.now();
        let longer = |since: u64, limit: Duration| since != NEVER && now.saturating_sub(since) > millis(limit);
        if longer(self.stalled_since.load(Relaxed), patience.write_stall) {
            return Some(Overdue::WriteStall);
        }
        if self.in_flight.load(Relaxed) > 0 {
            return None;
        }
        // On HTTP/2, bytes between requests are pings and windows, not heads.
        let head = if self.had_request.load(Relaxed) { self.head_since.load(Relaxed) } else { 0 };
        let counts = !(self.http2.load(Relaxed) && self.had_request.load(Relaxed));
        if counts && longer(head, patience.head) {
            return Some(Overdue::Head);
        }
        longer(self.idle_since.load(Relaxed), patience.idle).then_some(Overdue::Idle)
    }

    fn now(&self) -> u64 {
        millis(self.opened.elapsed())
    }

    fn bytes_came(&self) {
        if self.in_flight.load(Relaxed) == 0 && self.head_since.load(Relaxed) == NEVER {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    fn wrote(&self, pending: bool) {
        if !pending {
            self.stalled_since.store(NEVER, Relaxed);
        } else if self.stalled_since.load(Relaxed) == NEVER {
            self.stalled_since.store(self.now(), Relaxed);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}

/// One request in flight; dropped when its answer's body is.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Relaxed);
        self.0.head_since.store(NEVER, Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// An answer's body; its request is in flight until it is dropped.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    _in_flight: InFlight,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, in_flight: InFlight) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells an [`Activity`] about its bytes.
#[derive(Debug)]
pub(super) struct Tracked<S> {
    inner: S,
    activity: Arc<Activity>,
}

impl<S> Tracked<S> {
    pub(super) fn new(inner: S, activity: Arc<Activity>) -> Self {
        Self { inner, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.bytes_came();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.activity.wrote(polled.is_pending());
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.activity.wrote(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.activity.wrote(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::{Activity, Overdue, Patience};
    use std::time::Duration;
    use tokio::time::advance;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(300),
        write_stall: Duration::from_secs(30),
    };

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_sends_a_request_ends_with_the_head_limit() {
        let activity = Activity::new();
        advance(Duration::from_secs(9)).await;
        assert_eq!(activity.overdue(PATIENCE), None);
        advance(Duration::from_secs(2)).await;
        assert_eq!(activity.overdue(PATIENCE), Some(Overdue::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_the_idle_limit_counts_and_a_started_head_the_head_limit() {
        let activity = Activity::new();
        let request = activity.begin(false);
        advance(Duration::from_secs(1_000)).await;
        assert_eq!(activity.overdue(PATIENCE), None, "a request in flight is the call deadline's affair");
        drop(request);
        advance(Duration::from_secs(299)).await;
        assert_eq!(activity.overdue(PATIENCE), None);
        activity.bytes_came();
        advance(Duration::from_secs(11)).await;
        assert_eq!(activity.overdue(PATIENCE), Some(Overdue::Head));
        drop(activity.begin(false));
        advance(Duration::from_secs(301)).await;
        assert_eq!(activity.overdue(PATIENCE), Some(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_overdue_even_in_flight() {
        let activity = Activity::new();
        let _request = activity.begin(true);
        activity.wrote(true);
        advance(Duration::from_secs(31)).await;
        assert_eq!(activity.overdue(PATIENCE), Some(Overdue::WriteStall));
        activity.wrote(false);
        assert_eq!(activity.overdue(PATIENCE), None);
    }
}
