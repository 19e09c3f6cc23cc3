//! Wiring: from a configuration to a running `Live`, built from below in floor order.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::auth::{AuthConfig, AuthError, Authenticator, IpRange, Keys, LocalMode};
use crate::config::{self, Config, DefaultSource, Loaded, SourceMap};
use crate::dispatch::{Live, Parts};
use crate::inventory::{Snapshot, Store};
use crate::model::{Caller, Problem, RealmName, Secret};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::server::{LiveSource, ServerConfig};
use crate::tools::Catalog;

mod clusters;
mod files;
mod map;

pub use files::LocalTokenError;

/// Sources are read within this at start; what is late is reported and left out.
const DISCOVERY: Duration = Duration::from_secs(5);

/// What the program is started for: it decides who the local caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The HTTP listener.
    Serve,
    /// stdio and the command line: the caller is the person at this machine.
    Person,
    /// `config check`: nothing is written and nothing is started.
    Check,
}

/// The wired program.
#[derive(Debug)]
pub struct App {
    live: LiveSource,
    config: Config,
    local_token: Option<LocalToken>,
    notes: Vec<String>,
}

/// The local token, and where it is kept.
#[derive(Debug, Clone)]
pub struct LocalToken {
    /// The token.
    pub token: Secret,
    /// Its file, mode 0600.
    pub file: PathBuf,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The configuration has mistakes: one line each.
    #[error("{0}")]
    Problems(String),
    /// The local token cannot be kept.
    #[error("the local token cannot be kept")]
    LocalToken(#[source] LocalTokenError),
}

impl App {
    /// Reads, checks and compiles the configuration. No cluster and no realm is contacted.
    ///
    /// # Errors
    /// With every mistake at once.
    pub async fn start(
        origin: &config::Origin,
        environment: &config::Environment,
        mode: Mode,
    ) -> Result<Self, AppError> {
        let Loaded { config, map, problems, .. } = config::load(origin, environment)?;
        let local_token = match mode {
            Mode::Serve if config.is_local() && !config.server.i_accept_unauthenticated_clients => {
                Some(files::local_token(environment).map_err(AppError::LocalToken)?)
            }
            Mode::Serve | Mode::Person | Mode::Check => None,
        };
        let local = local_mode(&config, mode, local_token.as_ref());
        let compiled = compile(&config, local, problems).await;
        let (live, notes) = compiled.map_err(|problems| report(&problems, &map))?;
        Ok(Self { live: Arc::new(ArcSwap::from_pointee(live)), config, local_token, notes })
    }

    /// Where the current generation is found.
    pub fn live(&self) -> LiveSource {
        Arc::clone(&self.live)
    }

    /// What the listener needs.
    pub fn server(&self) -> ServerConfig {
        map::server(&self.config.server)
    }

    /// The local token, where one is asked for at the door.
    pub fn local_token(&self) -> Option<&LocalToken> {
        self.local_token.as_ref()
    }

    /// What the operator should know: clusters left out, contexts that cannot be used.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// True without any realm.
    pub fn is_local(&self) -> bool {
        self.config.is_local()
    }

