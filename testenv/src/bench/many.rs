//! Ten thousand clusters in `conf.d`: start, reload and memory, and that nobody is contacted before it is used.

use std::fmt::Write;

use anyhow::ensure;
use serde_json::json;

use super::backend::NAME;
use super::door::Ask;
use super::load::{Callers, Stop, Work};
use super::report::Report;
use super::single::{REST, Single, good};
use super::target::{Target, cold_start, reload};
use crate::faults::{Broken, Fault};
use crate::poll::pause;

/// Clusters in one file.
const PER_FILE: usize = 1_000;

/// Measures kubeferry with as many clusters as the plan says, besides the one that answers.
///
/// # Errors
/// When it does not start, does not take a reload up, or answers the old configuration after it.
pub(super) async fn many_clusters(single: &Single<'_>, report: &mut Report) -> anyhow::Result<()> {
    let Single { who, program, cluster, tokens, plan } = *single;
    let behind = Broken::start(Fault::Reset).await?;
    let one = files(&behind, plan.clusters, "one")?;
    report.add("many-start-ms", who, cold_start(who, program, cluster, &one)?);
    let target = Target::start(who, program, cluster, &one).await?;
    pause(REST).await;
    report.add("many-before-mb", who, target.proc.rss()?);
    target.configure(&files(&behind, plan.clusters, "two")?)?;
    let took = reload(&target).await?;
    // The last of all files is in force.
    let last = format!("many-{:05}", plan.clusters.saturating_sub(1));
    let mut callers = Callers::open(&target.door, &tokens[..1], 1).await?;
    let listed = Work::Once(Ask::Call("clusters_list", json!({"search": last})));
    good(callers.run(&listed, Stop::Calls(1), "site=two").await?)?;
    report.add("many-reload-ms", who, took.as_secs_f64() * 1e3);
    pause(REST).await;
    report.add("many-after-mb", who, target.proc.rss()?);
    let asked = Work::Once(Ask::Call("namespaces_list", json!({"cluster": NAME})));
    let answered = good(callers.run(&asked, Stop::Calls(10), "team-0").await?)?;
    ensure!(answered.calls == 10, "{} of 10 calls", answered.calls);
    report.add("many-connections", who, f64::from(u32::try_from(behind.connections())?));
    Ok(())
}

/// The files of `conf.d`, with a label that tells one writing of them from another.
fn files(behind: &Broken, clusters: usize, site: &str) -> anyhow::Result<Vec<String>> {
    let mut files = vec![String::new(); clusters.div_ceil(PER_FILE)];
    for number in 0..clusters {
        writeln!(
            files[number / PER_FILE],
            "[clusters.many-{number:05}]\nserver = \"{}\"\nrealm = \"{NAME}\"\naudiences = [\"{NAME}\"]\n\
             labels = {{ site = \"{site}\" }}\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n",
            behind.url()
        )?;
    }
    Ok(files)
}
