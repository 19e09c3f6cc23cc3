//! A cluster that is down, and the end of the program.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tempfile::TempDir;
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era, raw};
use testenv::poll;
use testenv::process::port;
use testenv::realm::{Endpoint, Fault};
use testenv::simulator::{Rule, SimConfig, Simulator};
use testenv::tap::{Tap, TapConfig};
use tokio::net::TcpListener;

use crate::lab::bench::{KubeContext, bad, good, home, names};
use crate::lab::scene::Scene;

/// A cluster that takes connections and says nothing is given up within this: two attempts to connect, 3 s each.
const GIVEN_UP: Duration = Duration::from_secs(12);
/// Authentication answers within this, whatever a realm does.
const AUTHENTICATED: Duration = Duration::from_secs(18);
/// What a call to a cluster that is well may take meanwhile.
const UNAFFECTED: Duration = Duration::from_secs(2);

/// One cluster refuses connections, one never answers; neither costs start-up or the others anything.
pub async fn a_dead_cluster_is_explained_and_others_answer(scene: &Scene) -> anyhow::Result<()> {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await?;
    let extra = |name: &str, port: u16| {
        format!(
            "[clusters.{name}]\nserver = \"https://127.0.0.1:{port}\"\nca_file = \"corp-1-ca.pem\"\nrealm = \"corp\"\n\
             audiences = [\"corp-1\"]\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n"
        )
    };
    let extra = extra("dead", port::free()?) + &extra("silent", silent.local_addr()?.port());
    let started = Instant::now();
    let ferry = Ferry::start(Some(&scene.world.config_with(&extra)), &[("KUBEFERRY_LOG", "debug")]).await?;
    assert!(started.elapsed() < Duration::from_secs(10), "start-up waits for no cluster: {:?}", started.elapsed());
    let client = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    good(&client, "namespaces_list", json!({"cluster": "corp-1"})).await?;

    let started = Instant::now();
    let explained = async |cluster: &str, within: Duration| {
        let failed = bad(&client, "namespaces_list", json!({"cluster": cluster})).await?;
        let took = started.elapsed();
        anyhow::ensure!(took < within, "{cluster} took {took:?}: {}", failed.text);
        anyhow::ensure!(failed.text.starts_with(&format!("{cluster}: ")), "it is named first: {}", failed.text);
        let kind = failed.structured.as_ref().map(|twin| twin["kind"].clone());
        anyhow::ensure!(kind == Some(json!("unreachable")), "{cluster}: {kind:?} {}", failed.text);
        anyhow::Ok(())
    };
    let others = async {
        while started.elapsed() < Duration::from_secs(5) {
            for cluster in ["corp-1", "dev"] {
                let asked = Instant::now();
                let listed = good(&client, "namespaces_list", json!({"cluster": cluster})).await?;
                anyhow::ensure!(names(&listed.text).contains(&"team-a".to_owned()), "{cluster}: {}", listed.text);
                anyhow::ensure!(asked.elapsed() < UNAFFECTED, "{cluster} took {:?}", asked.elapsed());
            }
            poll::until("a moment", Duration::from_secs(5), {
                let before = Instant::now();
                move || async move {
                    if before.elapsed() > Duration::from_millis(100) { Ok(()) } else { Err("not yet".to_owned()) }
                }
            })
            .await?;
        }
        anyhow::Ok(())
    };
    futures::try_join!(explained("dead", GIVEN_UP), explained("silent", GIVEN_UP), others)?;
    let listed = good(&client, "clusters_list", json!({})).await?;
    assert!(names(&listed.text).contains(&"dead".to_owned()), "a dead cluster is still listed: {}", listed.text);
    let ready = raw::get(&format!("{}/readyz", ferry.base()), &[]).await?;
    assert_eq!(ready.status, 200, "a dead cluster is no reason to restart us");
    scene.assert_no_secret(&ferry.log());
    Ok(())
}

/// The callers of a realm that does not answer are told to come again; those of others notice nothing.
pub async fn a_dead_realm_costs_its_own_callers_only(scene: &Scene) -> anyhow::Result<()> {
    let realms = &scene.world.realms;
    for endpoint in [Endpoint::Discovery, Endpoint::Certs] {
        realms.fault("acme", endpoint, Fault::Delay(Duration::from_secs(60)));
    }
    let started = Instant::now();
    let (alice, carol) = (scene.token("corp", "alice"), scene.token("acme", "carol"));
    let turned_away = async {
        let reply =
            raw::tools_call(scene.ferry.url(), Some(&carol), "namespaces_list", json!({"cluster": "acme-1"})).await?;
        anyhow::ensure!(started.elapsed() < AUTHENTICATED, "carol was kept for {:?}", started.elapsed());
        anyhow::ensure!(reply.status == 503, "{}: {}", reply.status, reply.text);
        anyhow::ensure!(!reply.header("retry-after").is_empty(), "when to come again: {:?}", reply.headers);
        anyhow::Ok(())
    };
    let served = async {
        for _ in 0..10 {
            let asked = Instant::now();
            let reply =
                raw::tools_call(scene.ferry.url(), Some(&alice), "namespaces_list", json!({"cluster": "corp-1"}))
                    .await?;
            anyhow::ensure!(reply.status == 200 && reply.text.contains("team-a"), "{}: {}", reply.status, reply.text);
            anyhow::ensure!(asked.elapsed() < UNAFFECTED, "alice waited for {:?}", asked.elapsed());
        }
        anyhow::Ok(())
    };
    futures::try_join!(turned_away, served)?;
    let ready = raw::get(&format!("{}/readyz?verbose", scene.ferry.base()), &[]).await?;
    assert!(ready.status == 200 && ready.text.contains("[!]realm acme"), "{}: {}", ready.status, ready.text);
    assert_eq!(scene.world.acme_1.tap.connections(), 0, "nothing was asked for her");
    Ok(())
}

