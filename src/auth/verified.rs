//! Tokens that were verified a moment ago.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::LEEWAY;
use crate::model::Caller;

/// A verified token is taken at its word at most this long.
const LIFE: Duration = Duration::from_secs(300);
/// Tokens kept in each of the two halves.
const HALF: usize = 8192;

/// The digest of the token, and the generation of the configuration that accepted it.
type Id = (u64, [u8; 32]);

/// Verified callers by token digest: at most twice [`HALF`]. When the young half is full it becomes the old one, and
/// what nobody asked for since is gone. (A lookup is one short lock without a future, which the eviction of one entry
/// from `moka`'s async cache would need.)
#[derive(Debug)]
pub(super) struct Verified {
    generation: u64,
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<Id, Entry>,
    old: HashMap<Id, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    caller: Caller,
    since: SystemTime,
}

impl Entry {
    /// Neither too long ago nor beyond the token's own end; a clock that went back counts as too long ago.
    fn holds(&self, now: SystemTime) -> bool {
        let young = now.duration_since(self.since).is_ok_and(|age| age < LIFE);
        young && self.caller.principal().expires.is_some_and(|end| now < end + LEEWAY)
    }
}

impl Verified {
    pub(super) fn new(generation: u64) -> Self {
        Self { generation, halves: Mutex::default() }
    }

    /// The caller of a token verified less than five minutes ago that has not expired since.
    pub(super) fn get(&self, digest: &[u8; 32], now: SystemTime) -> Option<Caller> {
        let id = (self.generation, *digest);
        let mut halves = self.lock();
        if let Some(entry) = halves.young.get(&id) {
            return entry.holds(now).then(|| entry.caller.clone());
        }
        let entry = halves.old.remove(&id).filter(|entry| entry.holds(now))?;
        let caller = entry.caller.clone();
        halves.keep(id, entry);
        Some(caller)
    }

    /// Keeps a caller just verified.
    pub(super) fn put(&self, digest: [u8; 32], caller: &Caller, now: SystemTime) {
        self.lock().keep((self.generation, digest), Entry { caller: caller.clone(), since: now });
    }

    /// Drops a token.
    pub(super) fn forget(&self, digest: &[u8; 32]) {
        let id = (self.generation, *digest);
        let mut halves = self.lock();
        halves.young.remove(&id);
        halves.old.remove(&id);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let halves = self.lock();
        halves.young.len() + halves.old.len()
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn keep(&mut self, id: Id, entry: Entry) {
        if self.young.len() >= HALF && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, entry);
    }
}
