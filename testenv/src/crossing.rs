//! **Crossing**: a simulated fleet for tokens that cross realms.
//!
//! | Cluster            | Trusts                                   | Strategy                                  |
//! |--------------------|------------------------------------------|-------------------------------------------|
//! | `corp-1`, `corp-2` | realm corp, audience `kubernetes-<name>` | exchange at corp                          |
//! | `kcp-eu`, a kcp    | realm corp, audience `kcp-eu`            | exchange at corp                          |
//! | `plant-1`, `plant-2` | realm plant, `kubernetes-<name>`       | chain over the link `corp-to-plant`       |
//! | `lake-1`           | realm lake, `kubernetes-lake-1`          | chain over the link `corp-to-lake`        |
//!
//! People sign in at corp (alice, bob) and at acme (carol). alice is `alice-p` at plant and `alice-l` at lake and reads
//! everything everywhere; bob and carol are linked nowhere and read nothing. kubeferry is the client `fed-proxy` of corp,
//! plant and lake, and authenticates at each in another way.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use futures::future::try_join_all;
use tempfile::TempDir;

use crate::process::files;
use crate::realm::{Realms, SigningKey, Style};
use crate::simulator::{JwtIssuer, Keys, Rule, SimConfig, Simulator};
use crate::tap::Tap;
use crate::world::{RESOURCE, Site, Upstream};

mod realms;
mod settings;

/// The client id of kubeferry at corp, plant and lake.
pub const CLIENT: &str = "fed-proxy";
/// The secrets of kubeferry at corp and lake, which are in no log and no answer.
pub const SECRETS: [&str; 2] = [realms::CORP_SECRET, realms::LAKE_SECRET];

/// A cluster of this fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its name in the configuration.
    pub name: &'static str,
    /// The realm whose tokens it takes.
    pub realm: &'static str,
    /// The one audience that it takes.
    pub audience: &'static str,
    /// The link of its chain; `None` is an exchange at its own realm.
    pub link: Option<&'static str>,
    /// The user name of alice there.
    pub alice: &'static str,
}

/// All clusters, in the order of [`Crossing::sites`].
pub const PLACES: [Place; 6] = [
    place("corp-1", "corp", "kubernetes-corp-1", None, "corp:alice"),
    place("corp-2", "corp", "kubernetes-corp-2", None, "corp:alice"),
    place("plant-1", "plant", "kubernetes-plant-1", Some("corp-to-plant"), "plant:alice-p"),
    place("plant-2", "plant", "kubernetes-plant-2", Some("corp-to-plant"), "plant:alice-p"),
    place("lake-1", "lake", "kubernetes-lake-1", Some("corp-to-lake"), "lake:alice-l"),
    place("kcp-eu", "corp", "kcp-eu", None, "corp:alice"),
];

const fn place(
    name: &'static str,
    realm: &'static str,
    audience: &'static str,
    link: Option<&'static str>,
    alice: &'static str,
) -> Place {
    Place { name, realm, audience, link, alice }
}

impl Place {
    /// The scope that brings the audience.
    #[must_use]
    pub fn scope(&self) -> String {
        format!("k8s-{}", self.name)
    }

    /// What a tool is called with to reach it: a kcp needs a workspace.
    #[must_use]
    pub fn address(&self) -> &'static str {
        if self.name == "kcp-eu" { "kcp-eu:root" } else { self.name }
    }
}

/// A running fleet. It ends when this is dropped.
pub struct Crossing {
    /// `corp`, `plant`, `lake` and `acme`.
    pub realms: Realms,
    /// What stands before each of [`PLACES`], in that order.
    pub sites: Vec<Site>,
    style: Style,
    simulators: Vec<Simulator>,
    folder: TempDir,
    configs: AtomicU32,
}

