//! The breaker of our client at one realm: while the realm gives no answer, or has said when to come back, calls fail at
//! once instead of holding their place until a time is over.
//!
//! Only connections that cannot be had and answers that do not come in time count; a refusal is an answer. While it is
//! open, one request at a time finds out whether the realm is back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{CredentialError, Issued, PATIENCE};
use crate::realm::RealmError;

/// So many requests in a row without an answer open it.
const IN_A_ROW: u32 = 3;
/// From opening to the next try.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// Added to [`TRY_EVERY`] at random, up to this.
const JITTER: Duration = Duration::from_secs(1);
/// What a caller is told to wait while another's request tries.
const SOON: Duration = Duration::from_secs(1);
/// A realm that wants to be left alone for longer is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What one request showed of the realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// It answers.
    Answered,
    /// It answers, and wants no request for so long.
    ComeBack(Duration),
    /// No connection, or no answer in time.
    Failed,
    /// Neither: nothing was sent, it broke off, or the caller went away.
    Unknown,
}

impl Contact {
    /// Reads it from what became of a request.
    pub(super) fn of(outcome: &Result<Issued, CredentialError>) -> Self {
        match outcome {
            Ok(_) => Self::Answered,
            Err(CredentialError::Refused(refusal)) => match refusal.retry_after {
                // What is shorter is waited for within the call.
                Some(after) if matches!(refusal.status, 429 | 503) && after > PATIENCE => {
                    Self::ComeBack(after.min(LONGEST_PAUSE))
                }
                _ => Self::Answered,
            },
            Err(CredentialError::Unanswered { source: RealmError::Fetch { source, .. }, .. }) => {
                let error = source.downcast_ref::<reqwest::Error>();
                let slow = source.is::<tokio::time::error::Elapsed>();
                let lost = slow || error.is_some_and(|error| error.is_connect() || error.is_timeout());
                if lost { Self::Failed } else { Self::Unknown }
            }
            Err(_) => Self::Unknown,
        }
    }
}

/// The breaker of our client at one realm.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Machine>);

/// One request that may leave. Dropped without a word it counts as [`Contact::Unknown`].
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    breaker: &'a Breaker,
    kind: Kind,
    contact: Contact,
}

impl Attempt<'_> {
    /// Says what it showed.
    pub(super) fn end(mut self, contact: Contact) {
        self.contact = contact;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.breaker.with(|machine| machine.ended(Instant::now(), self.kind, self.contact, random()));
    }
}

impl Breaker {
    /// Lets one request leave, or says for how long none may.
    pub(super) fn attempt(&self) -> Result<Attempt<'_>, Duration> {
        let kind = self.with(|machine| machine.begin(Instant::now()))?;
        Ok(Attempt { breaker: self, kind, contact: Contact::Unknown })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Machine) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A number from 0 to 255 to spread tries with; nothing hangs on its quality.
fn random() -> u8 {
    let mut byte = [0];
    // Without entropy tries are not spread, and that is all.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    byte[0]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Usual,
    /// It finds out whether the realm is back.
    Try,
}

/// The rules, without clock, lock and chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    /// So many requests in a row got no answer.
    Closed(u32),
    /// The realm wants no request before.
    Paused(Instant),
    /// The realm is away; then one tries.
    Open(Instant),
    Trying,
}

impl Default for Machine {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl Machine {
    fn begin(&mut self, now: Instant) -> Result<Kind, Duration> {
        match *self {
            Self::Closed(_) => Ok(Kind::Usual),
            Self::Paused(until) | Self::Open(until) if now < until => Err(until - now),
            Self::Paused(_) => {
                *self = Self::Closed(0);
                Ok(Kind::Usual)
            }
            Self::Open(_) => {
                *self = Self::Trying;
                Ok(Kind::Try)
            }
            Self::Trying => Err(SOON),
        }
    }

