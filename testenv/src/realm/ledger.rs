//! What a realm remembers about tokens: the sessions they belong to, what was revoked, and which grants are spent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::keys::uuid;

/// The most spent grants; more in the life of one test are a mistake.
const MAX_SPENT: usize = 200_000;

/// The memory of one realm.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// The session of each subject.
    sessions: BTreeMap<String, String>,
    ended: BTreeSet<String>,
    revoked: BTreeSet<String>,
    spent: BTreeSet<String>,
}

impl Ledger {
    /// The session of `sub`, the claim `sid` of its tokens; it begins with the first token.
    pub fn session(&self, sub: &str) -> String {
        self.entries().sessions.entry(sub.to_owned()).or_insert_with(uuid).clone()
    }

    /// Ends the session of `sub`; its next token begins another.
    pub fn log_out(&self, sub: &str) {
        let mut entries = self.entries();
        let ended = entries.sessions.remove(sub);
        entries.ended.extend(ended);
    }

    /// Takes back one token.
    pub fn revoke(&self, jti: &str) {
        self.entries().revoked.insert(jti.to_owned());
    }

    /// Whether a token of this session with this id is still good.
    pub fn holds(&self, sid: Option<&str>, jti: Option<&str>) -> bool {
        let entries = self.entries();
        !sid.is_some_and(|sid| entries.ended.contains(sid)) && !jti.is_some_and(|jti| entries.revoked.contains(jti))
    }

    /// Spends `jti` of one `owner`; `false` when it was spent before.
    ///
    /// # Panics
    /// After 200 000 of them.
    pub fn spend(&self, owner: &str, jti: &str) -> bool {
        let mut entries = self.entries();
        assert!(entries.spent.len() < MAX_SPENT, "more than {MAX_SPENT} grants in one test");
        entries.spent.insert(format!("{owner}\n{jti}"))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
