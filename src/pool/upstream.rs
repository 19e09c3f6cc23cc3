//! One destination: its transports, its share of concurrency and its breaker. It lives as long as some generation has its key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Limits;
use super::breaker::Breaker;
use super::credential::TlsIdentity;
use super::transport::{SetupError, Transport};
use crate::model::{ClusterKey, Endpoint};

/// Client-certificate identities with warm connections, at most; beyond, all of them are dropped and made anew.
const IDENTITIES: usize = 64;

/// Streams under way to one cluster, at most. They have places of their own, so that requests need not wait for them.
const STREAMS: usize = 16;

/// The connections to one cluster.
#[derive(Debug)]
pub(super) struct Upstream {
    key: ClusterKey,
    endpoint: Endpoint,
    limits: Limits,
    transports: Mutex<HashMap<Option<[u8; 32]>, Arc<Transport>>>,
    turns: Semaphore,
    streams: Semaphore,
    breaker: Breaker,
    /// A generation without this destination has taken over.
    retired: AtomicBool,
}

impl Upstream {
    pub(super) fn new(key: ClusterKey, endpoint: Endpoint, limits: Limits) -> Self {
        let turns = Semaphore::new(limits.in_flight.clamp(1, Semaphore::MAX_PERMITS));
        let streams = Semaphore::new(STREAMS);
        let (breaker, retired) = (Breaker::new(), AtomicBool::new(false));
        Self { key, endpoint, limits, transports: Mutex::default(), turns, streams, breaker, retired }
    }

    /// The transport for a TLS identity; made at the first call.
    pub(super) fn transport(&self, identity: Option<&TlsIdentity>) -> Result<Arc<Transport>, SetupError> {
        let slot = identity.map(|identity| *identity.digest());
        let mut transports = self.transports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = transports.get(&slot) {
            return Ok(Arc::clone(transport));
        }
        let transport = Arc::new(Transport::new(self.key, &self.endpoint, identity, self.limits)?);
        if transports.len() >= IDENTITIES {
            transports.clear();
        }
        transports.insert(slot, Arc::clone(&transport));
        Ok(transport)
    }

    /// What it was made with.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether connections can be had, by the latest requests.
    pub(super) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Waits for a place for a stream.
    pub(super) async fn stream(&self) -> Option<SemaphorePermit<'_>> {
        self.streams.acquire().await.ok()
    }

    /// Nothing more may be sent there.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }
}
