//! A real kube-controller-manager, for tests that need what controllers do.

use std::time::Duration;

use super::ApiServer;
use crate::artifacts::Program;
use crate::process::{Launch, Process, files, port};

/// How long the controller manager may take to serve its health.
const READY: Duration = Duration::from_secs(60);

/// Running controllers of one API server. They end when this is dropped.
#[derive(Debug)]
pub struct Controllers {
    _process: Process,
}

impl Controllers {
    /// Starts the controllers called `names`, such as `namespace-controller`, `serviceaccount-controller`,
    /// `deployment-controller`, `replicaset-controller` or `garbage-collector-controller`.
    ///
    /// They are starting when this returns; a test polls for what they do.
    ///
    /// # Errors
    /// When there is no program, it knows no such controller, or it does not serve within a minute.
    pub async fn start(server: &ApiServer, names: &[&str]) -> anyhow::Result<Self> {
        let program = Program::KubeControllerManager.path()?;
        let name = format!("{}-controllers", server.name());
        let folder = files::folder(&name)?;
        let port = port::free()?;
        let kubeconfig = files::write(&folder, "kubeconfig", &server.kubeconfig())?;
        let mut args = server.serving.socket_flags(&folder, port)?;
        args.extend([
            format!("--kubeconfig={kubeconfig}"),
            format!("--controllers={}", names.join(",")),
            "--leader-elect=false".to_owned(),
        ]);
        let launch = Launch { name: &name, program: &program, args, envs: Vec::new() };
        let mut process = Process::start(folder, launch)?;
        let client = server.serving.admin_client(&format!("https://127.0.0.1:{port}"))?;
        let look = || {
            let client = client.clone();
            async move {
                let answer = client.get("/healthz").await;
                answer.map(drop).map_err(|error| format!("{error:#}"))
            }
        };
        process.until_ready(READY, look).await?;
        Ok(Self { _process: process })
    }
}
