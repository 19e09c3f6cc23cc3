//! The cache of minted credentials (DESIGN 8).
//!
//! A key covers the cluster key, issuer, subject and the caller's very token, so that only equal authority shares an
//! entry, and a changed configuration finds nothing, nor does one that is changed back. Callers of one key at the same time share one exchange; when the one
//! who runs it goes away, the next takes over. Life is counted on the monotonic clock. A failure is kept for moments, a
//! grant or an assertion never.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use moka::Expiry;
use moka::future::Cache;

use super::minted::Pins;
use super::{Compiled, Credential, CredentialError};
use crate::model::{Caller, FailureKind, KeyHasher, Principal};
use crate::telemetry::Metrics;

/// Memory of all credentials together, roughly.
const BYTES: u64 = 32 * 1024 * 1024;
/// What an entry weighs beside its token: key, headers, bookkeeping of the cache.
const OVERHEAD: usize = 512;
/// The longest life of an entry.
const MAX_LIFE: Duration = Duration::from_secs(300);
/// An entry ends this much before its token.
const MARGIN: Duration = Duration::from_secs(15);
/// With less than this part of its life left, an entry is renewed while it still serves.
const RENEW: u32 = 5;
/// A renewal behind the back of a call takes at most this.
const RENEWAL: Duration = Duration::from_secs(15);
/// A failure is given to all who ask within this.
const FAILED: Duration = Duration::from_secs(5);
/// Failures that are kept, at most.
const FAILURES: u64 = 10_000;
/// An entry that a cluster refused is replaced at most once in this time.
const REFUSED: Duration = Duration::from_secs(10);

type Key = [u8; 32];

/// What minting shares between callers.
#[derive(Debug, Default)]
pub struct Minting {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Accounts at other realms.
    pub pins: Pins,
}

/// Credentials that realms issued, by caller and cluster.
pub struct Kept {
    entries: Cache<Key, Arc<Entry>>,
    failures: moka::sync::Cache<Key, Arc<CredentialError>>,
    refused: moka::sync::Cache<Key, ()>,
    /// Tokens of callers that their realm does not accept any more, by digest: what was issued for them before is not
    /// used again.
    ended: moka::sync::Cache<[u8; 32], Instant>,
    minting: Arc<Minting>,
}

struct Entry {
    credential: Credential,
    /// How long it may be used from `since`; zero = by those who waited for it only.
    life: Duration,
    since: Instant,
    /// When it was asked for: what a realm said of the caller's token after that, counts.
    began: Instant,
    renewing: AtomicBool,
}

struct Life;

impl Expiry<Key, Arc<Entry>> for Life {
    fn expire_after_create(&self, _key: &Key, entry: &Arc<Entry>, _now: Instant) -> Option<Duration> {
        Some(entry.life)
    }

    fn expire_after_update(
        &self,
        _key: &Key,
        entry: &Arc<Entry>,
        _now: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.life)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("entries", &self.entries.entry_count()).finish_non_exhaustive()
    }
}

impl Kept {
    /// An empty cache.
    pub fn new(minting: Arc<Minting>) -> Self {
        Self {
            entries: entries(BYTES),
            failures: moka::sync::Cache::builder().max_capacity(FAILURES).time_to_live(FAILED).build(),
            refused: moka::sync::Cache::builder().max_capacity(FAILURES).time_to_live(REFUSED).build(),
            ended: moka::sync::Cache::builder().max_capacity(FAILURES).time_to_live(MAX_LIFE).build(),
            minting,
        }
    }

    /// What minting shares; its pins are cleared by a reload.
    pub fn minting(&self) -> &Arc<Minting> {
        &self.minting
    }

    /// A credential for `caller`, kept or new.
    ///
    /// # Errors
    /// When none can be had; for five seconds the same error.
    pub async fn credential(&self, compiled: &Arc<Compiled>, caller: &Caller) -> Result<Credential, CredentialError> {
        if !compiled.strategy.is_minted() {
            return compiled.strategy.credential(caller, &self.minting).await;
        }
        let key = key(compiled, caller);
        if let Some(error) = self.failures.get(&key) {
            return Err(CredentialError::Again(error));
        }
        self.forget_ended(key, caller).await;
        let found = self.entries.entry(key).or_try_insert_with(Box::pin(self.mint(compiled, caller))).await;
        self.minting.metrics.cache("credentials", found.as_ref().is_ok_and(|entry| !entry.is_fresh()));
        match found {
            Ok(entry) => {
                let entry = entry.into_value();
                self.renew_early(key, &entry, compiled, caller);
                Ok(entry.credential.clone())
            }
            Err(error) => {
                end(&self.ended, caller, &error);
                self.failures.insert(key, Arc::clone(&error));
                Err(CredentialError::Again(error))
            }
        }
    }

    /// How long the kept credential of `caller` still serves; `None` = none is kept. Nothing is obtained.
    pub async fn left(&self, compiled: &Compiled, caller: &Caller) -> Option<Duration> {
        if !compiled.strategy.is_minted() {
            return None;
        }
        let entry = self.entries.get(&key(compiled, caller)).await?;
        Some(entry.life.saturating_sub(entry.since.elapsed())).filter(|left| !left.is_zero())
    }

