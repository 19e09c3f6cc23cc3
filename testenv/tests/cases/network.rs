//! Servers that cannot be connected to, or say nothing.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::json;
use testenv::faults::{BlackHole, Broken, Fault, Switch};
use testenv::ferry::Ferry;
use testenv::mcp::{Called, Client, Era};
use testenv::pki::{Ca, LOOPBACK};
use testenv::poll;
use testenv::process::port;
use testenv::tap::{Tap, TapConfig};
use testenv::world::RESOURCE;

use crate::lab::bench::{bad, good};
use crate::lab::case::Case;

/// Time to connect, TLS included.
const CONNECT: Duration = Duration::from_secs(3);
/// Time to the first byte of an answer.
const FIRST_BYTE: Duration = Duration::from_secs(15);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_secs(4);
/// What a call that sends nothing takes, on a busy machine: less than connecting would.
const AT_ONCE: Duration = Duration::from_secs(2);
/// What a call to a cluster that is well takes, on a busy machine.
const WELL: Duration = Duration::from_secs(5);

/// Lists the namespaces of a cluster that does not work: the answer, and what it took. It begins with the cluster's name.
async fn fails(client: &Client, cluster: &str) -> anyhow::Result<(Called, Duration)> {
    let asked = Instant::now();
    let called = bad(client, "namespaces_list", json!({"cluster": cluster})).await?;
    anyhow::ensure!(called.text.starts_with(&format!("{cluster}: ")), "it is named first: {}", called.text);
    Ok((called, asked.elapsed()))
}

async fn works(client: &Client, cluster: &str) -> anyhow::Result<Duration> {
    let asked = Instant::now();
    good(client, "namespaces_list", json!({"cluster": cluster})).await?;
    Ok(asked.elapsed())
}

fn code(called: &Called) -> &str {
    called.structured.as_ref().and_then(|twin| twin["code"].as_str()).unwrap_or_default()
}

/// R01: one port is closed, and behind one every connection is reset.
pub async fn r01_a_dead_cluster_is_named_and_costs_others_nothing(case: &Case) -> anyhow::Result<()> {
    let reset = Broken::start(Fault::Reset).await?;
    let closed = case.cluster("closed", &format!("https://127.0.0.1:{}", port::free()?), reset.ca_pem())?;
    let ferry = case.ferry(&(closed + &case.cluster("reset", &reset.url(), reset.ca_pem())?)).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    works(&client, "corp-1").await?;
    let dead = try_join_all(["closed", "reset"].map(|cluster| fails(&client, cluster)));
    let others = try_join_all((0..8).map(|_| works(&client, "corp-1")));
    let (dead, others) = futures::try_join!(dead, others)?;
    for (failed, took) in dead {
        assert!(took < CONNECT, "took {took:?}: {}", failed.text);
        assert_eq!(code(&failed), "cluster_unreachable", "{}", failed.text);
        assert!(failed.text.contains("cannot connect: "), "why: {}", failed.text);
    }
    assert!(others.iter().all(|took| *took < WELL), "{others:?}");
    assert!(reset.connections() > 0, "it was tried");
    Ok(())
}

/// Five calls at once wait for their connections, later ones are told when to come again. Each has a token of its own,
/// since what one of them learns is not shared with the others.
async fn given_up(case: &Case, ferry: &Ferry, cluster: &str) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..5 {
        let token = case.token_for("corp", "alice", &[RESOURCE, "corp-1"]);
        clients.push(Client::http(ferry.url(), Some(&token), Era::Modern).await?);
    }
    let failed = try_join_all(clients.iter().map(|client| fails(client, cluster))).await?;
    for (failed, took) in failed {
        assert!(took >= CONNECT && took < CONNECT + SLACK, "took {took:?}: {}", failed.text);
        assert_eq!(code(&failed), "cluster_unreachable", "{}", failed.text);
        assert!(failed.text.contains("no connection within 3 s"), "{}", failed.text);
    }
    for client in &clients {
        let (failed, took) = fails(client, cluster).await?;
        assert!(took < AT_ONCE, "took {took:?}: {}", failed.text);
        assert!(failed.text.contains("retry in "), "{}", failed.text);
    }
    works(&clients[0], "corp-1").await?;
    Ok(())
}

/// R02.
pub async fn r02_a_black_hole_is_given_up_after_three_seconds(case: &Case) -> anyhow::Result<()> {
    let hole = BlackHole::start().await?;
    let ferry = case.ferry(&case.cluster("hole", &hole.url(), case.world.corp_1.tap.ca_pem())?).await?;
    given_up(case, &ferry, "hole").await
}

/// R03.
pub async fn r03_silence_before_tls_is_given_up_after_three_seconds(case: &Case) -> anyhow::Result<()> {
    let silent = Broken::start(Fault::Silent).await?;
    let ferry = case.ferry(&case.cluster("silent", &silent.url(), silent.ca_pem())?).await?;
    given_up(case, &ferry, "silent").await
}

