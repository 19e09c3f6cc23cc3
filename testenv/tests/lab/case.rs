//! Plays one row of the catalogue and writes down what became of it.
//!
//! A row makes its own servers and programs, counts at those only, and may run beside other rows. The world gives the
//! realms, and clusters that are well.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use testenv::cases::{self, Outcome};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};
use testenv::process::files;
use testenv::simulator::{JwtIssuer, Keys, Rule, SimConfig, Simulator};
use testenv::world::{Lab, World};

use super::scene::{self, Tokens};

/// Time for one row.
const ROW: Duration = Duration::from_secs(180);

/// What a row gets.
pub struct Case {
    /// The realms, and clusters that are well.
    pub world: &'static World,
    tokens: Tokens,
    ferries: Mutex<Vec<Arc<Ferry>>>,
    folder: tempfile::TempDir,
}

/// Runs a row to its end. Whatever it does, no token and no Secret value may be in a log then.
///
/// # Panics
/// When it fails, with the end of the log of each program that it started.
pub fn play(
    lab: Lab,
    row: cases::Case,
    played: impl for<'a> FnOnce(&'a Case) -> LocalBoxFuture<'a, anyhow::Result<()>>,
) {
    let mut outcome = Outcome { case: row, lab: cases::word(lab).to_owned(), passed: false };
    // Whatever ends this process, the row has not passed.
    cases::record(&outcome).expect("the target folder can be written");
    scene::beside(lab, async |world| {
        let folder = files::folder("case").expect("a folder can be made");
        let case = Case { world, tokens: Tokens::default(), ferries: Mutex::default(), folder };
        let ended = tokio::time::timeout(ROW, AssertUnwindSafe(played(&case)).catch_unwind()).await;
        let logs: Vec<String> = case.ferries().iter().map(|ferry| ferry.log()).collect();
        let tails = || logs.iter().map(|log| scene::tail(log)).collect::<Vec<_>>().join("\n");
        match ended {
            Ok(Ok(Ok(()))) => logs.iter().for_each(|log| case.tokens.assert_none_in(log)),
            Ok(Ok(Err(error))) => panic!("{error:#}\n{}", tails()),
            Ok(Err(panicked)) => {
                scene::say(&tails());
                resume_unwind(panicked);
            }
            Err(_elapsed) => panic!("the row did not end within {ROW:?}\n{}", tails()),
        }
    });
    outcome.passed = true;
    cases::record(&outcome).expect("the target folder can be written");
}

impl Case {
    /// The program with the world's configuration and `clusters` beside it.
    pub async fn ferry(&self, clusters: &str) -> anyhow::Result<Arc<Ferry>> {
        self.ferry_of(&self.world.config_with(clusters)).await
    }

    /// The program with another configuration.
    pub async fn ferry_of(&self, config: &Path) -> anyhow::Result<Arc<Ferry>> {
        Ok(self.keep(Ferry::start(Some(config), &[("KUBEFERRY_LOG", "debug")]).await?))
    }

    /// A program that was started otherwise: its log is searched at the end too, and shown when the row fails.
    pub fn keep(&self, ferry: Ferry) -> Arc<Ferry> {
        let ferry = Arc::new(ferry);
        self.ferries.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&ferry));
        ferry
    }

    fn ferries(&self) -> Vec<Arc<Ferry>> {
        self.ferries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client of the newest generation with a user's token.
    pub async fn client(&self, ferry: &Ferry, realm: &str, user: &str) -> anyhow::Result<Client> {
        Client::http(ferry.url(), Some(&self.token(realm, user)), Era::Modern).await
    }

    /// A user's token, searched for in the logs at the end.
    pub fn token(&self, realm: &str, user: &str) -> String {
        self.tokens.of(self.world, realm, user)
    }

    /// A token for `audience` alone, searched for in the logs at the end.
    pub fn token_for(&self, realm: &str, user: &str, audiences: &[&str]) -> String {
        let token = self.world.token_for(realm, user, audiences);
        self.tokens.remember(&token);
        token
    }

    /// A token that is searched for in the logs at the end.
    pub fn remember(&self, token: &str) {
        self.tokens.remember(token);
    }

    /// A folder of this row.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into [`Case::folder`]; one of that name is replaced, as `rename` does it.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let (path, new) = (self.folder().join(name), self.folder().join(format!(".{name}.new")));
        std::fs::write(&new, text)?;
        std::fs::rename(&new, &path)?;
        Ok(path)
    }

    /// The TOML of a cluster for callers of realm corp, who show it their own token.
    pub fn cluster(&self, name: &str, server: &str, ca_pem: &str) -> anyhow::Result<String> {
        let ca_file = self.write(&format!("{name}-ca.pem"), ca_pem)?;
        let mut toml =
            format!("\n[clusters.{name}]\nserver = \"{server}\"\nrealm = \"corp\"\naudiences = [\"corp-1\"]\n");
        writeln!(toml, "ca_file = \"{}\"", ca_file.display())?;
        writeln!(toml, "strategy = \"passthrough\"\ni_accept_token_passthrough = true")?;
        Ok(toml)
    }

    /// A simulated cluster of this row's own, where alice reads everything.
    pub async fn simulator(&self) -> anyhow::Result<Simulator> {
        self.simulator_of(SimConfig::kubernetes()).await
    }

    /// As [`Case::simulator`], set up otherwise.
    pub async fn simulator_of(&self, config: SimConfig) -> anyhow::Result<Simulator> {
        self.simulator_at(config, 0).await
    }

    /// As [`Case::simulator_of`], with a clock that is so many seconds ahead.
    pub async fn simulator_at(&self, config: SimConfig, clock_ahead: i32) -> anyhow::Result<Simulator> {
        let issuer = JwtIssuer { clock_ahead, ..self.issuer("corp-1") };
        let simulator = Simulator::start(config.issuer(issuer).anonymous_health_only()).await?;
        simulator.cluster().allow(Rule::user("corp:alice").reads_everything());
        Ok(simulator)
    }

    /// Realm corp for a simulated server, with the prefix `corp:`.
    pub fn issuer(&self, audience: &str) -> JwtIssuer {
        let realms = &self.world.realms;
        let keys = Keys::Discovery { ca_pem: realms.ca_pem().to_owned() };
        JwtIssuer::new(&realms.issuer("corp"), keys, audience, "corp:")
    }
}
