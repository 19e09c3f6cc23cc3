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
    ///
    /// # Errors
    /// When the cluster's template makes a name of this caller that is refused: no call of theirs gets there.
    pub async fn route(&self, key: &ClusterKey, caller: &Caller) -> Result<Option<Route>, Failure> {
        let Some(Destination { compiled, .. }) = self.destinations.get(key) else { return Ok(None) };
        let principal = caller.principal();
        let expected = compiled.expects(principal).map_err(|error| error.failure(principal.owns_this_machine()))?;
        let keeping = match compiled.strategy.is_minted() {
            true => {
                let longest = Kept::longest(principal, SystemTime::now());
                Some(Keeping { longest, left: self.caches.kept.left(compiled, caller).await })
            }
            false => None,
        };
        let steps = compiled.strategy.explain(principal);
        Ok(Some(Route { strategy: compiled.name, steps, expected, keeping }))
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
