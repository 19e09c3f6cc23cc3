//! Many clusters, and many reloads.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::json;
use testenv::faults::{Broken, Fault};
use testenv::ferry::Ferry;
use testenv::mcp::raw;
use testenv::poll::{self, pause};

use super::reload::{Place, lines};
use crate::lab::bench::good;
use crate::lab::case::Case;
use crate::lab::proc::{Holds, holds};

/// Waits until a generation serves.
async fn serves(ferry: &Ferry, generation: usize, within: Duration) -> anyhow::Result<()> {
    poll::until(&format!("generation {generation}"), within, || async {
        let reply = raw::get(&format!("{}/readyz?verbose", ferry.base()), &[]).await;
        let text = reply.map_err(|error| format!("{error:#}"))?.text;
        let served =
            text.lines().find_map(|line| line.strip_prefix("[+]configuration generation ")?.parse::<usize>().ok());
        if served.is_some_and(|served| served >= generation) { Ok(()) } else { Err(text) }
    })
    .await
}

/// K05: this is a debug build, which takes several times as long and as much memory as a release.
pub async fn k05_thousands_of_clusters_are_loaded_and_nobody_is_contacted(case: &Case) -> anyhow::Result<()> {
    const ALL: usize = 4_000;
    const DEBUG: u64 = 4;
    let place = Place::new(case)?;
    let counted = Broken::start(Fault::Reset).await?;
    let ca = case.write("many-ca.pem", counted.ca_pem())?;
    let folder = case.folder().join("conf.d");
    std::fs::create_dir(&folder)?;
    let write = |site: &str| -> anyhow::Result<()> {
        for part in 0..ALL / 1_000 {
            let mut text = String::new();
            for number in part * 1_000..(part + 1) * 1_000 {
                writeln!(
                    text,
                    "[clusters.many-{number:05}]\nserver = \"{}\"\nca_file = \"{}\"",
                    counted.url(),
                    ca.display()
                )?;
                writeln!(text, "realm = \"corp\"\naudiences = [\"corp-1\"]\nlabels = {{ site = \"{site}\" }}")?;
                writeln!(text, "strategy = \"passthrough\"\ni_accept_token_passthrough = true\n")?;
            }
            std::fs::write(folder.join(format!("{part:02}.toml")), text)?;
        }
        Ok(())
    };
    write("one")?;
    let ferry = case.ferry_of(&place.file()).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let listed = good(&client, "clusters_list", json!({})).await?;
    assert!(listed.text.contains("many-0"), "{}", listed.text);
    write("two")?;
    let asked = Instant::now();
    // The change of the files is noticed too, a moment later.
    ferry.signal("HUP").await?;
    serves(&ferry, 2, Duration::from_secs(60)).await?;
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(30), "the reload took {took:?}");
    good(&client, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    let Holds { memory, files, .. } = holds(&ferry).await?;
    assert!(memory < DEBUG * (60 << 10), "{memory} KiB");
    assert!(files < 200, "{files} files");
    assert_eq!(counted.connections(), 0, "nobody is contacted before they are used");
    Ok(())
}

/// K06: reloads one after the other, each of which publishes a generation, while four clients call.
pub async fn k06_a_hundred_reloads_under_load_fail_no_call_and_leave_nothing(case: &Case) -> anyhow::Result<()> {
    const RELOADS: usize = 100;
    const WARM: usize = 10;
    let place = Place::new(case)?;
    // The log of each byte would be what grows.
    let ferry = Ferry::start(Some(&place.file()), &[("KUBEFERRY_LOG", "info")]).await?;
    let mut clients = Vec::new();
    for (realm, user, cluster) in [
        ("corp", "alice", "corp-1"),
        ("acme", "carol", "acme-1"),
        ("corp", "alice", "dev"),
        ("corp", "alice", "kcp-eu:root:org"),
    ] {
        clients.push((case.client(&ferry, realm, user).await?, cluster));
    }
    let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = try_join_all(clients.iter().map(async |(client, cluster)| {
        while !over.load(Ordering::Relaxed) {
            good(client, "namespaces_list", json!({"cluster": cluster})).await?;
            calls.fetch_add(1, Ordering::Relaxed);
            pause(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    }));
    let reloads = async {
        let mut before = None;
        for number in 1..=RELOADS {
            ferry.signal("HUP").await?;
            serves(&ferry, number + 1, Duration::from_secs(15)).await?;
            if number == WARM {
                before = Some(holds(&ferry).await?);
            }
        }
        over.store(true, Ordering::Relaxed);
        before.ok_or_else(|| anyhow::anyhow!("more reloads than the first ones"))
    };
    let (_, before) = futures::try_join!(load, reloads)?;
    assert!(calls.load(Ordering::Relaxed) >= RELOADS, "{calls:?} calls are no load");
    poll::until("what calls held to be given back", Duration::from_secs(20), || async {
        let now = holds(&ferry).await.map_err(|error| format!("{error:#}"))?;
        let grown = now.memory.saturating_sub(before.memory);
        let bounded = now.files <= before.files + 8 && now.threads <= before.threads + 8 && grown < 24 << 10;
        if bounded { Ok(()) } else { Err(format!("{before:?} after {WARM} reloads, {now:?} after {RELOADS}")) }
    })
    .await?;
    assert_eq!(lines(&ferry, "reload failed").len(), 0, "{}", ferry.log());
    Ok(())
}
