//! The files of a program: a folder of its own, secrets that only this user can read, and its log.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tempfile::TempDir;

use crate::artifacts;

/// An empty folder for one program's files.
///
/// # Errors
/// When the temporary folder of this machine cannot be written.
pub fn folder(name: &str) -> anyhow::Result<TempDir> {
    tempfile::Builder::new().prefix(&format!("kubeferry-{name}-")).tempdir().context("creating a folder for a program")
}

/// Writes `text` to the file `name` in `folder`, readable only by this user, and returns its path.
///
/// # Errors
/// When the file cannot be written.
pub fn write(folder: &TempDir, name: &str, text: &str) -> anyhow::Result<String> {
    let path = folder.path().join(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("creating {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
    Ok(path.display().to_string())
}

/// A new file name under `target/lab` for the log of the program `name`.
pub(super) fn log(name: &str) -> anyhow::Result<PathBuf> {
    static TIDY: Once = Once::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);

    let logs = artifacts::target().join("lab");
    std::fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
    TIDY.call_once(|| remove_old(&logs));
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(logs.join(format!("{name}-{}-{count}.log", std::process::id())))
}

/// Best effort: another test process may be removing the same files.
fn remove_old(logs: &Path) {
    let day = Duration::from_secs(24 * 60 * 60);
    let Some(limit) = SystemTime::now().checked_sub(day) else {
        return;
    };
    for entry in std::fs::read_dir(logs).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        if changed.is_ok_and(|changed| changed < limit) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}
