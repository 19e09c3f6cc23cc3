//! Many clusters, and many reloads.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::json;
use testenv::faults::{Broken, Fault};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, raw};
use testenv::poll::{self, pause};

use super::reload::{Place, lines};
use crate::lab::bench::{good, names, next};
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

/// Writes so many clusters into the folder conf.d of the row, all of them at `server`.
fn write_clusters(case: &Case, server: &Broken, count: usize, site: &str) -> anyhow::Result<()> {
    const PER_FILE: usize = 1_000;
    let ca = case.write("many-ca.pem", server.ca_pem())?;
    let folder = case.folder().join("conf.d");
    std::fs::create_dir_all(&folder)?;
    for first in (0..count).step_by(PER_FILE) {
        let mut text = String::new();
        for number in first..count.min(first + PER_FILE) {
            let (url, ca) = (server.url(), ca.display());
            writeln!(text, "[clusters.many-{number:05}]\nserver = \"{url}\"\nca_file = \"{ca}\"")?;
            writeln!(text, "realm = \"corp\"\naudiences = [\"corp-1\"]\nlabels = {{ site = \"{site}\" }}")?;
            writeln!(text, "strategy = \"passthrough\"\ni_accept_token_passthrough = true\n")?;
        }
        std::fs::write(folder.join(format!("{:02}.toml", first / PER_FILE)), text)?;
    }
    Ok(())
}

/// How many clusters of a site alice sees, all pages together.
async fn seen_of(client: &Client, site: &str) -> anyhow::Result<usize> {
    let mut question = json!({"clusters": format!("site={site}"), "limit": 500});
    let mut seen = BTreeSet::new();
    loop {
        let page = good(client, "clusters_list", question.clone()).await?;
        seen.extend(names(&page.text).into_iter().filter(|name| name.starts_with("many-")));
        let Some(handle) = next(&page) else { return Ok(seen.len()) };
        question["continue"] = handle.into();
    }
}

/// K05: this is a debug build, which takes several times as long and as much memory as a release.
pub async fn k05_thousands_of_clusters_are_loaded_and_nobody_is_contacted(case: &Case) -> anyhow::Result<()> {
    const ALL: usize = 4_000;
    const DEBUG: u64 = 4;
    let place = Place::new(case)?;
    let counted = Broken::start(Fault::Reset).await?;
    write_clusters(case, &counted, ALL, "one")?;
    let ferry = case.ferry_of(&place.file()).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    assert_eq!(seen_of(&client, "one").await?, ALL, "all are loaded");
    write_clusters(case, &counted, ALL, "two")?;
    let asked = Instant::now();
    // The change of the files is noticed too, a moment later.
    ferry.signal("HUP").await?;
    serves(&ferry, 2, Duration::from_secs(60)).await?;
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(30), "the reload took {took:?}");
    assert_eq!((seen_of(&client, "one").await?, seen_of(&client, "two").await?), (0, ALL), "the second set serves");
    good(&client, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    let Holds { memory, files, .. } = holds(&ferry).await?;
    assert!(memory < DEBUG * (60 << 10), "{memory} KiB");
    assert!(files < 200, "{files} files");
    assert_eq!(counted.connections(), 0, "nobody is contacted before they are used");
    Ok(())
}

/// The least memory within a second or so, and the files and threads then: what calls hold comes and goes.
async fn least(ferry: &Ferry) -> anyhow::Result<Holds> {
    let mut least = holds(ferry).await?;
    for _ in 0..20 {
        pause(Duration::from_millis(50)).await;
        let now = holds(ferry).await?;
        least = if now.memory < least.memory { now } else { least };
    }
    Ok(least)
}

/// K06: reloads one after the other, each of which publishes a generation, while four clients call. A generation that
/// stays keeps all of its clusters, more than 0.6 MB of them: fifty are well above what memory may grow by.
pub async fn k06_a_hundred_reloads_under_load_fail_no_call_and_leave_nothing(case: &Case) -> anyhow::Result<()> {
    const RELOADS: usize = 100;
    const HALF: usize = RELOADS / 2;
    const CLUSTERS: usize = 200;
    const GROWN: u64 = 12 << 10;
    let place = Place::new(case)?;
    let counted = Broken::start(Fault::Reset).await?;
    write_clusters(case, &counted, CLUSTERS, "one")?;
    // The log of each byte would be what grows.
    let ferry = case.keep(Ferry::start(Some(&place.file()), &[("KUBEFERRY_LOG", "info")]).await?);
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
        let mut half = None;
        for number in 1..=RELOADS {
            ferry.signal("HUP").await?;
            serves(&ferry, number + 1, Duration::from_secs(15)).await?;
            if number == HALF {
                half = Some(least(&ferry).await?);
            }
        }
        over.store(true, Ordering::Relaxed);
        half.ok_or_else(|| anyhow::anyhow!("more reloads than the first ones"))
    };
    let (_, half) = futures::try_join!(load, reloads)?;
    assert!(calls.load(Ordering::Relaxed) >= RELOADS, "{calls:?} calls are no load");
    poll::until("what calls held to be given back", Duration::from_secs(20), || async {
        let now = holds(&ferry).await.map_err(|error| format!("{error:#}"))?;
        let grown = now.memory.saturating_sub(half.memory);
        let bounded = now.files <= half.files + 8 && now.threads <= half.threads + 8 && grown < GROWN;
        if bounded { Ok(()) } else { Err(format!("{half:?} after {HALF} reloads, {now:?} after {RELOADS}")) }
    })
    .await?;
    assert_eq!(seen_of(&clients[0].0, "one").await?, CLUSTERS, "each generation had all of them");
    assert_eq!(counted.connections(), 0, "nobody is contacted before they are used");
    assert_eq!(lines(&ferry, "reload failed").len(), 0, "{}", ferry.log());
    Ok(())
}
