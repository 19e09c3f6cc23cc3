//! **Cases**: what the catalogue of failures expects, row by row, and what a run made of it.
//!
//! The table is in `tests/cases/table.rs`. A run of the tests writes one file per row and lab below `target/cases`, and
//! the list of all rows; `scripts/cases` makes `docs/reference/cases.md` of these files and of nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::artifacts;
use crate::world::Lab;

mod page;

pub use page::page;

/// One row of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Its id, as `R01`.
    pub id: String,
    /// What happens, in one sentence.
    pub expected: String,
    /// Where the design decided otherwise than the catalogue, or what is measured elsewhere; empty without.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The labs on which it is played, by [`word`].
    pub labs: Vec<String>,
    /// The file of the test below `testenv/tests/cases`, without its ending.
    pub file: String,
    /// The test.
    pub test: String,
}

/// A row that is not played yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Later {
    /// Its id, as `C19`.
    pub id: String,
    /// What would happen, in one sentence.
    pub expected: String,
    /// Why it is not played.
    pub why: String,
}

/// What a run made of a row on one lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The row, as it was then.
    pub case: Case,
    /// The lab, by [`word`].
    pub lab: String,
    /// Whether it went as expected.
    pub passed: bool,
}

/// All rows, and the program that plays them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The test program, below the target folder.
    pub program: PathBuf,
    /// Every row that is played.
    pub cases: Vec<Case>,
    /// Every other row.
    pub later: Vec<Later>,
}

/// A run, as its files tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Every row that is played.
    pub cases: Vec<Case>,
    /// Every other row.
    pub later: Vec<Later>,
    /// Whether it passed, by id and lab.
    pub passed: BTreeMap<(String, String), bool>,
}

/// The name of a lab in files and on the page.
#[must_use]
pub const fn word(lab: Lab) -> &'static str {
    match lab {
        Lab::Simulated => "simulated",
        Lab::Real => "real",
    }
}

/// Where the files of a run are.
fn folder() -> PathBuf {
    artifacts::target().join("cases")
}

/// Writes what became of a row.
///
/// # Errors
/// When the target folder cannot be written; so does [`record_list`].
pub fn record(outcome: &Outcome) -> anyhow::Result<()> {
    write(&folder().join(&outcome.lab).join(format!("{}.json", outcome.case.id)), outcome)
}

/// Writes the list of all rows; this process is the program that plays `cases`.
///
/// # Errors
/// As [`record`].
pub fn record_list(cases: Vec<Case>, later: Vec<Later>) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("looking for this program's file")?;
    let program = program.strip_prefix(artifacts::target()).map(Path::to_owned).unwrap_or(program);
    write(&folder().join("list.json"), &List { program, cases, later })
}

/// Whole or not at all: tests of one process write at the same time, and a reader may come at any time.
fn write(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let parent = path.parent().context("a file below the target folder has a folder")?;
    std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(parent).with_context(|| format!("writing {}", path.display()))?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.persist(path).with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}

/// Reads the last run on `labs`.
///
/// # Errors
/// With one line per row that was not played, is older than the test program, or was another row then.
pub fn read(labs: &[Lab]) -> anyhow::Result<Run> {
    read_in(&artifacts::target(), &folder(), labs)
}

fn read_in(target: &Path, folder: &Path, labs: &[Lab]) -> anyhow::Result<Run> {
    let list = folder.join("list.json");
    let text = std::fs::read_to_string(&list).with_context(|| format!("{}: scripts/test writes it", list.display()))?;
    let List { program, cases, later } = serde_json::from_str(&text).with_context(|| list.display().to_string())?;
    let program = target.join(program);
    let built = modified(&program).with_context(|| format!("the test program {}", program.display()))?;
    if modified(&list)? < built {
        bail!("{} is older than the test program: run the tests", list.display());
    }
    let mut run = Run { cases, later, ..Run::default() };
    let mut wrong = Vec::new();
    for case in &run.cases {
        for lab in labs.iter().map(|lab| word(*lab)).filter(|lab| case.labs.iter().any(|played| played == lab)) {
            match outcome(&folder.join(lab).join(format!("{}.json", case.id)), case, built) {
                Ok(passed) => drop(run.passed.insert((case.id.clone(), lab.to_owned()), passed)),
                Err(why) => wrong.push(format!("{} ({lab}): {why:#}", case.id)),
            }
        }
    }
    if wrong.is_empty() { Ok(run) } else { bail!("{}", wrong.join("\n")) }
}

fn outcome(file: &Path, case: &Case, built: SystemTime) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(file).context("was not played")?;
    let outcome: Outcome = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    if modified(file)? < built {
        bail!("was played before the test program was built");
    }
    if outcome.case != *case {
        bail!("was another row when it was played");
    }
    Ok(outcome.passed)
}

fn modified(file: &Path) -> anyhow::Result<SystemTime> {
    Ok(std::fs::metadata(file)?.modified()?)
}

#[cfg(test)]
mod tests;
