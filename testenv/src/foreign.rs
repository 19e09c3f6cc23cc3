//! **Foreign clients**: MCP clients that others wrote, run as the programs that they are. `scripts/clients` installs them.
//!
//! What a client says of itself proves little, so a [`Recorder`] stands between it and kubeferry (over stdio, `tee`), and
//! [`Spoke`] is read from what the client really sent.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::artifacts;
use crate::ferry::{self, Ran};
use crate::mcp::Era;
use crate::process::files;

mod recorder;

pub use recorder::{Recorder, Sent, Spoke};

/// How long one run of a client may take.
const RUN: Duration = Duration::from_secs(120);
/// The command line of Inspector, for [`node`].
pub const INSPECTOR: &str = "@modelcontextprotocol/inspector/clients/launcher/build/index.js";
/// The script that asks with a client in Python.
const ASK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python/ask.py");

/// A client of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// The command line of MCP Inspector, on the SDK for TypeScript.
    Inspector,
    /// The MCP SDK for Python.
    PythonSdk,
    /// FastMCP for Python.
    FastMcp,
}

/// How a client reaches kubeferry.
#[derive(Debug, Clone, Copy)]
pub enum Way<'a> {
    /// The endpoint of a running server, with a bearer token.
    Http {
        /// `http://127.0.0.1:PORT/mcp`
        url: &'a str,
        /// The token.
        token: &'a str,
    },
    /// The client starts kubeferry with these arguments.
    Stdio(&'a [&'a str]),
}

/// What a client got.
#[derive(Debug, Clone)]
pub struct Told {
    /// Names of the tools, in the server's order.
    pub tools: Vec<String>,
    /// All text of the called tool's answer.
    pub text: String,
    /// `isError` of that answer.
    pub is_error: bool,
    /// The revision that the client itself names; Inspector names none.
    pub claims: Option<String>,
}

impl Foreign {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Inspector, Self::PythonSdk, Self::FastMcp];

    /// Lists the tools and calls one; answers also which generation it really spoke. Without `era` the client does as it does for a user who says nothing.
    ///
    /// # Errors
    /// When it is not installed, or ends with an error: with its exit status and output. When it did not end in time.
    pub async fn ask(
        self,
        era: Option<Era>,
        way: Way<'_>,
        tool: &str,
        arguments: &Value,
    ) -> anyhow::Result<(Told, Spoke)> {
        let folder = files::folder("client")?;
        let (heard, recorder, token, target);
        match way {
            Way::Http { url, token: bearer } => {
                recorder = Some(Recorder::before(url).await?);
                (heard, token) = (None, Some(bearer));
                target = vec![recorder.as_ref().map(Recorder::url).unwrap_or_default()];
            }
            Way::Stdio(args) => {
                let file = folder.path().join("heard");
                let program = ferry::binary()?.display().to_string();
                // The client's words go to kubeferry and to a file; the end of one is the end of the other.
                let script = r#"heard=$1; shift; tee "$heard" | "$@""#;
                let shell = ["/bin/sh", "-c", script, "sh"].map(str::to_owned);
                let kubeferry = [file.display().to_string(), program].into_iter();
                target = shell.into_iter().chain(kubeferry).chain(args.iter().map(|arg| (*arg).to_owned())).collect();
                (heard, recorder, token) = (Some(file), None, None);
            }
        }
        let question = Question { era, token, target: &target, tool, arguments, home: folder.path() };
        let told = match self {
            Self::Inspector => inspector(&question).await?,
            Self::PythonSdk => python("mcp", &question).await?,
            Self::FastMcp => python("fastmcp", &question).await?,
        };
        let sent = match (&heard, &recorder) {
            (Some(file), _) => Sent::lines(&std::fs::read(file).context("reading what the client said")?)?,
            (None, recorder) => recorder.as_ref().map(Recorder::sent).transpose()?.unwrap_or_default(),
        };
        Ok((told, Sent::spoke(&sent)?))
    }
}

/// A run of the Python SDK that signs in by itself.
///
/// `sign_in` has `client_id`, `redirect_uri`, `username`, `password` and `ca_file`, the CA of the realms.
///
/// # Errors
/// As [`Foreign::ask`].
pub async fn sign_in_and_ask(url: &str, sign_in: &Value, tool: &str, arguments: &Value) -> anyhow::Result<Ran> {
    let home = files::folder("client")?;
    let mut command = Command::new(installed("python")?.join("bin/python"));
    command.args(["-I", ASK, "mcp", "auto", tool, &arguments.to_string(), "http", url]);
    command.env("SIGN_IN", sign_in.to_string());
    run(command, home.path(), RUN).await
}

