//! Reload when a file changes, or on SIGHUP.
//!
//! The folders of all files are watched, also those on the way through symbolic links, so that an atomic rename and the
//! `..data` swap of a mounted ConfigMap count. An event only says "look": what decides is whether the files differ from
//! those that were last read, so other files in the same folders cost a few `stat` calls.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::App;

/// Events this close together are one change.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// Symbolic links followed for one file, at most, as the kernel does.
const MAX_LINKS: usize = 40;
/// Folders watched, at most; inotify has a limit per user.
const MAX_FOLDERS: usize = 1_000;

/// What a file, or the list of a folder, was when it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stamp {
    Absent,
    /// Device, inode, size, and the times of the last change of content and of anything, in nanoseconds.
    File([i128; 5]),
    /// The names of the `*.toml` in it.
    Folder(Vec<OsString>),
}

pub(super) type Stamps = BTreeMap<PathBuf, Stamp>;

/// The stamps of `paths` now.
pub(super) fn stamps<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Stamps {
    paths.into_iter().map(|path| (path.clone(), stamp(path))).collect()
}

fn stamp(path: &Path) -> Stamp {
    let Ok(found) = std::fs::metadata(path) else { return Stamp::Absent };
    if found.is_dir() {
        let items = std::fs::read_dir(path).into_iter().flatten().flatten().map(|item| item.file_name());
        let mut names: Vec<_> = items.filter(|name| name.as_encoded_bytes().ends_with(b".toml")).collect();
        names.sort();
        return Stamp::Folder(names);
    }
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Stamp::File([
        found.dev().into(),
        found.ino().into(),
        found.size().into(),
        nanoseconds(found.mtime(), found.mtime_nsec()),
        nanoseconds(found.ctime(), found.ctime_nsec()),
    ])
}

/// The files without a byte.
pub(super) fn empty(stamps: &Stamps) -> BTreeSet<PathBuf> {
    let empty = stamps.iter().filter(|(_, stamp)| matches!(stamp, Stamp::File([_, _, 0, ..])));
    empty.map(|(path, _)| path.clone()).collect()
}

/// A folder as it is now: one that was removed and made anew is another.
type Folder = (PathBuf, u64, u64);

/// The folders in which a change can change one of `paths`: that of each, of each link on its way, and of what they lead
/// to; for a folder that is not there, the nearest one above.
fn folders<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> BTreeSet<Folder> {
    let mut found = BTreeSet::new();
    for path in paths {
        let (mut todo, mut steps) = (vec![path.clone()], 0);
        while let Some(path) = todo.pop() {
            steps += 1;
            if path.is_dir() {
                found.extend(folder(&path));
            }
            found.extend(path.parent().and_then(folder));
            for link in path.ancestors() {
                let (Ok(target), Ok(rest)) = (std::fs::read_link(link), path.strip_prefix(link)) else { continue };
                found.extend(link.parent().and_then(folder));
                let target = link.parent().unwrap_or_else(|| Path::new("")).join(target);
                let led = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
                if todo.len() + steps < MAX_LINKS {
                    todo.push(led);
                }
            }
        }
    }
    found
}

fn folder(path: &Path) -> Option<Folder> {
    path.ancestors().find_map(|above| {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        let found = std::fs::metadata(above).ok().filter(std::fs::Metadata::is_dir)?;
        Some((above.to_owned(), found.dev(), found.ino()))
    })
}

/// A watcher of folders; events come as `()` through a channel that keeps one.
#[derive(Debug)]
struct Watch {
    folders: BTreeSet<Folder>,
    /// Kept for its thread.
    _watcher: Option<RecommendedWatcher>,
}

fn arm(folders: BTreeSet<Folder>, sender: mpsc::Sender<()>) -> Watch {
    let heard = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_read(event.kind)) {
            return;
        }
        // Full = somebody will look anyway.
        let _ = sender.try_send(());
    };
    let armed = notify::recommended_watcher(heard).map(|mut watcher| {
        for (folder, ..) in folders.iter().take(MAX_FOLDERS) {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "a folder is not watched; send SIGHUP after a change");
            }
        }
        watcher
    });
    if folders.len() > MAX_FOLDERS {
        let (all, most) = (folders.len(), MAX_FOLDERS);
        tracing::warn!(all, most, "not all folders are watched; send SIGHUP after a change");
    }
    let watcher = armed.map_err(|error| {
        tracing::warn!(%error, "files are not watched; send SIGHUP after a change");
    });
    Watch { folders, _watcher: watcher.ok() }
}

