//! A real kwok: the node and the pods of a real API server run without a machine.
//!
//! kwok makes pods on its node Running and Ready, without a scheduler and without a controller manager, removes deleted
//! ones, answers `pods/<name>/log` (also with `follow`) from a file, runs the commands of `pods/<name>/exec` on this
//! machine in its own folder, and says what pods use (`metrics/resource`). A [`Kubelet`] stands before it, because kwok
//! has neither `logs/` nor `stats/summary`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::apiserver::{ApiServer, ClusterNetwork};
use crate::artifacts::Program;
use crate::kubelet::{Kubelet, SimulatedNode};
use crate::poll;
use crate::process::{Launch, Process, files, port};
use crate::simulator::Usage;

mod config;

/// The address of kwok's node, of TEST-NET-1 (RFC 5737): an API server does not proxy to a node at 127.0.0.1.
pub const NODE_IP: &str = "192.0.2.10";
/// How long kwok may take to serve; it takes a second.
const READY: Duration = Duration::from_secs(60);
/// How long kwok may take to make pods run.
const RUNNING: Duration = Duration::from_secs(60);

/// The node that a kwok plays, and the pods on it. The objects themselves are applied by whoever starts it.
#[derive(Debug)]
pub struct KwokConfig<'a> {
    /// The Node, which needs the annotation `kwok.x-k8s.io/node: fake`, with its log files and statistics.
    pub node: SimulatedNode,
    /// The namespace of the pods that have logs, take commands and use something.
    pub namespace: &'a str,
    /// Lines that every container there has written, one a second until now.
    pub log: &'a str,
    /// What every container there uses.
    pub usage: Usage,
    /// What the node uses.
    pub node_usage: Usage,
}

/// A running kwok with its kubelet endpoint on 127.0.0.1. It ends when this is dropped.
#[derive(Debug)]
pub struct Kwok {
    node: String,
    metrics_url: String,
    log_file: PathBuf,
    _kubelet: Kubelet,
    _process: Process,
}

impl Kwok {
    /// Starts a kwok for a server that was started with a [`ClusterNetwork`], and waits until it serves.
    ///
    /// # Errors
    /// When there is no program, the server has no network, or kwok does not serve within a minute.
    pub async fn start(server: &ApiServer, config: KwokConfig<'_>) -> anyhow::Result<Self> {
        let network = network_of(server)?;
        let program = Program::Kwok.path()?;
        let name = format!("{}-kwok", server.name());
        let folder = files::folder(&name)?;
        let port = port::free()?;
        let kubeconfig = files::write(&folder, "kubeconfig", &server.kubeconfig())?;
        let log = files::write(&folder, "container.log", &config::log(config.log))?;
        let mut objects = config::objects(&config, &log, folder.path());
        let node = config.node.name().to_owned();
        let kubelet = Kubelet::start(network, NODE_IP, port, config.node).await?;
        objects.push_str(&config::stages(kubelet.port()));
        let objects = files::write(&folder, "kwok.yaml", &objects)?;
        let args = vec![
            format!("--kubeconfig={kubeconfig}"),
            format!("--config={objects}"),
            "--manage-all-nodes=false".to_owned(),
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake".to_owned(),
            "--cidr=10.244.0.0/24".to_owned(),
            format!("--node-ip={NODE_IP}"),
            format!("--node-port={}", kubelet.port()),
            format!("--server-address=127.0.0.1:{port}"),
        ];
        let launch = Launch { name: &name, program: &program, args, envs: Vec::new() };
        let mut process = Process::start(folder, launch)?;
        let http = http()?;
        let readyz = format!("http://127.0.0.1:{port}/readyz");
        let look = || {
            let answer = text(http.get(&readyz));
            async { answer.await.map(drop) }
        };
        process.until_ready(READY, look).await?;
        Ok(Self {
            node,
            metrics_url: format!("http://127.0.0.1:{port}/metrics/resource"),
            log_file: log.into(),
            _kubelet: kubelet,
            _process: process,
        })
    }

    /// The file with the containers' log, in the format of a container runtime (`<RFC 3339> stdout F <text>`). Whoever
    /// follows a log sees what is added.
    #[must_use]
    pub fn log_file(&self) -> &std::path::Path {
        &self.log_file
    }

    /// Waits until the node and all pods of `namespace` are ready, and kwok says what each of these uses.
    ///
    /// # Errors
    /// When they are not within a minute.
    pub async fn settled(&self, server: &ApiServer, namespace: &str) -> anyhow::Result<()> {
        let http = http()?;
        poll::until(&format!("the pods of {namespace} to run on {}", self.node), RUNNING, || async {
            let failed = |error: anyhow::Error| format!("{error:#}");
            let node = server.get(&format!("/api/v1/nodes/{}", self.node)).await.map_err(failed)?;
            if !is_ready(&node) {
                return Err(format!("the node: {}", node["status"]));
            }
            let pods = server.get(&format!("/api/v1/namespaces/{namespace}/pods")).await.map_err(failed)?;
            let metrics = text(http.get(&self.metrics_url)).await?;
            for pod in pods["items"].as_array().into_iter().flatten() {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                let uses = |line: &str| {
                    line.starts_with("container_cpu_usage_seconds_total{")
                        && line.contains(&format!("pod=\"{name}\""))
                        && !line.ends_with(" 0")
                };
                if !is_ready(pod) || !metrics.lines().any(uses) {
                    return Err(format!("{name}: {}", pod["status"]["phase"]));
                }
            }
            Ok(())
        })
        .await
    }
}

/// The network of a server, which nodes need.
pub(crate) fn network_of(server: &ApiServer) -> anyhow::Result<&ClusterNetwork> {
    let Some(network) = server.network() else {
        bail!("{} was started without a network", server.name());
    };
    Ok(network)
}

/// Whether a node or a pod has the condition `Ready`.
fn is_ready(object: &serde_json::Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn http() -> anyhow::Result<reqwest::Client> {
    crate::pki::install_provider();
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5));
    http.build().context("building an HTTP client for kwok")
}

/// The body of a good answer.
async fn text(request: reqwest::RequestBuilder) -> Result<String, String> {
    let answer =
        request.send().await.and_then(reqwest::Response::error_for_status).map_err(|error| error.to_string())?;
    answer.text().await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
