//! **Ferry**: the program under test, always the built binary, run as a user runs it.
//!
//! Its environment is empty but for `PATH`, a `HOME` of its own and what the test gives, so nothing of this machine
//! decides an outcome.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::poll;
use crate::process::files;

/// How long the program may take until it listens; it takes a tenth of a second.
const LISTENING: Duration = Duration::from_secs(30);
/// How long it may take to end after SIGTERM: its own drain is shorter.
const STOPPING: Duration = Duration::from_secs(60);
/// How long [`run`] may take.
const RUN: Duration = Duration::from_secs(60);
/// The most that is kept of each of its two outputs, in bytes.
const MAX_OUTPUT: usize = 64 << 20;

/// The program's file: the one in `KUBEFERRY_BIN`, else what `cargo build -p kubeferry` makes, once per test process.
///
/// # Errors
/// When `KUBEFERRY_BIN` names no file, or the build fails.
pub fn binary() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(given) = std::env::var_os("KUBEFERRY_BIN").filter(|given| !given.is_empty()) {
        let given = PathBuf::from(given);
        if !given.is_file() {
            bail!("KUBEFERRY_BIN: there is no file {}", given.display());
        }
        // The program runs in a folder of its own.
        return std::path::absolute(&given).context("resolving KUBEFERRY_BIN");
    }
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

/// Builds into the target folder that this process came from; cargo does nothing when all is up to date.
fn build() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("looking for this program's file")?;
    let target = this.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = target.with_context(|| format!("{} is in no target folder", this.display()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["build", "--quiet", "-p", "kubeferry", "--target-dir"])
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stdin(Stdio::null())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("cargo build -p kubeferry failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(target.join("debug/kubeferry"))
}

/// A running `kubeferry serve` on a free port of 127.0.0.1. It is killed when this is dropped.
#[derive(Debug)]
pub struct Ferry {
    url: String,
    /// Ends first, so that it never sees a number that is another program's by then.
    _watcher: Child,
    child: tokio::sync::Mutex<Child>,
    outputs: Outputs,
    _home: Option<TempDir>,
}

impl Ferry {
    /// Starts it with `config` and waits until it listens. `env` is added to its environment.
    ///
    /// # Errors
    /// When there is no program, or it ends or says no address within 30 s; with its log.
    pub async fn start(config: Option<&Path>, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_with(config, env, None).await
    }

    /// As [`Ferry::start`], allowed so many open files.
    ///
    /// # Errors
    /// As [`Ferry::start`].
    pub async fn start_with_open_files(config: &Path, env: &[(&str, &str)], files: u32) -> anyhow::Result<Self> {
        Self::start_with(Some(config), env, Some(files)).await
    }

    async fn start_with(config: Option<&Path>, env: &[(&str, &str)], files: Option<u32>) -> anyhow::Result<Self> {
        let mut args = vec!["--log-format", "json", "serve", "--listen", "127.0.0.1:0"];
        let config = config.map(|config| config.display().to_string());
        args.extend(config.iter().flat_map(|config| ["--config", config]));
        let (mut child, home) = spawn(&args, env, Stdio::null(), files)?;
        let watcher = watcher(&child)?;
        let outputs = Outputs::of(&mut child);
        let listening = poll::until("kubeferry to listen", LISTENING, || {
            let ended = child.try_wait();
            let url = outputs.log.text().lines().find_map(listening_at);
            async move {
                match (url, ended) {
                    (Some(url), _) => Ok(Ok(url)),
                    (None, Ok(None)) => Err("it has not said where it listens".to_owned()),
                    (None, Ok(Some(status))) => Ok(Err(format!("kubeferry ended ({status})"))),
                    (None, Err(error)) => Ok(Err(format!("looking after kubeferry: {error}"))),
                }
            }
        });
        let url = listening.await.and_then(|url| url.map_err(anyhow::Error::msg));
        let url = match url {
            Ok(url) => url,
            Err(error) => {
                // What it printed last may still be in the pipe.
                drop(timeout(Duration::from_secs(2), outputs.finished()).await);
                bail!("{error:#}\n{}", outputs.log.text());
            }
        };
        Ok(Self { url, _watcher: watcher, child: tokio::sync::Mutex::new(child), outputs, _home: home })
    }

    /// The MCP endpoint, `http://127.0.0.1:PORT/mcp`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address without a path, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base(&self) -> &str {
        self.url.strip_suffix("/mcp").unwrap_or(&self.url)
    }

    /// Its standard error so far: one JSON object per line.
    #[must_use]
    pub fn log(&self) -> String {
        self.outputs.log.text()
    }

    /// Its standard output so far.
    #[must_use]
    pub fn printed(&self) -> String {
        self.outputs.printed.text()
    }

    /// Its process id, as `/proc` has it.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn id(&self) -> anyhow::Result<u32> {
        self.child.lock().await.id().context("kubeferry has ended already")
    }

    /// Sends `signal`, as `TERM` or `HUP`.
    ///
    /// # Errors
    /// When it has ended already, or there is no such signal.
    pub async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let id = self.id().await?;
        let script = r#"kill -s "$1" "$2""#;
        let mut kill = Command::new("/bin/sh");
        kill.args(["-c", script, "kill", signal, &id.to_string()]).kill_on_drop(true);
        let status = timeout(Duration::from_secs(10), kill.status()).await.context("sending a signal")??;
        if !status.success() {
            bail!("signal {signal} could not be sent: {status}");
        }
        Ok(())
    }

    /// Sends SIGTERM and waits for its end; all of its output is there then. A second call answers the same.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub async fn stop(&self) -> ExitStatus {
        if self.child.lock().await.id().is_some() {
            // It may end between the two looks: then there is nothing to stop.
            drop(self.signal("TERM").await);
        }
        let mut child = self.child.lock().await;
        let ended = timeout(STOPPING, child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("kubeferry ignores SIGTERM:\n{}", self.outputs.log.text()));
        drop(timeout(Duration::from_secs(2), self.outputs.finished()).await);
        ended.expect("a child of ours can be waited for")
    }
}

