//! Workspaces of a kcp: trees, long lists and memory on a simulated one whose every answer takes 20 ms, and the trees of
//! three people on a real one, beside kubernetes-mcp-server.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::backend::NAME;
use super::crossing::number;
use super::report::Report;
use super::target::Who;
use super::workload::Plan;

mod fleet;
mod known;
mod real;
mod walk;

pub(super) use known::known;
pub(super) use real::real;

use fleet::Fleet;
use walk::{Walk, walk};

/// What every request to the kcp takes.
const LATENCY: Duration = Duration::from_millis(20);
const TREE: &str = "kcp_workspace_tree";

/// Measures `program` before a simulated kcp of its own.
///
/// # Errors
/// When something does not start, a call fails, or an answer lacks a workspace.
pub(super) async fn simulated(program: &Path, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let size = plan.workspaces;
    let mut fleet = Fleet::start(program, 1 + plan.rounds * size.cold + 2).await?;
    let tree = fleet.grow("root:tree", &[size.fan; 3]);
    let many = fleet.grow("root:many", &size.many) - 1;
    let flat = fleet.grow("root:flat", &[many]) - 1;
    let warm = fleet.caller()?;
    ask(&fleet, &warm, "root:tree").await?;
    report.add("kcp-tree", Who::Ferry, number(tree));
    for _ in 0..plan.rounds * size.cold {
        let caller = fleet.caller()?;
        cold_and_cached(&fleet, &caller, tree, report).await?;
    }
    for (name, tool, place, wanted) in
        [("many", TREE, "root:many", many + 1), ("flat", "kcp_workspaces_list", "root:flat", flat)]
    {
        let caller = fleet.caller()?;
        fleet.slow(LATENCY);
        let question = (tool, json!({"cluster": format!("{NAME}:{place}")}));
        let done = walk(&fleet.target.door, &caller, question).await;
        let (most, requests) = (fleet.simulator.most_at_once(), fleet.simulator.requests().len());
        fleet.slow(Duration::ZERO);
        let done = done.with_context(|| format!("{tool} of {place}"))?;
        let (found, once) = (done.paths.len(), done.paths.iter().collect::<BTreeSet<_>>().len());
        ensure!(found == once, "{tool} of {place}: {found} workspaces, {once} different ones");
        report.add(&format!("kcp-{name}-wanted"), Who::Ferry, number(wanted));
        report.add(&format!("kcp-{name}-found"), Who::Ferry, number(once));
        report.add(&format!("kcp-{name}-pages"), Who::Ferry, number(done.pages));
        report.add(&format!("kcp-{name}-s"), Who::Ferry, done.took.as_secs_f64());
        report.add(&format!("kcp-{name}-requests"), Who::Ferry, number(requests));
        report.add(&format!("kcp-{name}-in-flight"), Who::Ferry, number(most));
        report.add(&format!("kcp-{name}-tokens"), Who::Ferry, number(done.most_tokens));
    }
    Ok(())
}

/// The whole tree by a caller whom nobody has seen, and by the same one again.
async fn cold_and_cached(
    fleet: &Fleet,
    caller: &http::HeaderValue,
    tree: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    fleet.slow(LATENCY);
    for name in ["cold", "cached"] {
        fleet.simulator.clear_requests();
        let done = ask(fleet, caller, "root:tree").await?;
        let found = done.paths.iter().collect::<BTreeSet<_>>().len();
        ensure!(found == tree, "a tree of {found} workspaces, not {tree}");
        report.add(&format!("kcp-tree-{name}-ms"), Who::Ferry, done.took.as_secs_f64() * 1e3);
        report.add(&format!("kcp-tree-{name}-first-ms"), Who::Ferry, done.first.as_secs_f64() * 1e3);
        report.add(&format!("kcp-tree-{name}-requests"), Who::Ferry, number(fleet.simulator.requests().len()));
        report.add(&format!("kcp-tree-{name}-in-flight"), Who::Ferry, number(fleet.simulator.most_at_once()));
        report.add("kcp-tree-pages", Who::Ferry, number(done.pages));
        report.add("kcp-tree-tokens", Who::Ferry, number(done.most_tokens));
    }
    fleet.slow(Duration::ZERO);
    Ok(())
}

async fn ask(fleet: &Fleet, caller: &http::HeaderValue, place: &str) -> anyhow::Result<Walk> {
    let question: Value = json!({"cluster": format!("{NAME}:{place}")});
    walk(&fleet.target.door, caller, (TREE, question)).await
}
