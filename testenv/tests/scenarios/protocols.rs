//! rmcp's client in both generations of the protocol.

use std::time::Duration;

use serde_json::json;
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era, RpcError, raw};
use testenv::poll::until;

use crate::lab::bench::{good, names, secret_file};
use crate::lab::scene::Scene;

/// Over HTTP.
pub async fn both_generations_over_http(scene: &Scene) -> anyhow::Result<()> {
    let token = scene.token("corp", "alice");
    for era in Era::BOTH {
        let client = Client::http(scene.ferry.url(), Some(&token), era).await?;
        lists_and_calls(&client, era).await?;
        client.close().await?;
    }
    Ok(())
}

/// Over stdio, with a token from a file.
pub async fn both_generations_over_stdio(scene: &Scene) -> anyhow::Result<()> {
    let token = scene.token("corp", "alice");
    let folder = tempfile::tempdir()?;
    let (file, config) = (secret_file(folder.path(), "token", &token)?, scene.world.config());
    let (file, config) = (file.display().to_string(), config.display().to_string());
    for era in Era::BOTH {
        let args = ["--log", "debug", "stdio", "--config", &config, "--token-file", &file];
        let client = Client::stdio(&args, &[], era).await?;
        lists_and_calls(&client, era).await?;
        scene.assert_no_secret(&client.close().await?);
    }
    Ok(())
}

/// Progress over HTTP without and with sessions and over stdio, in both generations; and one plain document for a client
/// that did not ask.
pub async fn a_long_call_says_how_far_it_is_to_who_asked(scene: &Scene) -> anyhow::Result<()> {
    let (world, token) = (scene.world, scene.token("corp", "alice"));
    let follow = json!({
        "cluster": "corp-1", "namespace": "shop", "name": "web-7d4b9c-aaaaa", "container": "app", "follow": "2s",
        "tail": 5,
    });
    let sessions = world.config_text().replacen("[server]\n", "[server]\nlegacy_sessions = true\n", 1);
    let sessions = Ferry::start(Some(&world.config_of(&sessions)), &[]).await?;
    let folder = tempfile::tempdir()?;
    let file = secret_file(folder.path(), "token", &token)?.display().to_string();
    let config = world.config().display().to_string();
    let args = ["stdio", "--config", &config, "--token-file", &file];
    for era in Era::BOTH {
        let clients = [
            ("HTTP", Client::http(scene.ferry.url(), Some(&token), era).await?),
            ("sessions", Client::http(sessions.url(), Some(&token), era).await?),
            ("stdio", Client::stdio(&args, &[], era).await?),
        ];
        for (way, client) in clients {
            good(&client, "namespaces_list", json!({"cluster": "corp-1"})).await?;
            assert_eq!(client.progress(), [], "{era:?}, {way}: a short call says nothing but its answer");
            let answer = good(&client, "pods_log", follow.clone()).await?;
            assert!(answer.text.contains("followed for 2 s"), "{era:?}, {way}: {}", answer.text);
            let what = format!("progress in {era:?} over {way}");
            let mut said = until(&what, Duration::from_secs(10), async || {
                Some(client.progress()).filter(|said| !said.is_empty()).ok_or_else(|| "nothing came".to_owned())
            })
            .await?;
            // rmcp hands each over in a task of its own.
            said.sort_by(|one, other| one.progress.total_cmp(&other.progress));
            assert!((1..=9).contains(&said.len()), "{what}: {said:?}");
            for step in said {
                assert!(step.progress >= 5.0 && step.total.is_none(), "{what}: {step:?}");
                assert_eq!(step.message, format!("{} lines so far", step.progress), "{what}");
            }
            client.close().await?;
        }
    }
    let plain = raw::tools_call(scene.ferry.url(), Some(&token), "pods_log", follow).await?;
    assert_eq!((plain.status.as_u16(), plain.header("content-type")), (200, "application/json"), "{}", plain.text);
    assert!(plain.json()?["result"]["content"][0]["text"].is_string(), "{}", plain.text);
    Ok(())
}

async fn lists_and_calls(client: &Client, era: Era) -> anyhow::Result<()> {
    let revision = if era == Era::Modern { "2026-07-28" } else { "2025-11-25" };
    assert_eq!(client.revision(), revision);
    let server = client.server().expect("the server says who it is");
    assert_eq!(server.server_info.as_ref().map(|info| info.name.as_str()), Some("kubeferry"));
    let instructions = server.instructions.as_deref().unwrap_or_default();
    assert!(instructions.contains("cluster"), "{era:?}: the instructions explain targets: {instructions:?}");

    let tools = client.tools().await?;
    let listed: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert!(listed.is_sorted(), "{era:?}: sorted: {listed:?}");
    for tool in ["clusters_list", "namespaces_list", "resources_get", "resources_list", "whoami"] {
        assert!(listed.contains(&tool), "{era:?}: no {tool} in {listed:?}");
    }
    for tool in &tools {
        let hints = tool.annotations.as_ref().expect("tools carry hints");
        assert_eq!(hints.read_only_hint, Some(true), "{era:?}: {} reads", tool.name);
    }

    let listed = good(client, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    let found = names(&listed.text);
    assert!(["default", "team-a", "team-b"].iter().all(|name| found.contains(&(*name).to_owned())), "{}", listed.text);
    let clusters = names(&good(client, "clusters_list", json!({})).await?.text);
    assert_eq!(clusters, ["corp-1", "dev", "kcp-eu"], "{era:?}: what alice can reach");
    let error = client.call("namespaces_lost", json!({})).await.expect_err("there is no such tool");
    assert_eq!(error.downcast_ref::<RpcError>().map(|error| error.code), Some(-32602), "{error:#}");
    Ok(())
}
