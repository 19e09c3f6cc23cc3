//! rmcp's client in both generations of the protocol.

use serde_json::json;
use testenv::mcp::{Client, Era, RpcError};

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
