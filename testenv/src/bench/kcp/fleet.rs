//! A simulated kcp in which everybody of one realm may do everything, kubeferry before it, and callers whom nobody has seen.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use http::HeaderValue;
use tempfile::TempDir;

use crate::bench::backend::NAME;
use crate::bench::door::bearer;
use crate::bench::target::{LIMITS, Target};
use crate::process::files;
use crate::realm::{RealmConfig, Realms, RealmsConfig, User};
use crate::simulator::{Rule, Scope, SimConfig, Simulator};
use crate::world::RESOURCE;

/// How long tokens live, in seconds: longer than a run takes.
const TOKEN_LIFETIME: i64 = 2 * 3600;

/// It ends when this is dropped.
pub(super) struct Fleet {
    pub(super) simulator: Simulator,
    pub(super) target: Target,
    callers: Vec<HeaderValue>,
    _realms: Realms,
    _folder: TempDir,
}

impl Fleet {
    /// Starts one with so many callers. There is nothing below `root` yet.
    ///
    /// # Errors
    /// When something does not start.
    pub(super) async fn start(program: &Path, callers: usize) -> anyhow::Result<Self> {
        let users: Vec<String> = (0..callers).map(|number| format!("user-{number:03}")).collect();
        let realms = realms(&users).await?;
        let tokens: Vec<String> = users.iter().map(|user| token(&realms, user)).collect();
        // Known by their text, as to an API server that has seen them before.
        let config = tokens.iter().zip(&users).fold(SimConfig::kcp(), |config, (token, user)| {
            config.token(token, &format!("{NAME}:{user}"), &[&format!("{NAME}:everyone")])
        });
        let simulator = Simulator::start(config).await?;
        let folder = files::folder("kcp")?;
        let config = config_of(&folder, &realms, simulator.url(), simulator.ca_pem())?;
        let target = Target::configured(program, &config).await?;
        let callers = tokens.iter().map(|token| bearer(token)).collect::<anyhow::Result<_>>()?;
        Ok(Self { simulator, target, callers, _realms: realms, _folder: folder })
    }

    /// One whom nobody has seen.
    ///
    /// # Errors
    /// When there are no more of them.
    pub(super) fn caller(&mut self) -> anyhow::Result<HeaderValue> {
        self.callers.pop().context("there are not so many callers")
    }

    /// The workspace at `path`, open to everybody.
    pub(super) fn open(&self, path: &str) -> Scope {
        let workspace = self.simulator.workspace(path);
        workspace.allow(everything());
        workspace
    }

    /// Makes a tree of workspaces, open to everybody, below the one at `path`: so many in each of a level. Answers how many
    /// there are, that one counted.
    pub(super) fn grow(&self, path: &str, fans: &[usize]) -> usize {
        self.simulator.tree(path, fans, &everything())
    }

    /// Lets every further request wait this long, and counts anew.
    pub(super) fn slow(&self, delay: Duration) {
        self.simulator.set_delay(delay);
        self.simulator.clear_requests();
    }
}

fn everything() -> Rule {
    Rule::group(&format!("{NAME}:everyone")).everything()
}

/// A realm of these users.
pub(super) async fn realms(users: &[String]) -> anyhow::Result<Realms> {
    let mut realm = RealmConfig::new(NAME);
    realm.token_lifetime = TOKEN_LIFETIME;
    realm.users = users.iter().map(|user| User::new(user, &["everyone"])).collect();
    Realms::start(RealmsConfig { realms: vec![realm] }).await
}

/// A token that nobody has seen, for kubeferry and for the kcp.
pub(super) fn token(realms: &Realms, user: &str) -> String {
    realms.token(NAME, user, RESOURCE).audiences(&[RESOURCE, NAME]).mint()
}

/// Writes the configuration of kubeferry with one cluster, the kcp at `url`.
pub(super) fn config_of(folder: &TempDir, realms: &Realms, url: &str, ca_pem: &str) -> anyhow::Result<PathBuf> {
    files::write(folder, "realm-ca.pem", realms.ca_pem())?;
    files::write(folder, "cluster-ca.pem", ca_pem)?;
    let text = format!(
        "[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"{NAME}\"]\n\n\
         [realms.{NAME}]\nissuer = \"{}\"\nca_file = \"realm-ca.pem\"\nallow_private = true\n\
         username_claim = \"preferred_username\"\n\n\
         [clusters.{NAME}]\nkind = \"kcp\"\nentry = [\"root\"]\nserver = \"{url}\"\nca_file = \"cluster-ca.pem\"\n\
         realm = \"{NAME}\"\naudiences = [\"{NAME}\"]\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n\n\
         {LIMITS}",
        realms.issuer(NAME)
    );
    let config = files::write(folder, "kubeferry.toml", &text);
    Ok(config.context("writing the configuration")?.into())
}
