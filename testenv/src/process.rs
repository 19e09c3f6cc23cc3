//! Programs that run for a test: their folder, their log, their ports, and their certain end.
//!
//! A program outlives neither its [`Process`] nor this test process, not even when that is killed or keeps the
//! `Process` in a static: a shell stands between the two, holds the read end of a pipe, and kills the program and
//! removes its folder when the write end is gone.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::poll;

pub mod files;
pub mod port;

/// Runs "$2 …" until it ends or standard input does, then removes the folder $1. The status is that of the program.
const KEEPER: &str = r#"
folder=$1; shift
exec 3<&0
"$@" 3<&- </dev/null & program=$!
{ read -r _ <&3; kill -KILL "$program"; } & watcher=$!
exec 3<&-
wait "$program"; status=$?
kill "$watcher" 2>/dev/null
rm -rf "$folder"
exit "$status"
"#;

/// How much of the end of a log an error shows, in bytes.
const TAIL: usize = 4096;

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    keeper: Child,
    folder: PathBuf,
    log: PathBuf,
    keep_log: bool,
}

/// What to run.
#[derive(Debug)]
pub struct Launch<'a> {
    /// A name for errors and the log file; not unique.
    pub name: &'a str,
    /// The program's file.
    pub program: &'a Path,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables added to the environment.
    pub envs: Vec<(&'a str, &'a str)>,
}

impl Process {
    /// Starts a program in `folder`, which it owns from now on.
    ///
    /// Standard output and error go to a log file under `target/lab`. The log is removed with the `Process`, unless
    /// the thread panics then, the program did not get ready, or it had ended by itself. Logs left behind go after
    /// a day.
    ///
    /// # Errors
    /// When the log cannot be written or the shell cannot be started. That the program itself cannot be started
    /// shows as its early end.
    pub fn start(folder: TempDir, launch: Launch<'_>) -> anyhow::Result<Self> {
        let log = files::log(launch.name)?;
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(folder.path())
            .arg(launch.program)
            .args(launch.args)
            .envs(launch.envs)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().context("sharing the log file")?)
            .stderr(output)
            // Ctrl-C is for the test process; its end then closes the pipe.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", launch.program.display()))?;
        Ok(Self { name: launch.name.to_owned(), keeper, folder: folder.keep(), log, keep_log: false })
    }

    /// The folder of the program's files, removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file with what the program printed.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The number of the program's process.
    ///
    /// # Errors
    /// When it is not running, or not yet.
    pub fn id(&self) -> anyhow::Result<u32> {
        let keeper = self.keeper.id();
        let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
        let children = children.with_context(|| format!("looking for {}", self.name))?;
        // The keeper starts the program first and its watcher after it.
        let first = children.split_whitespace().next().with_context(|| format!("{} is not running", self.name))?;
        first.parse().context("reading the number of a process")
    }

    /// Fails once the program has ended.
    ///
    /// # Errors
    /// With the status and the end of the log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let status = self.keeper.try_wait().with_context(|| format!("looking after {}", self.name))?;
        if let Some(status) = status {
            bail!("{} ended ({status}):\n{}", self.name, self.tail());
        }
        Ok(())
    }

    /// Calls `look` until it answers `Ok`; `Err` says what is missing.
    ///
    /// # Errors
    /// After `deadline`, or as soon as the program ends, with the end of its log.
    pub async fn until_ready<F, Fut>(&mut self, deadline: Duration, mut look: F) -> anyhow::Result<()>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<(), String>>,
    {
        let what = format!("{} to be ready", self.name);
        let outcome = poll::until(&what, deadline, || {
            let (running, look) = (self.check(), look());
            async move {
                match running {
                    Ok(()) => look.await.map(Ok),
                    ended => Ok(ended),
                }
            }
        })
        .await
        .and_then(|ended| ended);
        self.keep_log |= outcome.is_err();
        outcome.with_context(|| self.tail())
    }

    /// The last lines that the program printed.
    fn tail(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let end = bytes.split_at(bytes.len().saturating_sub(TAIL)).1;
        format!("{}\n(the whole log: {})", String::from_utf8_lossy(end).trim_end(), self.log.display())
    }
}

impl Drop for Process {
    /// Kills the program and returns when it is gone, within milliseconds: nothing can hold up SIGKILL.
    fn drop(&mut self) {
        let ran = matches!(self.keeper.try_wait(), Ok(None));
        drop(self.keeper.stdin.take());
        // Neither failure leaves anything to do: the program is gone, or its log stays for a day.
        drop(self.keeper.wait());
        if ran && !self.keep_log && !std::thread::panicking() {
            drop(std::fs::remove_file(&self.log));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Process {
        let launch = Launch {
            name: "process-test",
            program: Path::new("/bin/sh"),
            args: vec!["-c".to_owned(), script.to_owned()],
            envs: vec![("GREETING", "hello")],
        };
        Process::start(files::folder("process-test").unwrap(), launch).unwrap()
    }

    async fn printed(process: &Process) -> String {
        poll::until("the program's output", Duration::from_secs(10), || async {
            let text = std::fs::read_to_string(process.log()).unwrap();
            if text.ends_with('\n') { Ok(text) } else { Err(format!("only {text:?}")) }
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn a_dropped_process_leaves_nothing() {
        let mut process = start("echo $$; exec sleep 600");
        let pid = printed(&process).await;
        process.check().unwrap();
        assert_eq!(process.id().unwrap().to_string(), pid.trim());
        let (folder, log) = (process.folder().to_owned(), process.log().to_owned());
        assert!(folder.is_dir());
        drop(process);
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is gone");
        assert!(!folder.exists() && !log.exists(), "so are its files");
    }

    #[tokio::test]
    async fn an_early_end_shows_the_status_and_keeps_the_log() {
        let mut process = start("echo \"$GREETING\" >&2; exit 3");
        printed(&process).await;
        let error = poll::until("the end", Duration::from_secs(10), || {
            let outcome = process.check();
            async { outcome.err().ok_or_else(|| "it runs".to_owned()) }
        })
        .await
        .unwrap()
        .to_string();
        assert!(error.contains("hello") && error.contains('3'), "{error}");
        let (folder, log) = (process.folder().to_owned(), process.log().to_owned());
        drop(process);
        assert!(!folder.exists() && log.exists());
        std::fs::remove_file(log).unwrap();
    }
}
