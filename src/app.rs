//! Wiring: from a configuration to a running `Live`, built from below in floor order, and to the next one at a reload.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Semaphore};

use crate::auth::AuthError;
use crate::config::{self, Config, Environment, Loaded, Origin, SourceMap};
use crate::model::{Caller, Problem, Secret};
use crate::server::{LiveSource, ServerConfig};

mod clusters;
mod doctor;
mod files;
mod fixed;
mod generation;
mod map;
mod reload;
mod watch;

pub use doctor::{Finding, Level};
pub use files::LocalTokenError;

use generation::{DISCOVERY, Lasting, Plan};
use watch::Stamps;

/// Files are read, and a generation is compiled, within this.
const ASIDE: Duration = Duration::from_secs(30);
/// Threads that may hang on files that do not answer.
const ASIDE_THREADS: usize = 2;

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
    origin: Origin,
    environment: Environment,
    mode: Mode,
    /// As it was at start: what the listener runs with. Without clusters, which each generation has anew.
    config: Config,
    local_token: Option<LocalToken>,
    notes: Vec<String>,
    state: Mutex<State>,
    aside: Arc<Semaphore>,
}

/// What a reload goes on from.
#[derive(Debug)]
struct State {
    lasting: Lasting,
    /// What is watched, as it was when it was last read.
    stamps: Stamps,
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
    /// A disk does not answer, or a thread ended.
    #[error("the configuration's files were not read within {} s", ASIDE.as_secs())]
    Slow,
}

impl App {
    /// Reads, checks and compiles the configuration. No cluster and no realm is contacted.
    ///
    /// # Errors
    /// With every mistake at once.
    pub async fn start(origin: &Origin, environment: &Environment, mode: Mode) -> Result<Self, AppError> {
        let aside = Arc::new(Semaphore::new(ASIDE_THREADS));
        let (from, with) = (origin.clone(), environment.clone());
        let read = move || config::load(&from, &with).map(|loaded| (watch::stamps(&loaded.watched), loaded));
        let (stamps, loaded) = self::aside(&aside, read).await??;
        let Loaded { mut config, map, problems, .. } = loaded;
        let local_token = match mode {
            Mode::Serve if config.is_local() && !config.server.i_accept_unauthenticated_clients => {
                Some(files::local_token(environment).map_err(AppError::LocalToken)?)
            }
            Mode::Serve | Mode::Person | Mode::Check => None,
        };
        let clusters = std::mem::take(&mut config.clusters);
        let plan = Plan {
            local: generation::local_mode(&config, mode, local_token.as_ref()),
            discovery: clusters::discover(&config.sources, DISCOVERY).await,
            config: Config { clusters, ..config.clone() },
            problems,
            lasting: Lasting::new(),
            previous: None,
        };
        let made = self::aside(&aside, move || generation::make(plan)).await?;
        let (live, mut lasting) = made.map_err(|problems| report(&problems, &map))?;
        lasting.empty = watch::empty(&stamps);
        Ok(Self {
            live: Arc::new(ArcSwap::from_pointee(live)),
            origin: origin.clone(),
            environment: environment.clone(),
            mode,
            config,
            local_token,
            notes: lasting.notes.clone(),
            state: Mutex::new(State { lasting, stamps }),
            aside,
        })
    }

    /// Where the current generation is found.
    pub fn live(&self) -> LiveSource {
        Arc::clone(&self.live)
    }

    /// What the listener needs.
    pub fn server(&self) -> ServerConfig {
        map::server(&self.config)
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

/// Runs `work`, which reads files, on a thread of its own.
async fn aside<T: Send + 'static>(
    threads: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AppError> {
    let thread = Arc::clone(threads).try_acquire_owned().map_err(|_all_hang| AppError::Slow)?;
    let running = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(thread);
        done
    });
    let done = tokio::time::timeout(ASIDE, running).await;
    done.map_err(|_elapsed| AppError::Slow)?.map_err(|_ended| AppError::Slow)
}

fn report(problems: &[Problem], map: &SourceMap) -> AppError {
    AppError::Problems(config::report(problems, map))
}

#[cfg(test)]
mod tests;
