//! The benchmark; `scripts/bench` builds what it needs and starts it.

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use testenv::bench::report::Report;
use testenv::bench::workload::{FULL, QUICK, SMOKE};
use testenv::bench::{self, Options, backend};

/// Measures kubeferry, and kubernetes-mcp-server beside it.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, and write the results and the page
    Run(Run),
    /// Write the page again from results
    Page {
        /// The results, a JSON file
        results: PathBuf,
        /// The page
        page: PathBuf,
    },
    /// The simulator in a process of its own; `run` starts it
    ServeSimulator {
        /// Callers with a token
        #[arg(long)]
        callers: usize,
        /// Namespaces by their number of pods
        #[arg(long, value_delimiter = ',')]
        pods: Vec<usize>,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// How much
    #[arg(long, value_enum, default_value_t = Plan::Full)]
    plan: Plan,
    /// kubeferry's program
    #[arg(long)]
    kubeferry: PathBuf,
    /// Which source that was built from
    #[arg(long, default_value = "unknown source")]
    source: String,
    /// What was typed to start the run
    #[arg(long, default_value = "bench run")]
    command: String,
    /// The program of kubernetes-mcp-server; without it the peer is left out
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Measure on a real kube-apiserver too
    #[arg(long)]
    real: bool,
    /// Measure nothing but workspaces of a kcp
    #[arg(long)]
    only_workspaces: bool,
    /// The results, a JSON file
    #[arg(long)]
    results: PathBuf,
    /// The page
    #[arg(long)]
    page: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Plan {
    Full,
    Quick,
    Smoke,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ran = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(run(cli)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is gone too.
            drop(writeln!(stderr().lock(), "bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Run(run) => {
            let plan = match run.plan {
                Plan::Full => FULL,
                Plan::Quick => QUICK,
                Plan::Smoke => SMOKE,
            };
            let kubeferry = std::path::absolute(run.kubeferry)?;
            let peer = run.peer.map(std::path::absolute).transpose()?;
            let options = Options {
                plan,
                kubeferry,
                peer,
                real: run.real,
                only_workspaces: run.only_workspaces,
                command: run.command,
                source: run.source,
            };
            let report = bench::run(&options).await?;
            write(&run.results, &serde_json::to_string_pretty(&report)?)?;
            write(&run.page, &bench::markdown(&report))?;
            // Nothing is left to do when standard error is gone.
            drop(writeln!(stderr().lock(), "bench: goals: {}", bench::tally(&report)));
            Ok(())
        }
        Command::Page { results, page } => {
            let text = std::fs::read_to_string(&results).with_context(|| format!("reading {}", results.display()))?;
            let report: Report = serde_json::from_str(&text).context("reading the results")?;
            write(&page, &bench::markdown(&report))
        }
        Command::ServeSimulator { callers, pods } => backend::serve(&pods, callers).await,
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}
