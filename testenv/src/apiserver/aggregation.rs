//! APIServices: APIs of a real API server that another server answers, or that nobody does.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::ApiServer;
use crate::{poll, process::port};

/// How long the API server may take to look at an APIService.
const SEEN: Duration = Duration::from_secs(60);
/// Where the Services of APIServices are.
const NAMESPACE: &str = "kube-system";

/// An API group that a server behind a Service of `kube-system` answers.
#[derive(Clone, Copy, Debug)]
pub struct AggregatedApi<'a> {
    /// The group, such as `metrics.k8s.io`.
    pub group: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The name of the Service.
    pub service: &'a str,
}

/// The name by which an API server asks the server behind `service` for a certificate.
#[must_use]
pub fn server_name(service: &str) -> String {
    format!("{service}.{NAMESPACE}.svc")
}

/// Lets the server on `port` of 127.0.0.1, whose certificate `ca_pem` signed for [`server_name`], answer `api`, and
/// waits until it does.
///
/// # Errors
/// When the API server does not reach it within a minute.
pub async fn register(server: &ApiServer, api: AggregatedApi<'_>, port: u16, ca_pem: &str) -> anyhow::Result<()> {
    if let Some(network) = server.network() {
        network.route(&format!("localhost:{port}"), port);
    }
    apply(server, api, port, ca_pem).await?;
    available(server, api, "True").await
}

/// An APIService whose server is down: discovery of `api` fails, and so does every request to it (503). It stays so.
///
/// # Errors
/// When the API server does not say within a minute that it is unavailable.
pub async fn register_unavailable(server: &ApiServer, api: AggregatedApi<'_>) -> anyhow::Result<()> {
    // Nothing listens there, and no test process is given the port again.
    apply(server, api, port::free()?, "").await?;
    available(server, api, "False").await
}

async fn apply(server: &ApiServer, api: AggregatedApi<'_>, port: u16, ca_pem: &str) -> anyhow::Result<()> {
    let AggregatedApi { group, version, service } = api;
    let mut spec = json!({"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
        "service": {"namespace": NAMESPACE, "name": service, "port": port}});
    if ca_pem.is_empty() {
        spec["insecureSkipTLSVerify"] = true.into();
    } else {
        use base64::Engine;
        spec["caBundle"] = base64::engine::general_purpose::STANDARD.encode(ca_pem).into();
    }
    let objects = [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": service, "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"}}),
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("{version}.{group}")}, "spec": spec}),
    ];
    server.apply(&objects).await.with_context(|| format!("registering {version}.{group}"))?;
    Ok(())
}

/// Waits until the condition `Available` of an APIService is `status`.
async fn available(server: &ApiServer, api: AggregatedApi<'_>, status: &str) -> anyhow::Result<()> {
    let name = format!("{}.{}", api.version, api.group);
    let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}");
    poll::until(&format!("{name} to have Available={status}"), SEEN, || async {
        let service = server.get(&path).await.map_err(|error| format!("{error:#}"))?;
        let conditions = service["status"]["conditions"].as_array();
        let fits = |condition: &Value| condition["type"] == "Available" && condition["status"] == status;
        if conditions.into_iter().flatten().any(fits) { Ok(()) } else { Err(service["status"].to_string()) }
    })
    .await
}
