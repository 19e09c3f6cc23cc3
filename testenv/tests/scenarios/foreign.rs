//! Clients that others wrote, in both generations of the protocol.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use testenv::ferry::Ferry;
use testenv::foreign::{self, Foreign, Recorder, Sent, Spoke, Way};
use testenv::mcp::Era;
use testenv::realm::{Client, Endpoint};

use crate::lab::bench::{names, secret_file};
use crate::lab::guide;
use crate::lab::scene::Scene;

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";

/// Every client, in each generation, lists the tools and the namespaces of a cluster.
pub async fn foreign_clients_call_over_http(scene: &Scene) -> anyhow::Result<()> {
    let token = scene.token("corp", "alice");
    let way = Way::Http { url: scene.ferry.url(), token: &token };
    for client in Foreign::ALL {
        for era in Era::BOTH {
            lists_namespaces(scene, client, Some(era), way).await.with_context(|| format!("{client:?}, {era:?}"))?;
        }
    }
    Ok(())
}

/// What a user gets who says nothing of generations: the newest one, but Inspector's command line stays with the old.
pub async fn foreign_clients_choose_a_generation(scene: &Scene) -> anyhow::Result<()> {
    let token = scene.token("corp", "alice");
    let way = Way::Http { url: scene.ferry.url(), token: &token };
    for client in Foreign::ALL {
        lists_namespaces(scene, client, None, way).await.with_context(|| format!("{client:?}"))?;
    }
    Ok(())
}

/// Inspector and the MCP SDK for Python start kubeferry themselves.
pub async fn foreign_clients_call_over_stdio(scene: &Scene) -> anyhow::Result<()> {
    let token = scene.token("corp", "alice");
    let folder = tempfile::tempdir()?;
    let file = secret_file(folder.path(), "token", &token)?.display().to_string();
    let config = scene.world.config().display().to_string();
    let args = ["stdio", "--config", &config, "--token-file", &file];
    for client in [Foreign::Inspector, Foreign::PythonSdk] {
        for era in Era::BOTH {
            let way = Way::Stdio(&args);
            lists_namespaces(scene, client, Some(era), way).await.with_context(|| format!("{client:?}, {era:?}"))?;
        }
    }
    Ok(())
}

/// A client whose token is wrong ends with an error that says so, and no cluster hears of it.
pub async fn foreign_clients_say_that_a_token_is_wrong(scene: &Scene) -> anyhow::Result<()> {
    let url = scene.ferry.url();
    let token = scene.world.realms.token("corp", "alice", "https://other.example/mcp").mint();
    scene.remember(&token);
    for client in Foreign::ALL {
        for era in Era::BOTH {
            let way = Way::Http { url, token: &token };
            let asked = client.ask(Some(era), way, "namespaces_list", &json!({"cluster": "corp-1"})).await;
            let error = format!("{:#}", asked.expect_err("the token is for another server"));
            // Inspector wants to sign in instead, which needs a person.
            let word = if client == Foreign::Inspector { "auth_required" } else { "issued for another audience" };
            assert!(error.contains(word), "{client:?}, {era:?}: {error}");
            scene.assert_no_secret(&error);
        }
    }
    scene.assert_untouched("wrong tokens of foreign clients");
    Ok(())
}

