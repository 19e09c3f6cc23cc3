//! The demonstration: a fleet, kubeferry on top, and a walk through calls whose answers are checked. `scripts/demo`
//! builds what it needs and starts it.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::process::ExitCode;

use clap::Parser;
use testenv::demo::{self, Options};
use testenv::world::Lab;

/// Starts a fleet with two realms, three clusters and a kcp, kubeferry on top, walks through calls, and calls across realms.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Cli {
    /// Real API servers, a real kcp and a real Keycloak instead of simulators
    #[arg(long)]
    real: bool,
    /// Stay up after the walk until Ctrl-C, as when standard input is a terminal
    #[arg(long)]
    stay: bool,
    /// Say one line per call instead of showing answers
    #[arg(long, short)]
    quiet: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let options = Options {
        lab: if cli.real { Lab::Real } else { Lab::Simulated },
        stay: cli.stay || (stdin().is_terminal() && !cli.quiet),
        quiet: cli.quiet,
    };
    let ran =
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(demo::run(options)));
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do when standard error is gone too.
            drop(writeln!(stderr().lock(), "demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
