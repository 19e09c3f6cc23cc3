//! The `kubeferry` program: commands, logging, start, signals, drain.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use kubeferry::app::{App, AppError, Mode};
use kubeferry::config::{Origin, environment};
use kubeferry::telemetry::{self, LogFormat};
use tokio_util::sync::CancellationToken;

mod commands;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One MCP endpoint for a fleet of Kubernetes clusters, Kind clusters and kcp workspaces, under each caller's own
/// identity.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    /// The configuration file (TOML). Without one: KUBECONFIG, then ~/.kube/config
    #[arg(long, short, global = true, env = "KUBEFERRY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is logged, to standard error: a level, or module=level,…
    #[arg(long, global = true, env = "KUBEFERRY_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How it is logged
    #[arg(long, global = true, value_enum, default_value_t = Format::Auto)]
    log_format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// One JSON object per line
    Json,
    /// One line of text
    Text,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve MCP over HTTP on /mcp, until SIGTERM
    Serve {
        /// Address to listen on instead of the configured one
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<std::net::SocketAddr>,
    },
    /// Serve MCP on standard input and output
    Stdio {
        #[command(flatten)]
        who: Who,
    },
    /// Call one tool and print its answer
    Call {
        #[command(flatten)]
        who: Who,
        /// Print the structured answer as JSON
        #[arg(long)]
        json: bool,
        /// The tool, as namespaces_list
        tool: String,
        /// Its arguments, as cluster=prod-1 namespace=default
        #[arg(value_name = "NAME=VALUE")]
        arguments: Vec<String>,
    },
    /// List the tools that you may call
    Tools {
        #[command(flatten)]
        who: Who,
        /// Print names, descriptions and schemas as JSON
        #[arg(long)]
        json: bool,
    },
    /// List all clusters, also those that nobody reaches: strategy, source, key, realms
    Inventory {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look whether the listener, each realm and each cluster work, and say the fix where one does not
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the completion script of a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Work on the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Work on the realms of an identity provider
    #[command(subcommand)]
    Realm(RealmCommand),
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Report every mistake with file, line and fix; start nothing
    Check,
    /// Print the effective configuration, with the origin of each value
    View,
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Print a configuration of kubernetes-mcp-server as one of kubeferry; what cannot be carried over goes to standard error
    Import {
        /// Its TOML file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum RealmCommand {
    /// Print, check or make what kubeferry needs in a realm, or in a pair of realms that is chained
    Setup(Box<commands::RealmSetup>),
}

/// Who is calling.
#[derive(Debug, clap::Args)]
struct Who {
    /// A file with your access token; needed when realms are configured
    #[arg(long, env = "KUBEFERRY_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    kubeferry::auth::install_crypto();
    let serves = matches!(cli.command, Command::Serve { .. } | Command::Stdio { .. });
    let format = match cli.log_format {
        // What a person calls from a script is still read by a person.
        Format::Auto if !serves => LogFormat::Text,
        Format::Auto => LogFormat::Auto,
        Format::Json => LogFormat::Json,
        Format::Text => LogFormat::Text,
    };
    let usual = if matches!(cli.command, Command::Serve { .. }) { "info" } else { "warn" };
    if let Err(error) = telemetry::init_logging(format, cli.log.as_deref().unwrap_or(usual)) {
        return fail(2, &error.to_string());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("the runtime cannot start: {error}")),
    };
    let code = runtime.block_on(run(cli));
    // Calls that outlived the drain are dropped.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

async fn run(cli: Cli) -> ExitCode {
    let listen = if let Command::Serve { listen } = &cli.command { *listen } else { None };
    let origin = Origin { file: cli.config, listen };
    let mode = match &cli.command {
        Command::Serve { .. } => Mode::Serve,
        Command::Stdio { .. } | Command::Call { .. } | Command::Tools { .. } | Command::Doctor { .. } => Mode::Person,
        Command::Completion { shell } => return commands::completion(*shell, &mut Cli::command()),
        Command::Config(ConfigCommand::Schema) => return print(&format!("{:#}\n", kubeferry::config::schema())),
        Command::Config(ConfigCommand::Import { file }) => return commands::import(file, &environment()),
        Command::Realm(RealmCommand::Setup(setup)) => {
            return commands::realm_setup(&origin, &environment(), setup).await;
        }
        Command::Version => return print(concat!("kubeferry ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Config(ConfigCommand::Check | ConfigCommand::View) | Command::Inventory { .. } => Mode::Check,
    };
    let environment = environment();
    let app = match App::start(&origin, &environment, mode).await {
        Ok(app) => Arc::new(app),
        Err(AppError::Problems(lines)) => return fail(2, lines.trim_end()),
        Err(error) => return fail(2, &kubeferry::model::chain(&error)),
    };
    for note in app.notes() {
        tracing::warn!("{note}");
    }
    let shutdown = CancellationToken::new();
    match cli.command {
        Command::Serve { .. } => commands::serve(&app, shutdown).await,
        Command::Stdio { who } => commands::stdio(&app, who.token_file, shutdown).await,
        Command::Call { who, json, tool, arguments } => {
            commands::call(&app, who.token_file, json, (tool, arguments)).await
        }
        Command::Tools { who, json } => commands::tools(&app, who.token_file, json).await,
        Command::Inventory { json } => print(&commands::inventory(&app.live().load().inventory, json)),
        Command::Doctor { json } => commands::doctor(&app, json).await,
        Command::Config(ConfigCommand::Check) => print("the configuration is good\n"),
        Command::Config(ConfigCommand::View) => commands::view(&origin, &environment),
        // Done above, without a configuration.
        Command::Completion { .. } | Command::Version | Command::Config(_) | Command::Realm(_) => ExitCode::SUCCESS,
    }
}

/// Prints to standard output; a reader that went away is no failure.
fn print(text: &str) -> ExitCode {
    let written = io::stdout().lock().write_all(text.as_bytes());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Prints a reason to standard error.
fn fail(code: u8, reason: &str) -> ExitCode {
    // Nothing is left to do when standard error is gone too.
    drop(writeln!(io::stderr().lock(), "{reason}"));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};

    use super::Cli;

    #[test]
    fn every_shell_has_a_completion_that_knows_the_commands() {
        Cli::command().debug_assert();
        for shell in clap_complete::Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "kubeferry", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["inventory", "completion", "config", "view"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