/// A shell that kills `child` when this process is gone without a chance to do so: its standard input ends then.
fn watcher(child: &Child) -> anyhow::Result<Child> {
    let id = child.id().context("kubeferry ended at once")?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"read -r _; kill -s KILL "$1""#, "watcher", &id.to_string()]);
    // Ctrl-C is for this process; its end then reaches the shell.
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
    shell.spawn().context("starting a shell")
}

/// The address in a line of the log, if it is the line that says it.
fn listening_at(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let says = line["message"] == "listening";
    line["url"].as_str().filter(|_| says).map(str::to_owned)
}

/// What a finished program left.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit status; -1 when a signal ended it.
    pub code: i32,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// Runs the program to its end with `args`, `env` added to its environment, and `stdin` (none: it is empty).
///
/// # Errors
/// When there is no program, or it does not end within 60 s.
pub async fn run(args: &[&str], env: &[(&str, &str)], stdin: Option<&str>) -> anyhow::Result<Ran> {
    let input = if stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    let (mut child, _home) = spawn(args, env, input, None)?;
    let outputs = Outputs::of(&mut child);
    let pipe = child.stdin.take();
    let ended = timeout(RUN, async {
        if let (Some(mut pipe), Some(text)) = (pipe, stdin) {
            // It need not read all of it, or any.
            drop(pipe.write_all(text.as_bytes()).await);
        }
        let status = child.wait().await;
        outputs.finished().await;
        status
    });
    let ended = ended.await.with_context(|| format!("kubeferry {args:?} did not end within {RUN:?}"))?;
    let status = ended.context("waiting for kubeferry")?;
    Ok(Ran { code: status.code().unwrap_or(-1), stdout: outputs.printed.text(), stderr: outputs.log.text() })
}

/// Starts the program in a home folder of its own unless `env` names one, and with a limit of open `files` if given.
fn spawn(
    args: &[&str],
    env: &[(&str, &str)],
    stdin: Stdio,
    files: Option<u32>,
) -> anyhow::Result<(Child, Option<TempDir>)> {
    let program = binary()?;
    let given = env.iter().any(|(name, _)| *name == "HOME");
    let home = if given { None } else { Some(files::folder("home")?) };
    let mut command = match files {
        None => Command::new(&program),
        Some(files) => {
            // The shell becomes the program.
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", r#"ulimit -n "$1" && shift && exec "$@""#, "limited", &files.to_string()]).arg(&program);
            shell
        }
    };
    command.args(args).env_clear().stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    if let Some(home) = &home {
        command.env("HOME", home.path()).current_dir(home.path());
    }
    command.envs(env.iter().copied());
    let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
    Ok((child, home))
}

