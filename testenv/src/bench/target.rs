//! The servers that are measured: kubeferry, and kubernetes-mcp-server beside it, each with one cluster.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::net::TcpStream;

use super::backend::{NAME, RESOURCE};
use super::door::{Door, Speaks};
use super::procfs::Proc;
use crate::poll::pause;
use crate::process::{Launch, Process, files, port};

const READY: Duration = Duration::from_secs(60);
const RELOADED: Duration = Duration::from_secs(30);
/// Between two looks whether a reload is done.
const LOOK: Duration = Duration::from_millis(5);
/// Between two looks whether a starting program listens.
const GLANCE: Duration = Duration::from_micros(200);
/// The limits of one caller, raised: one token makes all calls of a cell, far more than a person does.
pub(super) const LIMITS: &str =
    "[limits]\ncaller_calls_per_second = 1000000\ncaller_burst = 1000000\ncaller_in_flight = 1000\n";

/// The one cluster behind the servers, and the realm of the callers.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The API server.
    pub url: String,
    /// Its CA.
    pub ca_pem: String,
    /// The realm's issuer.
    pub issuer: String,
    /// The realm's CA.
    pub realm_ca_pem: String,
}

/// A workspace of a kcp for the peer, and whose it is.
pub(super) struct KcpCluster {
    /// With the workspace's path.
    pub(super) server: String,
    /// Its CA.
    pub(super) ca_pem: String,
    /// A token that it accepts.
    pub(super) token: String,
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// kubeferry.
    Ferry,
    /// kubernetes-mcp-server.
    Peer,
}

impl Who {
    /// Its name on the page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ferry => "kubeferry",
            Self::Peer => "kubernetes-mcp-server",
        }
    }
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Target {
    /// How it is spoken to.
    pub door: Door,
    /// Its process.
    pub proc: Proc,
    folder: PathBuf,
    _process: Process,
}

impl Target {
    /// Starts `program` before `cluster`, with the files `conf` in `conf.d`, and waits until it listens.
    ///
    /// # Errors
    /// When it does not within a minute, with its log.
    pub async fn start(who: Who, program: &Path, cluster: &Cluster, conf: &[String]) -> anyhow::Result<Self> {
        let folder = files::folder(who.name())?;
        let address: SocketAddr = ([127, 0, 0, 1], port::free()?).into();
        let args = arguments(who, &folder, address, cluster)?;
        configure(folder.path(), conf)?;
        Self::launch(who, program, folder, (address, args)).await
    }

    /// Starts kubeferry with the file `config`, and waits until it listens.
    ///
    /// # Errors
    /// When it does not within a minute, with its log.
    pub async fn configured(program: &Path, config: &Path) -> anyhow::Result<Self> {
        let folder = files::folder(Who::Ferry.name())?;
        let address: SocketAddr = ([127, 0, 0, 1], port::free()?).into();
        let args = serve(address, config.display().to_string());
        Self::launch(Who::Ferry, program, folder, (address, args)).await
    }

    /// Starts kubernetes-mcp-server before a workspace of a kcp, whose tree it then reads, and waits until it listens.
    ///
    /// # Errors
    /// When it does not within a minute, with its log.
    pub(super) async fn kcp_peer(program: &Path, cluster: &KcpCluster) -> anyhow::Result<Self> {
        let who = Who::Peer;
        let folder = files::folder(who.name())?;
        let address: SocketAddr = ([127, 0, 0, 1], port::free()?).into();
        let ca = files::write(&folder, "cluster-ca.pem", &cluster.ca_pem)?;
        let user = serde_json::json!({"token": cluster.token});
        let kubeconfig = files::write(&folder, "kubeconfig", &kubeconfig(&cluster.server, &ca, &user))?;
        let text = format!(
            "port = \"{}\"\nbind_address = \"127.0.0.1\"\nkubeconfig = \"{kubeconfig}\"\n\
             cluster_provider_strategy = \"kcp\"\ntoolsets = [\"core\", \"kcp\"]\n",
            address.port()
        );
        let args = vec!["--config".into(), files::write(&folder, "kubernetes-mcp-server.toml", &text)?];
        Self::launch(who, program, folder, (address, args)).await
    }

    async fn launch(
        who: Who,
        program: &Path,
        folder: tempfile::TempDir,
        (address, args): (SocketAddr, Vec<String>),
    ) -> anyhow::Result<Self> {
        let place = folder.path().to_owned();
        // Nothing in the environment of this machine decides; kubernetes-mcp-server looks for kubeconfigs there.
        let home = folder.path().display().to_string();
        let launch = Launch { name: who.name(), program, args, envs: vec![("HOME", &home), ("KUBECONFIG", "")] };
        let mut process = Process::start(folder, launch)?;
        let listens = || async move { TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string()) };
        process.until_ready(READY, listens).await?;
        let proc = Proc(process.id()?);
        let speaks = if who == Who::Ferry { Speaks::Stateless } else { Speaks::Session };
        Ok(Self { door: Door { address, speaks }, proc, folder: place, _process: process })
    }

    /// Writes the files of `conf.d` again; it takes a reload to have them in force.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn configure(&self, conf: &[String]) -> anyhow::Result<()> {
        configure(&self.folder, conf)
    }
}

