//! What became of the last reload: one value, shared by all generations, for `/readyz?verbose` and
//! `/metrics`.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;

/// What became of the last reload.
#[derive(Debug, Default)]
pub struct ReloadStatus {
    failed: ArcSwapOption<(Instant, usize)>,
    restart: ArcSwapOption<String>,
}

impl ReloadStatus {
    /// The last reload was published. `restart` names the settings that wait for a restart.
    pub fn published(&self, restart: &[&str]) {
        self.failed.store(None);
        self.restart.store((!restart.is_empty()).then(|| Arc::new(restart.join(", "))));
    }

    /// The last reload was refused for this many mistakes.
    pub fn refused(&self, mistakes: usize) {
        self.failed.store(Some(Arc::new((Instant::now(), mistakes))));
    }

    /// Whether the last reload was refused.
    pub fn has_failed(&self) -> bool {
        self.failed.load().is_some()
    }

    /// What is not as the files say, in words without any of their content; empty when all is well.
    pub fn troubles(&self) -> Vec<String> {
        let failed = self.failed.load_full().map(|failed| {
            let (when, mistakes) = *failed;
            let noun = if mistakes == 1 { "mistake" } else { "mistakes" };
            format!("reload failed {} s ago: {mistakes} {noun}, see the log", when.elapsed().as_secs())
        });
        let restart = self.restart.load_full().map(|keys| format!("restart needed for {keys}"));
        failed.into_iter().chain(restart).collect()
    }
}
