//! A kcp of several shards behind its front-proxy: one that is away, and a front-proxy that starts again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::join_all;
use serde_json::json;
use testenv::faults::{self, Broken, Switch};
use testenv::mcp::{Called, Client};
use testenv::poll::{self, pause};
use testenv::simulator::{Fault, SimConfig};

use crate::lab::bench::{bad, good};
use crate::lab::case::Case;
use crate::lab::kcp::{Kcp, cell, configmaps};

/// What a front-proxy, or a shard itself, answers for the workspaces of a shard that is away, and what is said of it.
fn ways_to_be_away() -> [(Fault, &'static str); 4] {
    let text = |code, text| Fault::Text { code, retry_after: Some(1).filter(|_| code == 429), text };
    [
        (text(502, ""), "the shard of this workspace does not answer, or something before it (502)"),
        (text(503, "Not available.\n"), "the shard of this workspace does not answer, or something before it (503)"),
        (text(429, "Not found on this shard\n"), "this workspace is on another shard (429)"),
        (Fault::Reset { after: 0 }, "the connection broke before the answer was complete"),
    ]
}

/// K09.
pub async fn k09_a_shard_that_is_away_takes_its_own_workspaces_only(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp().behind_front_proxy()).await?;
    kcp.workspace("root:org");
    let [dead, _] = ["root:org:dead-1", "root:org:dead-2"].map(|path| {
        let name = kcp.workspace(path).name();
        kcp.workspace(&format!("{path}:below"));
        (path, name)
    });
    let well = ["root:org:well-1", "root:org:well-2"].map(|path| (path, kcp.workspace(path).name()));
    let other_dead = kcp.workspace("root:org:dead-2").name();
    let ferry = kcp.ferry().await?;
    for (fault, said) in ways_to_be_away() {
        for name in [&dead.1, &other_dead] {
            kcp.simulator.inject(&format!("/clusters/{name}/"), fault.clone(), None);
        }
        let alice = kcp.alice(&ferry).await?;
        used(&alice, &dead, &well, said).await.with_context(|| format!("{fault:?}"))?;
        looked_at(&alice, said).await.with_context(|| format!("{fault:?}"))?;
        kcp.simulator.heal();
        // Nothing of it is kept.
        good(&alice, "resources_list", configmaps(dead.0)).await?;
    }
    Ok(())
}

/// Direct use, by path and by name.
async fn used(alice: &Client, dead: &(&str, String), well: &[(&str, String); 2], said: &str) -> anyhow::Result<()> {
    for place in [dead.0, &dead.1] {
        let refused = bad(alice, "resources_list", configmaps(place)).await?;
        assert!(
            refused.text.contains(said) && refused.text.contains(place),
            "{said:?} is said of {place}: {}",
            refused.text
        );
    }
    // What lies below it can only be found through it.
    let below = bad(alice, "resources_list", configmaps("root:org:dead-1:below")).await?;
    assert!(below.text.contains("root:org:dead-1"), "the one that is away is named: {}", below.text);
    for (path, name) in well {
        for place in [*path, name] {
            good(alice, "resources_list", configmaps(place)).await?;
        }
    }
    Ok(())
}

/// In all three tools that look at many.
async fn looked_at(alice: &Client, said: &str) -> anyhow::Result<()> {
    let org = json!({"cluster": "kcp:root:org"});
    let (list, tree) =
        tokio::try_join!(good(alice, "kcp_workspaces_list", org.clone()), good(alice, "kcp_workspace_tree", org),)?;
    let found = good(alice, "kcp_workspaces_find", json!({"cluster": "kcp", "name": "-"})).await?;
    for number in [1, 2] {
        for table in [&list.text, &found.text] {
            let access = |name: &str| cell(table, &format!("root:org:{name}-{number}"), "ACCESS").unwrap_or_default();
            assert_eq!(access("well"), "yes", "{table}");
            let dead = access("dead");
            assert!(dead.starts_with("unknown: ") && dead.contains(said), "{said:?} is said: {table}");
        }
        let line = |name: &str| {
            let name = format!("{name}-{number}");
            let lines = tree.text.lines().filter(|line| !line.starts_with('#'));
            lines.filter(|line| line.contains(&name)).map(str::to_owned).collect::<String>()
        };
        assert!(line("dead").contains(said), "{said:?} is said: {}", tree.text);
        assert!(!line("well").is_empty() && !line("well").contains("access"), "{}", tree.text);
    }
    for whole in [&tree.text, &found.text] {
        assert!(whole.contains("complete: false"), "what was not seen is not forgotten: {whole}");
    }
    Ok(())
}

fn well(called: &[Called]) {
    for called in called {
        assert!(!called.is_error, "{}", called.text);
    }
}

/// K10: connections are counted where they are accepted: at something that resets them while the front-proxy is away, and at
/// the tap before it.
pub async fn k10_a_front_proxy_that_starts_again_meets_no_storm(case: &Case) -> anyhow::Result<()> {
    // One caller with two tokens, who may have 16 calls under way.
    const CALLERS: usize = 2;
    const CALLS: usize = 6;
    const OUTAGE: Duration = Duration::from_secs(7);
    const BETWEEN: Duration = Duration::from_millis(200);
    let kcp = Kcp::start(case, SimConfig::kcp().behind_front_proxy()).await?;
    kcp.workspace("root:org");
    let places: Vec<String> = (0..CALLS).map(|at| format!("root:org:w{at}")).collect();
    places.iter().for_each(|path| drop(kcp.workspace(path)));
    let switch = Switch::start(kcp.tap.address()).await?;
    let ferry = kcp.ferry_at(&switch.url()).await?;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(kcp.alice(&ferry).await?);
    }
    let each = || callers.iter().flat_map(|alice| places.iter().map(move |place| (alice, place)));
    let all = async || {
        let calls = each().map(|(alice, place)| alice.call("resources_list", configmaps(place)));
        join_all(calls).await.into_iter().collect::<anyhow::Result<Vec<_>>>()
    };
    well(&all().await?);
    let before = kcp.tap.connections();
    kcp.asked();

    let away = Broken::start(faults::Fault::Reset).await?;
    let address: SocketAddr = away.url().trim_start_matches("https://").parse()?;
    switch.to(Some(address));
    let (from, mut failed) = (Instant::now(), 0);
    while from.elapsed() < OUTAGE {
        for called in all().await? {
            assert!(called.is_error, "nobody answers: {}", called.text);
            failed += 1;
        }
        pause(BETWEEN).await;
    }
    let tries = away.connections();
    assert!(failed >= CALLERS * CALLS * 2, "{failed} calls are no load");
    // Those that were under way at first, five in a row until nothing is tried, and one call each 5 s.
    assert!(tries <= 2 * CALLERS * CALLS && tries * 2 < failed, "{tries} connections for {failed} calls");

    switch.to(Some(kcp.tap.address()));
    poll::until("the front-proxy to be found again", Duration::from_secs(15), || async {
        let called = good(&callers[0], "resources_list", configmaps(&places[0])).await;
        called.map_err(|error| format!("{error:#}"))
    })
    .await?;
    let alone = kcp.tap.connections();
    assert!(alone <= 2, "one call tries: {alone} connections");
    well(&all().await?);
    let after = kcp.tap.connections();
    assert!(after <= before.max(2), "{after} connections, {before} before it went away");
    let asked = kcp.asked();
    assert!(asked.len() <= CALLERS * CALLS + 4, "no more than the calls need: {} requests", asked.len());
    Ok(())
}
