//! A real metrics-server: serves `metrics.k8s.io` of a real API server through its aggregation layer, from what kwok
//! says.
//!
//! Real rather than simulated, because its module is served, builds in a few minutes, and is ready some 12 seconds after
//! the pods run: it scrapes every 10 s, the least it allows, and needs two scrapes for a rate. So it is ready before
//! kcp is. CPU is such a rate, three thousandths below what was asked for; memory is exact.

use std::time::Duration;

use crate::apiserver::aggregation::{self, AggregatedApi};
use crate::apiserver::{ApiServer, Client};
use crate::artifacts::Program;
use crate::kwok::network_of;
use crate::pki::{Ca, LOOPBACK};
use crate::poll;
use crate::process::{Launch, Process, files, port};

/// How long it may take to have scraped; it takes 12 s.
const READY: Duration = Duration::from_secs(120);
/// The name of its APIService's Service in `kube-system`.
const NAME: &str = "metrics-server";

/// A running metrics-server on 127.0.0.1. It ends when this is dropped; its APIService stays.
#[derive(Debug)]
pub struct MetricsServer {
    _process: Process,
}

impl MetricsServer {
    /// Starts it for a server whose nodes are ready, and waits until that server answers with the metrics of `node`.
    ///
    /// # Errors
    /// When there is no program, the server has no network, or there are no metrics within two minutes.
    pub async fn start(server: &ApiServer, node: &str) -> anyhow::Result<Self> {
        let network = network_of(server)?;
        let program = Program::MetricsServer.path()?;
        let name = format!("{}-metrics", server.name());
        let folder = files::folder(&name)?;
        let port = port::free()?;
        let ca = Ca::new(&name);
        let leaf = ca.server(&[LOOPBACK, &[&aggregation::server_name(NAME)]].concat());
        let client = network.kubelet_client(NAME);
        let write = |name: &str, text: &str| files::write(&folder, name, text);
        let kubeconfig = write("kubeconfig", &server.kubeconfig())?;
        let args = vec![
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--tls-cert-file={}", write("server.crt", &leaf.cert_pem)?),
            format!("--tls-private-key-file={}", write("server.key", &leaf.key_pem)?),
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            format!("--kubelet-certificate-authority={}", write("kubelet-ca.crt", network.kubelet_ca_pem())?),
            format!("--kubelet-client-certificate={}", write("kubelet.crt", &client.cert_pem)?),
            format!("--kubelet-client-key={}", write("kubelet.key", &client.key_pem)?),
            "--kubelet-use-node-status-port".to_owned(),
            // It dials nodes itself, without the API server's network.
            "--kubelet-preferred-address-types=ExternalIP".to_owned(),
            "--kubelet-request-timeout=5s".to_owned(),
            "--metric-resolution=10s".to_owned(),
        ];
        let launch = Launch { name: &name, program: &program, args, envs: Vec::new() };
        let mut process = Process::start(folder, launch)?;
        let own = Client::new(&format!("https://127.0.0.1:{port}"), ca.pem(), server.admin_credential())?;
        let look = || {
            let own = own.clone();
            async move { own.get("/readyz").await.map(drop).map_err(|error| format!("{error:#}")) }
        };
        process.until_ready(READY, look).await?;
        let api = AggregatedApi { group: "metrics.k8s.io", version: "v1beta1", service: NAME };
        aggregation::register(server, api, port, ca.pem()).await?;
        let path = format!("/apis/metrics.k8s.io/v1beta1/nodes/{node}");
        poll::until(&format!("metrics of {node}"), READY, || async {
            server.get(&path).await.map_err(|error| format!("{error:#}"))
        })
        .await?;
        Ok(Self { _process: process })
    }
}
