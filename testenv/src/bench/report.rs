//! The results of a run: what `target/bench/*.json` holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::target::Who;

/// Everything that one run found.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Where, when and with what.
    pub setting: Setting,
    /// Cells by `<row>@<server>`.
    pub cells: BTreeMap<String, Cell>,
    /// Single numbers, one per round, by `<name>@<server>`.
    pub numbers: BTreeMap<String, Vec<f64>>,
    /// What the reader must know: what was left out, what was not as it should be.
    pub notes: Vec<String>,
}

/// Where, when and with what.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Setting {
    /// When it began, UTC.
    pub date: String,
    /// What was typed.
    #[serde(default)]
    pub command: String,
    /// The plan: full, quick or smoke.
    pub plan: String,
    /// Rounds.
    pub rounds: usize,
    /// Processor, as Linux names it.
    pub processor: String,
    /// Its cores.
    pub cores: usize,
    /// Memory in GiB.
    pub memory: f64,
    /// How many cores others kept busy before the run or after it, whichever was more.
    pub busy: f64,
    /// Programs and their versions.
    pub versions: BTreeMap<String, String>,
}

/// One workload at one server.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Cell {
    /// What the row is called.
    pub title: String,
    /// Callers.
    pub callers: usize,
    /// Different tokens.
    pub tokens: usize,
    /// One per round.
    pub rounds: Vec<Sample>,
    /// The size of an answer.
    pub answer: Weight,
    /// What a call asks of the API server, where a phase of its own counted it.
    #[serde(default)]
    pub counted: Option<Counted>,
    /// Why it does not count: a wrong answer.
    pub void: Option<String>,
}

/// What a warm call asks of the API server.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Counted {
    /// Requests per call.
    pub requests: f64,
    /// New connections per call.
    pub connections: f64,
}

/// What one answer is to a model.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Weight {
    /// Bytes of the body; of all pages where a call is all pages.
    pub bytes: usize,
    /// Tokens in the encoding `o200k_base`.
    pub tokens: usize,
    /// Rows of a table in it that have a name.
    pub rows: usize,
    /// What it says of the groups that it shows instead of rows.
    pub groups: Option<String>,
}

/// One round of a cell. Times are in µs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Sample {
    /// Calls.
    pub calls: usize,
    /// Calls per second.
    pub rate: f64,
    /// Half of the calls were faster.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// 99 in 100.
    pub p99: f64,
    /// Processor time of the server per call, children included.
    pub cpu: f64,
    /// Processor time of the load generator per call.
    pub load_cpu: f64,
    /// Processor time of all else on the machine per call: the API server, the kernel.
    pub rest_cpu: f64,
    /// Requests to the API server per call, where they are counted.
    pub requests: Option<f64>,
    /// New connections to the API server per call, where they are counted.
    pub connections: Option<f64>,
}

/// Median, least and most of several values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; the mean of the middle two.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// None without values.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median, least, most })
    }
}

impl Report {
    /// A cell that counts.
    #[must_use]
    pub fn cell(&self, row: &str, server: &str) -> Option<&Cell> {
        self.cells.get(&format!("{row}@{server}")).filter(|cell| cell.void.is_none() && !cell.rounds.is_empty())
    }

    /// Something of a cell's rounds.
    #[must_use]
    pub fn of(&self, row: &str, server: &str, what: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.cell(row, server)?.rounds.iter().map(what))
    }

    /// A single number.
    #[must_use]
    pub fn number(&self, name: &str, who: Who) -> Option<Spread> {
        Spread::of(self.numbers.get(&format!("{name}@{}", who.name()))?.iter().copied())
    }

    /// Says something once.
    pub fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Notes a single number.
    pub fn add(&mut self, name: &str, who: Who, value: f64) {
        self.numbers.entry(format!("{name}@{}", who.name())).or_default().push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