    /// The caller on stdio and the command line: the person at this machine, or whoever `token` was issued to.
    ///
    /// # Errors
    /// When a token is needed and missing, or not accepted.
    pub async fn person(&self, token: Option<Secret>) -> Result<Caller, AuthError> {
        let auth = Arc::clone(&self.live.load().auth);
        match token {
            Some(token) => auth.bearer(token).await,
            None => auth.local_caller().ok_or(AuthError::Missing),
        }
    }
}

fn report(problems: &[Problem], map: &SourceMap) -> AppError {
    AppError::Problems(config::report(problems, map))
}

fn local_mode(config: &Config, mode: Mode, token: Option<&LocalToken>) -> LocalMode {
    let server = &config.server;
    match mode {
        _ if !config.is_local() => LocalMode::Off,
        Mode::Person => LocalMode::Stdio,
        Mode::Serve | Mode::Check if server.i_accept_unauthenticated_clients => LocalMode::Unauthenticated {
            allow: server
                .allowed_addresses
                .iter()
                .filter_map(|(ip, bits)| IpRange::parse(&format!("{ip}/{bits}")))
                .collect(),
            writes: server.i_accept_unauthenticated_writes,
        },
        Mode::Serve | Mode::Check => match token {
            Some(LocalToken { token, .. }) => LocalMode::Token { token: token.clone() },
            None => LocalMode::Off,
        },
    }
}

/// From a checked configuration to a generation. `problems` are those found so far; with any, nothing is built.
async fn compile(
    config: &Config,
    local: LocalMode,
    mut problems: Vec<Problem>,
) -> Result<(Live, Vec<String>), Vec<Problem>> {
    let home = if config.is_local() { vec![RealmName::local()] } else { config.server.home_realms.clone() };
    let (found, mut notes) = clusters::discover(&config.sources, DISCOVERY).await;
    let merged = Store::default().merge(&config.clusters, &found, &config.binds, config.is_local());
    notes.extend(merged.notes);
    let (compiled, wrong) = clusters::compile(&merged.entries, home.clone());
    let bound: BTreeSet<&str> = merged.entries.iter().filter_map(|entry| entry.origin.as_deref()).collect();
    let idle: Vec<_> = config.binds.iter().filter(|rule| !bound.contains(rule.origin.as_str())).cloned().collect();
    problems.extend(clusters::check_binds(&idle, &home));
    problems.extend(map::unknown_tools(&config.policy));
    if config.default_source == Some(DefaultSource::InCluster) {
        let what = "nothing is configured, and the pod's own service account is not used yet";
        problems.push(Problem::new(
            "clusters",
            what,
            "mount a configuration and name it with --config or KUBEFERRY_CONFIG",
        ));
    }
    for problem in wrong {
        // A context of the person's own kubeconfig that cannot be used costs the others nothing.
        match problem {
            clusters::Wrong::Written(problem) => problems.push(problem),
            clusters::Wrong::Found(note) => notes.push(note),
        }
    }
    let catalog = Catalog::new(&config.server.toolsets);
    let catalog =
        catalog.map_err(|wrong| problems.extend(wrong.into_iter().map(|problem| map::below("server", problem)))).ok();
    let auth = Authenticator::new(auth_config(config, home, local, &compiled), Arc::new(Keys::new()));
    let auth = auth.map_err(|wrong| problems.extend(wrong)).ok();
    let seal = files::seal(&config.server.seal_key_files).map_err(|problem| problems.push(problem)).ok();
    let (true, Some(catalog), Some(auth), Some(seal)) = (problems.is_empty(), catalog, auth, seal) else {
        return Err(problems);
    };
    let inventory = Snapshot::new(compiled.iter().map(|one| one.cluster.clone()).collect(), merged.ambiguous);
    let pool = Pool::new(compiled.into_iter().map(|one| (Arc::new(one.cluster), one.compiled)), None);
    let policy = Policy::new(map::policy(&config.policy, config.server.i_accept_unauthenticated_writes));
    let parts = Parts {
        generation: 1,
        auth: Arc::new(auth),
        inventory,
        policy,
        pool,
        catalog: Arc::new(catalog),
        seal: Arc::new(seal),
    };
    Ok((Live::new(parts), notes))
}

fn auth_config(config: &Config, home: Vec<RealmName>, local: LocalMode, compiled: &[clusters::One]) -> AuthConfig {
    let home = if config.is_local() { Vec::new() } else { home };
    AuthConfig {
        realms: config.realms.iter().map(map::realm).collect(),
        home,
        resource: config.server.resource.clone(),
        audiences: config.server.audiences.clone(),
        passthrough_audiences: clusters::passthrough_audiences(compiled),
        gateway_server_names: config.gateway.server_names.clone(),
        required_scopes: config.server.required_scopes.clone(),
        local,
        generation: 1,
    }
}
