//! "Sign in again": what becomes of a call after which the person must. Its token is forgotten, so that the next call with it
//! is verified anew; an answer that is not sent yet becomes a 401, which clients follow to the realm. Where no status can
//! change any more (stdio, legacy sessions) it stays a tool result with the code `sign_in_again`; so it does for a token
//! that is younger than [`YOUNG`], whose client would otherwise sign in, fail and sign in again for ever.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use crate::dispatch::Live;
use crate::model::{Failure, FailureKind, Principal};
use crate::output::scrub_text;

/// A token younger than this is not sent back to its realm.
const YOUNG: Duration = Duration::from_secs(60);

/// A token with less life than this left is not exchanged any more; a new one does help.
const NEARLY_OVER: Duration = Duration::from_secs(15);

/// Tells hop 1 from hop 2 that the person must sign in again, so that an answer which is not yet sent becomes a 401.
#[derive(Debug, Clone, Default)]
pub(super) struct SignInCell(Arc<OnceLock<String>>);

impl SignInCell {
    /// Says why; the first reason stays.
    fn set(&self, why: String) {
        // A second reason adds nothing.
        drop(self.0.set(why));
    }

    pub(super) fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The failure as the caller shall see it. If the person of `principal` must sign in again, the token is forgotten and
/// `cell` filled, unless the token is too young; without a cell no status can change.
pub(super) fn settle(
    failure: Failure,
    live: &Live,
    principal: &Principal,
    cell: Option<&SignInCell>,
    now: SystemTime,
) -> Failure {
    if failure.kind != FailureKind::SignIn {
        return failure;
    }
    live.auth.forget(&principal.token_digest);
    let failure = Failure { code: "sign_in_again", ..failure };
    if let Some(age) = young(principal, now) {
        let hint = format!(
            "The token is only {} s old: a new one would fare no better. Ask the operator to check what realm {} lets \
             kubeferry's client do",
            age.as_secs(),
            principal.realm
        );
        return failure.hint(hint);
    }
    if let Some(cell) = cell {
        cell.set(scrub_text(&failure.to_string()));
    }
    failure
}

/// The age of a token that was issued a moment ago and is not about to end.
fn young(principal: &Principal, now: SystemTime) -> Option<Duration> {
    let ended = principal.expires.is_some_and(|end| end <= now + NEARLY_OVER);
    // Issued in the future, as clocks differ, is young too.
    let age = now.duration_since(principal.issued?).unwrap_or_default();
    (age < YOUNG && !ended).then_some(age)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{SignInCell, settle};
    use crate::model::{Failure, FailureKind, Principal};
    use crate::server::tests::{live, principal};

    fn settled(issued: Option<u64>, left: u64, failure: Failure) -> (Failure, SignInCell) {
        let now = SystemTime::now();
        let issued = issued.map(|ago| now - Duration::from_secs(ago));
        let who = Principal { issued, expires: Some(now + Duration::from_secs(left)), ..principal("a") };
        let cell = SignInCell::default();
        (settle(failure, &live().load_full(), &who, Some(&cell), now), cell)
    }

    fn sign_in() -> Failure {
        Failure::new(FailureKind::SignIn, "other", "the realm does not take your token").hint("Sign in again")
    }

    #[test]
    fn an_older_token_is_sent_back_to_its_realm() {
        for issued in [Some(60), Some(4000), None] {
            let (failure, cell) = settled(issued, 300, sign_in());
            assert_eq!((failure.code, failure.hint.as_deref()), ("sign_in_again", Some("Sign in again")));
            assert!(cell.get().is_some_and(|why| why.contains("does not take your token")), "{issued:?}");
        }
    }

    #[test]
    fn a_young_token_is_not_so_that_no_client_loops() {
        for issued in [0, 59] {
            let (failure, cell) = settled(Some(issued), 300, sign_in());
            assert_eq!(failure.code, "sign_in_again");
            assert!(failure.hint.as_deref().is_some_and(|hint| hint.contains("Ask the operator")), "{failure:?}");
            assert_eq!(cell.get(), None, "{issued}");
        }
        for left in [0, 14] {
            let (_, cell) = settled(Some(30), left, sign_in());
            assert!(cell.get().is_some(), "a short-lived token that is over in {left} s: a new one does help");
        }
    }

    #[test]
    fn other_failures_stay_what_they_are() {
        let denied = Failure::new(FailureKind::Denied, "policy", "no");
        let (failure, cell) = settled(Some(4000), 300, denied);
        assert_eq!((failure.code, cell.get()), ("policy", None));
    }
}
