//! Parts of objects: columns of the caller's own, the fields of one object that were asked for, and the map of an object
//! that is too large. Objects come here masked.

use std::io;
use std::ops::Range;

use serde::Serialize;
use serde_json::{Map, Value};

use super::neutral;
use super::path::{Path, joined};
use super::table::MAX_CELL;
use crate::model::{Column, Failure, Row, Table, names};

/// Most fields that one call may ask for.
const MAX_FIELDS: usize = 32;
/// For so many fields that are not there, the names that are there are said.
const MAX_NEAR: usize = 3;
/// Most columns beside one with a path of its own, that one counted.
const MAX_COLUMNS: usize = 16;
/// Most values of one cell.
const MAX_VALUES: usize = 32;
/// Bytes that are kept of a cell: no fewer than a table shows, whatever its characters are.
const CELL_BYTES: usize = 4 * (MAX_CELL + 1);
/// Lines of the map of a large object, at most.
const MAP_LINES: usize = 24;
/// A field with less than this part of the object is not looked into.
const MAP_SHARE: usize = 20;
/// How deep the map goes.
const MAP_DEPTH: usize = 4;
/// Longest path in the map, in bytes.
const MAP_PATH: usize = 160;

/// True for a column that says itself where it stands, as `IMAGE:.spec.containers[*].image`.
pub(super) fn is_own(column: &str) -> bool {
    column.contains(':')
}

/// Columns of a table made of whole objects, `HEADER:path` or one of those that every object has.
///
/// # Errors
/// When one of them is neither, stands twice, or when there are too many.
pub(super) fn columns(wanted: &[String]) -> Result<Vec<(String, Path)>, Failure> {
    if wanted.len() > MAX_COLUMNS {
        return Err(Failure::arguments(format!("with paths there may be at most {MAX_COLUMNS} columns")));
    }
    let mut columns: Vec<(String, Path)> = Vec::new();
    for column in wanted {
        let (header, path) = one_column(column)?;
        if columns.iter().any(|(known, other)| *known == header || *other == path) {
            return Err(Failure::arguments(format!("column {} stands twice", names::quote(column))));
        }
        columns.push((header, path));
    }
    Ok(columns)
}

fn one_column(column: &str) -> Result<(String, Path), Failure> {
    if let Some((header, path)) = column.split_once(':') {
        return Ok((header.trim().to_uppercase(), Path::parse(path)?));
    }
    let path = match column.trim().to_ascii_lowercase().as_str() {
        "name" => "metadata.name",
        "namespace" => "metadata.namespace",
        "created" => "metadata.creationTimestamp",
        _ => {
            let cause = format!("column {} cannot stand beside columns with a path", names::quote(column));
            return Err(Failure::arguments(cause)
                .hint("Beside them stand NAME, NAMESPACE, CREATED, and others with a path, as READY:.status.ready"));
        }
    };
    Ok((column.trim().to_uppercase(), Path::parse(path)?))
}

/// The table of `columns` over the items of a list. Only the rows of `window` get cells: an answer shows no other.
pub(super) fn table(items: &[Value], columns: &[(String, Path)], window: &Range<usize>) -> Table {
    let cells = |item: &Value| columns.iter().map(|(_, path)| cell(&path.find(item))).collect();
    let row = |(at, item): (usize, &Value)| Row {
        namespace: None,
        cells: if window.contains(&at) { cells(item) } else { Vec::new() },
    };
    Table {
        columns: columns.iter().map(|(header, _)| Column { name: header.clone(), priority: 0 }).collect(),
        rows: items.iter().enumerate().map(row).collect(),
        ..Table::default()
    }
}

