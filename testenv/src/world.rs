//! **World**: one fleet with two realms, three clusters and a kcp, simulated or real. The same scenarios run on both.
//!
//! | Cluster  | Server                    | Trusts                          | Strategy                                |
//! |----------|---------------------------|---------------------------------|-----------------------------------------|
//! | `corp-1` | an API server             | realm corp, audience `corp-1`   | passthrough                             |
//! | `acme-1` | another                   | realm acme, audience `acme-1`   | passthrough                             |
//! | `dev`    | that of `acme-1` again    | the gateway's service account   | impersonate, for both realms            |
//! | `kcp-eu` | a kcp                     | realm corp, audience `kcp-eu`   | passthrough                             |
//!
//! Before each stands a [`Tap`] of its own; `fleet` says who may do what and what is there, `settings` is kubeferry's
//! configuration for it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use tempfile::TempDir;

use crate::process::files;
use crate::realm::{Client, RealmConfig, Realms, RealmsConfig, User};
use crate::simulator::Simulator;
use crate::tap::{Tap, TapConfig};

mod fleet;
mod real;
mod settings;
pub mod shop;
mod simulated;

/// The resource identifier (RFC 9728) of kubeferry in this world, and an audience of everybody's tokens.
pub const RESOURCE: &str = "https://ferry.test/mcp";
/// The workspaces below `root`, parents first.
pub const WORKSPACES: [&str; 3] = ["root:org", "root:org:team-a", "root:org:team-b"];
/// How long tokens live, in seconds.
const TOKEN_LIFETIME: i64 = 3600;

/// What a world is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lab {
    /// Simulators in this process; starts in less than a second.
    Simulated,
    /// Real API servers, a real kcp, a kwok and a metrics-server; starts in half a minute, and `scripts/controlplanes` must have run.
    Real,
}

/// A running fleet. It ends when this is dropped.
pub struct World {
    /// `corp` with alice (groups dev, ops) and bob (dev), and `acme` with carol (dev) and dave (none).
    pub realms: Realms,
    /// alice reads everything, bob reads what is in namespace `team-b`.
    pub corp_1: Site,
    /// carol reads everything, dave nothing.
    pub acme_1: Site,
    /// The server of `acme-1`, where the gateway may impersonate and `corp:alice` and `acme:carol` read everything.
    pub dev: Site,
    /// alice administers `root:org` and `root:org:team-a`; bob reads configmaps in `root:org:team-b` and nothing else.
    pub kcp: Site,
    lab: Lab,
    logical_clusters: BTreeMap<String, String>,
    gateway_token: String,
    folder: TempDir,
    configs: AtomicU32,
    servers: Servers,
}

/// A server as kubeferry sees it.
#[derive(Debug)]
pub struct Site {
    /// The cluster's name in the configuration.
    pub name: &'static str,
    /// What stands before the server.
    pub tap: Tap,
}

/// What runs behind the taps, only held until the end.
#[derive(Debug)]
enum Servers {
    Simulated { all: Box<simulated::Servers> },
    Real { _all: Box<real::Servers> },
}

/// A server before it has a tap.
pub(crate) struct Upstream {
    /// `https://127.0.0.1:PORT`
    pub(crate) url: String,
    pub(crate) ca_pem: String,
}

/// A fleet that was filled, without taps.
struct Fleet {
    corp_1: Upstream,
    acme_1: Upstream,
    kcp: Upstream,
    /// By path, `root` included.
    logical_clusters: BTreeMap<String, String>,
    /// What kubeferry itself shows at `dev`.
    gateway_token: String,
    servers: Servers,
}

impl World {
    /// Starts and fills everything, all servers at once, and waits until everybody can do what they may.
    ///
    /// # Errors
    /// When something does not start; for [`Lab::Real`] also when `scripts/controlplanes` did not run.
    pub async fn start(lab: Lab) -> anyhow::Result<Self> {
        let realms = Realms::start(realms()).await?;
        let fleet = match lab {
            Lab::Simulated => simulated::start(&realms).await.context("the simulated fleet")?,
            Lab::Real => real::start(&realms).await.context("the real fleet")?,
        };
        let folder = files::lab_folder("world")?;
        let world = Self {
            corp_1: Site::before("corp-1", &fleet.corp_1).await?,
            acme_1: Site::before("acme-1", &fleet.acme_1).await?,
            dev: Site::before("dev", &fleet.acme_1).await?,
            kcp: Site::before("kcp-eu", &fleet.kcp).await?,
            realms,
            lab,
            logical_clusters: fleet.logical_clusters,
            gateway_token: fleet.gateway_token,
            folder,
            configs: AtomicU32::new(0),
            servers: fleet.servers,
        };
        settings::write_files(&world)?;
        Ok(world)
    }

