//! What several scenarios measure with: names and files.

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;
use testenv::ferry::Ferry;
use testenv::mcp::{Called, Client, Era};

use super::scene::Scene;

/// The first column of a table, without header and comments.
pub fn names(table: &str) -> Vec<String> {
    let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    rows.filter_map(|row| row.split('\t').next()).map(str::to_owned).collect()
}

/// The handle of the next page, as an answer tells it.
pub fn next(answer: &Called) -> Option<String> {
    let rest = answer.text.split_once("continue=")?.1;
    Some(rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).next()?.to_owned())
}

/// Calls a tool that must succeed.
pub async fn good(client: &Client, tool: &str, arguments: serde_json::Value) -> anyhow::Result<Called> {
    let called = client.call(tool, arguments.clone()).await.with_context(|| format!("{tool} {arguments}"))?;
    anyhow::ensure!(!called.is_error, "{tool} {arguments} failed: {}", called.text);
    Ok(called)
}

/// Calls a tool that must fail as a tool, in one line.
pub async fn bad(client: &Client, tool: &str, arguments: serde_json::Value) -> anyhow::Result<Called> {
    let shown: String = arguments.to_string().chars().take(200).collect();
    let called = client.call(tool, arguments).await.with_context(|| format!("{tool} {shown}"))?;
    anyhow::ensure!(called.is_error, "{tool} {shown} did not fail: {}", called.text);
    anyhow::ensure!(called.text.lines().count() == 1, "not one line: {:?}", called.text);
    anyhow::ensure!(called.text.chars().count() <= 400, "too long for 80 tokens: {:?}", called.text);
    Ok(called)
}

/// An answer without the workspace's name, whole or last segment.
pub fn without(called: &Called, place: &str) -> (String, String) {
    let twin = called.structured.as_ref().map(serde_json::Value::to_string).unwrap_or_default();
    let last = place.rsplit(':').next().unwrap_or(place);
    let clean = |text: String| text.replace(place, "PLACE").replace(last, "LAST");
    (clean(called.text.clone()), clean(twin))
}

/// A context of a kubeconfig.
pub struct KubeContext<'a> {
    /// Name of context, cluster and user.
    pub name: &'a str,
    /// The API server.
    pub server: &'a str,
    /// Its CA.
    pub ca_pem: &'a str,
    /// The user's token.
    pub token: &'a str,
}

/// A home folder with nothing but `.kube/config`; the first context is the current one.
pub fn home(contexts: &[KubeContext<'_>]) -> anyhow::Result<TempDir> {
    let home = tempfile::tempdir()?;
    let entry = |kind: &str, name: &str, inner: serde_json::Value| json!({"name": name, kind: inner});
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts.first().map(|context| context.name),
        "clusters": contexts.iter().map(|context| entry("cluster", context.name, json!({
            "server": context.server, "certificate-authority-data": STANDARD.encode(context.ca_pem),
        }))).collect::<Vec<_>>(),
        "users": contexts.iter().map(|context| entry("user", context.name, json!({"token": context.token}))).collect::<Vec<_>>(),
        "contexts": contexts.iter().map(|context| entry("context", context.name, json!({
            "cluster": context.name, "user": context.name,
        }))).collect::<Vec<_>>(),
    });
    std::fs::create_dir(home.path().join(".kube"))?;
    // JSON is YAML.
    std::fs::write(home.path().join(".kube/config"), config.to_string())?;
    Ok(home)
}

/// Writes a file that only this user can read.
pub fn secret_file(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(path)
}

/// alice at a program with all toolsets.
pub async fn with_extra(scene: &Scene) -> anyhow::Result<(Ferry, Client)> {
    let text = scene.world.config_text();
    let toolsets = "[server]\ntoolsets = [\"core\", \"config\", \"fleet\", \"kcp\", \"extra\"]\n";
    let edited = text.replacen("[server]\n", toolsets, 1);
    anyhow::ensure!(edited != text, "the configuration begins otherwise: {text}");
    let ferry = Ferry::start(Some(&scene.world.config_of(&edited)), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    Ok((ferry, alice))
}