/// The MCP SDK for Python signs in by itself: our 401 leads to our metadata, that to the realm's, and these to a page where
/// alice writes her password. Her token is for kubeferry alone, so she reaches the cluster that needs no other.
pub async fn a_foreign_client_signs_in_by_itself(scene: &Scene) -> anyhow::Result<()> {
    let realms = &scene.world.realms;
    let recorder = Recorder::bind().await?;
    let resource = recorder.url();
    // kubeferry must be what the client calls it.
    let config = scene.world.config_text().replacen(testenv::world::RESOURCE, &resource, 1);
    let ferry = Ferry::start(Some(&scene.world.config_of(&config)), &[("KUBEFERRY_LOG", "trace")]).await?;
    recorder.forward_to(ferry.url())?;
    let redirect = "http://127.0.0.1:9/callback";
    realms.register("corp", Client::public("sign-in", &[&resource]).redirect(redirect));
    let alice = realms.user("corp", "alice");
    let ca = scene.world.folder().join("realms-ca.pem");
    let sign_in = json!({
        "client_id": "sign-in", "redirect_uri": redirect, "ca_file": ca,
        "username": alice.username, "password": alice.password,
    });
    scene.clear();
    let ran = foreign::sign_in_and_ask(&resource, &sign_in, "namespaces_list", &json!({"cluster": "dev"})).await?;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let told = foreign::report(&ran)?;
    assert!(!told.is_error && told.tools.contains(&"whoami".to_owned()), "{told:?}");
    assert!(names(&told.text).contains(&"default".to_owned()), "{told:?}");
    for (endpoint, times) in [(Endpoint::Discovery, 1..), (Endpoint::Authorization, 2..), (Endpoint::Token, 1..)] {
        let fetches = realms.fetches("corp", endpoint);
        assert!(times.contains(&fetches), "{endpoint:?}: {fetches} requests");
    }
    assert_eq!(Sent::spoke(&recorder.sent()?)?, Spoke::Stateless(MODERN.to_owned()));
    let tokens = recorder.tokens();
    assert!(!tokens.is_empty(), "the client showed no token");
    tokens.iter().for_each(|token| scene.remember(token));
    scene.assert_no_secret(&format!("{}{}", ferry.log(), ran.stderr));
    assert!(!ferry.log().contains(&alice.password), "a password reached kubeferry");

    let mut wrong = sign_in;
    wrong["password"] = json!("wrong");
    let ran = foreign::sign_in_and_ask(&resource, &wrong, "whoami", &json!({})).await?;
    assert!(ran.code != 0 && ran.stderr.contains("Invalid username or password"), "{}{}", ran.stdout, ran.stderr);
    assert!(ferry.stop().await.success());
    Ok(())
}

/// The lines of the guide, with the Inspector that is installed in place of `npx`.
pub async fn inspector_runs_as_the_guide_says(scene: &Scene) -> anyhow::Result<()> {
    let token = scene.token("corp", "alice");
    let home = tempfile::tempdir()?;
    let mut printed = Vec::new();
    for command in guide::commands(&token).await?.iter().filter(|command| command[0] == "npx") {
        let mut inspector = foreign::node(foreign::INSPECTOR)?;
        inspector.args(command[2..].iter().map(|arg| arg.replace(guide::EXAMPLE, scene.ferry.url())));
        let ran = foreign::run(inspector, home.path(), Duration::from_secs(60)).await?;
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        printed.push(ran.stdout);
    }
    let [listed, called] = &printed[..] else { anyhow::bail!("not two commands") };
    assert!(listed.contains("namespaces_list") && called.contains("team-a"), "{listed}{called}");
    Ok(())
}

async fn lists_namespaces(scene: &Scene, client: Foreign, era: Option<Era>, way: Way<'_>) -> anyhow::Result<()> {
    let (told, spoke) = client.ask(era, way, "namespaces_list", &json!({"cluster": "corp-1"})).await?;
    for tool in ["clusters_list", "namespaces_list", "whoami"] {
        assert!(told.tools.iter().any(|listed| listed == tool), "no {tool} in {:?}", told.tools);
    }
    let found = names(&told.text);
    let all = ["default", "team-a", "team-b"].iter().all(|name| found.contains(&(*name).to_owned()));
    assert!(!told.is_error && all, "{}", told.text);
    scene.assert_no_secret(&told.text);

    let era = era.unwrap_or(if client == Foreign::Inspector { Era::Legacy } else { Era::Modern });
    let expected = match era {
        Era::Modern => Spoke::Stateless(MODERN.to_owned()),
        Era::Legacy => Spoke::Initialized(LEGACY.to_owned()),
    };
    assert_eq!(spoke, expected);
    let (Spoke::Stateless(revision) | Spoke::Initialized(revision)) = expected;
    assert_eq!(told.claims, (client != Foreign::Inspector).then_some(revision), "what the client says of itself");
    Ok(())
}