/// The time in ms from starting `program`, with the files `conf` in `conf.d`, until it accepts a connection. It is killed
/// then.
///
/// # Errors
/// When it cannot be started, or does not listen within a minute.
pub fn cold_start(who: Who, program: &Path, cluster: &Cluster, conf: &[String]) -> anyhow::Result<f64> {
    let folder = files::folder(who.name())?;
    let address: SocketAddr = ([127, 0, 0, 1], port::free()?).into();
    let args = arguments(who, &folder, address, cluster)?;
    configure(folder.path(), conf)?;
    let started = Instant::now();
    let mut command = Command::new(program);
    command.args(args).env("HOME", folder.path()).env("KUBECONFIG", "").current_dir(folder.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.with_context(|| format!("starting {}", program.display()))?;
    let mut listens = false;
    while !listens && started.elapsed() < READY {
        listens = std::net::TcpStream::connect(address).is_ok();
        if !listens {
            std::thread::park_timeout(GLANCE);
        }
    }
    let took = started.elapsed();
    child.kill().context("ending a server")?;
    child.wait().context("waiting for a server")?;
    ensure!(listens, "{} does not listen within {READY:?}", who.name());
    Ok(took.as_secs_f64() * 1e3)
}

/// Lets kubeferry read everything again and waits until the next generation serves. Answers how long that took.
///
/// # Errors
/// When that takes more than 30 s.
pub async fn reload(target: &Target) -> anyhow::Result<Duration> {
    let before = generation(target).await?;
    let id = target.proc.0.to_string();
    let asked = Instant::now();
    let mut kill = tokio::process::Command::new("/bin/sh");
    kill.args(["-c", r#"kill -s HUP "$1""#, "kill", &id]).kill_on_drop(true);
    let status = tokio::time::timeout(READY, kill.status()).await.context("sending SIGHUP")??;
    ensure!(status.success(), "SIGHUP could not be sent: {status}");
    let next = async {
        while generation(target).await? <= before {
            pause(LOOK).await;
        }
        anyhow::Ok(asked.elapsed())
    };
    tokio::time::timeout(RELOADED, next).await.context("no next generation serves")?
}

/// Writes the files of `conf.d`.
fn configure(folder: &Path, conf: &[String]) -> anyhow::Result<()> {
    if conf.is_empty() {
        return Ok(());
    }
    let folder = folder.join("conf.d");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for (number, text) in conf.iter().enumerate() {
        std::fs::write(folder.join(format!("{number:02}.toml")), text).context("writing a file of conf.d")?;
    }
    Ok(())
}

async fn generation(target: &Target) -> anyhow::Result<u64> {
    let url = format!("http://{}/readyz?verbose", target.door.address);
    let text = crate::mcp::raw::get(&url, &[]).await?.text;
    let line = text.lines().find_map(|line| line.strip_prefix("[+]configuration generation "));
    line.with_context(|| format!("no generation: {text}"))?.trim().parse().context("reading a generation")
}

/// Writes the server's files and answers its arguments.
fn arguments(
    who: Who,
    folder: &tempfile::TempDir,
    address: SocketAddr,
    cluster: &Cluster,
) -> anyhow::Result<Vec<String>> {
    let ca = files::write(folder, "cluster-ca.pem", &cluster.ca_pem)?;
    let words: Vec<String> = match who {
        Who::Ferry => {
            let realm_ca = files::write(folder, "realm-ca.pem", &cluster.realm_ca_pem)?;
            let Cluster { url, issuer, .. } = cluster;
            let text = format!(
                "[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"{NAME}\"]\n\n\
                 [realms.{NAME}]\nissuer = \"{issuer}\"\nca_file = \"{realm_ca}\"\nallow_private = true\n\
                 username_claim = \"preferred_username\"\n\n\
                 [clusters.{NAME}]\nserver = \"{url}\"\nca_file = \"{ca}\"\nrealm = \"{NAME}\"\n\
                 audiences = [\"{NAME}\"]\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n\n{LIMITS}"
            );
            let config = files::write(folder, "kubeferry.toml", &text)?;
            serve(address, config)
        }
        Who::Peer => {
            let user = serde_json::json!({});
            let kubeconfig = files::write(folder, "kubeconfig", &kubeconfig(&cluster.url, &ca, &user))?;
            let text = format!(
                "port = \"{}\"\nbind_address = \"127.0.0.1\"\nkubeconfig = \"{kubeconfig}\"\nrequire_oauth = true\n\
                 skip_jwt_verification = true\ncluster_auth_mode = \"passthrough\"\ntoolsets = [\"core\"]\n",
                address.port()
            );
            vec!["--config".into(), files::write(folder, "kubernetes-mcp-server.toml", &text)?]
        }
    };
    Ok(words)
}

fn serve(address: SocketAddr, config: String) -> Vec<String> {
    vec!["serve".into(), "--listen".into(), address.to_string(), "--config".into(), config]
}

/// One context for `user` at `server`. JSON is YAML.
fn kubeconfig(server: &str, ca_file: &str, user: &serde_json::Value) -> String {
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": NAME,
        "clusters": [{"name": NAME, "cluster": {"server": server, "certificate-authority": ca_file}}],
        "users": [{"name": NAME, "user": user}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
    });
    kubeconfig.to_string()
}