    /// Usual requests count only while it is closed: those that left before it opened know nothing new.
    fn ended(&mut self, now: Instant, kind: Kind, contact: Contact, random: u8) {
        let failed = match (kind, *self) {
            (Kind::Usual, Self::Closed(failed)) => failed,
            (Kind::Try, Self::Trying) => IN_A_ROW - 1,
            (Kind::Usual | Kind::Try, _) => return,
        };
        *self = match contact {
            Contact::Answered => Self::Closed(0),
            Contact::ComeBack(after) => Self::Paused(now + after),
            Contact::Failed if failed + 1 >= IN_A_ROW => Self::Open(now + TRY_EVERY + JITTER * u32::from(random) / 256),
            Contact::Failed => Self::Closed(failed + 1),
            // Nobody tries any more: the next request may.
            Contact::Unknown if kind == Kind::Try => Self::Open(now),
            Contact::Unknown => return,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::Contact::{Answered, ComeBack, Failed, Unknown};
    use super::{Breaker, Contact, Kind, Machine, SOON};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn after(contacts: &[Contact], now: Instant) -> Machine {
        let mut machine = Machine::default();
        contacts.iter().for_each(|contact| machine.ended(now, Kind::Usual, *contact, 0));
        machine
    }

    #[test]
    fn when_it_opens() {
        let now = Instant::now();
        for (what, contacts, wanted) in [
            ("three in a row", vec![Failed; 3], Machine::Open(now + seconds(5))),
            ("two in a row", vec![Failed; 2], Machine::Closed(2)),
            ("an answer between", vec![Failed, Failed, Answered, Failed], Machine::Closed(1)),
            ("unknown ends neither count nor forgive", vec![Failed, Unknown, Failed, Unknown], Machine::Closed(2)),
            ("the realm wants a pause", vec![Failed, ComeBack(seconds(40))], Machine::Paused(now + seconds(40))),
            (
                "an older answer does not end it",
                vec![ComeBack(seconds(40)), Answered],
                Machine::Paused(now + seconds(40)),
            ),
        ] {
            assert_eq!(after(&contacts, now), wanted, "{what}");
        }
    }

    #[test]
    fn while_open_one_request_at_a_time_tries() {
        let start = Instant::now();
        let mut machine = after(&[Failed; 3], start);
        assert_eq!(machine.begin(start), Err(seconds(5)));
        let now = start + seconds(5);
        assert_eq!((machine.begin(now), machine.begin(now)), (Ok(Kind::Try), Err(SOON)), "one at a time");
        machine.ended(now, Kind::Usual, Answered, 0);
        assert_eq!(machine.begin(now), Err(SOON), "an older request closes nothing");
        machine.ended(now, Kind::Try, Failed, 128);
        assert_eq!(machine.begin(now), Err(Duration::from_millis(5500)), "with jitter");
        let now = now + Duration::from_millis(5500);
        assert_eq!(machine.begin(now), Ok(Kind::Try));
        machine.ended(now, Kind::Try, Unknown, 0);
        assert_eq!(machine.begin(now), Ok(Kind::Try), "whoever went away blocks nobody");
        machine.ended(now, Kind::Try, Answered, 0);
        assert_eq!((machine.begin(now), machine), (Ok(Kind::Usual), Machine::Closed(0)));
    }

    #[test]
    fn after_a_pause_that_the_realm_wanted_all_may_go() {
        let start = Instant::now();
        let mut machine = after(&[ComeBack(seconds(40))], start);
        assert_eq!(machine.begin(start + seconds(39)), Err(seconds(1)));
        assert_eq!([machine.begin(start + seconds(40)), machine.begin(start + seconds(40))], [Ok(Kind::Usual); 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_attempt_lets_the_next_one_try() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            breaker.attempt().unwrap().end(Failed);
        }
        let wait = breaker.attempt().unwrap_err();
        assert!(wait >= seconds(5) && wait <= seconds(6), "{wait:?}");
        advance(wait).await;
        let first = breaker.attempt().unwrap();
        assert!(breaker.attempt().is_err());
        drop(first);
        breaker.attempt().unwrap().end(Answered);
        assert!(breaker.attempt().is_ok());
    }
}