/// At most [`CELL_BYTES`] of the values, however large they are.
fn cell(found: &[&Value]) -> String {
    if found.is_empty() {
        return "<none>".to_owned();
    }
    let mut cell = Cell(Vec::new());
    for (at, value) in found.iter().take(MAX_VALUES).enumerate() {
        cell.text(if at > 0 { "," } else { "" });
        match value.as_str() {
            Some(text) => cell.text(text),
            // The only error is that the cell is full: then it keeps what it has.
            None => drop(serde_json::to_writer(&mut cell, value)),
        }
    }
    if found.len() > MAX_VALUES {
        cell.text(&format!(",… +{}", found.len() - MAX_VALUES));
    }
    // The last character may be cut in the middle.
    cell.0.utf8_chunks().next().map_or("", |whole| whole.valid()).to_owned()
}

/// Bytes up to [`CELL_BYTES`]; the rest is refused, so that whoever writes stops.
struct Cell(Vec<u8>);

impl Cell {
    fn text(&mut self, text: &str) {
        let room = CELL_BYTES - self.0.len();
        self.0.extend_from_slice(text.as_bytes().get(..room).unwrap_or(text.as_bytes()));
    }
}

impl io::Write for Cell {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CELL_BYTES - self.0.len());
        self.0.extend(bytes.iter().take(taken));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the fields that a call asks for.
///
/// # Errors
/// When there are too many, or one is no path.
pub(super) fn paths(fields: &[String]) -> Result<Vec<Path>, Failure> {
    if fields.len() > MAX_FIELDS {
        return Err(Failure::arguments(format!("argument fields must be at most {MAX_FIELDS} paths")));
    }
    fields.iter().map(|field| Path::parse(field)).collect()
}

/// The fields of an object by their paths, and one line for each that is not there. Of fields that together have more than
/// `most` bytes as JSON those that fit are taken, or the first one alone, and a line names the others.
///
/// # Errors
/// When none of them is there, with the names that are.
pub(super) fn fields(object: &Value, fields: &[String], most: usize) -> Result<(Value, Vec<String>), Failure> {
    let mut taken = Map::new();
    let mut missing = Vec::new();
    let mut large = Vec::new();
    let mut left = most;
    for (name, path) in unique(fields)? {
        let values = path.find(object);
        if values.is_empty() {
            let near = if missing.len() < MAX_NEAR { path.near(object) } else { Vec::new() };
            let near = if near.is_empty() { String::new() } else { format!("; there is {}", near.join(", ")) };
            missing.push(format!("no field {}{near}", names::quote(name)));
            continue;
        }
        match size_within(&values, left) {
            Some(size) => {
                left -= size;
                taken.insert(name.to_owned(), collected(&path, &values));
            }
            None => large.push((name, path)),
        }
    }
    if taken.is_empty() {
        if large.is_empty() {
            return Err(Failure::arguments(missing.join("; ")));
        }
        let (name, path) = large.remove(0);
        taken.insert(name.to_owned(), collected(&path, &path.find(object)));
    }
    let left_out = |(name, _): (&str, Path)| format!("no room for field {}: ask for it alone", names::quote(name));
    missing.extend(large.into_iter().map(left_out));
    Ok((Value::Object(taken), missing))
}

/// Fields that lead elsewhere than those before them.
fn unique(fields: &[String]) -> Result<Vec<(&str, Path)>, Failure> {
    let mut unique: Vec<(&str, Path)> = Vec::new();
    for (name, path) in fields.iter().zip(paths(fields)?) {
        if unique.iter().all(|(_, known)| *known != path) {
            unique.push((name, path));
        }
    }
    Ok(unique)
}

fn collected(path: &Path, values: &[&Value]) -> Value {
    match values {
        [only] if !path.is_many() => (*only).clone(),
        values => values.iter().map(|value| (*value).clone()).collect(),
    }
}

/// The largest fields of an object with their sizes in bytes, as paths that `fields` takes. The keys of `parts`, what
/// [`fields`] found, are paths already.
pub(super) fn map(object: &Value, parts: bool) -> String {
    let all = size(object);
    let mut found = Vec::new();
    match object.as_object().filter(|_| parts) {
        Some(fields) => fields.iter().for_each(|(path, value)| add(path, value, all, 0, &mut found)),
        None => walk("", object, all, 0, &mut found),
    }
    found.sort_by(|(a_path, a), (b_path, b)| b.cmp(a).then_with(|| a_path.cmp(b_path)));
    let mut text = format!("# it has {all} bytes as JSON: ask for parts of it with fields. The largest:\n");
    for (path, size) in found.iter().take(MAP_LINES) {
        text.push_str(&format!("#   {size}\t{}\n", neutral::cell(path)));
    }
    if found.len() > MAP_LINES {
        text.push_str(&format!("#   and {} smaller ones\n", found.len() - MAP_LINES));
    }
    text
}