impl Crossing {
    /// Starts realms in Keycloak's style and everything else.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_in(Style::Keycloak).await
    }

    /// Starts realms in this style, and configures kubeferry with the profile for it.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start_in(style: Style) -> anyhow::Result<Self> {
        let (realms, plant_key) = realms::start(style).await?;
        let simulators = PLACES.iter().map(|place| simulator(&realms, place));
        let simulators = try_join_all(simulators).await.context("the clusters")?;
        let mut sites = Vec::new();
        for (place, simulator) in PLACES.iter().zip(&simulators) {
            let upstream = Upstream { url: simulator.url().to_owned(), ca_pem: simulator.ca_pem().to_owned() };
            sites.push(Site::before(place.name, &upstream).await?);
        }
        let folder = files::lab_folder("crossing")?;
        let crossing = Self { realms, sites, style, simulators, folder, configs: AtomicU32::new(0) };
        crossing.write_files(&plant_key)?;
        Ok(crossing)
    }

    fn write_files(&self, plant_key: &SigningKey) -> anyhow::Result<()> {
        files::write(&self.folder, "realms-ca.pem", self.realms.ca_pem())?;
        for site in &self.sites {
            files::write(&self.folder, &settings::ca_file(site), site.tap.ca_pem())?;
        }
        files::write(&self.folder, "corp.secret", realms::CORP_SECRET)?;
        files::write(&self.folder, "lake.secret", realms::LAKE_SECRET)?;
        files::write(&self.folder, "plant-client.pem", &plant_key.private_pem())?;
        Ok(())
    }

    /// What stands before a cluster.
    ///
    /// # Panics
    /// When there is no such cluster; so does [`Crossing::simulator`].
    #[must_use]
    pub fn tap(&self, name: &str) -> &Tap {
        let site = self.sites.iter().find(|site| site.name == name);
        &site.unwrap_or_else(|| panic!("there is no cluster {name}")).tap
    }

    /// A cluster, to change what happens there.
    #[must_use]
    pub fn simulator(&self, name: &str) -> &Simulator {
        let at = PLACES.iter().position(|place| place.name == name);
        &self.simulators[at.unwrap_or_else(|| panic!("there is no cluster {name}"))]
    }

    /// A token as people get it: for kubeferry and for its client at their realm.
    ///
    /// # Panics
    /// When there is no such user.
    #[must_use]
    pub fn token(&self, realm: &str, user: &str) -> String {
        self.realms.token(realm, user, RESOURCE).audiences(&[RESOURCE, CLIENT]).mint()
    }

    /// Forgets what the taps and the realms have seen.
    pub fn clear(&self) {
        for site in &self.sites {
            site.tap.clear();
        }
        self.realms.clear();
    }

    /// The text of kubeferry's configuration; paths in it start from [`Crossing::folder`].
    #[must_use]
    pub fn config_text(&self) -> String {
        settings::text(self)
    }

    /// A new file with kubeferry's configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.config_of(&self.config_text())
    }

    /// A new file with another configuration, usually an edited [`Crossing::config_text`].
    ///
    /// # Panics
    /// When the temporary folder cannot be written; so does [`Crossing::write`].
    #[must_use]
    pub fn config_of(&self, toml: &str) -> PathBuf {
        let count = self.configs.fetch_add(1, Ordering::Relaxed);
        self.write(&format!("kubeferry-{count}.toml"), toml)
    }

    /// Writes a file beside the configurations: `corp.secret`, `lake.secret`, `plant-client.pem` are kubeferry's own.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        files::write(&self.folder, name, text).expect("the folder of this fleet can be written").into()
    }

    /// The folder of the configurations and of the files that they name.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl fmt::Debug for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crossing").field("style", &self.style).field("folder", &self.folder()).finish_non_exhaustive()
    }
}

async fn simulator(realms: &Realms, place: &Place) -> anyhow::Result<Simulator> {
    let keys = Keys::Discovery { ca_pem: realms.ca_pem().to_owned() };
    let issuer = JwtIssuer::new(&realms.issuer(place.realm), keys, place.audience, &format!("{}:", place.realm));
    let is_kcp = place.name == "kcp-eu";
    let config = if is_kcp { SimConfig::kcp() } else { SimConfig::kubernetes() };
    let simulator = Simulator::start(config.issuer(issuer).anonymous_health_only()).await?;
    let everything = Rule::user(place.alice).reads_everything();
    if is_kcp {
        let root = simulator.workspace("root");
        root.namespace("default").allow(everything).allow(Rule::user(place.alice).access());
    } else {
        simulator.cluster().namespace("default").namespace("kube-system").allow(everything);
    }
    Ok(simulator)
}

#[cfg(test)]
mod tests;