/// An API server that can be made slow, and a home whose kubeconfig leads there.
async fn slow_cluster() -> anyhow::Result<(Simulator, Tap, TempDir)> {
    let slow = Simulator::start(SimConfig::kubernetes().token("slow-token", "me", &[])).await?;
    slow.cluster().allow(Rule::user("me").reads_everything());
    let address = slow.url().trim_start_matches("https://");
    let tap = Tap::start(TapConfig::new("slow", address, slow.ca_pem())).await?;
    let home = home(&[KubeContext { name: "slow", server: &tap.url(), ca_pem: tap.ca_pem(), token: "slow-token" }])?;
    Ok((slow, tap, home))
}

/// The program in local mode for that home, and its local token.
async fn local_ferry(home: &TempDir) -> anyhow::Result<(Ferry, String)> {
    let ferry = Ferry::start(None, &[("HOME", &home.path().display().to_string())]).await?;
    let token = std::fs::read_to_string(home.path().join(".local/state/kubeferry/local-token"))?;
    Ok((ferry, token.trim().to_owned()))
}

async fn until_asked(tap: &Tap) -> anyhow::Result<()> {
    poll::until("the request to reach the cluster", Duration::from_secs(10), || async {
        if tap.requests().is_empty() { Err("not there".to_owned()) } else { Ok(()) }
    })
    .await
}

/// Nobody waits for the answer any more: the cluster is not kept busy with it.
pub async fn a_client_that_goes_away_takes_its_request_along(_scene: &Scene) -> anyhow::Result<()> {
    let (slow, tap, home) = slow_cluster().await?;
    let (ferry, token) = local_ferry(&home).await?;
    let call = || raw::tools_call(ferry.url(), Some(&token), "namespaces_list", json!({}));
    assert_eq!(call().await?.status, 200);
    slow.set_delay(Duration::from_secs(2));
    tap.clear();
    slow.clear_requests();
    tokio::select! {
        early = call() => anyhow::bail!("the cluster was to be slow: {early:?}"),
        asked = until_asked(&tap) => asked?,
    }
    // The first call's two seconds are over before this one's.
    assert_eq!(call().await?.status, 200);
    let answered: Vec<String> = slow.requests().into_iter().map(|request| request.target).collect();
    assert_eq!((tap.requests().len(), answered.len()), (2, 1), "asked and answered: {answered:?}");
    Ok(())
}

/// SIGTERM: the call in flight gets its answer, new ones are not taken, the status is 0.
pub async fn a_call_in_flight_ends_well_on_sigterm(_scene: &Scene) -> anyhow::Result<()> {
    let (slow, tap, home) = slow_cluster().await?;
    for era in Era::BOTH {
        let (ferry, token) = local_ferry(&home).await?;
        let client = Client::http(ferry.url(), Some(&token), era).await?;
        slow.set_delay(Duration::ZERO);
        good(&client, "namespaces_list", json!({})).await?;
        slow.set_delay(Duration::from_secs(2));
        tap.clear();
        let stopped = async {
            until_asked(&tap).await?;
            // A second signal would end it at once.
            let refused = poll::until("new connections to be refused", Duration::from_secs(10), || async {
                match raw::get(&format!("{}/livez", ferry.base()), &[]).await {
                    Err(_refused) => Ok(()),
                    Ok(reply) => Err(format!("{}", reply.status)),
                }
            });
            let (status, refused) = futures::join!(ferry.stop(), refused);
            refused.map(|()| status)
        };
        let call = async {
            good(&client, "namespaces_list", json!({})).await.with_context(|| format!("{era:?}: the call in flight"))
        };
        let (listed, status) = futures::try_join!(call, stopped).with_context(|| ferry.log())?;
        assert!(names(&listed.text).contains(&"default".to_owned()), "{era:?}: {}", listed.text);
        assert_eq!(status.code(), Some(0), "{era:?}: {status}\n{}", ferry.log());
    }
    Ok(())
}
