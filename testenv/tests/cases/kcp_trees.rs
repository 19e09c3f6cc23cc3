//! Trees of many workspaces, deep, wide and going round, and with workspaces that the caller may not enter.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testenv::mcp::{Called, Client};
use testenv::simulator::{Rule, SimConfig};

use crate::lab::bench::{good, names, next};
use crate::lab::case::Case;
use crate::lab::kcp::{Kcp, cell};

/// Requests of one call that may be under way.
const AT_ONCE: usize = 64;
fn everything() -> Rule {
    Rule::user("corp:alice").everything()
}

/// All pages of a tool; after each, `look` sees it.
async fn pages(
    alice: &Client,
    tool: &str,
    mut question: Value,
    mut look: impl FnMut(&Called),
) -> anyhow::Result<usize> {
    let mut count = 0;
    loop {
        let page = good(alice, tool, question.clone()).await?;
        look(&page);
        count += 1;
        let Some(handle) = next(&page) else { return Ok(count) };
        anyhow::ensure!(count < 500, "there is no end of pages");
        question["continue"] = handle.into();
    }
}

/// K11.
pub async fn k11_a_tree_of_any_shape_is_read_in_bounds(case: &Case) -> anyhow::Result<()> {
    ten_thousand(case).await?;
    flat(case).await?;
    deep_and_round(case).await
}

/// 10,000 workspaces over four levels.
async fn ten_thousand(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    let all = kcp.simulator.tree("root:big", &[10, 10, 10, 9], &everything());
    assert!(all >= 10_000, "{all}");
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    kcp.simulator.clear_requests();
    let question = json!({"cluster": "kcp:root:big", "depth": 32, "limit": 500});
    let (mut rows, mut whole) = (0, true);
    let count = pages(&alice, "kcp_workspace_tree", question, |page| {
        rows += page.text.lines().filter(|line| !line.starts_with('#')).skip(1).count();
        whole &= !page.text.starts_with("# complete: false, as many as one call looks at");
    })
    .await?;
    assert_eq!(rows, all, "each once, in {count} pages");
    assert!(!whole && count > all / 500, "no call reads them all: {count} pages");
    let most = kcp.simulator.most_at_once();
    assert!((2..=AT_ONCE).contains(&most), "{most} requests under way");
    let asked = kcp.simulator.requests().len();
    // Each workspace is asked for its children, and pages begin where the one before ended.
    assert!(asked <= 2 * all, "{asked} requests for {all} workspaces");
    Ok(())
}

/// 5,000 workspaces in one.
async fn flat(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    let all = kcp.simulator.tree("root:flat", &[5_000], &everything());
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    let tree = good(&alice, "kcp_workspace_tree", json!({"cluster": "kcp:root:flat"})).await?;
    assert!(tree.text.contains("5000 children, 50 shown"), "what is not shown is counted: {}", tree.text);
    let mut listed = BTreeSet::new();
    kcp.simulator.clear_requests();
    let question = json!({"cluster": "kcp:root:flat", "limit": 500});
    let count = pages(&alice, "kcp_workspaces_list", question, |page| listed.extend(names(&page.text))).await?;
    assert_eq!(listed.len(), all - 1, "each once, in {count} pages");
    assert!(count >= 10, "{count} pages");
    let most = kcp.simulator.most_at_once();
    assert!((2..=AT_ONCE).contains(&most), "{most} requests under way");
    Ok(())
}

/// Ten levels, and a workspace whose logical cluster is one above it: kcp makes none, but whoever writes the object may.
async fn deep_and_round(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    kcp.simulator.tree("root:deep", &[1; 10], &everything());
    let top = kcp.workspace("root:deep").name();
    kcp.workspace("root:deep:w000:round");
    kcp.simulator.change_workspace("root:deep:w000:round", &json!({"spec": {"cluster": top}}));
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    kcp.simulator.clear_requests();
    let tree = good(&alice, "kcp_workspace_tree", json!({"cluster": "kcp:root:deep", "depth": 32})).await?;
    let deepest = format!("{}w000", "  ".repeat(10));
    assert!(tree.text.lines().any(|line| line.starts_with(&deepest)), "ten levels: {}", tree.text);
    let round = tree.text.lines().find(|line| line.contains("round")).unwrap_or_default();
    assert!(round.contains("met before") || round.contains("cycle"), "it is not walked again: {}", tree.text);
    let asked = kcp.simulator.requests().len();
    assert!(asked <= 11 + 4, "each is asked once: {asked}");
    let shallow = good(&alice, "kcp_workspace_tree", json!({"cluster": "kcp:root:deep", "depth": 3})).await?;
    assert!(shallow.text.contains("at most 3 levels"), "it says how deep it looked: {}", shallow.text);
    Ok(())
}

/// K13.
pub async fn k13_a_workspace_that_may_not_be_entered_is_a_row_and_no_error(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    kcp.workspace("root:org");
    kcp.workspace("root:org:open");
    drop(kcp.simulator.workspace("root:org:shut:below"));
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    let org = json!({"cluster": "kcp:root:org"});
    let listed = good(&alice, "kcp_workspaces_list", org.clone()).await?;
    let found = good(&alice, "kcp_workspaces_find", json!({"cluster": "kcp", "under": "org"})).await?;
    for table in [&listed.text, &found.text] {
        assert_eq!(cell(table, "root:org:open", "ACCESS"), Some("yes"), "{table}");
        assert_eq!(cell(table, "root:org:shut", "ACCESS"), Some("no"), "{table}");
        assert!(!table.contains("below"), "what is in it is not known: {table}");
    }
    assert!(found.text.contains("1 without access"), "{}", found.text);
    let tree = good(&alice, "kcp_workspace_tree", org).await?;
    let shut = tree.text.lines().find(|line| line.contains("shut")).unwrap_or_default();
    assert!(shut.contains("no access") && !tree.text.contains("below"), "{}", tree.text);
    Ok(())
}
