//! Calls to clusters of other realms, before Rust realms and simulators: what a warm and a cold one ask of whom, and how
//! long they take.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use http::HeaderValue;
use serde_json::json;

use super::door::{Ask, bearer};
use super::load::{Callers, Measured, Stop, Work};
use super::report::Report;
use super::single::good;
use super::target::{LIMITS, Target, Who};
use super::workload::Plan;
use crate::crossing::{CLIENT, Crossing, PLACES, Place};
use crate::realm::{Endpoint, Fault};
use crate::world::RESOURCE;

/// Reached by an exchange at the callers' own realm.
const EXCHANGE: &str = "corp-1";
/// Reached by a chain from the callers' realm to its own.
const CHAIN: &str = "plant-1";
/// The server of [`CHAIN`] once more, for callers of its own realm, whose tokens are passed on.
const PLAIN: &str = "plain";
/// In every cluster of the fleet.
const MARKER: &str = "default";
/// Callers of one cluster at once.
const AT_ONCE: usize = 100;
/// How long realms take for a token while many calls come at once, so that these find each other under way.
const SLOW: Duration = Duration::from_millis(100);
/// All realms that give tokens.
const REALMS: [&str; 3] = ["corp", "plant", "lake"];

struct Fleet {
    crossing: Crossing,
    target: Target,
}

/// Measures `program` before a fleet of its own.
///
/// # Errors
/// When something does not start, or a call fails.
pub(super) async fn crossing(program: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let fleet = Fleet::start(program).await?;
    for place in clusters() {
        fleet.call(place.name, &fleet.signed_in()?, Stop::Calls(2)).await?;
    }
    fleet.warm(plan, report).await.context("warm calls")?;
    fleet.cold(plan, report).await.context("cold calls")?;
    for _ in 0..plan.rounds {
        fleet.at_once(report).await.context("a hundred calls at once")?;
        fleet.all_clusters(report).await.context("five clusters at once")?;
    }
    Ok(())
}

/// Those of API servers: two of corp, two of plant, one of lake.
fn clusters() -> impl Iterator<Item = &'static Place> {
    PLACES.iter().filter(|place| place.name != "kcp-eu")
}

fn namespaces(cluster: &str) -> Work {
    Work::Once(Ask::Call("namespaces_list", json!({"cluster": cluster})))
}

impl Fleet {
    async fn start(program: &Path) -> anyhow::Result<Self> {
        let crossing = Crossing::start().await?;
        let text = crossing.config_text();
        let homes = ("home_realms = [\"corp\", \"acme\"]", "home_realms = [\"corp\", \"acme\", \"plant\"]");
        ensure!(text.contains(homes.0), "the configuration of the fleet begins otherwise");
        let plain = format!(
            "[clusters.{PLAIN}]\nserver = \"{}\"\nca_file = \"{CHAIN}-ca.pem\"\nrealm = \"plant\"\n\
             audiences = [\"kubernetes-{CHAIN}\"]\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n",
            crossing.tap(CHAIN).url()
        );
        let config = crossing.config_of(&format!("{}\n{plain}\n{LIMITS}", text.replacen(homes.0, homes.1, 1)));
        let target = Target::configured(program, &config).await?;
        Ok(Self { crossing, target })
    }

    /// A token that nobody has seen: whatever is asked with it first is cold.
    fn signed_in(&self) -> anyhow::Result<HeaderValue> {
        bearer(&self.crossing.token("corp", "alice"))
    }

    async fn caller(&self, token: &HeaderValue, count: usize) -> anyhow::Result<Callers> {
        Callers::open(&self.target.door, std::slice::from_ref(token), count).await
    }

    async fn call(&self, cluster: &str, token: &HeaderValue, stop: Stop) -> anyhow::Result<Measured> {
        good(self.caller(token, 1).await?.run(&namespaces(cluster), stop, MARKER).await?)
    }

    /// Requests to a realm since the last `clear`, whatever they ask for.
    fn asked(&self, realm: &str) -> f64 {
        let requests = self.crossing.realms.requests();
        number(requests.iter().filter(|one| one.realm.as_deref() == Some(realm)).count())
    }

