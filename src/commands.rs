//! What each command does once the program is wired.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use kubeferry::app::App;
use kubeferry::config::{self, Environment, Origin};
use kubeferry::dispatch::{self, Call};
use kubeferry::model::{Caller, chain};
use kubeferry::output::Progress;
use kubeferry::server::{Person, Server, read_token, serve_stdio};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{fail, print};

mod arguments;
mod doctor;
mod inventory;
mod realm;

pub use doctor::doctor;
pub use inventory::inventory;
pub use realm::{Setup as RealmSetup, setup as realm_setup};

/// A file to import is read up to this, in bytes.
const MAX_IMPORT: u64 = 1024 * 1024;

pub async fn serve(app: &Arc<App>, shutdown: CancellationToken) -> ExitCode {
    let config = app.server();
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let server = match Server::bind(config, app.live()).await {
        Ok(server) => server,
        Err(error) => return fail(if error.is_mistake() { 2 } else { 1 }, &chain(&error)),
    };
    tokio::spawn(Arc::clone(app).follow(true, shutdown.clone()));
    let url = format!("{scheme}://{}/mcp", server.address());
    tracing::info!(%url, "listening");
    if let Some(address) = server.metrics_address() {
        tracing::info!(url = %format!("http://{address}/metrics"), "metrics are served to whoever reaches this address");
    }
    if let Some(local) = app.local_token() {
        greet(&url, &local.file);
    }
    tokio::spawn(stop_on_signal(shutdown.clone()));
    server.serve(shutdown).await;
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

/// How to connect in local mode. The token itself is in a file that only this person can read.
fn greet(url: &str, file: &std::path::Path) {
    let file = file.display();
    let text = format!(
        "kubeferry serves your kubeconfig's clusters on {url}\n\
         The local token is in {file}; clients send it as a bearer token:\n\n  \
         claude mcp add --transport http kubeferry {url} --header \"Authorization: Bearer $(cat {file})\"\n  \
         curl -s {url} -H \"Authorization: Bearer $(cat {file})\" -H 'Accept: application/json, text/event-stream' \\\n    \
         -H 'Content-Type: application/json' -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{{}}}}'\n\n"
    );
    print(&text);
}

async fn stop_on_signal(shutdown: CancellationToken) {
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("signals cannot be received");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: draining calls");
    shutdown.cancel();
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    // Asked twice: at once.
    std::process::exit(130);
}

pub async fn stdio(app: &Arc<App>, token_file: Option<PathBuf>, shutdown: CancellationToken) -> ExitCode {
    let person = match caller(app, token_file.as_deref()).await {
        Ok(caller) => Person::new(caller, token_file),
        Err(code) => return code,
    };
    tokio::spawn(stop_on_signal(shutdown.clone()));
    // SIGHUP keeps its meaning here: the terminal is gone.
    tokio::spawn(Arc::clone(app).follow(false, shutdown.clone()));
    match serve_stdio(app.live(), person, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &chain(&error)),
    }
}

pub async fn call(app: &App, token_file: Option<PathBuf>, json: bool, asked: (String, Vec<String>)) -> ExitCode {
    let (tool, words) = asked;
    let caller = match caller(app, token_file.as_deref()).await {
        Ok(caller) => caller,
        Err(code) => return code,
    };
    let live = app.live().load_full();
    let arguments = match arguments::read(&words, live.tool(&tool).as_ref()) {
        Ok(arguments) => arguments,
        Err(reason) => return fail(2, &reason),
    };
    let deadline = live.calls.deadline;
    let call = Call {
        live,
        caller,
        tool,
        arguments,
        cancel: CancellationToken::new(),
        request_id: "cli".to_owned(),
        deadline,
        progress: Progress::default(),
    };
    match dispatch::run(call).await {
        Ok(answer) => match answer.structured.filter(|_| json) {
            Some(structured) => print(&format!("{structured:#}\n")),
            None => print(&format!("{}\n", answer.text)),
        },
        Err(failure) => {
            if let Some(detail) = &failure.detail {
                tracing::info!(detail, "call failed");
            }
            fail(1, &kubeferry::output::scrub_text(&failure.to_string()))
        }
    }
}

pub async fn tools(app: &App, token_file: Option<PathBuf>, json: bool) -> ExitCode {
    let caller = match caller(app, token_file.as_deref()).await {
        Ok(caller) => caller,
        Err(code) => return code,
    };
    let tools = app.live().load().tools(caller.principal());
    let lines: String = if json {
        let tools: Vec<_> = tools
            .iter()
            .map(|tool| serde_json::json!({"name": tool.name, "description": tool.description, "inputSchema": *tool.input_schema}))
            .collect();
        format!("{:#}\n", serde_json::Value::Array(tools))
    } else {
        let width = tools.iter().map(|tool| tool.name.len()).max().unwrap_or_default();
        tools.iter().map(|tool| format!("{:width$}  {}\n", tool.name, tool.description)).collect()
    };
    print(&lines)
}

/// Prints the effective configuration.
pub fn view(origin: &Origin, environment: &Environment) -> ExitCode {
    match config::view(origin, environment) {
        Ok(Some(text)) => print(&text),
        Ok(None) => fail(2, "the configuration changed just now and has mistakes; run `kubeferry config check`"),
        Err(error) => fail(2, &chain(&error)),
    }
}

/// Prints a configuration of kubernetes-mcp-server as ours: 0 when all of it was carried over, 1 when a line on standard
/// error says what was not, 2 when nothing was.
pub fn import(file: &Path, environment: &Environment) -> ExitCode {
    let text = std::fs::File::open(file).and_then(|opened| {
        let mut text = String::new();
        opened.take(MAX_IMPORT + 1).read_to_string(&mut text).map(|_| text)
    });
    // What is cut may be what narrows the rest.
    let too_large = std::io::Error::other(format!("more than {} MiB", MAX_IMPORT >> 20));
    let text = text.and_then(|text| if text.len() as u64 > MAX_IMPORT { Err(too_large) } else { Ok(text) });
    let text = match text {
        Ok(text) => text,
        Err(error) => return fail(2, &format!("{}: {error}", file.display())),
    };
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let imported = match config::import(&text, folder, environment) {
        Ok(imported) => imported,
        Err(error) => return fail(2, &format!("{}: {error}", file.display())),
    };
    let printed = print(&imported.toml);
    if imported.left.is_empty() || printed != ExitCode::SUCCESS {
        return printed;
    }
    let lines: Vec<String> = imported.left.iter().map(ToString::to_string).collect();
    fail(1, &lines.join("\n"))
}

/// Prints the completion script of a shell.
pub fn completion(shell: clap_complete::Shell, command: &mut clap::Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "kubeferry", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// The caller: the person at this machine, or whoever the token file's token was issued to.
async fn caller(app: &App, token_file: Option<&Path>) -> Result<Caller, ExitCode> {
    let token = match token_file {
        Some(file) => {
            let unread = |error| fail(2, &format!("--token-file {}: {error}", file.display()));
            Some(read_token(file).await.map_err(unread)?)
        }
        None if app.is_local() => None,
        None => {
            let reason = "realms are configured: give your access token with --token-file (or KUBEFERRY_TOKEN_FILE)";
            return Err(fail(2, reason));
        }
    };
    app.person(token).await.map_err(|error| fail(2, &chain(&error)))
}