/// Reading changes nothing, and we read ourselves.
fn is_read(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// SIGHUP, taken over from now on: it no longer ends the process. `None` when signals cannot be received.
pub(super) fn hangup() -> Option<Signal> {
    signal(SignalKind::hangup()).map_err(|error| tracing::warn!(%error, "SIGHUP cannot be received")).ok()
}

/// Reloads until `stop`. Changes while a reload runs lead to one more.
pub(super) async fn follow(app: &App, mut hangup: Option<Signal>, stop: CancellationToken) {
    let (sender, mut events) = mpsc::channel(1);
    let mut watch: Option<Watch> = None;
    loop {
        rearm(app, &mut watch, &sender).await;
        // What changed since it was read, and before it was watched, made no event.
        if !app.changed().await {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = events.recv() => false,
                () = asked(&mut hangup) => true,
            };
            if asked {
                reload(app).await;
                continue;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(DEBOUNCE) => {}
        }
        // Events up to here are answered by the look that follows.
        let _ = events.try_recv();
        if app.changed().await {
            reload(app).await;
        }
    }
}

async fn asked(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// `App::reload` has logged what came of it.
async fn reload(app: &App) {
    drop(app.reload().await);
}

/// Watches the folders as they are now. The old watcher goes when the new one is there.
async fn rearm(app: &App, watch: &mut Option<Watch>, sender: &mpsc::Sender<()>) {
    let paths = app.watched().await;
    let old = watch.as_ref().map(|watch| watch.folders.clone());
    let sender = sender.clone();
    let look = move || {
        let folders = folders(&paths);
        (Some(&folders) != old.as_ref()).then(|| arm(folders, sender))
    };
    match app.aside(look).await {
        Ok(Some(new)) => *watch = Some(new),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the files cannot be watched now"),
    }
}

impl App {
    /// Reloads when a file changes, and where `hangup` on SIGHUP, until `stop`. Run it as a task of its own. The signal is
    /// taken over at once, not when the task first runs.
    pub fn follow(self: Arc<Self>, hangup: bool, stop: CancellationToken) -> impl Future<Output = ()> + Send {
        let hangup = if hangup { self::hangup() } else { None };
        async move { follow(&self, hangup, stop).await }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{Stamp, folders, stamps};

    #[test]
    fn folders_of_links_are_watched_on_the_whole_way() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["etc", "data/v1"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        // As a mounted ConfigMap: etc/c.toml -> ..data/c.toml, etc/..data -> ../data/v1.
        std::fs::write(root.join("data/v1/c.toml"), "a = 1").unwrap();
        symlink("../data/v1", root.join("etc/..data")).unwrap();
        symlink("..data/c.toml", root.join("etc/c.toml")).unwrap();
        symlink("loop", root.join("etc/loop")).unwrap();
        let found = folders(&[root.join("etc/c.toml"), root.join("etc/loop"), root.join("gone/far/x")]);
        let found: Vec<_> = found.iter().map(|(path, ..)| path.canonicalize().unwrap()).collect();
        for folder in [root.clone(), root.join("etc"), root.join("data/v1")] {
            assert!(found.contains(&folder), "{} in {found:?}", folder.display());
        }
    }

    #[test]
    fn a_stamp_changes_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["file", "conf.d", "none"].map(|name| folder.path().join(name));
        let [file, conf, none] = &paths;
        std::fs::write(file, "a").unwrap();
        std::fs::create_dir(conf).unwrap();
        let before = stamps(&paths);
        assert_eq!((before.get(none), before.get(conf)), (Some(&Stamp::Absent), Some(&Stamp::Folder(Vec::new()))));
        assert_eq!(before, stamps(&paths));
        std::fs::write(conf.join("1.txt"), "").unwrap();
        assert_eq!(before, stamps(&paths));
        // The same size and name, by rename.
        std::fs::write(folder.path().join("new"), "b").unwrap();
        std::fs::rename(folder.path().join("new"), file).unwrap();
        assert_ne!(before.get(file), stamps(&paths).get(file));
        std::fs::write(conf.join("1.toml"), "").unwrap();
        assert_ne!(before.get(conf), stamps(&paths).get(conf));
    }
}
