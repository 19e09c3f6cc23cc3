//! The way to a cluster for one caller, looked at and not taken: nothing is sent to a realm or a cluster, and no
//! credential is lent.

use std::time::{Duration, SystemTime};

use super::credential::{Asks, Expectation, Kept, Step};
use super::{Destination, Pool};
use crate::model::{Caller, ClusterKey, Failure, Principal};

/// The way of one caller to one cluster. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Name of the strategy.
    pub strategy: &'static str,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// Who the API server must take the caller for, where that is known; every other answer ends the call.
    pub expected: Option<Expectation>,
    /// True when the last step says why no call of this caller gets there.
    pub closed: bool,
    /// Where a realm issues a credential for this caller and this cluster: how it is kept.
    pub keeping: Option<Keeping>,
}

/// How an issued credential is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// One that is issued now is kept this long at most.
    pub longest: Duration,
    /// The one that is kept now serves this much longer; `None` = the next call obtains one.
    pub left: Option<Duration>,
}

impl Pool {
    /// The way of `caller` to the cluster of `key`; `None` for one that is not in this generation. The caller must see
    /// the cluster and have a way to it.
    pub async fn route(&self, key: &ClusterKey, caller: &Caller) -> Option<Route> {
        let Destination { compiled, .. } = self.destinations.get(key)?;
        let principal = caller.principal();
        // A name that is refused is a step of the way, as the strategy tells it.
        let (expected, closed) = compiled.expects(principal).map_or((None, true), |expected| (expected, false));
        let keeping = match compiled.strategy.is_minted() {
            true => {
                let longest = Kept::longest(principal, SystemTime::now());
                Some(Keeping { longest, left: self.caches.kept.left(compiled, caller).await })
            }
            false => None,
        };
        let steps = compiled.strategy.explain(principal);
        Some(Route { strategy: compiled.name, steps, expected, closed, keeping })
    }

    /// The requests to realms on the way to the cluster of `key`, in their order; none where no realm is asked.
    pub fn asks(&self, key: &ClusterKey) -> Vec<Asks> {
        self.destinations.get(key).map(|destination| destination.compiled.strategy.asks()).unwrap_or_default()
    }

    /// Who the API server of `key` must take `principal` for, where that is known.
    ///
    /// # Errors
    /// When the template makes a name that is refused.
    pub fn expects(&self, key: &ClusterKey, principal: &Principal) -> Result<Option<Expectation>, Failure> {
        let Some(destination) = self.destinations.get(key) else { return Ok(None) };
        destination.compiled.expects(principal).map_err(|error| error.failure(true))
    }
}