fn walk(path: &str, value: &Value, all: usize, depth: usize, found: &mut Vec<(String, usize)>) {
    let Value::Object(fields) = value else { return };
    for (key, value) in fields {
        add(&joined(path, key), value, all, depth, found);
    }
}

fn add(path: &str, value: &Value, all: usize, depth: usize, found: &mut Vec<(String, usize)>) {
    if path.len() > MAP_PATH {
        return;
    }
    let size = size(value);
    if depth + 1 < MAP_DEPTH && size > all / MAP_SHARE {
        walk(path, value, all, depth + 1, found);
    }
    let items = value.as_array().map(|items| format!("[*] ({} items)", items.len())).unwrap_or_default();
    found.push((format!("{path}{items}"), size));
}

fn size(value: &Value) -> usize {
    size_within(value, usize::MAX).unwrap_or(usize::MAX)
}

/// The bytes of a value as JSON; `None` when there are more than `most`.
fn size_within(value: &(impl Serialize + ?Sized), most: usize) -> Option<usize> {
    let mut count = Count { most, bytes: 0 };
    serde_json::to_writer(&mut count, value).ok().map(|()| count.bytes)
}

/// Counts bytes, and refuses those beyond `most`.
struct Count {
    most: usize,
    bytes: usize,
}

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes {
            return Ok(0);
        }
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CELL_BYTES, cell, columns, fields, map, table};

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn own_columns_are_paths_beside_names() {
        let wanted = columns(&texts(&["name", "image:.spec.containers[*].image", "R:spec.replicas"])).unwrap();
        let items = [
            json!({"metadata": {"name": "a"}, "spec": {"replicas": 2, "containers": [{"image": "x"}, {"image": "y"}]}}),
            json!({"metadata": {"name": "b"}}),
        ];
        let table = table(&items, &wanted, &(0..9));
        let headers: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(headers, ["NAME", "IMAGE", "R"]);
        assert_eq!(table.rows[0].cells, ["a", "x,y", "2"]);
        assert_eq!(table.rows[1].cells, ["b", "<none>", "<none>"]);
        let failure = columns(&texts(&["READY", "A:.b"])).unwrap_err().to_string();
        assert!(failure.starts_with("column \"READY\" cannot stand beside columns with a path. Beside"), "{failure}");
        let many: Vec<_> = (0..40).map(|n| json!(n)).collect();
        assert!(cell(&many.iter().collect::<Vec<_>>()).ends_with(",31,… +8"));
    }

    #[test]
    fn own_columns_take_little_however_large_the_objects_are() {
        let object = json!({"metadata": {"name": "a"}, "data": {"a": "é".repeat(500_000), "b": vec![1; 500_000]}});
        let wanted = columns(&texts(&["D:.data", "A:.data.a", "B:.data.b", "ALL:.data.b[*]", "name"])).unwrap();
        let table = table(&[object.clone(), object], &wanted, &(0..1));
        assert!(table.rows[0].cells.iter().all(|cell| cell.len() <= CELL_BYTES), "{:?}", table.rows[0].cells);
        assert!(table.rows[0].cells[0].starts_with("{\"a\":\"éé") && table.rows[0].cells[2].starts_with("[1,1,"));
        assert!(table.rows[0].cells[..3].iter().all(|cell| cell.chars().count() > 256));
        assert_eq!(table.rows[0].cells[1].trim_end_matches('é'), "", "no half of a character is left");
        assert!(table.rows.len() == 2 && table.rows[1].cells.is_empty(), "a row that is not shown costs nothing");
    }

    #[test]
    fn own_columns_are_few_and_stand_once() {
        let many: Vec<String> = (0..17).map(|at| format!("C{at}:.spec.c{at}")).collect();
        assert!(columns(&many[..16]).is_ok());
        assert_eq!(columns(&many).unwrap_err().to_string(), "with paths there may be at most 16 columns");
        for twice in [["A:.spec", "B:{.spec}"], ["A:.spec", "a:.status"], ["NAME", "N:.metadata.name"]] {
            let failure = columns(&texts(&twice)).unwrap_err().to_string();
            assert!(failure.ends_with(" stands twice"), "{failure}");
        }
    }

    #[test]
    fn fields_come_by_their_paths_and_missing_ones_are_named() {
        let object = json!({"spec": {"replicas": 3, "list": [{"a": 1}, {"a": 2}]}, "status": {}});
        let (found, missing) =
            fields(&object, &texts(&["spec.replicas", "spec.list[*].a", "spec.replica"]), 100).unwrap();
        assert_eq!(found, json!({"spec.replicas": 3, "spec.list[*].a": [1, 2]}));
        assert_eq!(missing, ["no field \"spec.replica\"; there is replicas"]);
        let failure = fields(&object, &texts(&["speck"]), 100).unwrap_err().to_string();
        assert_eq!(failure, "no field \"speck\"; there is spec");
        assert!(fields(&object, &vec!["a".to_owned(); 33], 100).is_err());
    }

    #[test]
    fn fields_are_taken_once_and_as_many_as_there_is_room_for() {
        let object = json!({"big": "x".repeat(1_000_000), "also": "y".repeat(1_000_000), "small": 1, "few": [1, 2]});
        let take = |fields_: &[&str]| fields(&object, &texts(fields_), 100).unwrap();
        let (found, said) = take(&["big", "small", "{.small}", "few[*]"]);
        assert_eq!(found, json!({"small": 1, "few[*]": [1, 2]}));
        assert_eq!(said, ["no room for field \"big\": ask for it alone"]);
        let (found, said) = take(&["big", "also", ".big"]);
        assert_eq!(found, json!({"big": object["big"]}));
        assert_eq!(said, ["no room for field \"also\": ask for it alone"]);
        let many: Vec<String> = (0..32).map(|at| format!("data.none{at}")).collect();
        let wide: serde_json::Map<_, _> = (0..5_000).map(|n| (format!("{n}{}", "k".repeat(200)), json!(1))).collect();
        let wide = json!({"data": wide, "near": {"none": 1}});
        let failure = fields(&wide, &many, 100).unwrap_err().to_string();
        assert!(failure.len() < 2_000 && !failure.contains("there is"), "{failure}");
        let near: Vec<String> = (0..5).map(|at| format!("near.none{at}")).collect();
        let failure = fields(&wide, &near, 100).unwrap_err().to_string();
        assert_eq!(failure.matches("there is none").count(), 3, "{failure}");
    }

    #[test]
    fn the_map_shows_where_the_bytes_are() {
        let object = json!({"kind": "ConfigMap", "data": {"big.bin": "x".repeat(3_000_000), "small": "y"},
            "list": [1, 2, 3], "metadata": {"name": "a"}});
        let text = map(&object, false);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("# it has 30000") && text.len() < 1_000, "{text}");
        assert_eq!(lines[1].split('\t').nth(1).unwrap(), "data");
        assert_eq!(lines[2], "#   3000002\tdata['big.bin']");
        assert!(text.contains("list[*] (3 items)") && !text.contains("metadata.name"), "{text}");
        let parts = map(&json!({"data['x']": {"a": "x".repeat(100)}}), true);
        assert!(parts.ends_with("#   108\tdata['x']\n#   102\tdata['x'].a\n"), "{parts}");
        let wide: serde_json::Map<_, _> = (0..500).map(|n| (format!("key-{n}"), json!("v"))).collect();
        let text = map(&json!({"data": wide}), false);
        assert!(text.lines().count() == 26 && text.ends_with("#   and 477 smaller ones\n"), "{text}");
    }
}
