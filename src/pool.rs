//! `Permit` → `ClusterClient`: resolves the place, obtains the credential by the cluster's one strategy, and lends a
//! shared connection.
//!
//! A [`Pool`] belongs to one generation; destinations whose cluster key did not change keep their connections over a
//! reload, and all others are new.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::model::{Cluster, ClusterKey, Failure, FailureKind, Problem};
use crate::policy::Permit;
use crate::telemetry::{BreakerState, Metrics};

mod breaker;
mod caches;
mod classify;
mod client;
pub mod credential;
mod discovery;
mod examine;
mod impersonation;
mod items;
mod log;
mod node;
mod openapi;
mod outside;
mod place;
mod reply;
mod retry;
mod review;
mod route;
mod send;
mod shard;
mod stream;
mod table;
mod transport;
mod unaccepted;
mod upstream;
pub mod workspaces;

#[cfg(test)]
mod tests;

pub use client::ClusterClient;
pub use examine::{Gateway, Presence, presence};
pub use items::Items;
pub use log::{Follow, FollowEnd, Followed, LogRequest};
pub use node::{NodeLog, NodeText};
pub use review::{On, PathRule, ResourceRule, Rules, Verdict, Wish};
pub use route::{Keeping, Route};

use caches::Caches;
use credential::Compiled;
use send::Sender;
use upstream::Upstream;

/// Bounds of the traffic with one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests under way; more wait for their turn.
    pub in_flight: usize,
    /// TCP connect and TLS handshake together.
    pub connect: Duration,
    /// From the request sent to the first byte of the answer.
    pub first_byte: Duration,
    /// A whole buffered answer.
    pub answer: Duration,
    /// Body of a buffered answer, in bytes.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 64,
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            answer_bytes: 32 << 20,
        }
    }
}

/// The clients of one generation.
#[derive(Debug, Default)]
pub struct Pool {
    destinations: HashMap<ClusterKey, Destination>,
    caches: Arc<Caches>,
}

#[derive(Debug, Clone)]
struct Destination {
    compiled: Arc<Compiled>,
    upstream: Arc<Upstream>,
}

impl Pool {
    /// The pool of a generation; destinations with an equal key and equal `limits`, and the caches, are taken over from
    /// `previous`.
    pub fn new(
        clusters: impl IntoIterator<Item = (Arc<Cluster>, Compiled)>,
        previous: Option<&Self>,
        limits: Limits,
    ) -> Self {
        let kept = |key: &ClusterKey| {
            let destination = previous.and_then(|pool| pool.destinations.get(key))?;
            (destination.upstream.limits() == limits).then(|| destination.clone())
        };
        let destinations = clusters.into_iter().map(|(cluster, compiled)| {
            let new = || Destination {
                upstream: Arc::new(Upstream::new(compiled.key, cluster.endpoint.clone(), limits)),
                compiled: Arc::new(compiled),
            };
            (cluster.key, kept(&cluster.key).unwrap_or_else(new))
        });
        Self {
            destinations: destinations.collect(),
            caches: previous.map(|pool| Arc::clone(&pool.caches)).unwrap_or_default(),
        }
    }

    /// What the process counts; handed on from pool to pool like the caches.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.caches.metrics
    }

    /// `next` has taken over: nothing more is sent to destinations that are not in it, whatever calls that began before
    /// have in hand, and what was learnt of accounts at other realms is forgotten.
    pub fn retire(&self, next: &Self) {
        #[expect(clippy::iter_over_hash_type, reason = "the order of setting flags does not matter")]
        for (key, destination) in &self.destinations {
            if !next.destinations.contains_key(key) {
                destination.upstream.retire();
            }
        }
        self.caches.kept.minting().pins.clear();
    }

    /// Whether requests may leave for a cluster; `None` for one that is not in this generation.
    pub fn breaker(&self, key: &ClusterKey) -> Option<BreakerState> {
        Some(self.destinations.get(key)?.upstream.breaker().state())
    }

    /// Checks that a cluster's TLS material can be used, without connecting.
    ///
    /// # Errors
    /// What is wrong with the endpoint, as a problem at `origin`.
    pub fn check(&self, cluster: &Cluster, origin: &str) -> Result<(), Problem> {
        let Some(destination) = self.destinations.get(&cluster.key) else { return Ok(()) };
        destination.upstream.transport(None).map(drop).map_err(|error| {
            Problem::new(origin, crate::model::chain(&error), "check server, ca_file and tls_server_name")
        })
    }

    /// A client for what `permit` permits, until `deadline`. On a warm path this sends nothing.
    ///
    /// # Errors
    /// When no credential can be had, the API server takes the caller for somebody else, or the place cannot be resolved.
    pub async fn client(&self, permit: Permit, deadline: Instant) -> Result<ClusterClient, Failure> {
        let address = permit.target().address().to_string();
        let opened = self.open(permit, deadline).await;
        opened.map_err(|failure| if failure.target.is_none() { failure.target(address) } else { failure })
    }

    async fn open(&self, permit: Permit, deadline: Instant) -> Result<ClusterClient, Failure> {
        let destination = self.destinations.get(&permit.target().cluster.key);
        let Destination { compiled, upstream } =
            destination.cloned().ok_or_else(|| Failure::internal("a permitted cluster has no destination"))?;
        let caller = permit.caller();
        let local = caller.principal().owns_this_machine();
        let left = deadline.saturating_duration_since(Instant::now());
        let obtained = tokio::time::timeout(left, self.caches.kept.credential(&compiled, caller)).await;
        let credential = obtained
            .map_err(|_elapsed| {
                Failure::new(FailureKind::Credential, "credential_timeout", "no credential within the call's time")
            })?
            .map_err(|error| error.failure(local))?;
        let transport = upstream.transport(credential.identity().map(AsRef::as_ref)).map_err(|error| {
            Failure::new(FailureKind::Credential, "tls_setup", "the connection cannot be set up").because(&error)
        })?;
        let (caches, call, renewed) = (Arc::clone(&self.caches), upstream.breaker().call(), OnceLock::new());
        let proven = Arc::clone(&compiled);
        let sender =
            Arc::new(Sender { upstream, transport, credential, renewed, compiled, caches, permit, deadline, call });
        let client = ClusterClient::bind(sender, Arc::clone(&self.caches));
        client.admit().await?;
        self.prove(&proven, &client).await?;
        client.settle().await
    }

    /// Where it is known who the API server must take the caller for, asks it once per caller and cluster.
    async fn prove(&self, compiled: &Compiled, client: &ClusterClient) -> Result<(), Failure> {
        let principal = client.principal();
        let expected = compiled.expects(principal).map_err(|error| error.failure(principal.owns_this_machine()))?;
        let Some(expected) = expected else { return Ok(()) };
        // Of this very credential: another one may be of another account.
        let key =
            caches::view("proof", &compiled.key, principal).field("credential", client.credential_digest()).finish();
        let ask = Box::pin(async {
            let seen = client.whoami().await?;
            match expected.differs(&seen) {
                None => Ok(()),
                Some(difference) => Err(Failure::new(
                    FailureKind::Denied,
                    "identity_mismatch",
                    format!("the API server does not take you for who you are here: {difference}"),
                )
                .hint("Ask the operator to compare the cluster's template or expect_username with its authentication")),
            }
        });
        self.caches.look_up("proofs", &self.caches.proofs, key, ask).await
    }
}
