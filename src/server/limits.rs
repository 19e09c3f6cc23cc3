//! What one caller may ask of this server: calls per second, and calls at once. Over it a call fails before any work.
//!
//! A caller is the pair (`iss`, `sub`), whatever token and client it comes with. In local mode that is the person at this
//! machine; behind an accepted unauthenticated listener it is everybody together.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::Limits;
use crate::model::{Failure, FailureKind, KeyHasher, Principal};

/// Callers with nothing left to remember are forgotten after so many calls. Beyond those, the table holds who called
/// within the time of a burst.
const SWEEP_EVERY: usize = 1_024;
/// What a caller with too many calls at once is told to wait.
const SOON: Duration = Duration::from_millis(500);

/// SHA-256 of issuer and subject.
type Key = [u8; 32];
type Busy = Mutex<HashMap<Key, usize>>;

/// The accounts of all callers.
#[derive(Debug)]
pub(super) struct CallerLimits<C: Clock = MonotonicClock> {
    rate: RateLimiter<Key, HashMapStateStore<Key>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    calls: AtomicUsize,
    /// Callers with calls in flight, and how many.
    busy: Arc<Busy>,
    most: usize,
    per_second: u32,
}

/// One call in flight; its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    busy: Arc<Busy>,
    key: Key,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let left = busy.get(&self.key).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            busy.remove(&self.key);
        } else {
            busy.insert(self.key, left);
        }
    }
}

impl CallerLimits {
    pub(super) fn new(limits: &Limits) -> Self {
        Self::with_clock(limits, MonotonicClock)
    }
}

impl<C: Clock + Clone> CallerLimits<C> {
    fn with_clock(limits: &Limits, clock: C) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limits.caller_calls_per_second))
            .allow_burst(at_least_one(limits.caller_burst));
        Self {
            rate: RateLimiter::hashmap_with_clock(quota, clock.clone()),
            clock,
            calls: AtomicUsize::new(0),
            busy: Arc::default(),
            most: limits.caller_in_flight.max(1),
            per_second: limits.caller_calls_per_second,
        }
    }

    /// Takes one call in, or says why not and when to try again.
    pub(super) fn admit(&self, principal: &Principal) -> Result<Place, Failure> {
        let key = KeyHasher::new("caller").field("iss", &principal.iss).field("sub", &principal.sub).finish();
        if self.calls.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.rate.retain_recent();
            self.rate.shrink_to_fit();
        }
        self.rate.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now()).max(Duration::from_millis(1));
            let cause = format!("more than {} calls per second", self.per_second);
            refusal("too_fast", cause, "Wait, then ask for more at once: a list instead of many gets").retry(wait)
        })?;
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = busy.entry(key).or_default();
        if *calls >= self.most {
            let cause = format!("{} of your calls are under way", self.most);
            return Err(refusal("too_many_calls", cause, "Wait for their answers, then call again").retry(SOON));
        }
        *calls += 1;
        drop(busy);
        Ok(Place { busy: Arc::clone(&self.busy), key })
    }
}

fn refusal(code: &'static str, cause: String, hint: &str) -> Failure {
    Failure::new(FailureKind::Overloaded, code, cause).hint(hint)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::{CallerLimits, SWEEP_EVERY};
    use crate::model::{Failure, FailureKind};
    use crate::server::Limits;
    use crate::server::tests::principal;

    fn limits(clock: &FakeRelativeClock, most: usize) -> CallerLimits<FakeRelativeClock> {
        CallerLimits::with_clock(&Limits { caller_in_flight: most, ..Limits::default() }, clock.clone())
    }

    fn refused(failure: &Failure, code: &str) -> u128 {
        assert_eq!((failure.kind, failure.code), (FailureKind::Overloaded, code), "{failure}");
        failure.retry.unwrap().as_millis()
    }

    #[test]
    fn a_burst_of_two_hundred_then_a_hundred_each_second() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, 16);
        let (alice, bob) = (principal("alice"), principal("bob"));
        for n in 0..200 {
            limits.admit(&alice).unwrap_or_else(|failure| panic!("call {n}: {failure}"));
        }
        assert_eq!(refused(&limits.admit(&alice).unwrap_err(), "too_fast"), 10);
        limits.admit(&bob).expect("another caller does not pay for it");
        clock.advance(Duration::from_secs(1));
        let admitted = (0..200).filter(|_| limits.admit(&alice).is_ok()).count();
        assert_eq!(admitted, 100);
    }

    #[test]
    fn sixteen_calls_at_once_and_a_place_is_free_again_when_one_ends() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, 16);
        let (alice, bob) = (principal("alice"), principal("bob"));
        let mut places: Vec<_> = (0..16).map(|_| limits.admit(&alice).unwrap()).collect();
        assert_eq!(refused(&limits.admit(&alice).unwrap_err(), "too_many_calls"), 500);
        let other = limits.admit(&bob).expect("another caller has places of its own");
        drop(places.pop());
        places.push(limits.admit(&alice).unwrap());
        drop((places, other));
        assert!(limits.busy.lock().unwrap().is_empty(), "nobody is remembered without a call");
    }

    #[test]
    fn the_same_subject_at_another_issuer_is_another_caller() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, 1);
        let here = principal("1");
        let mut there = principal("1");
        there.iss = "https://elsewhere.example".to_owned();
        let _here = limits.admit(&here).unwrap();
        let _there = limits.admit(&there).unwrap();
        assert!(limits.admit(&here).is_err());
    }

    #[test]
    fn callers_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, 16);
        for n in 0..10 * SWEEP_EVERY {
            drop(limits.admit(&principal(&n.to_string())).unwrap());
            clock.advance(Duration::from_millis(20));
        }
        assert!(limits.rate.len() <= SWEEP_EVERY, "{} callers", limits.rate.len());
    }
}