/// R04, with both protocols: the server says nothing, and one that is well takes its place.
pub async fn r04_silence_after_tls_ends_with_the_first_byte_deadline(case: &Case) -> anyhow::Result<()> {
    let servers =
        [Broken::start(Fault::Speechless(b"h2")).await?, Broken::start(Fault::Speechless(b"http/1.1")).await?];
    let toml = case.cluster("two", &servers[0].url(), servers[0].ca_pem())?
        + &case.cluster("one", &servers[1].url(), servers[1].ca_pem())?;
    let ferry = case.ferry(&toml).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let failed = try_join_all(["two", "one"].map(|cluster| fails(&client, cluster))).await?;
    for (failed, took) in failed {
        assert!(took >= FIRST_BYTE && took < FIRST_BYTE + SLACK, "took {took:?}: {}", failed.text);
        assert_eq!(code(&failed), "cluster_timeout", "{}", failed.text);
    }
    // Two requests are sent at once, for the two parts of discovery; none of them twice.
    let before = [servers[0].connections(), servers[1].connections()];
    assert!(before.iter().all(|connections| (1..=2).contains(connections)), "{before:?}");
    let again = try_join_all(["two", "one"].map(|cluster| fails(&client, cluster)));
    let connected = poll::until("new connections", SLACK, || async {
        let now = [servers[0].connections(), servers[1].connections()];
        let new = now.iter().zip(before).all(|(now, before)| *now > before);
        if new { Ok(()) } else { Err(format!("{now:?} connections of h2 and http/1.1 after {before:?}")) }
    });
    tokio::select! {
        early = again => anyhow::bail!("an answer of a server that says nothing: {early:?}"),
        connected = connected => connected,
    }
}

/// R16: relays with a bad certificate before the cluster; nothing may get as far as HTTP.
pub async fn r16_a_wrong_certificate_is_said_in_plain_words(case: &Case) -> anyhow::Result<()> {
    let (ours, other) = (Ca::new("ours"), Ca::new("other"));
    let behind = &case.world.corp_1.tap;
    let bad = [
        ("expired", ours.expired_server(LOOPBACK), "its certificate has expired"),
        ("foreign", other.server(LOOPBACK), "its certificate is not signed by the CA in the inventory"),
        ("elsewhere", ours.server(&["elsewhere.example"]), "its certificate is for another name"),
    ];
    let (mut taps, mut toml) = (Vec::new(), String::new());
    for (name, leaf, _) in &bad {
        let config = TapConfig::new(name, &behind.address().to_string(), behind.ca_pem());
        let tap = Tap::start(TapConfig { ca: Some(ours.clone()), leaf: Some(leaf.clone()), ..config }).await?;
        toml += &case.cluster(name, &tap.url(), ours.pem())?;
        taps.push(tap);
    }
    let ferry = case.ferry(&toml).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    for ((name, _, words), tap) in bad.iter().zip(&taps) {
        let (failed, _) = fails(&client, name).await?;
        assert!(failed.text.contains(words), "{}", failed.text);
        assert_eq!(code(&failed), "cluster_unreachable", "{}", failed.text);
        assert!(tap.connections() > 0, "{name} was tried");
        assert!(tap.requests().is_empty() && tap.token_digests().is_empty(), "{name}: {:?}", tap.requests());
    }
    Ok(())
}

/// R17: the same address shows the certificate of another CA; then the file says so too.
pub async fn r17_a_rotated_ca_is_taken_up_without_a_restart(case: &Case) -> anyhow::Result<()> {
    let behind = &case.world.corp_1.tap;
    let relay =
        async |name: &str| Tap::start(TapConfig::new(name, &behind.address().to_string(), behind.ca_pem())).await;
    let (before, after) = (relay("before").await?, relay("after").await?);
    let switch = Switch::start(before.address()).await?;
    let ferry = case.ferry(&case.cluster("rotated", &switch.url(), before.ca_pem())?).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    works(&client, "rotated").await?;
    switch.to(Some(after.address()));
    let (failed, _) = fails(&client, "rotated").await?;
    assert!(failed.text.contains("not signed by the CA in the inventory"), "{}", failed.text);
    assert!(after.requests().is_empty(), "nothing was sent to whom is not trusted: {:?}", after.requests());
    case.write("rotated-ca.pem", after.ca_pem())?;
    poll::until("the new CA to count", Duration::from_secs(60), || async {
        works(&client, "rotated").await.map(drop).map_err(|error| format!("{error:#}"))
    })
    .await
}

/// R19: an unknown name; and a name whose server goes away, with all connections, and comes back.
pub async fn r19_a_name_without_address_is_said_and_a_server_that_comes_back_is_found(
    case: &Case,
) -> anyhow::Result<()> {
    let behind = &case.world.corp_1.tap;
    let switch = Switch::start(behind.address()).await?;
    let port = switch.address().port();
    let toml = case.cluster("unknown", &format!("https://no-such-host.invalid:{port}"), behind.ca_pem())?
        + &case.cluster("away", &format!("https://localhost:{port}"), behind.ca_pem())?;
    let ferry = case.ferry(&toml).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let (failed, took) = fails(&client, "unknown").await?;
    assert!(took < CONNECT + SLACK, "took {took:?}: {}", failed.text);
    assert!(failed.text.contains("the host name is unknown"), "{}", failed.text);
    works(&client, "away").await?;
    switch.to(None);
    // Until the breaker opens.
    for _ in 0..6 {
        fails(&client, "away").await?;
    }
    switch.to(Some(behind.address()));
    poll::until("the server to be found again", Duration::from_secs(30), || async {
        works(&client, "away").await.map(drop).map_err(|error| format!("{error:#}"))
    })
    .await
}
