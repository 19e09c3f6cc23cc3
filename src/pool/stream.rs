//! An answer that is read while it comes: one request, never repeated, ended by its time at the latest.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

/// Why a stream gives no more.
#[derive(Debug)]
pub(super) enum End {
    /// The server ended it, in order.
    Closed,
    /// Its time is over.
    Time,
    /// The call has no more time.
    Call,
    /// The credential that it was opened with has ended.
    Expired,
    /// It broke off.
    Cut(hyper::Error),
}

/// Until when a stream may last, and what then has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    at: Instant,
    first: First,
}

/// What ends first.
#[derive(Debug, Clone, Copy)]
enum First {
    Span,
    Call,
    Credential,
}

impl Until {
    /// After `span`, or when the call has no more than `call` left, or when the credential ends: whichever is first.
    pub(super) fn new(span: Duration, call: Duration, credential: Option<Duration>) -> Self {
        let (own, first) = if call < span { (call, First::Call) } else { (span, First::Span) };
        let (left, first) = match credential {
            Some(left) if left < own => (left, First::Credential),
            Some(_) | None => (own, first),
        };
        Self { at: Instant::now() + left, first }
    }

    /// What is left.
    pub(super) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// What it is that has ended then.
    pub(super) fn end(self) -> End {
        match self.first {
            First::Span => End::Time,
            First::Call => End::Call,
            First::Credential => End::Expired,
        }
    }
}

/// The body of an answer. It holds one of the destination's places for streams; dropping it ends the request.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    body: Incoming,
    until: Until,
    _turn: SemaphorePermit<'a>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(body: Incoming, until: Until, turn: SemaphorePermit<'a>) -> Self {
        Self { body, until, _turn: turn }
    }

    /// The next part, as soon as it is there.
    pub(super) async fn next(&mut self) -> Result<Bytes, End> {
        // A server that never pauses would otherwise never be late.
        while !self.until.left().is_zero() {
            match timeout_at(self.until.at, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(data);
                    }
                }
                Ok(Some(Err(error))) => return Err(End::Cut(error)),
                Ok(None) => return Err(End::Closed),
                Err(_elapsed) => break,
            }
        }
        Err(self.until.end())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{End, Until};

    #[tokio::test(start_paused = true)]
    async fn the_first_end_counts() {
        let seconds = Duration::from_secs;
        let until =
            |span, call, credential: Option<u64>| Until::new(seconds(span), seconds(call), credential.map(seconds));
        assert_eq!(until(10, 60, None).left(), seconds(10));
        assert!(matches!(until(10, 60, Some(60)).end(), End::Time));
        assert_eq!(until(30, 5, Some(60)).left(), seconds(5));
        assert!(matches!(until(30, 5, Some(60)).end(), End::Call));
        let expiring = until(30, 60, Some(7));
        assert!(expiring.left() == seconds(7) && matches!(expiring.end(), End::Expired));
    }
}
