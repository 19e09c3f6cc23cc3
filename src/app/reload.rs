//! The next generation: everything is read again, and either all of it is published or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::generation::{self, DISCOVERY, Lasting, Plan};
use super::watch::{self, Stamps};
use super::{App, AppError, State, clusters, fixed, report};
use crate::config::{self, Loaded};
use crate::dispatch::Live;
use crate::model::{Problem, chain};

/// A generation that is not published yet.
struct Next {
    live: Live,
    lasting: Lasting,
    restart: Vec<&'static str>,
}

impl App {
    /// Reads everything again and publishes the next generation; its number. Calls in flight keep theirs, and it is
    /// dropped with the last of them. No cluster and no realm is contacted.
    ///
    /// # Errors
    /// With every mistake at once, after one line in the log. The last good generation stays.
    pub async fn reload(&self) -> Result<u64, AppError> {
        let mut state = self.state.lock().await;
        let status = Arc::clone(&state.lasting.status);
        let Next { live, lasting, restart } = match self.next(&mut state).await {
            Ok(next) => next,
            Err(error) => {
                let (mistakes, first) = summary(&error);
                let stays = self.live.load().generation;
                tracing::error!(mistakes, first, generation = stays, "reload failed; the last good generation stays");
                status.refused(mistakes);
                self.live.load().metrics().reload(false);
                return Err(error);
            }
        };
        let (generation, clusters) = (live.generation, live.inventory.iter().len());
        for note in lasting.notes.iter().filter(|note| !state.lasting.notes.contains(note)) {
            tracing::warn!("{note}");
        }
        state.lasting = lasting;
        let live = Arc::new(live);
        let before = self.live.swap(Arc::clone(&live));
        before.pool.retire(&live.pool);
        status.published(&restart);
        self.live.load().metrics().reload(true);
        if restart.is_empty() {
            tracing::info!(generation, clusters, "reloaded");
        } else {
            let keys = restart.join(", ");
            tracing::warn!(generation, clusters, keys, "reloaded; the settings in `keys` changed and need a restart");
        }
        Ok(generation)
    }

    /// Makes the next generation, and notes what was read for it.
    async fn next(&self, state: &mut State) -> Result<Next, AppError> {
        let (origin, environment) = (self.origin.clone(), self.environment.clone());
        let known: Vec<PathBuf> = state.stamps.keys().cloned().collect();
        // Stamped before they are read: a file that changes meanwhile is read once more.
        let read = move || {
            let before = watch::stamps(&known);
            (before, config::load(&origin, &environment).map(|loaded| (watch::stamps(&loaded.watched), loaded)))
        };
        let (before, loaded) = self.aside(read).await?;
        let Loaded { mut config, map, mut problems, .. } = match loaded {
            Ok((after, loaded)) => {
                // A broken part names no files; what was watched for it stays.
                let known = after.into_iter().filter(|(path, _)| !before.contains_key(path)).collect::<Stamps>();
                let keep = |path: &PathBuf| !loaded.problems.is_empty() || loaded.watched.contains(path);
                state.stamps = before.into_iter().filter(|(path, _)| keep(path)).chain(known).collect();
                loaded
            }
            Err(error) => {
                state.stamps = before;
                return Err(error.into());
            }
        };
        let empty = watch::empty(&state.stamps);
        problems.extend(emptied(&empty, &state.lasting.empty));
        let restart =
            fixed::keep(&self.config, &mut config).map_err(|problem| problems.push(problem)).unwrap_or_default();
        let discovery = clusters::discover(&config.sources, DISCOVERY).await;
        problems.extend(newly_failed(&discovery.failed, &state.lasting.failed));
        let plan = Plan {
            local: generation::local_mode(&config, self.mode, self.local_token.as_ref()),
            discovery,
            config,
            problems,
            lasting: state.lasting.clone(),
            previous: Some(self.live.load_full()),
        };
        let made = self.aside(move || generation::make(plan)).await?;
        let (live, mut lasting) = made.map_err(|problems| report(&problems, &map))?;
        lasting.empty = empty;
        Ok(Next { live, lasting, restart })
    }

    /// The files that are watched.
    pub(super) async fn watched(&self) -> Vec<PathBuf> {
        self.state.lock().await.stamps.keys().cloned().collect()
    }

    /// Whether a file differs from what was last read.
    pub(super) async fn changed(&self) -> bool {
        let read = self.state.lock().await.stamps.clone();
        let look = move || watch::stamps(read.keys()) != read;
        self.aside(look).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the files cannot be looked at now");
            false
        })
    }

    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AppError> {
        super::aside(&self.aside, work).await
    }
}

/// The number of mistakes, and the first of them with its place: what one line of the log says of a refused reload.
pub(super) fn summary(error: &AppError) -> (usize, String) {
    let lines = chain(error);
    (lines.lines().count().max(1), lines.lines().next().unwrap_or_default().to_owned())
}

/// Files that lost all their bytes: somebody is about to write them. Those that had none before are what they are.
fn emptied(empty: &BTreeSet<PathBuf>, before: &BTreeSet<PathBuf>) -> Vec<Problem> {
    let problem =
        |path: &PathBuf| Problem::new("", format!("{} is empty", path.display()), "write it whole, or remove it");
    empty.difference(before).map(problem).collect()
}

/// Sources that could be read for the last generation, and now cannot: their clusters must not vanish.
fn newly_failed(failed: &BTreeMap<String, String>, before: &BTreeMap<String, String>) -> Vec<Problem> {
    let new = failed.iter().filter(|(name, _)| !before.contains_key(*name));
    new.map(|(_, why)| Problem::new("sources", why, "correct it; its clusters stay as they were")).collect()
}
