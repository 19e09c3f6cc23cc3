//! Which rows of a list need a look, by the columns that the API server prints.

use crate::model::Table;

/// Words of a status, in whichever kind, that call for a look.
const BAD: &[&str] = &[
    "CrashLoopBackOff",
    "Degraded",
    "Error",
    "Evicted",
    "Failed",
    "False",
    "Lost",
    "NotReady",
    "Pending",
    "SchedulingDisabled",
    "Terminating",
    "Unavailable",
    "Unknown",
];
/// Columns that hold a condition, as True or "False (reason)".
const CONDITIONS: &[&str] = &["available", "established", "healthy", "ready", "synced"];

/// Where the columns of pods stand in a table.
pub(super) struct PodColumns {
    pub(super) name: usize,
    status: usize,
    ready: usize,
    restarts: usize,
}

/// What a row of a pod says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The status, with what is odd about it when the word itself does not say so.
    pub(super) word: String,
    /// Whether it needs a look.
    pub(super) odd: bool,
}

impl PodColumns {
    /// Finds them; `None` for a table without one of them.
    pub(super) fn of(table: &Table) -> Option<Self> {
        let at = |name: &str| position(table, name);
        Some(Self { name: at("name")?, status: at("status")?, ready: at("ready")?, restarts: at("restarts")? })
    }

    pub(super) fn verdict(&self, cells: &[String]) -> Verdict {
        let status = cell(cells, self.status);
        let unready = is_short(cell(cells, self.ready));
        let restarted = !matches!(cell(cells, self.restarts).split(' ').next(), None | Some("" | "0"));
        let (odd, why) = match status {
            "Running" if unready => (true, " not ready"),
            "Running" | "Completed" | "Succeeded" if restarted => (true, " restarted"),
            "Running" | "Completed" | "Succeeded" => (false, ""),
            _ => (true, ""),
        };
        Verdict { word: format!("{status}{why}"), odd }
    }
}

/// Which rows need a look, when some do and others do not. `None` for a table whose columns say nothing of it.
pub(super) fn marks(table: &Table, are_pods: bool) -> Option<Vec<bool>> {
    let odd: Vec<bool> = match PodColumns::of(table).filter(|_| are_pods) {
        Some(columns) => table.rows.iter().map(|row| columns.verdict(&row.cells).odd).collect(),
        None if are_pods => return None,
        None => table.rows.iter().map(|row| is_odd(table, &row.cells)).collect(),
    };
    (odd.contains(&true) && odd.contains(&false)).then_some(odd)
}

/// A row of any other kind: a status word that says so, a condition that is false, fewer ready than wanted.
fn is_odd(table: &Table, cells: &[String]) -> bool {
    let word = |name: &str| position(table, name).map_or("", |at| cell(cells, at));
    let bad = |text: &str| text.split([',', ' ', ':']).any(|word| BAD.contains(&word));
    let wanted = position(table, "desired").and_then(|at| cell(cells, at).parse::<u64>().ok());
    let ready = word("ready");
    bad(word("status"))
        || bad(word("phase"))
        || CONDITIONS.iter().any(|name| word(name).starts_with("False"))
        || is_short(ready)
        || wanted.is_some_and(|wanted| ready.parse::<u64>().is_ok_and(|ready| ready < wanted))
}

/// True for `1/2`.
fn is_short(ready: &str) -> bool {
    ready.split_once('/').is_some_and(|(ready, of)| ready != of)
}

fn position(table: &Table, name: &str) -> Option<usize> {
    table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
}

fn cell(cells: &[String], at: usize) -> &str {
    cells.get(at).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::marks;
    use crate::model::{Column, Row, Table};

    fn table(columns: &[&str], rows: &[&[&str]]) -> Table {
        let texts = |cells: &&[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        Table {
            columns: columns.iter().map(|name| Column { name: (*name).into(), priority: 0 }).collect(),
            rows: rows.iter().map(|cells| Row { namespace: None, cells: texts(cells) }).collect(),
            ..Table::default()
        }
    }

    #[test]
    fn pods_that_need_a_look_are_marked() {
        let mut pods = table(
            &["Name", "Ready", "Status", "Restarts"],
            &[
                &["a", "1/1", "Running", "0"],
                &["b", "0/1", "Completed", "0"],
                &["c", "1/1", "Running", "3 (5m ago)"],
                &["d", "0/1", "CrashLoopBackOff", "9"],
                &["e", "1/2", "Running", "0"],
            ],
        );
        assert_eq!(marks(&pods, true).unwrap(), [false, false, true, true, true]);
        let all_well = Table { rows: pods.rows[..2].to_vec(), ..pods.clone() };
        assert_eq!(marks(&all_well, true), None);
        pods.columns[2].name = "Phase".into();
        assert_eq!(marks(&pods, true), None);
    }

    #[test]
    fn other_kinds_are_judged_by_the_columns_they_have() {
        let found_bad = |columns: &[&str], well: &[&str], bad: &[&str]| {
            assert_eq!(marks(&table(columns, &[well, bad]), false), Some(vec![false, true]), "{bad:?}");
        };
        found_bad(&["Name", "Status"], &["a", "Ready"], &["b", "NotReady"]);
        found_bad(&["Name", "Status"], &["a", "Ready"], &["b", "Ready,SchedulingDisabled"]);
        found_bad(&["Name", "Status"], &["a", "Bound"], &["b", "Pending"]);
        found_bad(&["Name", "Ready", "Up-to-date"], &["a", "2/2", "2"], &["b", "1/2", "2"]);
        found_bad(&["Name", "Desired", "Ready"], &["a", "0", "0"], &["b", "3", "2"]);
        found_bad(&["Name", "Status", "Completions"], &["a", "Running", "0/1"], &["b", "Failed", "0/1"]);
        found_bad(&["Name", "Available"], &["a", "True"], &["b", "False (MissingEndpoints)"]);
        assert_eq!(marks(&table(&["Name", "Age"], &[&["Failed", "1d"], &["b", "2d"]]), false), None);
    }
}
