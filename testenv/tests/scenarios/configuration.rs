//! What an operator configures while the program runs: limits, and a listener for metrics.

use std::time::Duration;

use serde_json::json;
use testenv::ferry::{self, Ferry};
use testenv::mcp::{Client, Era, raw};
use testenv::poll;
use testenv::process::port;

use crate::lab::bench::good;
use crate::lab::scene::Scene;

/// Time for a reload on a busy machine.
const RELOADED: Duration = Duration::from_secs(20);

/// Waits until the metrics at `url` have a line.
async fn counted(url: &str, line: &str) -> anyhow::Result<()> {
    poll::until(&format!("{line} at {url}"), RELOADED, || async move {
        let reply = raw::get(url, &[]).await.map_err(|error| format!("{error:#}"))?;
        if reply.text.lines().any(|found| found == line) { Ok(()) } else { Err(reply.text) }
    })
    .await
}

/// A reload changes the limits of callers at once, keeps those of the listener and says so, and is counted; a refused one too.
pub async fn limits_change_with_a_reload(scene: &Scene) -> anyhow::Result<()> {
    let port = port::free()?;
    let listen = |limits: &str| {
        let text = scene.world.config_text();
        let text = text.replacen("[server]\n", &format!("[server]\nmetrics_listen = \"127.0.0.1:{port}\"\n"), 1);
        format!("{text}\n[limits]\n{limits}")
    };
    let config = scene.world.config_of(&listen("caller_calls_per_second = 50\n"));
    let ferry = Ferry::start(Some(&config), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    for _ in 0..5 {
        good(&alice, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    }
    let url = format!("http://127.0.0.1:{port}/metrics");
    counted(&url, "kubeferry_inventory_generation 1").await?;

    std::fs::write(&config, listen("caller_calls_per_second = 1\ncaller_burst = 2\nconnections = 7\n"))?;
    counted(&url, "kubeferry_inventory_generation 2").await?;
    counted(&url, "kubeferry_inventory_reload_total{result=\"ok\"} 1").await?;
    let said = ferry.log().lines().any(|line| line.contains("need a restart") && line.contains("limits.connections"));
    assert!(said, "the listener's limit waits for a restart: {}", ferry.log());
    let mut slowed = 0;
    for _ in 0..4 {
        let called = alice.call("targets_list", json!({})).await?;
        let code = called.structured.unwrap_or_default();
        slowed += usize::from(called.is_error && code["code"] == "too_fast");
    }
    assert!(slowed >= 1, "two calls, then one each second");

    std::fs::write(&config, listen("caller_burst = 0\n"))?;
    counted(&url, "kubeferry_inventory_reload_total{result=\"refused\"} 1").await?;
    counted(&url, "kubeferry_inventory_generation 2").await?;
    ferry.stop().await;
    scene.assert_no_secret(&ferry.log());
    Ok(())
}

/// The second listener serves metrics to whoever comes, by any host name, and nothing else.
pub async fn metrics_have_a_listener_of_their_own(scene: &Scene) -> anyhow::Result<()> {
    let port = port::free()?;
    let listen = format!("127.0.0.1:{port}");
    let ferry = Ferry::start(Some(&scene.world.config()), &[("KUBEFERRY_SERVER_METRICS_LISTEN", &listen)]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    good(&alice, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    let at = |path: &str| format!("http://{listen}{path}");
    let reply = raw::get(&at("/metrics"), &[("host", "scraped.example"), ("x-forwarded-for", "192.0.2.1")]).await?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let line = "kubeferry_tool_calls_total{tool=\"namespaces_list\",outcome=\"ok\"} 1";
    assert!(reply.text.lines().any(|found| found == line), "{}", reply.text);
    assert!(reply.header("content-type").starts_with("application/openmetrics-text"), "{reply:?}");
    for path in ["/", "/mcp", "/readyz?verbose", "/livez"] {
        assert_eq!(raw::get(&at(path), &[]).await?.status, 404, "{path}");
    }
    let posted = raw::post(&at("/metrics"), None, &[], String::new()).await?;
    assert_eq!(posted.status, 405, "{}", posted.text);
    scene.assert_no_secret(&reply.text);
    ferry.stop().await;
    Ok(())
}

/// What `config import` makes of a configuration of kubernetes-mcp-server is good, serves, and reaches the kcp; what could
/// not be carried over is said, and no secret.
pub async fn an_imported_configuration_serves(scene: &Scene) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("realms-ca.pem"), scene.world.realms.ca_pem())?;
    std::fs::write(path("kcp-ca.pem"), scene.world.kcp.tap.ca_pem())?;
    std::fs::write(
        path("kubeconfig"),
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "kcp",
            "contexts": [{"name": "kcp", "context": {"cluster": "kcp"}}],
            "clusters": [{"name": "kcp", "cluster": {
                "server": scene.world.kcp.tap.url(), "certificate-authority": "kcp-ca.pem",
            }}],
        })
        .to_string(),
    )?;
    let theirs = format!(
        "require_oauth = true\nauthorization_url = \"{}\"\noauth_audience = \"kcp-eu\"\ncertificate_authority = \"realms-ca.pem\"\n\
         cluster_provider_strategy = \"kcp\"\nkubeconfig = \"kubeconfig\"\ntoolsets = [\"kcp\", \"core\"]\nport = \"8080\"\n\
         bind_address = \"127.0.0.1\"\nread_only = true\nstateless = true\n",
        scene.world.realms.issuer("corp")
    );
    std::fs::write(path("theirs.toml"), &theirs)?;
    let file = path("theirs.toml").display().to_string();
    let ran = ferry::run(&["config", "import", &file], &[], None).await?;
    assert_eq!(ran.code, 1, "something is left: {ran:?}");
    let left: Vec<&str> = ran.stderr.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(left, ["kubeconfig", "cluster_auth_mode", "require_oauth"]);

    // The lab's realm is at a private address, which an operator has to say.
    let ours = ran.stdout.replacen("[realms.oidc]\n", "[realms.oidc]\nallow_private = true\n", 1);
    std::fs::write(path("kubeferry.toml"), ours)?;
    let config = path("kubeferry.toml");
    let checked = ferry::run(&["config", "check", "--config", &config.display().to_string()], &[], None).await?;
    assert_eq!((checked.code, checked.stdout.as_str()), (0, "the configuration is good\n"), "{checked:?}");
    let ferry = Ferry::start(Some(&config), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    let called = good(&alice, "namespaces_list", json!({"cluster": "kcp:root:org:team-a"})).await?;
    assert!(!called.text.is_empty());
    ferry.stop().await;

    std::fs::write(path("theirs.toml"), "sts_client_secret = \"hunter2\"\nnot toml")?;
    let broken = ferry::run(&["config", "import", &file], &[], None).await?;
    assert!(broken.code == 2 && broken.stdout.is_empty() && !broken.stderr.contains("hunter2"), "{broken:?}");
    // What is cut off could be what narrows the rest.
    std::fs::write(path("theirs.toml"), format!("{}\nread_only = true\n", "#".repeat(1 << 20)))?;
    let large = ferry::run(&["config", "import", &file], &[], None).await?;
    assert!(large.code == 2 && large.stdout.is_empty() && large.stderr.contains("more than 1 MiB"), "{large:?}");
    let schema = ferry::run(&["config", "schema"], &[], None).await?;
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout)?;
    assert_eq!(schema["properties"]["limits"]["properties"]["caller_burst"]["default"], 200);
    Ok(())
}
