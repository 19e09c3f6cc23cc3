//! Memory for workspaces that callers know: listed, and asked whether the caller may enter.
//!
//! Parents are real ones. The Workspaces in them name logical clusters that are not there: asking for one is answered as
//! asking for a foreign one is. What a caller knows serves for half a minute at least and is in memory for a minute, so there
//! are only as many callers as get to know everything within that minute.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use http::HeaderValue;
use serde_json::json;

use super::fleet::Fleet;
use crate::bench::backend::NAME;
use crate::bench::crossing::number;
use crate::bench::report::Report;
use crate::bench::say;
use crate::bench::single::REST;
use crate::bench::target::Who;
use crate::bench::workload::Plan;
use crate::poll::pause;

use super::walk::walk;

/// Calls of one caller at once.
const AT_ONCE: usize = 4;
/// What a caller knows is not asked again within this time.
const VIEW: Duration = Duration::from_secs(30);
/// How long it stays in memory: callers for whom there is no time until then are left out.
const KEPT: Duration = Duration::from_secs(60);

/// Measures `program` before a kcp of its own.
///
/// # Errors
/// When something does not start, a call fails, or a caller takes longer than what it knows serves.
pub(in crate::bench) async fn known(program: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let size = plan.workspaces;
    let mut fleet = Fleet::start(program, 1 + size.further).await?;
    let [parents, children] = size.known;
    // Memory of connections, of callers as such and of requests under way is there before: these are not counted.
    let warm: Vec<String> = (0..AT_ONCE).map(|number| fill(&fleet, &format!("warm-{number:03}"), children)).collect();
    let known: Vec<String> = (0..parents).map(|number| fill(&fleet, &format!("known-{number:03}"), children)).collect();
    let callers: Vec<HeaderValue> = (0..=size.further).map(|_| fleet.caller()).collect::<anyhow::Result<_>>()?;
    for caller in &callers {
        read(&fleet, caller, &warm, children).await?;
    }
    pause(REST).await;
    let mut rss = fleet.target.proc.rss()?;
    report.add("kcp-known", Who::Ferry, number(parents * children));
    let started = Instant::now();
    for (at, caller) in callers.iter().enumerate() {
        let began = Instant::now();
        fleet.simulator.clear_requests();
        read(&fleet, caller, &known, children).await?;
        let took = began.elapsed();
        ensure!(took < VIEW, "it took {took:?} until a caller knew all: it may have forgotten the first by then");
        pause(REST).await;
        let now = fleet.target.proc.rss()?;
        let grown = now - rss;
        say(&format!("  caller {at} knows {} workspaces after {took:?}: {grown:.2} MB more", parents * children));
        if at == 0 {
            report.add("kcp-known-mb", Who::Ferry, grown);
        } else {
            report.add("kcp-known-caller-kb", Who::Ferry, grown * 1e3);
        }
        rss = now;
        if started.elapsed() + began.elapsed() > KEPT {
            break;
        }
    }
    Ok(())
}

/// Makes the workspace `name` with so many Workspaces in it. Answers its logical cluster.
fn fill(fleet: &Fleet, name: &str, children: usize) -> String {
    let parent = fleet.open(&format!("root:{name}"));
    parent.put_all((0..children).map(|child| {
        let cluster = format!("{:0>16}", format!("{}{child:03}", name.replace('-', "")));
        json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": format!("child-{child:03}")},
            "spec": {"cluster": cluster, "type": {"name": "universal", "path": "root"},
                "URL": format!("{}/clusters/{}:child-{child:03}", fleet.simulator.url(), parent.path())},
            "status": {"phase": "Ready"}})
    }));
    parent.name()
}

/// Lists all children of each of `parents` to its end.
async fn read(fleet: &Fleet, caller: &HeaderValue, parents: &[String], children: usize) -> anyhow::Result<()> {
    let lane = async |lane: usize| {
        for parent in parents.iter().skip(lane).step_by(AT_ONCE) {
            let question = json!({"cluster": format!("{NAME}:{parent}"), "limit": 500});
            let done = walk(&fleet.target.door, caller, ("kcp_workspaces_list", question)).await?;
            let found = done.paths.len();
            ensure!(found == children, "{found} of {children} workspaces in {parent}");
        }
        Ok(())
    };
    try_join_all((0..AT_ONCE).map(lane)).await.map(drop)
}