    /// What this world is made of.
    #[must_use]
    pub const fn lab(&self) -> Lab {
        self.lab
    }

    /// The simulator behind a site (`corp-1`, `acme-1`, which is `dev` too, or `kcp-eu`), to change what happens there;
    /// nothing in a real lab.
    #[must_use]
    pub fn simulator(&self, name: &str) -> Option<&Simulator> {
        let Servers::Simulated { all } = &self.servers else {
            return None;
        };
        all.all.iter().find(|(of, _)| *of == name).map(|(_, simulator)| simulator)
    }

    /// All four sites.
    #[must_use]
    pub const fn sites(&self) -> [&Site; 4] {
        [&self.corp_1, &self.acme_1, &self.dev, &self.kcp]
    }

    /// Forgets what the taps and the realms have seen.
    pub fn clear(&self) {
        for site in self.sites() {
            site.tap.clear();
        }
        self.realms.clear();
    }

    /// A new file with kubeferry's configuration for this world.
    ///
    /// # Panics
    /// When the temporary folder cannot be written; so do the methods below.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.config_with("")
    }

    /// The configuration with further TOML tables after it.
    #[must_use]
    pub fn config_with(&self, extra_toml: &str) -> PathBuf {
        self.config_of(&format!("{}\n{extra_toml}", self.config_text()))
    }

    /// A new file with another configuration, usually an edited [`World::config_text`]. Relative paths in it start
    /// from [`World::folder`].
    #[must_use]
    pub fn config_of(&self, toml: &str) -> PathBuf {
        let count = self.configs.fetch_add(1, Ordering::Relaxed);
        let file = files::write(&self.folder, &format!("kubeferry-{count}.toml"), toml);
        file.expect("the folder of this world can be written").into()
    }

    /// The text of the configuration.
    #[must_use]
    pub fn config_text(&self) -> String {
        settings::text(self)
    }

    /// The folder of the configurations and of the files that they name.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A token as people get it: for kubeferry and for the clusters that trust their realm.
    ///
    /// # Panics
    /// When there is no such user; so do the methods below.
    #[must_use]
    pub fn token(&self, realm: &str, user: &str) -> String {
        let clusters: &[&str] = match realm {
            "corp" => &["corp-1", "kcp-eu"],
            _ => &["acme-1"],
        };
        self.token_for(realm, user, &[&[RESOURCE], clusters].concat())
    }

    /// A good token for these audiences alone.
    #[must_use]
    pub fn token_for(&self, realm: &str, user: &str, audiences: &[&str]) -> String {
        self.realms.token(realm, user, RESOURCE).audiences(audiences).mint()
    }

    /// The token that kubeferry itself shows at `dev`.
    #[must_use]
    pub fn gateway_token(&self) -> &str {
        &self.gateway_token
    }

    /// The logical cluster of a workspace given by its path.
    #[must_use]
    pub fn logical_cluster(&self, path: &str) -> String {
        let name = self.logical_clusters.get(path);
        name.unwrap_or_else(|| panic!("there is no workspace {path}")).clone()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("lab", &self.lab).field("folder", &self.folder.path()).finish_non_exhaustive()
    }
}

impl Site {
    pub(crate) async fn before(name: &'static str, upstream: &Upstream) -> anyhow::Result<Self> {
        let address = upstream.url.trim_start_matches("https://");
        let tap = Tap::start(TapConfig::new(name, address, &upstream.ca_pem)).await?;
        Ok(Self { name, tap })
    }
}

fn realms() -> RealmsConfig {
    let client = Client::public("mcp-client", &[RESOURCE]);
    let corp = RealmConfig::new("corp").user(User::new("alice", &["dev", "ops"])).user(User::new("bob", &["dev"]));
    let acme = RealmConfig::new("acme").user(User::new("carol", &["dev"])).user(User::new("dave", &[]));
    let realms = [corp, acme].map(|realm| RealmConfig { token_lifetime: TOKEN_LIFETIME, ..realm });
    RealmsConfig { realms: realms.map(|realm| realm.client(client.clone())).into() }
}

#[cfg(test)]
mod tests;
