//! What an operator configures while the program runs: limits, and a listener for metrics.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era, raw};
use testenv::poll;

use crate::lab::bench::good;
use crate::lab::scene::Scene;

/// Time for a reload on a busy machine.
const RELOADED: Duration = Duration::from_secs(20);

/// A port that was free a moment ago.
fn free() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

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
    let port = free()?;
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
    let port = free()?;
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