/// Both outputs of a program.
#[derive(Debug)]
struct Outputs {
    printed: Reader,
    log: Reader,
}

impl Outputs {
    fn of(child: &mut Child) -> Self {
        Self {
            printed: Reader::start(child.stdout.take().expect("standard output is a pipe")),
            log: Reader::start(child.stderr.take().expect("standard error is a pipe")),
        }
    }

    /// Waits until both have ended.
    async fn finished(&self) {
        for reader in [&self.printed, &self.log] {
            let mut done = reader.done.clone();
            // An error means that the reading task is gone, which is an end too.
            drop(done.wait_for(|done| *done).await);
        }
    }
}

/// Reads one output to its end, so that the program never waits for us.
struct Reader {
    bytes: Arc<Mutex<Vec<u8>>>,
    done: tokio::sync::watch::Receiver<bool>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("done", &*self.done.borrow()).finish_non_exhaustive()
    }
}

impl Reader {
    fn start(mut from: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (finish, done) = tokio::sync::watch::channel(false);
        let into = Arc::clone(&bytes);
        tokio::spawn(async move {
            let mut chunk = vec![0; 16 << 10];
            while let Ok(read @ 1..) = from.read(&mut chunk).await {
                let mut bytes = into.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MAX_OUTPUT.saturating_sub(bytes.len());
                bytes.extend_from_slice(&chunk[..read.min(room)]);
            }
            finish.send_replace(true);
        });
        Self { bytes, done }
    }

    /// # Panics
    /// Once it is full: a log with holes proves nothing.
    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(bytes.len() < MAX_OUTPUT, "kubeferry printed more than {MAX_OUTPUT} bytes");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_line_tells_the_address() {
        let line = r#"{"level":"INFO","message":"listening","url":"http://127.0.0.1:1/mcp","target":"kubeferry"}"#;
        assert_eq!(listening_at(line).as_deref(), Some("http://127.0.0.1:1/mcp"));
        assert_eq!(listening_at(r#"{"message":"fetched","url":"https://127.0.0.1:1"}"#), None);
        assert_eq!(listening_at("listening on http://127.0.0.1:1/mcp"), None);
    }

    #[tokio::test]
    async fn a_program_runs_to_its_end() {
        let ran = run(&["version"], &[], None).await.unwrap();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert!(ran.stdout.starts_with("kubeferry "), "{}", ran.stdout);
        let ran = run(&["no-such-command"], &[], Some("ignored")).await.unwrap();
        assert_eq!(ran.code, 2);
        assert!(ran.stderr.contains("no-such-command"), "{}", ran.stderr);
    }

    #[tokio::test]
    async fn a_program_stops_in_order_and_a_dropped_one_at_once() {
        let world = crate::world::World::start(crate::world::Lab::Simulated).await.unwrap();
        let config = world.config();
        let [first, second] =
            [Ferry::start(Some(&config), &[]).await.unwrap(), Ferry::start(Some(&config), &[]).await.unwrap()];
        assert_ne!(first.url(), second.url());
        let alive = |ferry: &Ferry| {
            let url = format!("{}/livez", ferry.base());
            async move { crate::mcp::raw::get(&url, &[]).await.is_ok_and(|reply| reply.status == 200) }
        };
        assert!(alive(&first).await && alive(&second).await);
        assert!(first.stop().await.success());
        assert!(first.stop().await.success(), "a second call answers the same");
        assert!(first.log().contains("stopped") && !alive(&first).await);

        let id = second.child.lock().await.id().unwrap();
        drop(second);
        poll::until("the dropped program to go", Duration::from_secs(10), || async move {
            // A zombie still has a folder there, but no command line any more.
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            if line.is_empty() { Ok(()) } else { Err("it runs".to_owned()) }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_program_that_cannot_start_says_why() {
        let missing = Path::new("/nonexistent/kubeferry.toml");
        let error = format!("{:#}", Ferry::start(Some(missing), &[]).await.unwrap_err());
        assert!(error.contains("/nonexistent/kubeferry.toml") && error.contains("ended"), "{error}");
    }
}