    /// How long a credential that is issued now is kept at most: it ends before the caller's own token does.
    pub fn longest(principal: &Principal, now: SystemTime) -> Duration {
        let own = principal.expires.map_or(MAX_LIFE, |ends| ends.duration_since(now).unwrap_or_default());
        own.min(MAX_LIFE).saturating_sub(MARGIN)
    }

    /// A cluster answered 401 to the credential `refused`. True when there is another one, or a new one may be obtained:
    /// not for a caller whose entry was replaced a moment ago, so that a cluster that refuses everything costs a realm
    /// one exchange in 10 s and caller.
    pub async fn rejected(&self, compiled: &Compiled, caller: &Caller, refused: &Credential) -> bool {
        compiled.strategy.rejected().await;
        if !compiled.strategy.is_minted() {
            return false;
        }
        let key = key(compiled, caller);
        match self.entries.get(&key).await {
            Some(entry) if entry.credential.is(refused) => {
                let may = self.refused.entry(key).or_insert(()).is_fresh();
                if may {
                    self.entries.invalidate(&key).await;
                }
                may
            }
            // Somebody else has replaced it meanwhile, or is about to.
            Some(_) | None => true,
        }
    }

    /// Drops what was issued before the caller's realm said that the caller's token has ended.
    async fn forget_ended(&self, key: Key, caller: &Caller) {
        let Some(ended) = self.ended.get(&caller.principal().token_digest) else { return };
        if self.entries.get(&key).await.is_some_and(|entry| entry.began <= ended) {
            self.entries.invalidate(&key).await;
        }
    }

    async fn mint(&self, compiled: &Arc<Compiled>, caller: &Caller) -> Result<Arc<Entry>, CredentialError> {
        let began = Instant::now();
        let credential = compiled.strategy.credential(caller, &self.minting).await?;
        Ok(Arc::new(Entry { began, ..Entry::new(credential, SystemTime::now()) }))
    }

    /// Renews an entry that is about to end, beside the call that found it.
    fn renew_early(&self, key: Key, entry: &Arc<Entry>, compiled: &Arc<Compiled>, caller: &Caller) {
        if !entry.is_old() || entry.renewing.swap(true, Ordering::Relaxed) {
            return;
        }
        let (entries, ended, minting) = (self.entries.clone(), self.ended.clone(), Arc::clone(&self.minting));
        let (compiled, caller) = (Arc::clone(compiled), caller.clone());
        tokio::spawn(async move {
            let began = Instant::now();
            // When this fails, the entry serves to its end and the next caller sees why.
            let minted = tokio::time::timeout(RENEWAL, compiled.strategy.credential(&caller, &minting)).await;
            match minted {
                Ok(Ok(credential)) => {
                    let entry = Entry { began, ..Entry::new(credential, SystemTime::now()) };
                    if !entry.life.is_zero() {
                        entries.insert(key, Arc::new(entry)).await;
                    }
                }
                Ok(Err(error)) => end(&ended, &caller, &error),
                Err(_elapsed) => {}
            }
        });
    }
}

impl Entry {
    /// `now` is what the clock says; from here on only the monotonic one counts.
    fn new(credential: Credential, now: SystemTime) -> Self {
        let left = credential.left(now).filter(|_| !credential.once).unwrap_or_default();
        let life = left.min(MAX_LIFE).saturating_sub(MARGIN);
        let now = Instant::now();
        Self { credential, life, since: now, began: now, renewing: AtomicBool::new(false) }
    }

    fn is_old(&self) -> bool {
        let left = self.life.saturating_sub(self.since.elapsed());
        !self.life.is_zero() && left < self.life / RENEW
    }
}

/// Remembers that the caller's realm does not accept the caller's token any more, where `error` says that.
fn end(ended: &moka::sync::Cache<[u8; 32], Instant>, caller: &Caller, error: &CredentialError) {
    if error.failure(false).kind == FailureKind::SignIn {
        ended.insert(caller.principal().token_digest, Instant::now());
    }
}

fn entries(bytes: u64) -> Cache<Key, Arc<Entry>> {
    Cache::builder()
        .max_capacity(bytes)
        .weigher(|_, entry: &Arc<Entry>| u32::try_from(entry.credential.bytes() + OVERHEAD).unwrap_or(u32::MAX))
        .expire_after(Life)
        .build()
}

/// Equal only for equal authority: the same cluster under the same configuration, the same person with the same token.
fn key(compiled: &Compiled, caller: &Caller) -> Key {
    let principal = caller.principal();
    KeyHasher::new("credential")
        .field("cluster", compiled.key.bytes())
        .field("compiled", compiled.number.to_be_bytes())
        .field("iss", &principal.iss)
        .field("sub", &principal.sub)
        .field("token", principal.token_digest)
        .finish()
}

#[cfg(test)]
mod tests;