    /// The same question to the same server: with the caller's own token, and with one of a chain.
    async fn warm(&self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        let own = self.crossing.realms.token("plant", "alice-p", RESOURCE);
        let own = own.audiences(&[RESOURCE, CLIENT, &format!("kubernetes-{CHAIN}")]).mint();
        let mut all = [(PLAIN, bearer(&own)?), (CHAIN, self.signed_in()?)];
        for _ in 0..plan.rounds {
            all.reverse();
            for (cluster, token) in &all {
                let mut callers = self.caller(token, 1).await?;
                good(callers.run(&namespaces(cluster), Stop::After(plan.warm_up), MARKER).await?)?;
                self.crossing.clear();
                let work = namespaces(cluster);
                let measured = good(callers.run(&work, Stop::After(plan.measure), MARKER).await?)?;
                report.add(&format!("warm-{cluster}-p50-us"), Who::Ferry, measured.percentile(50));
                if *cluster == CHAIN {
                    let tap = self.crossing.tap(CHAIN);
                    let per_call = number(tap.requests().len()) / number(measured.calls);
                    report.add("warm-chain-requests", Who::Ferry, per_call);
                    report.add("warm-chain-connections", Who::Ferry, number(tap.connections()));
                    report.add("warm-chain-asked", Who::Ferry, REALMS.map(|realm| self.asked(realm)).iter().sum());
                }
            }
        }
        Ok(())
    }

    /// Each call with a token of its own.
    async fn cold(&self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        for _ in 0..plan.counted {
            for (name, cluster) in [("exchange", EXCHANGE), ("chain", CHAIN)] {
                let token = self.signed_in()?;
                self.crossing.clear();
                let measured = self.call(cluster, &token, Stop::Calls(1)).await?;
                report.add(&format!("cold-{name}-us"), Who::Ferry, measured.percentile(50));
                report.add(&format!("cold-{name}-home"), Who::Ferry, self.asked("corp"));
                report.add(&format!("cold-{name}-target"), Who::Ferry, self.asked("plant"));
            }
        }
        Ok(())
    }

    /// Many calls of one caller to one cluster, all of them before the realm has answered.
    async fn at_once(&self, report: &mut Report) -> anyhow::Result<()> {
        for (name, cluster) in [("exchange", EXCHANGE), ("chain", CHAIN)] {
            let mut callers = self.caller(&self.signed_in()?, AT_ONCE).await?;
            self.crossing.clear();
            self.slow();
            let measured = callers.run(&namespaces(cluster), Stop::Calls(AT_ONCE), MARKER).await;
            self.heal();
            let calls = good(measured?)?.calls;
            ensure!(calls == AT_ONCE, "{calls} of {AT_ONCE} calls");
            report.add(&format!("at-once-{name}-home"), Who::Ferry, self.asked("corp"));
            report.add(&format!("at-once-{name}-target"), Who::Ferry, self.asked("plant"));
        }
        Ok(())
    }

    /// One call to each cluster: first all at once, then, with another token, one after the other.
    async fn all_clusters(&self, report: &mut Report) -> anyhow::Result<()> {
        let token = self.signed_in()?;
        let mut callers = Vec::new();
        for place in clusters() {
            callers.push((self.caller(&token, 1).await?, namespaces(place.name)));
        }
        self.crossing.clear();
        self.slow();
        let started = Instant::now();
        let calls =
            callers.iter_mut().map(async |(caller, work)| good(caller.run(work, Stop::Calls(1), MARKER).await?));
        let done = try_join_all(calls).await;
        let wall = started.elapsed();
        self.heal();
        ensure!(done?.len() == callers.len(), "not every cluster was asked");
        report.add("five-home", Who::Ferry, self.asked("corp"));
        report.add("five-targets", Who::Ferry, self.asked("plant") + self.asked("lake"));
        report.add("five-wall-ms", Who::Ferry, wall.as_secs_f64() * 1e3);

        let token = self.signed_in()?;
        self.slow();
        let mut sum = 0.0;
        for place in clusters() {
            sum += self.call(place.name, &token, Stop::Calls(1)).await?.percentile(50) / 1e3;
        }
        self.heal();
        report.add("five-sum-ms", Who::Ferry, sum);
        Ok(())
    }

    fn slow(&self) {
        for realm in REALMS {
            self.crossing.realms.fault(realm, Endpoint::Token, Fault::Delay(SLOW));
        }
    }

    fn heal(&self) {
        for realm in REALMS {
            self.crossing.realms.heal(realm);
        }
    }
}

/// A count; infinite beyond all that is counted here.
pub(super) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
