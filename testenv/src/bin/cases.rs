//! Makes `docs/reference/cases.md` from what the last run of the tests left, or compares the two. `scripts/cases` builds
//! and starts it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;
use testenv::cases;
use testenv::world::Lab;

/// Writes the page of cases from the last run of the tests.
#[derive(Debug, Parser)]
#[command(name = "cases")]
struct Cli {
    /// Write nothing; fail when the page is not what the run says, or a row failed
    #[arg(long)]
    check: bool,
    /// The run had no real control planes; their column stays as the page has it
    #[arg(long, requires = "check")]
    no_real: bool,
    /// The page
    page: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Cli { check, no_real, page } = Cli::parse();
    let labs: &[Lab] = if no_real { &[Lab::Simulated] } else { &[Lab::Simulated, Lab::Real] };
    let mut run = cases::read(labs)?;
    if no_real {
        // The page tells of a run with them.
        let real = cases::word(Lab::Real);
        let played = run.cases.iter().filter(|case| case.labs.iter().any(|lab| lab == real));
        run.passed.extend(played.map(|case| ((case.id.clone(), real.to_owned()), true)).collect::<Vec<_>>());
    }
    let failed: Vec<String> =
        run.passed.iter().filter(|(_, passed)| !**passed).map(|((id, lab), _)| format!("{id} ({lab})")).collect();
    let text = cases::page(&run);
    if !check {
        std::fs::write(&page, text).with_context(|| format!("writing {}", page.display()))?;
    } else if std::fs::read_to_string(&page).with_context(|| page.display().to_string())? != text {
        bail!("{} differs from what the run says: scripts/cases writes it", page.display());
    }
    if !failed.is_empty() {
        bail!("these did not go as expected: {}", failed.join(", "));
    }
    Ok(())
}
