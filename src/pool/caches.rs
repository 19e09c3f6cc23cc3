//! What outlives a call and a generation. Every key holds the cluster key and the caller's very token, so nothing is
//! shared between callers but equal content, and a change of the cluster's configuration leaves old entries unused.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use moka::future::Cache;

use super::credential::{Kept, Minting};
use super::discovery::{Content, Contents};
use super::workspaces::Views;
use crate::model::{ClusterKey, Failure, KeyHasher, LogicalCluster, Principal, WorkspacePath};
use crate::telemetry::Metrics;

/// Discovery that a caller has read, at most; shared content counts once per pointer.
const DISCOVERY_BYTES: u64 = 64 * 1024 * 1024;
const DISCOVERY_LIFE: Duration = Duration::from_secs(600);
const PLACES: u64 = 100_000;
const PLACE_LIFE: Duration = Duration::from_secs(300);
const PROOFS: u64 = 100_000;
const PROOF_LIFE: Duration = Duration::from_secs(300);
/// A binding takes 5 s until its kinds can be used, and who waits for them asks again.
const REFRESH: Duration = Duration::from_secs(5);

type Key = [u8; 32];

/// The pool's caches.
#[derive(Debug)]
pub(super) struct Caches {
    /// They outlive a generation as well.
    pub(super) metrics: Arc<Metrics>,
    /// Credentials that realms issued.
    pub(super) kept: Kept,
    pub(super) contents: Contents,
    pub(super) discovery: Cache<Key, Arc<Content>>,
    /// Path → logical cluster name.
    pub(super) places: Cache<Key, LogicalCluster>,
    /// What callers have seen of workspaces.
    pub(super) views: Views,
    /// Logical cluster name → canonical path, where a rule of the policy wants to know it.
    pub(super) paths: Cache<Key, WorkspacePath>,
    /// Callers whose SelfSubjectReview was what it must be.
    pub(super) proofs: Cache<Key, ()>,
    /// Views whose discovery was refreshed a short while ago.
    pub(super) refreshed: moka::sync::Cache<Key, ()>,
}

impl Default for Caches {
    fn default() -> Self {
        let minting = Arc::new(Minting::default());
        Self {
            metrics: Arc::clone(&minting.metrics),
            kept: Kept::new(minting),
            contents: Contents::default(),
            discovery: Cache::builder()
                .max_capacity(DISCOVERY_BYTES)
                .weigher(|_, content: &Arc<Content>| content.weight())
                .time_to_live(DISCOVERY_LIFE)
                .build(),
            places: Cache::builder().max_capacity(PLACES).time_to_live(PLACE_LIFE).build(),
            views: Views::default(),
            paths: Cache::builder().max_capacity(PLACES).time_to_live(PLACE_LIFE).build(),
            proofs: Cache::builder().max_capacity(PROOFS).time_to_live(PROOF_LIFE).build(),
            refreshed: moka::sync::Cache::builder().max_capacity(PROOFS).time_to_live(REFRESH).build(),
        }
    }
}

impl Caches {
    /// What `cache` holds under `key`, or else what `read` brings. Callers that ask at the same time share one read. `read` is
    /// boxed because moka moves it several times, and requests nest: each copy would lie on the stack of the worker.
    pub(super) async fn look_up<V>(
        &self,
        name: &'static str,
        cache: &Cache<Key, V>,
        key: Key,
        read: BoxFuture<'_, Result<V, Failure>>,
    ) -> Result<V, Failure>
    where
        V: Clone + Send + Sync + 'static,
    {
        let found = cache.entry(key).or_try_insert_with(read).await;
        self.metrics.cache(name, found.as_ref().is_ok_and(|entry| !entry.is_fresh()));
        found.map(moka::Entry::into_value).map_err(|failure| Failure::clone(&failure))
    }
}

/// A key for what `principal`, with this very token, has seen of a cluster.
pub(super) fn view(kind: &str, key: &ClusterKey, principal: &Principal) -> KeyHasher {
    KeyHasher::new(kind)
        .field("cluster", key.bytes())
        .field("iss", &principal.iss)
        .field("sub", &principal.sub)
        .field("token", principal.token_digest)
}
