//! Where each key stands: dotted path → file and line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// File and line of every key, by dotted path as `clusters.plant-1.audiences` or `bind[0].match`.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    places: BTreeMap<String, (Arc<Path>, usize)>,
}

impl SourceMap {
    /// File and line (from 1) of a key; of the nearest table around it when the key itself is not written.
    pub fn place(&self, key: &str) -> Option<(&Path, usize)> {
        let mut key = key;
        loop {
            if let Some((file, line)) = self.places.get(key) {
                return Some((file, *line));
            }
            key = match key.rfind(['.', '[']) {
                Some(end) => key.get(..end)?,
                None if key.is_empty() => return None,
                None => "",
            };
        }
    }

    /// Notes all keys of a file.
    pub(super) fn add(&mut self, file: &Path, text: &str, root: &DeTable<'_>) {
        let mut walk = Walk { file: file.into(), lines: Lines::new(text), places: &mut self.places };
        walk.note("", 0..0);
        walk.table("", root);
    }

    /// Notes that something at `key` is at `span` of a file's text.
    pub(super) fn add_span(&mut self, key: &str, file: &Path, text: &str, span: Range<usize>) {
        Walk { file: file.into(), lines: Lines::new(text), places: &mut self.places }.note(key, span);
    }
}

/// Starts of lines, for turning offsets into line numbers.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|end| *end < offset)
    }
}

struct Walk<'a> {
    file: Arc<Path>,
    lines: Lines,
    places: &'a mut BTreeMap<String, (Arc<Path>, usize)>,
}

impl Walk<'_> {
    fn note(&mut self, key: &str, span: Range<usize>) {
        let line = self.lines.line(span.start);
        self.places.entry(key.to_owned()).or_insert_with(|| (self.file.clone(), line));
    }

    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = super::read::join(path, key.get_ref());
            self.note(&path, key.span());
            self.value(&path, value.get_ref());
        }
    }

    fn value(&mut self, path: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.table(path, table),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.note(&path, item.span());
                    self.value(&path, item.get_ref());
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}