/// The folder of an installation, `node` or `python`: the one that `scripts/clients` printed, else its newest.
///
/// # Errors
/// When there is none.
pub fn installed(name: &str) -> anyhow::Result<PathBuf> {
    let value = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || value("KUBEFERRY_CLIENTS").unwrap_or_else(|| artifacts::target().join("clients")).join(name);
    let folder = value(&format!("KUBEFERRY_LAB_{}", name.to_uppercase())).unwrap_or_else(cache);
    if !folder.is_dir() {
        bail!("there is no {}: run scripts/clients", folder.display());
    }
    Ok(folder)
}

/// A command that runs the script of an npm package by the Node installed with it.
///
/// # Errors
/// When it is not installed.
pub fn node(script: &str) -> anyhow::Result<Command> {
    let modules = installed("node")?.join("node_modules");
    let mut command = Command::new(modules.join(".bin/node"));
    command.arg(modules.join(script));
    Ok(command)
}

/// Runs a program to its end, in a home folder of its own and with nothing of this machine's environment but `PATH`.
///
/// # Errors
/// When it cannot be started or does not end within `deadline`.
pub async fn run(mut command: Command, home: &Path, deadline: Duration) -> anyhow::Result<Ran> {
    let given: Vec<_> =
        command.as_std().get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    command.env_clear().envs(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("HOME", home).current_dir(home).stdin(Stdio::null()).kill_on_drop(true);
    let name = command.as_std().get_program().to_owned();
    let output = timeout(deadline, command.output()).await;
    let output = output.with_context(|| format!("{} did not end within {deadline:?}", name.display()))?;
    let output = output.with_context(|| format!("starting {}", name.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

/// All that a client must know.
struct Question<'a> {
    era: Option<Era>,
    token: Option<&'a str>,
    /// A URL, or a program and its arguments.
    target: &'a [String],
    tool: &'a str,
    arguments: &'a Value,
    home: &'a Path,
}

/// Inspector does one thing per run.
async fn inspector(question: &Question<'_>) -> anyhow::Result<Told> {
    let listed = inspect(question, &["--method", "tools/list"]).await?;
    let arguments = question.arguments.to_string();
    let call = ["--method", "tools/call", "--tool-name", question.tool, "--tool-args-json", &arguments];
    let called = inspect(question, &call).await?;
    let tools = listed["tools"].as_array().context("no tools")?.iter();
    let tools = tools.map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect();
    let blocks = called["content"].as_array().context("no content")?.iter();
    let text: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
    Ok(Told { tools, text: text.join("\n"), is_error: called["isError"] == true, claims: None })
}

async fn inspect(question: &Question<'_>, what: &[&str]) -> anyhow::Result<Value> {
    let mut command = node(INSPECTOR)?;
    command.args(["--cli", "--format", "json", "--quiet"]).args(what);
    if let Some(era) = question.era {
        command.args(["--protocol-era", word(Some(era))]);
    }
    if let Some(token) = question.token {
        command.args(["--transport", "http", "--header", &format!("Authorization: Bearer {token}"), "--server-url"]);
    } else {
        command.args(["--transport", "stdio", "--"]);
    }
    command.args(question.target);
    let ran = run(command, question.home, RUN).await?;
    ensure!(ran.code == 0, "Inspector ended with {}: {}{}", ran.code, ran.stdout, ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).with_context(|| format!("no JSON: {}", ran.stdout))?;
    Ok(answer["result"].clone())
}

async fn python(library: &str, question: &Question<'_>) -> anyhow::Result<Told> {
    let mut command = Command::new(installed("python")?.join("bin/python"));
    let way = if question.token.is_some() { "http" } else { "stdio" };
    let arguments = question.arguments.to_string();
    command.args(["-I", ASK, library, word(question.era), question.tool, &arguments, way]);
    command.envs(question.token.map(|token| ("TOKEN", token)));
    command.args(question.target);
    let ran = run(command, question.home, RUN).await?;
    ensure!(ran.code == 0, "{library} ended with {}: {}{}", ran.code, ran.stdout, ran.stderr);
    report(&ran)
}

/// Reads what `ask.py` prints.
///
/// # Errors
/// When it is something else.
pub fn report(ran: &Ran) -> anyhow::Result<Told> {
    let report: Value = serde_json::from_str(&ran.stdout).with_context(|| format!("no JSON: {}", ran.stdout))?;
    Ok(Told {
        tools: serde_json::from_value(report["tools"].clone()).context("no tools")?,
        text: report["text"].as_str().context("no text")?.to_owned(),
        is_error: report["is_error"] == true,
        claims: report["revision"].as_str().map(str::to_owned),
    })
}

const fn word(era: Option<Era>) -> &'static str {
    match era {
        None => "auto",
        Some(Era::Modern) => "modern",
        Some(Era::Legacy) => "legacy",
    }
}
