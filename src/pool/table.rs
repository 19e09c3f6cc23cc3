//! Reading a server-side Table (`meta.k8s.io/v1`) without a tree in between: cells become text as they are read.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::items::Bounded;
use crate::model::{Column, Row, Table};

/// What a list is asked for: a Table, or plain JSON from servers and kinds that have none.
pub(super) const ACCEPT: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Rows of one answer, at most. Servers that know no pages answer with all rows at once, of which a page is then shown,
/// so they may be more than were asked for.
const MAX_ROWS: usize = 20_000;
/// Columns that are kept, at most, and cells of a row.
const MAX_COLUMNS: usize = 64;

/// Why an answer is not a Table.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    /// It is not JSON of a Table's shape.
    #[error("the answer is not a Table")]
    Shape(#[source] serde_json::Error),
    /// It is something else.
    #[error("the answer is a {0}, not a Table")]
    Kind(String),
    /// It has more rows than are taken.
    #[error("the answer has more than {MAX_ROWS} rows")]
    TooLong,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    metadata: WireList,
    #[serde(rename = "columnDefinitions", default, deserialize_with = "null_as_empty")]
    columns: Bounded<WireColumn, MAX_COLUMNS>,
    #[serde(default, deserialize_with = "null_as_empty")]
    rows: Bounded<WireRow, MAX_ROWS>,
}

#[derive(Deserialize, Default)]
struct WireList {
    #[serde(rename = "continue", default)]
    token: String,
    #[serde(rename = "remainingItemCount", default)]
    remaining: Option<u64>,
}

#[derive(Deserialize)]
struct WireColumn {
    name: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Deserialize)]
struct WireRow {
    #[serde(default, deserialize_with = "null_as_empty")]
    cells: Bounded<Cell, MAX_COLUMNS>,
    #[serde(default)]
    object: Option<WireObject>,
}

#[derive(Deserialize)]
struct WireObject {
    #[serde(default)]
    metadata: Option<WireMetadata>,
}

#[derive(Deserialize)]
struct WireMetadata {
    #[serde(default)]
    namespace: Option<String>,
}

fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Any JSON value as text: scalars as they are, `null` empty, arrays and objects marked.
struct Cell(String);

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor).map(Self)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table cell")
    }

    fn visit_bool<E>(self, v: bool) -> Result<String, E> {
        Ok(v.to_string())
    }

    fn visit_i64<E>(self, v: i64) -> Result<String, E> {
        Ok(v.to_string())
    }

    fn visit_u64<E>(self, v: u64) -> Result<String, E> {
        Ok(v.to_string())
    }

    fn visit_f64<E>(self, v: f64) -> Result<String, E> {
        Ok(v.to_string())
    }

    fn visit_str<E>(self, v: &str) -> Result<String, E> {
        Ok(v.to_owned())
    }

    fn visit_string<E>(self, v: String) -> Result<String, E> {
        Ok(v)
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok(String::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<String, A::Error> {
        let mut text = String::new();
        let mut first = true;
        while let Some(Cell(part)) = seq.next_element()? {
            if !std::mem::take(&mut first) {
                text.push(',');
            }
            text.push_str(&part);
        }
        Ok(text)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok("{…}".to_owned())
    }
}

/// Reads the body of a list that was asked for as a Table.
pub(super) fn parse(body: &[u8]) -> Result<Table, TableError> {
    let wire: Wire<'_> = serde_json::from_slice(body).map_err(TableError::Shape)?;
    if wire.kind != "Table" {
        return Err(TableError::Kind(wire.kind.chars().take(60).collect()));
    }
    if wire.rows.cut {
        return Err(TableError::TooLong);
    }
    let columns = wire.columns.items.into_iter().map(|column| Column { name: column.name, priority: column.priority });
    let rows = wire.rows.items.into_iter().map(|row| Row {
        namespace: row.object.and_then(|object| object.metadata).and_then(|metadata| metadata.namespace),
        cells: row.cells.items.into_iter().map(|Cell(text)| text).collect(),
    });
    Ok(Table {
        columns: columns.collect(),
        rows: rows.collect(),
        continue_token: Some(wire.metadata.token).filter(|token| !token.is_empty()),
        remaining: wire.metadata.remaining,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MAX_COLUMNS, MAX_ROWS, TableError, parse};

    #[test]
    fn cells_become_text() {
        let body = br#"{"kind":"Table","metadata":{"continue":"abc","remainingItemCount":7},
            "columnDefinitions":[{"name":"Name","priority":0},{"name":"Wide","priority":1}],
            "rows":[{"cells":["a",3],"object":{"metadata":{"namespace":"x"}}},{"cells":[null,true]},{"cells":[["p","q"],{"k":1}]}]}"#;
        let table = parse(body).unwrap();
        let cells: Vec<_> = table.rows.iter().map(|row| row.cells.join("|")).collect();
        assert_eq!(cells, ["a|3", "|true", "p,q|{…}"]);
        assert_eq!(table.rows[0].namespace.as_deref(), Some("x"));
        assert_eq!((table.continue_token.as_deref(), table.remaining), (Some("abc"), Some(7)));
        assert_eq!(table.columns[1].priority, 1);
    }

    #[test]
    fn rows_and_columns_are_bounded() {
        let table = |rows: usize, cells: usize| {
            let columns = vec![json!({"name": "c"}); cells];
            let rows = vec![json!({"cells": vec![1; cells]}); rows];
            json!({"kind": "Table", "columnDefinitions": columns, "rows": rows}).to_string()
        };
        assert_eq!(parse(table(MAX_ROWS, 1).as_bytes()).unwrap().rows.len(), MAX_ROWS);
        assert!(matches!(parse(table(MAX_ROWS + 1, 1).as_bytes()), Err(TableError::TooLong)));
        let wide = parse(table(1, MAX_COLUMNS + 9).as_bytes()).unwrap();
        assert_eq!((wide.columns.len(), wide.rows[0].cells.len()), (MAX_COLUMNS, MAX_COLUMNS));
    }

    #[test]
    fn something_else_is_named() {
        assert!(matches!(parse(br#"{"kind":"Status","rows":null}"#), Err(TableError::Kind(kind)) if kind == "Status"));
        assert!(matches!(parse(b"<html>"), Err(TableError::Shape(_))));
        assert!(parse(br#"{"kind":"Table","rows":null}"#).unwrap().rows.is_empty());
    }
}
