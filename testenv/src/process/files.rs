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

/// An empty folder under `target/lab`, for what may be in a static: nothing removes that at the end of a test process.
/// What is left behind goes after a day.
///
/// # Errors
/// When `target/lab` cannot be written.
pub fn lab_folder(name: &str) -> anyhow::Result<TempDir> {
    let prefix = format!("{name}-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(lab()?).context("creating a folder for the lab")
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
    static COUNT: AtomicU32 = AtomicU32::new(0);

    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(lab()?.join(format!("{name}-{}-{count}.log", std::process::id())))
}

/// `target/lab`, without what earlier test processes left there more than a day ago.
fn lab() -> anyhow::Result<PathBuf> {
    static TIDY: Once = Once::new();

    let lab = artifacts::target().join("lab");
    std::fs::create_dir_all(&lab).with_context(|| format!("creating {}", lab.display()))?;
    TIDY.call_once(|| remove_old(&lab));
    Ok(lab)
}

/// Best effort: another test process may be removing the same files.
fn remove_old(lab: &Path) {
    let day = Duration::from_secs(24 * 60 * 60);
    let Some(limit) = SystemTime::now().checked_sub(day) else {
        return;
    };
    for entry in std::fs::read_dir(lab).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.modified().is_ok_and(|changed| changed < limit) {
            let path = entry.path();
            drop(if metadata.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) });
        }
    }
}
