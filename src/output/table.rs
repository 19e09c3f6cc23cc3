//! Tables as text: one header line, tab-separated, narrow unless asked.

use serde_json::{Map, Value};

use crate::model::{Failure, Row, Table, names};

use super::{Format, Presentation, mask, neutral};

/// Longest cell in a table, in characters.
pub(super) const MAX_CELL: usize = 256;

/// The columns that an answer shows.
pub(super) struct Shown<'a> {
    table: &'a Table,
    columns: Vec<Source>,
    headers: Vec<String>,
}

#[derive(Clone, Copy)]
enum Source {
    Namespace,
    Cell(usize),
}

impl<'a> Shown<'a> {
    /// Picks the columns: those asked for by name; else all in `wide`; else those of priority 0. A table over all
    /// namespaces begins with NAMESPACE.
    ///
    /// # Errors
    /// When a column that was asked for is not in the table; the failure lists those that are.
    pub(super) fn pick(table: &'a Table, presentation: &Presentation) -> Result<Self, Failure> {
        let spans = table.rows.iter().any(|row| row.namespace.is_some());
        let own = |name: &str| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        let namespace = (spans && !own("namespace")).then(|| ("NAMESPACE".to_owned(), 0, Source::Namespace));
        let cells = table.columns.iter().enumerate().map(|(at, column)| {
            (mask::text(&neutral::cell(&column.name)).to_uppercase(), column.priority, Source::Cell(at))
        });
        let all: Vec<(String, i32, Source)> = namespace.into_iter().chain(cells).collect();
        let picked: Vec<(String, i32, Source)> = if presentation.columns.is_empty() {
            let narrow = presentation.format == Format::Table;
            all.into_iter().filter(|(_, priority, _)| !narrow || *priority == 0).collect()
        } else {
            presentation.columns.iter().map(|wanted| find(wanted, &all)).collect::<Result<_, _>>()?
        };
        let (headers, columns) = picked.into_iter().map(|(header, _, source)| (header, source)).unzip();
        Ok(Self { table, columns, headers })
    }

    /// The header line, without line end.
    pub(super) fn header(&self) -> String {
        self.headers.join("\t")
    }

    /// One line for each of the `rows`, without line ends.
    pub(super) fn lines(&self, rows: impl Iterator<Item = usize>) -> impl Iterator<Item = String> {
        self.rows(rows).map(|cells| cells.iter().map(|cell| cut(cell)).collect::<Vec<_>>().join("\t"))
    }

    /// One JSON object for each of the `rows`, keyed by header.
    pub(super) fn objects(&self, rows: impl Iterator<Item = usize>) -> Vec<Value> {
        let object = |cells: Vec<String>| {
            let pairs = self.headers.iter().cloned().zip(cells.into_iter().map(Value::String));
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        self.rows(rows).map(object).collect()
    }

    fn rows(&self, rows: impl Iterator<Item = usize>) -> impl Iterator<Item = Vec<String>> {
        let clean = |text: &str| mask::text(&neutral::cell(&mask::text(text))).into_owned();
        let cell = move |row: &Row, source: &Source| match source {
            Source::Namespace => clean(row.namespace.as_deref().unwrap_or_default()),
            Source::Cell(at) => clean(row.cells.get(*at).map_or("", String::as_str)),
        };
        rows.filter_map(|at| self.table.rows.get(at))
            .map(move |row| self.columns.iter().map(|source| cell(row, source)).collect())
    }
}

fn find(wanted: &str, all: &[(String, i32, Source)]) -> Result<(String, i32, Source), Failure> {
    all.iter().find(|(header, ..)| header.eq_ignore_ascii_case(wanted.trim())).cloned().ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(header, ..)| header.as_str()).collect();
        Failure::arguments(format!("there is no column {}", names::quote(wanted)))
            .hint(format!("Columns are {}", names.join(", ")))
    })
}

fn cut(cell: &str) -> String {
    match cell.char_indices().nth(MAX_CELL) {
        Some((at, _)) => format!("{}…", cell.get(..at).unwrap_or_default()),
        None => cell.to_owned(),
    }
}
