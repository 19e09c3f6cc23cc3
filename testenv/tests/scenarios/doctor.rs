//! `kubeferry doctor` on a fleet that is well, and on one that is not.

use std::collections::BTreeMap;

use serde_json::Value;
use testenv::ferry::{self, Ran};
use testenv::process::port;

use crate::lab::bench::{KubeContext, home};
use crate::lab::scene::Scene;
use crate::lab::shard::{Shard, entry};

/// The world's configuration on a free port, with more after it.
fn config(scene: &Scene, more: &str) -> String {
    let text = scene.world.config_text().replacen("[server]\n", "[server]\nlisten = \"127.0.0.1:0\"\n", 1);
    scene.world.config_of(&format!("{text}\n{more}")).display().to_string()
}

/// What was found, by what it is about.
async fn doctor(config: &str) -> anyhow::Result<(Ran, BTreeMap<String, Vec<Value>>)> {
    let ran = ferry::run(&["doctor", "--json", "--config", config], &[], None).await?;
    let found: Vec<Value> = serde_json::from_str(&ran.stdout)?;
    let mut by = BTreeMap::<String, Vec<Value>>::new();
    for one in found {
        by.entry(one["about"].as_str().unwrap_or_default().to_owned()).or_default().push(one);
    }
    Ok((ran, by))
}

fn levels(found: &[Value]) -> Vec<&str> {
    found.iter().filter_map(|one| one["level"].as_str()).collect()
}

/// Realms, clusters and the gateway's own credential are looked at; no caller is needed, and no other credential leaves.
pub async fn a_fleet_that_is_well_has_no_failure(scene: &Scene) -> anyhow::Result<()> {
    let (ran, found) = doctor(&config(scene, "")).await?;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    for about in [
        "configuration",
        "listener",
        "realm corp",
        "realm acme",
        "cluster corp-1",
        "cluster acme-1",
        "cluster kcp-eu",
        "cluster dev",
    ] {
        assert!(found.contains_key(about), "{about}: {}", ran.stdout);
    }
    for (about, findings) in &found {
        assert!(!levels(findings).contains(&"failed"), "{about}: {findings:?}");
    }
    let dev = &found["cluster dev"];
    assert!(dev.len() == 2 && dev[1]["said"].as_str().is_some_and(|said| said.contains("may impersonate")), "{dev:?}");
    for site in scene.world.sites() {
        for request in site.tap.requests() {
            let own = site.name == "dev" && request.path.ends_with("reviews");
            assert!(own || request.credentials.is_empty(), "{}: {request:?}", site.name);
            assert!(request.impersonation.is_empty(), "{}: {request:?}", site.name);
        }
    }
    scene.assert_no_secret(&ran.stdout);
    assert!(!ran.stdout.contains(scene.world.gateway_token()), "{}", ran.stdout);
    let text = ferry::run(&["doctor", "--config", &config(scene, "")], &[], None).await?;
    assert!(text.code == 0 && text.stdout.starts_with("ok       configuration: no mistake\n"), "{text:?}");
    Ok(())
}

/// A kcp's front-proxy answers 404 outside of workspaces, and is there all the same; it sees no credential.
pub async fn a_front_proxy_is_a_kcp(scene: &Scene) -> anyhow::Result<()> {
    let proxy = Shard::behind_front_proxy(scene).await?;
    let (tap, table) = entry(scene, "kcp-x", proxy.url(), proxy.ca_pem()).await?;
    let (ran, found) = doctor(&config(scene, &table)).await?;
    assert_eq!(levels(&found["cluster kcp-x"]), ["ok"], "{}", ran.stdout);
    let requests = tap.requests();
    let asked: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(asked, ["/version", "/clusters/root/version"]);
    assert!(requests.iter().all(|request| request.credentials.is_empty()), "{requests:?}");
    Ok(())
}

/// A dead cluster, a wrong CA, a cluster that nobody reaches and an audience of two: each is named with its fix.
pub async fn what_is_not_well_is_named_with_its_fix(scene: &Scene) -> anyhow::Result<()> {
    let passthrough = "realm = \"corp\"\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n";
    let corp = &scene.world.corp_1.tap;
    let more = format!(
        "[clusters.dead]\nserver = \"https://127.0.0.1:{}\"\naudiences = [\"dead\"]\n{passthrough}\
         [clusters.stranger]\nserver = \"{}\"\nca_file = \"realms-ca.pem\"\naudiences = [\"corp-1\"]\n{passthrough}\
         [clusters.idle]\nserver = \"{}\"\nstrategy = \"none\"\n",
        port::free()?,
        corp.url(),
        corp.url()
    );
    let (ran, found) = doctor(&config(scene, &more)).await?;
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    for (about, level, said) in [
        ("cluster dead", "failed", "connection refused"),
        ("cluster stranger", "failed", "not signed by the CA"),
        ("cluster idle", "warning", "nobody reaches it"),
        ("audiences", "warning", "corp-1, stranger"),
    ] {
        let one = &found[about][0];
        assert_eq!(one["level"], level, "{one}");
        assert!(one["said"].as_str().is_some_and(|text| text.contains(said)), "{said}: {one}");
        assert!(one["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{one}");
    }
    assert_eq!(levels(&found["cluster corp-1"]), ["ok"], "one that is dead costs the others nothing");
    scene.assert_no_secret(&ran.stdout);
    let broken = config(scene, "[clusters.broken]\nserver = \"https://a.example\"\n");
    let ran = ferry::run(&["doctor", "--config", &broken], &[], None).await?;
    assert!(ran.code == 2 && ran.stderr.contains("clusters.broken: strategy is missing"), "{ran:?}");
    Ok(())
}

/// Without any configuration: each context of the kubeconfig, and whether its own user is accepted.
pub async fn a_kubeconfig_is_looked_at_with_its_own_users(scene: &Scene) -> anyhow::Result<()> {
    let tap = &scene.world.dev.tap;
    let dead = format!("https://127.0.0.1:{}", port::free()?);
    let context = |name, server, token| KubeContext { name, server, ca_pem: tap.ca_pem(), token };
    let url = tap.url();
    let home = home(&[
        context("good", &url, scene.world.gateway_token()),
        context("bad", &url, "not-a-token"),
        context("dead", &dead, "not-a-token"),
    ])?;
    let home = home.path().display().to_string();
    let env = [("HOME", home.as_str()), ("KUBEFERRY_SERVER_LISTEN", "127.0.0.1:0")];
    let ran = ferry::run(&["doctor"], &env, None).await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    let line = |about: &str| -> Vec<&str> {
        ran.stdout.lines().filter(|line| line.contains(&format!(" cluster {about}: "))).collect()
    };
    let (good, bad, dead) = (line("good"), line("bad"), line("dead"));
    assert!(good.len() == 2 && good.iter().all(|line| line.starts_with("ok ")), "{}", ran.stdout);
    assert!(bad.len() == 2 && bad[1].starts_with("failed ") && bad[1].contains("401"), "{}", ran.stdout);
    assert!(dead.len() == 1 && dead[0].contains("connection refused"), "{}", ran.stdout);
    assert!(!ran.stdout.contains(scene.world.gateway_token()) && !ran.stdout.contains("not-a-token"), "{}", ran.stdout);
    Ok(())
}
