//! A simulated kcp of a row's own behind a tap, and the program that knows it as `kcp`.

use std::sync::Arc;

use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};
use testenv::simulator::{Rule, Scope, SimConfig, Simulator};
use testenv::tap::{Tap, TapConfig};
use testenv::world::RESOURCE;

use super::case::Case;

/// See the module.
pub struct Kcp<'a> {
    case: &'a Case,
    /// What is asked.
    pub simulator: Simulator,
    /// What it saw.
    pub tap: Tap,
}

impl<'a> Kcp<'a> {
    /// An empty one.
    pub async fn start(case: &'a Case, config: SimConfig) -> anyhow::Result<Self> {
        let simulator = Simulator::start(config.issuer(case.issuer("corp-1"))).await?;
        let upstream = simulator.url().trim_start_matches("https://");
        let tap = Tap::start(TapConfig::new("kcp", upstream, simulator.ca_pem())).await?;
        Ok(Self { case, simulator, tap })
    }

    /// The program, which reaches it by `server`, an address with the tap's certificate.
    pub async fn ferry_at(&self, server: &str) -> anyhow::Result<Arc<Ferry>> {
        let cluster = self.case.cluster("kcp", server, self.tap.ca_pem())?;
        self.case.ferry(&format!("{cluster}kind = \"kcp\"\nentry = [\"root\"]\n")).await
    }

    /// The program.
    pub async fn ferry(&self) -> anyhow::Result<Arc<Ferry>> {
        self.ferry_at(&self.tap.url()).await
    }

    /// The workspace at `path`, made when it is not there, in which alice may do everything, with a ConfigMap `here`.
    pub fn workspace(&self, path: &str) -> Scope {
        let name = path.rsplit(':').next().unwrap_or_default();
        let workspace = self.simulator.workspace(path);
        workspace.allow(Rule::user("corp:alice").everything());
        workspace.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"where": name},
            "metadata": {"name": "here", "namespace": "default"}}));
        workspace
    }

    /// alice with a new token, for whom nothing is known yet.
    pub async fn alice(&self, ferry: &Ferry) -> anyhow::Result<Client> {
        let token = self.case.token_for("corp", "alice", &[RESOURCE, "corp-1"]);
        Client::http(ferry.url(), Some(&token), Era::Modern).await
    }

    /// Paths of the requests that the tap saw since the last time.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.tap.requests().into_iter().map(|request| request.path).collect();
        self.tap.clear();
        asked
    }
}

/// The arguments for [`Kcp::workspace`]'s ConfigMaps in `place`, a path or a logical cluster name.
pub fn configmaps(place: &str) -> Value {
    json!({"cluster": format!("kcp:{place}"), "kind": "configmaps", "namespace": "default"})
}

/// A cell of the row that begins with `first`; nothing when there is none.
pub fn cell<'a>(table: &'a str, first: &str, column: &str) -> Option<&'a str> {
    let mut lines = table.lines().filter(|line| !line.starts_with('#'));
    let at = lines.next()?.split('\t').position(|name| name == column)?;
    lines.find(|line| line.split('\t').next() == Some(first))?.split('\t').nth(at)
}
