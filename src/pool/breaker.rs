//! The breaker of one destination: while no connection to it can be had, calls fail at once instead of waiting.
//!
//! Only failures to connect count (TCP, TLS, or not in time). An answer of any kind shows that the destination can be
//! reached, and what broke off later says nothing. While it is open, one call at a time may try, with all of its requests:
//! a call that sends two at once would otherwise lose the one that tries by the other that may not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::transport::TransportError;
use crate::telemetry::BreakerState;

/// So many failures in a row open it.
const IN_A_ROW: u32 = 5;
/// So many requests within [`WINDOW`], half of them failures, open it too.
const ENOUGH: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// From opening to the next try.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// Added to [`TRY_EVERY`] at random, up to this, so that many destinations are not tried at the same time.
const JITTER: Duration = Duration::from_secs(1);
/// What a caller is told to wait while another's call tries.
const SOON: Duration = Duration::from_secs(1);

/// What one request showed of the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// There was a connection.
    Made,
    /// No connection could be had.
    Failed,
    /// Neither: the time was over, or the caller went away.
    Unknown,
}

impl Contact {
    /// Reads it from what became of a request; `connect` is the time that connecting has.
    pub(super) fn of<T>(outcome: &Result<T, TransportError>, connect: Duration) -> Self {
        match outcome {
            Err(TransportError::Connect(..)) => Self::Failed,
            Err(TransportError::Timeout(after)) if *after <= connect => Self::Unknown,
            Ok(_)
            | Err(
                TransportError::Timeout(_)
                | TransportError::Broken(_)
                | TransportError::Body(_)
                | TransportError::TooLarge(_),
            ) => Self::Made,
        }
    }
}

/// The breaker of one destination.
#[derive(Debug)]
pub(super) struct Breaker {
    machine: Mutex<Machine>,
    calls: AtomicU64,
}

