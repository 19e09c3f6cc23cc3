//! Credential plugins of a kubeconfig (`client.authentication.k8s.io`, v1 and v1beta1): run as kubectl runs them, but
//! never interactively and never for longer than [`PLUGIN`].

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::kubeconfig::ExecConfig;
use crate::model::{Endpoint, Secret};

/// A plugin's whole run; a first sign-in in a browser does not fit and is done beforehand.
const PLUGIN: Duration = Duration::from_secs(20);
/// What a plugin may print.
const MAX_OUTPUT: u64 = 256 * 1024;

/// What a plugin issued.
pub(super) struct Issued {
    pub(super) token: Option<Secret>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<Secret>,
    pub(super) expires: Option<SystemTime>,
}

/// Why a plugin issued nothing. Its own messages are not repeated: they may hold secrets; it is named.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It needs a terminal.
    #[error("plugin {0} must be run interactively, which a server cannot")]
    Interactive(String),
    /// It could not be started.
    #[error("plugin {0} cannot be started")]
    Start(String, #[source] std::io::Error),
    /// It took too long.
    #[error("plugin {0} took longer than 20 s")]
    Slow(String),
    /// It failed.
    #[error("plugin {0} failed with {1}")]
    Failed(String, std::process::ExitStatus),
    /// It printed something else than an ExecCredential.
    #[error("plugin {0} printed no usable ExecCredential")]
    Output(String),
}

#[derive(Deserialize)]
struct ExecCredential {
    kind: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<jiff::Timestamp>,
}

/// Runs a plugin.
pub(super) async fn run(plugin: &ExecConfig, endpoint: &Endpoint) -> Result<Issued, ExecError> {
    let name = || plugin.command.clone();
    if plugin.interactive_mode.as_deref() == Some("Always") {
        return Err(ExecError::Interactive(name()));
    }
    let mut command = Command::new(&plugin.command);
    command
        .args(plugin.args.iter().map(Secret::expose))
        .envs(plugin.env.iter().map(|(key, value)| (key, value.expose())))
        .env("KUBERNETES_EXEC_INFO", exec_info(plugin, endpoint))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| ExecError::Start(name(), error))?;
    let ran = tokio::time::timeout(PLUGIN, async {
        let mut printed = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(MAX_OUTPUT + 1).read_to_end(&mut printed).await?;
        }
        // Whoever prints more than that waits for nobody to read it: it is killed on drop.
        let status = if printed.len() as u64 > MAX_OUTPUT { None } else { Some(child.wait().await?) };
        Ok::<_, std::io::Error>((status, printed))
    });
    let (status, printed) =
        ran.await.map_err(|_elapsed| ExecError::Slow(name()))?.map_err(|error| ExecError::Start(name(), error))?;
    match status {
        None => Err(ExecError::Output(name())),
        Some(status) if !status.success() => Err(ExecError::Failed(name(), status)),
        Some(_) => parse(&printed).ok_or_else(|| ExecError::Output(name())),
    }
}

fn exec_info(plugin: &ExecConfig, endpoint: &Endpoint) -> String {
    let version = plugin.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1");
    let mut spec = serde_json::json!({ "interactive": false });
    if plugin.provide_cluster_info {
        spec["cluster"] = serde_json::json!({
            "server": endpoint.server,
            "certificate-authority-data": endpoint.ca.as_deref().map(|ca| STANDARD.encode(ca)),
            "tls-server-name": endpoint.tls_server_name,
            "insecure-skip-tls-verify": endpoint.insecure,
        });
    }
    serde_json::json!({ "apiVersion": version, "kind": "ExecCredential", "spec": spec }).to_string()
}

fn parse(output: &[u8]) -> Option<Issued> {
    let credential: ExecCredential = serde_json::from_slice(output).ok()?;
    let status = credential.status.filter(|_| credential.kind == "ExecCredential")?;
    let certificate = status.client_certificate_data.filter(|pem| !pem.is_empty());
    let key = status.client_key_data.filter(|pem| !pem.is_empty()).map(Secret::new);
    let token = status.token.filter(|token| !token.is_empty()).map(Secret::new);
    let expires = status.expiration_timestamp.map(SystemTime::from);
    let usable = token.is_some() || (certificate.is_some() && key.is_some());
    usable.then_some(Issued { token, certificate, key, expires })
}

#[cfg(test)]
mod tests {
    use super::{ExecError, parse, run};
    use crate::kubeconfig::ExecConfig;
    use crate::model::{Endpoint, Secret};

    fn plugin(script: &str) -> ExecConfig {
        ExecConfig {
            command: "/bin/sh".into(),
            args: vec![Secret::new("-c"), Secret::new(script)],
            env: vec![("WHO".into(), Secret::new("me"))],
            api_version: None,
            interactive_mode: None,
            provide_cluster_info: true,
        }
    }

    fn endpoint() -> Endpoint {
        Endpoint { server: "https://h:6443".into(), ca: None, tls_server_name: None, insecure: false }
    }

    #[tokio::test]
    async fn a_plugin_issues_a_token() {
        let script = r#"case "$KUBERNETES_EXEC_INFO" in *h:6443*) ;; *) exit 3;; esac
            printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t-%s","expirationTimestamp":"2099-01-01T00:00:00Z"}}' "$WHO""#;
        let issued = run(&plugin(script), &endpoint()).await.unwrap();
        assert_eq!(issued.token.unwrap().expose(), "t-me");
        assert!(issued.expires.is_some());
    }

    #[tokio::test]
    async fn a_plugin_that_fails_is_named_and_its_words_are_not_repeated() {
        let error = run(&plugin("echo hunter2 >&2; exit 7"), &endpoint()).await.err().unwrap();
        assert!(matches!(error, ExecError::Failed(..)));
        assert!(!error.to_string().contains("hunter2"));
        assert!(parse(b"{}").is_none());
        let endless = run(&plugin("yes"), &endpoint()).await.err().unwrap();
        assert!(matches!(endless, ExecError::Output(..)));
    }
}
