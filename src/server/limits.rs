//! What one caller may ask of this server: calls per second, and calls at once. Over it a call fails before any work.
//!
//! A caller is the pair (`iss`, `sub`), whatever token and client it comes with. In local mode that is the person at this
//! machine; behind an accepted unauthenticated listener it is everybody together.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::dispatch::{CallLimits, Live};
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
    rates: ArcSwap<Rates<C>>,
    clock: C,
    calls: AtomicUsize,
    /// Callers with calls in flight, and how many.
    busy: Arc<Busy>,
}

/// How fast callers are. A reload that changes the limits makes a new one, in which everybody starts afresh.
#[derive(Debug)]
struct Rates<C: Clock> {
    /// The generation that it was made for.
    generation: u64,
    limits: CallLimits,
    limiter: RateLimiter<Key, HashMapStateStore<Key>, C, NoOpMiddleware<C::Instant>>,
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

impl Default for CallerLimits {
    fn default() -> Self {
        Self::with_clock(CallLimits::default(), MonotonicClock)
    }
}

impl CallerLimits {
    /// Takes one call in, or says why not and when to try again. The limits are those of the call's generation.
    pub(super) fn admit(&self, principal: &Principal, live: &Live) -> Result<Place, Failure> {
        self.admit_by(principal, (live.generation, live.calls))
    }
}

impl<C: Clock + Clone> CallerLimits<C> {
    fn with_clock(limits: CallLimits, clock: C) -> Self {
        let rates = ArcSwap::from_pointee(rates(0, limits, clock.clone()));
        Self { rates, clock, calls: AtomicUsize::new(0), busy: Arc::default() }
    }

    /// The accounts for the limits of a generation. A call of an older one changes nothing.
    fn rates(&self, (generation, limits): (u64, CallLimits)) -> arc_swap::Guard<Arc<Rates<C>>> {
        let current = self.rates.load();
        if generation <= current.generation || current.limits == limits {
            return current;
        }
        self.rates.rcu(|current| {
            if generation <= current.generation || current.limits == limits {
                Arc::clone(current)
            } else {
                Arc::new(rates(generation, limits, self.clock.clone()))
            }
        });
        self.rates.load()
    }

    fn admit_by(&self, principal: &Principal, generation: (u64, CallLimits)) -> Result<Place, Failure> {
        let rates = self.rates(generation);
        let key = KeyHasher::new("caller").field("iss", &principal.iss).field("sub", &principal.sub).finish();
        if self.calls.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            rates.limiter.retain_recent();
            rates.limiter.shrink_to_fit();
        }
        rates.limiter.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now()).max(Duration::from_millis(1));
            let cause = format!("more than {} calls per second", rates.limits.per_second);
            refusal("too_fast", cause, "Wait, then ask for more at once: a list instead of many gets").retry(wait)
        })?;
        let most = rates.limits.in_flight.max(1);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = busy.entry(key).or_default();
        if *calls >= most {
            let cause = format!("{most} of your calls are under way");
            return Err(refusal("too_many_calls", cause, "Wait for their answers, then call again").retry(SOON));
        }
        *calls += 1;
        drop(busy);
        Ok(Place { busy: Arc::clone(&self.busy), key })
    }
}

fn rates<C: Clock>(generation: u64, limits: CallLimits, clock: C) -> Rates<C> {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_second(at_least_one(limits.per_second)).allow_burst(at_least_one(limits.burst));
    Rates { generation, limits, limiter: RateLimiter::hashmap_with_clock(quota, clock) }
}

fn refusal(code: &'static str, cause: String, hint: &str) -> Failure {
    Failure::new(FailureKind::Overloaded, code, cause).hint(hint)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::{CallerLimits, Place, SWEEP_EVERY};
    use crate::dispatch::CallLimits;
    use crate::model::{Failure, FailureKind, Principal};
    use crate::server::tests::principal;

    /// The limits of one generation.
    struct One(CallerLimits<FakeRelativeClock>, CallLimits);

    impl One {
        fn admit(&self, principal: &Principal) -> Result<Place, Failure> {
            self.0.admit_by(principal, (1, self.1))
        }
    }

    fn limits(clock: &FakeRelativeClock, most: usize) -> One {
        let limits = CallLimits { in_flight: most, ..CallLimits::default() };
        One(CallerLimits::with_clock(limits, clock.clone()), limits)
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
        assert!(limits.0.busy.lock().unwrap().is_empty(), "nobody is remembered without a call");
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
        let known = limits.0.rates.load().limiter.len();
        assert!(known <= SWEEP_EVERY, "{known} callers");
    }

    #[test]
    fn a_reload_changes_the_limits_and_a_call_of_the_old_generation_does_not_change_them_back() {
        let limits = CallerLimits::with_clock(CallLimits::default(), FakeRelativeClock::default());
        let alice = principal("alice");
        let (old, new) = (CallLimits::default(), CallLimits { per_second: 1, burst: 2, ..CallLimits::default() });
        limits.admit_by(&alice, (1, old)).unwrap();
        for _ in 0..2 {
            limits.admit_by(&alice, (2, new)).unwrap();
        }
        refused(&limits.admit_by(&alice, (2, new)).unwrap_err(), "too_fast");
        refused(&limits.admit_by(&alice, (1, old)).unwrap_err(), "too_fast");
        limits.admit_by(&alice, (3, old)).expect("and back, by a newer generation");
    }
}
