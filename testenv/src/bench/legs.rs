//! How long each request to a realm takes, on a real Keycloak with real API servers behind kubeferry.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use http::HeaderValue;
use serde_json::json;

use super::door::{Ask, bearer};
use super::load::{Callers, Stop, Work};
use super::report::Report;
use super::single::good;
use super::target::{LIMITS, Target, Who};
use super::workload::Plan;
use crate::artifacts::Program;
use crate::keycloak::fleet::Fleet;
use crate::mcp::raw;

/// Calls to each cluster before anything is measured: Java takes its time with what it does for the first time.
const WARM_UP: usize = 10;
/// Warm calls to each cluster, beside the cold ones.
const WARM: usize = 200;
/// In every cluster.
const MARKER: &str = "kube-system";

/// The requests to realms of one cold call to each cluster: name in the results, realm, and leg in kubeferry's metrics.
const LEGS: [(&str, &str, &str); 3] =
    [("keycloak-exchange", "corp", "exchange"), ("keycloak-leg-1", "corp", "1"), ("keycloak-leg-2", "plant", "2")];
/// The calls: name in the results, and cluster.
const CALLS: [(&str, &str); 2] = [("exchange", "corp-1"), ("chain", "plant-1")];

/// Measures `program` before a fleet of its own: each call with a token of its own, one after the other.
///
/// # Errors
/// When something does not start, as when `scripts/controlplanes` did not run, or a call fails, or a leg is not one request.
pub(super) async fn legs(program: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    report.setting.versions.insert("Keycloak".to_owned(), version()?);
    let fleet = Fleet::start().await?;
    let (config, _secrets) = fleet.config()?;
    let text = std::fs::read_to_string(&config).context("reading the configuration of the fleet")?;
    std::fs::write(&config, format!("{text}{LIMITS}")).context("raising its limits")?;
    let target = Target::configured(program, &config).await?;
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for number in 0..WARM_UP + plan.legs {
        let token = bearer(&fleet.sign_in("alice").await?)?;
        let before = metrics(&target).await?;
        let mut cold = Vec::new();
        for (name, cluster) in CALLS {
            cold.push((format!("keycloak-cold-{name}"), call(&target, &token, cluster, 1).await?));
        }
        let after = metrics(&target).await?;
        for (name, realm, leg) in LEGS {
            let [sum, count] =
                ["sum", "count"].map(|of| sample(&after, of, realm, leg) - sample(&before, of, realm, leg));
            ensure!((count - 1.0).abs() < 0.5, "{count} requests of leg {leg} to realm {realm} in one cold call");
            cold.push((name.to_owned(), sum * 1e3));
        }
        if number >= WARM_UP {
            cold.into_iter().for_each(|(name, took)| times.entry(name).or_default().push(took));
        }
    }
    for (name, mut took) in times {
        took.sort_by(f64::total_cmp);
        for percent in [50, 95] {
            let at = (took.len() * percent / 100).min(took.len() - 1);
            report.add(&format!("{name}-p{percent}-ms"), Who::Ferry, took[at]);
        }
    }
    let token = bearer(&fleet.sign_in("alice").await?)?;
    for (name, cluster) in CALLS {
        call(&target, &token, cluster, 1).await?;
        report.add(&format!("keycloak-warm-{name}-ms"), Who::Ferry, call(&target, &token, cluster, WARM).await?);
    }
    Ok(())
}

/// The file has one line, as "Keycloak - Version 26.0.0".
fn version() -> anyhow::Result<String> {
    let program = Program::Keycloak.path()?;
    let home = program.ancestors().nth(2).context("the program of Keycloak is two folders below its home")?;
    let text = std::fs::read_to_string(home.join("version.txt")).context("reading the version of Keycloak")?;
    Ok(text.split_whitespace().last().unwrap_or("unknown").to_owned())
}

/// The median in ms of so many calls.
async fn call(target: &Target, token: &HeaderValue, cluster: &str, calls: usize) -> anyhow::Result<f64> {
    let work = Work::Once(Ask::Call("namespaces_list", json!({"cluster": cluster})));
    let mut caller = Callers::open(&target.door, std::slice::from_ref(token), 1).await?;
    let measured = good(caller.run(&work, Stop::Calls(calls), MARKER).await?);
    Ok(measured.with_context(|| format!("asking {cluster}"))?.percentile(50) / 1e3)
}

async fn metrics(target: &Target) -> anyhow::Result<String> {
    let reply = raw::get(&format!("http://{}/metrics", target.door.address), &[]).await?;
    ensure!(reply.status == 200, "/metrics answers {}: {}", reply.status, reply.text);
    Ok(reply.text)
}

/// `sum` or `count` of the times of a leg so far; 0 before the first.
fn sample(metrics: &str, of: &str, realm: &str, leg: &str) -> f64 {
    let name = format!("kubeferry_exchange_duration_seconds_{of}{{");
    let labels = [format!("realm=\"{realm}\""), format!("leg=\"{leg}\"")];
    let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(&name)?.split_once("} "));
    let found = lines.find(|(given, _)| labels.iter().all(|label| given.split(',').any(|one| one == label)));
    found.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn times_are_those_of_one_leg_at_one_realm() {
        let metrics = "kubeferry_exchange_duration_seconds_sum{realm=\"corp\",leg=\"exchange\"} 0.5\n\
                       kubeferry_exchange_duration_seconds_sum{realm=\"corp\",leg=\"1\"} 0.25\n\
                       kubeferry_exchange_duration_seconds_count{realm=\"corp\",leg=\"1\"} 3\n\
                       kubeferry_exchange_duration_seconds_sum{realm=\"plant\",leg=\"1\"} 7\n";
        let read = |of, leg| sample(metrics, of, "corp", leg);
        assert!((read("sum", "1") - 0.25).abs() < 1e-9 && (read("count", "1") - 3.0).abs() < 1e-9);
        assert!((read("sum", "exchange") - 0.5).abs() < 1e-9 && read("sum", "2").abs() < 1e-9);
    }
}