/// Tells the requests of one call from those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallId(u64);

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
    pub(super) fn new() -> Self {
        Self { machine: Mutex::new(Machine::new(Instant::now())), calls: AtomicU64::new(0) }
    }

    /// A new call.
    pub(super) fn call(&self) -> CallId {
        CallId(self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether a request would be turned away now; `Err` says for how long. Costs nothing and takes nothing.
    pub(super) fn look(&self, call: CallId) -> Result<(), Duration> {
        self.with(|machine| machine.look(Instant::now(), call))
    }

    /// Lets one request leave, or says for how long none may.
    pub(super) fn attempt(&self, call: CallId) -> Result<Attempt<'_>, Duration> {
        let kind = self.with(|machine| machine.begin(Instant::now(), call))?;
        Ok(Attempt { breaker: self, kind, contact: Contact::Unknown })
    }

    /// For the gauge.
    pub(super) fn state(&self) -> BreakerState {
        self.with(|machine| match machine.state {
            State::Closed => BreakerState::Closed,
            State::Trying { .. } => BreakerState::HalfOpen,
            State::Open { .. } => BreakerState::Open,
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Machine) -> T) -> T {
        act(&mut self.machine.lock().unwrap_or_else(PoisonError::into_inner))
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
    /// It finds out whether an open breaker may close.
    Try(CallId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// One call tries, with so many requests under way.
    Trying {
        call: CallId,
        requests: u32,
    },
}

/// The rules, without clock, lock and chance.
#[derive(Debug)]
struct Machine {
    state: State,
    in_a_row: u32,
    window: Window,
}

impl Machine {
    fn new(now: Instant) -> Self {
        Self { state: State::Closed, in_a_row: 0, window: Window::new(now) }
    }

    fn look(&self, now: Instant, call: CallId) -> Result<(), Duration> {
        match self.state {
            State::Open { until } if now < until => Err(until - now),
            State::Trying { call: other, .. } if other != call => Err(SOON),
            State::Closed | State::Open { .. } | State::Trying { .. } => Ok(()),
        }
    }

    fn begin(&mut self, now: Instant, call: CallId) -> Result<Kind, Duration> {
        self.look(now, call)?;
        let requests = match self.state {
            State::Closed => return Ok(Kind::Usual),
            State::Open { .. } => 1,
            State::Trying { requests, .. } => requests + 1,
        };
        self.state = State::Trying { call, requests };
        Ok(Kind::Try(call))
    }

    /// Usual requests count only while it is closed: those that left before it opened know nothing new.
    fn ended(&mut self, now: Instant, kind: Kind, contact: Contact, random: u8) {
        match (kind, self.state) {
            (Kind::Usual, State::Closed) => self.count(now, contact, random),
            (Kind::Usual, State::Open { .. } | State::Trying { .. }) | (Kind::Try(_), State::Closed) => {}
            (Kind::Try(_), State::Open { .. } | State::Trying { .. }) if contact == Contact::Made => {
                *self = Self::new(now);
            }
            (Kind::Try(call), State::Trying { call: trying, requests }) if call == trying => {
                self.state = match contact {
                    Contact::Failed => return self.open(now, random),
                    Contact::Made | Contact::Unknown if requests > 1 => State::Trying { call, requests: requests - 1 },
                    // Nobody tries any more: the next call may.
                    Contact::Made | Contact::Unknown => State::Open { until: now },
                };
            }
            // Of a call whose other request failed meanwhile.
            (Kind::Try(_), State::Open { .. } | State::Trying { .. }) => {}
        }
    }

    fn count(&mut self, now: Instant, contact: Contact, random: u8) {
        match contact {
            Contact::Made => self.in_a_row = 0,
            Contact::Failed => self.in_a_row += 1,
            Contact::Unknown => return,
        }
        self.window.add(now, contact == Contact::Failed);
        if self.in_a_row >= IN_A_ROW || (contact == Contact::Failed && self.window.half_failed()) {
            self.open(now, random);
        }
    }

    fn open(&mut self, now: Instant, random: u8) {
        let until = now + TRY_EVERY + JITTER * u32::from(random) / 256;
        *self = Self { state: State::Open { until }, ..Self::new(now) };
    }
}

/// Requests and failures of the last [`WINDOW`], by the second.
#[derive(Debug)]
struct Window {
    start: Instant,
    /// The second that each slot counts, requests, failures.
    slots: [(u64, u32, u32); WINDOW.as_secs() as usize],
    last: u64,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { start: now, slots: [(0, 0, 0); WINDOW.as_secs() as usize], last: 0 }
    }

    fn add(&mut self, now: Instant, failed: bool) {
        self.last = now.saturating_duration_since(self.start).as_secs();
        let at = usize::try_from(self.last % WINDOW.as_secs()).expect("a remainder of 10 fits");
        let slot = &mut self.slots[at];
        if slot.0 != self.last {
            *slot = (self.last, 0, 0);
        }
        slot.1 += 1;
        slot.2 += u32::from(failed);
    }

    fn half_failed(&self) -> bool {
        let recent = self.slots.iter().filter(|(second, ..)| second + WINDOW.as_secs() > self.last);
        let (requests, failures) = recent.fold((0, 0), |sum, slot| (sum.0 + slot.1, sum.1 + slot.2));
        requests >= ENOUGH && failures * 2 >= requests
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::{Breaker, CallId, Contact, Kind, Machine, SOON, State};
    use crate::pool::transport::TransportError;
    use crate::telemetry::BreakerState;
    use Contact::{Failed, Made, Unknown};

    const ONE: CallId = CallId(1);
    const TWO: CallId = CallId(2);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Ends requests, one each `gap`, and says whether the breaker is open afterwards.
    fn opens(contacts: &[Contact], gap: Duration) -> bool {
        let mut now = Instant::now();
        let mut machine = Machine::new(now);
        for contact in contacts {
            assert_eq!(machine.begin(now, ONE), Ok(Kind::Usual), "open too early");
            machine.ended(now, Kind::Usual, *contact, 0);
            now += gap;
        }
        machine.state != State::Closed
    }

    #[test]
    fn when_it_opens() {
        let pairs = |n: usize| [Made, Failed].repeat(n);
        let table: [(&str, Vec<Contact>, Duration, bool); 8] = [
            ("five in a row", vec![Failed; 5], millis(3000), true),
            ("four in a row", vec![Failed; 4], millis(0), false),
            ("a success between", [vec![Failed; 4], vec![Made], vec![Failed; 4]].concat(), millis(3000), false),
            ("unknown ends do not count", [vec![Failed; 4], vec![Unknown; 30]].concat(), millis(1), false),
            ("unknown ends do not forgive", [vec![Failed; 4], vec![Unknown, Failed]].concat(), millis(1), true),
            ("half of twenty", pairs(10), millis(400), true),
            ("half of eighteen", pairs(9), millis(1), false),
            ("half of twenty over a minute", pairs(10), millis(3000), false),
        ];
        for (what, contacts, gap, wanted) in table {
            assert_eq!(opens(&contacts, gap), wanted, "{what}");
        }
        let third: Vec<_> = [Made, Made, Failed].repeat(20);
        assert!(!opens(&third, millis(10)), "a third of sixty");
    }

    /// A machine that opened just now, and when the next try is due.
    fn open(start: Instant) -> (Machine, Instant) {
        let mut machine = Machine::new(start);
        (0..5).for_each(|_| machine.ended(start, Kind::Usual, Failed, 0));
        (machine, start + millis(5000))
    }

    #[test]
    fn while_open_one_call_at_a_time_may_try() {
        let start = Instant::now();
        let (mut machine, now) = open(start);
        assert_eq!(machine.begin(start, ONE), Err(millis(5000)));
        assert_eq!(machine.begin(now - millis(1), ONE), Err(millis(1)));
        assert_eq!(machine.look(now, ONE), Ok(()));
        assert_eq!(machine.begin(now, ONE), Ok(Kind::Try(ONE)));
        assert_eq!((machine.look(now, TWO), machine.begin(now, TWO)), (Err(SOON), Err(SOON)), "one at a time");
        machine.ended(now, Kind::Usual, Made, 0);
        assert_eq!(machine.begin(now, TWO), Err(SOON), "an older request closes nothing");
        machine.ended(now, Kind::Try(ONE), Failed, 128);
        assert_eq!(machine.begin(now, TWO), Err(millis(5500)), "with jitter");
        let now = now + millis(5500);
        assert_eq!(machine.begin(now, TWO), Ok(Kind::Try(TWO)));
        machine.ended(now, Kind::Try(TWO), Unknown, 0);
        assert_eq!(machine.begin(now, ONE), Ok(Kind::Try(ONE)), "whoever went away blocks nobody");
        machine.ended(now, Kind::Try(ONE), Made, 0);
        assert_eq!((machine.state, machine.in_a_row), (State::Closed, 0));
        assert_eq!(machine.begin(now, TWO), Ok(Kind::Usual));
    }

    #[test]
    fn a_call_tries_with_all_of_its_requests() {
        let (mut machine, now) = open(Instant::now());
        assert_eq!([machine.begin(now, ONE), machine.begin(now, ONE)], [Ok(Kind::Try(ONE)); 2]);
        machine.ended(now, Kind::Try(ONE), Unknown, 0);
        assert_eq!(machine.begin(now, TWO), Err(SOON), "its other request still tries");
        machine.ended(now, Kind::Try(ONE), Made, 0);
        assert_eq!(machine.state, State::Closed);

        let (mut machine, now) = open(Instant::now());
        assert_eq!([machine.begin(now, ONE), machine.begin(now, ONE)], [Ok(Kind::Try(ONE)); 2]);
        machine.ended(now, Kind::Try(ONE), Failed, 0);
        machine.ended(now, Kind::Try(ONE), Unknown, 0);
        assert_eq!(machine.begin(now, TWO), Err(millis(5000)), "what it gave up does not shorten the wait");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_attempt_lets_the_next_one_try() {
        let breaker = Breaker::new();
        let (one, two) = (breaker.call(), breaker.call());
        for _ in 0..5 {
            breaker.attempt(one).unwrap().end(Failed);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        let wait = breaker.look(one).unwrap_err();
        assert!(wait >= millis(5000) && wait <= millis(6000), "{wait:?}");
        advance(wait).await;
        let first = breaker.attempt(one).unwrap();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.attempt(two).is_err());
        drop(first);
        breaker.attempt(two).unwrap().end(Made);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_timeout_shows_a_connection_only_when_connecting_had_its_time() {
        assert_eq!(Contact::of::<()>(&Err(TransportError::Timeout(millis(2000))), millis(3000)), Unknown);
        assert_eq!(Contact::of::<()>(&Err(TransportError::Timeout(millis(15_000))), millis(3000)), Made);
        assert_eq!(Contact::of::<()>(&Err(TransportError::TooLarge(1)), millis(3000)), Made);
    }
}
