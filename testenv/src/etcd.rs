//! A real etcd, the store that several API servers may share under prefixes of their own.

use std::time::Duration;

use anyhow::Context;

use crate::artifacts::Program;
use crate::process::{Launch, Process, files, port};

/// How long etcd may take to serve; it takes half a second.
const READY: Duration = Duration::from_secs(60);

/// A running etcd without TLS on 127.0.0.1. It ends, with its data, when this is dropped.
#[derive(Debug)]
pub struct Etcd {
    url: String,
    process: Process,
}

impl Etcd {
    /// Starts an empty etcd and waits until it serves.
    ///
    /// # Errors
    /// When there is no program, or it does not serve within a minute.
    pub async fn start() -> anyhow::Result<Self> {
        let program = Program::Etcd.path()?;
        let folder = files::folder("etcd")?;
        let client = format!("http://127.0.0.1:{}", port::free()?);
        let peer = format!("http://127.0.0.1:{}", port::free()?);
        let args = vec![
            "--name=lab".to_owned(),
            format!("--data-dir={}", folder.path().join("data").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=lab={peer}"),
            "--unsafe-no-fsync=true".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let launch = Launch { name: "etcd", program: &program, args, envs: Vec::new() };
        let process = Process::start(folder, launch)?;
        let mut etcd = Self { url: client, process };
        etcd.ready().await?;
        Ok(etcd)
    }

    /// The address for clients, for `--etcd-servers`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        crate::pki::install_provider();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .context("building an HTTP client for etcd")?;
        let url = format!("{}/readyz", self.url);
        self.process
            .until_ready(READY, || {
                let request = http.get(&url);
                async move {
                    let response = request.send().await.map_err(|error| error.to_string())?;
                    match response.status() {
                        status if status.is_success() => Ok(()),
                        status => Err(format!("readyz answers {status}")),
                    }
                }
            })
            .await
    }
}
