//! One destination: its transports, its share of concurrency and its breaker. It lives as long as some generation has its key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::breaker::Breaker;
use super::credential::TlsIdentity;
use super::transport::{SetupError, Transport};
use crate::model::{ClusterKey, Endpoint};

/// Requests under way to one cluster, at most.
const CONCURRENCY: usize = 64;
/// Client-certificate identities with warm connections, at most; beyond, all of them are dropped and made anew.
const IDENTITIES: usize = 64;

/// The connections to one cluster.
#[derive(Debug)]
pub(super) struct Upstream {
    key: ClusterKey,
    endpoint: Endpoint,
    transports: Mutex<HashMap<Option<[u8; 32]>, Arc<Transport>>>,
    turns: Semaphore,
    breaker: Breaker,
}

impl Upstream {
    pub(super) fn new(key: ClusterKey, endpoint: Endpoint) -> Self {
        let turns = Semaphore::new(CONCURRENCY);
        Self { key, endpoint, transports: Mutex::default(), turns, breaker: Breaker::new() }
    }

    /// The transport for a TLS identity; made at the first call.
    pub(super) fn transport(&self, identity: Option<&TlsIdentity>) -> Result<Arc<Transport>, SetupError> {
        let slot = identity.map(|identity| *identity.digest());
        let mut transports = self.transports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = transports.get(&slot) {
            return Ok(Arc::clone(transport));
        }
        let transport = Arc::new(Transport::new(self.key, &self.endpoint, identity)?);
        if transports.len() >= IDENTITIES {
            transports.clear();
        }
        transports.insert(slot, Arc::clone(&transport));
        Ok(transport)
    }

    /// Whether connections can be had, by the latest requests.
    pub(super) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }
}
