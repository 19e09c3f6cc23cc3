//! Where each key stands: dotted path → file and line, or the environment variable that sets it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file and a line in it, from 1.
    File(Arc<Path>, usize),
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Variable(name) => write!(f, "environment {name}"),
        }
    }
}

/// The place of every key, by dotted path as `clusters.plant-1.audiences` or `bind[0].match`.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    places: BTreeMap<String, Place>,
}

impl SourceMap {
    /// The place of a key; of the nearest table around it when the key itself is not written.
    pub fn place(&self, key: &str) -> Option<&Place> {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key) {
                return Some(place);
            }
            key = match key.rfind(['.', '[']) {
                Some(end) => key.get(..end)?,
                None if key.is_empty() => return None,
                None => "",
            };
        }
    }

    /// The place of a key that is written itself.
    pub(super) fn exact(&self, key: &str) -> Option<&Place> {
        self.places.get(key)
    }

    /// Notes keys of a file's text.
    pub(super) fn walk(&mut self, file: &Path, text: &str) -> Walk<'_> {
        Walk { file: file.into(), lines: Lines::new(text), places: &mut self.places }
    }

    /// Notes that an environment variable sets `key`, whatever set it before.
    pub(super) fn set_by_variable(&mut self, key: &str, name: &str) {
        drop(self.places.insert(key.to_owned(), Place::Variable(name.to_owned())));
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

/// Notes where the keys of one file stand; what is noted already stays.
pub(super) struct Walk<'a> {
    file: Arc<Path>,
    lines: Lines,
    places: &'a mut BTreeMap<String, Place>,
}

impl Walk<'_> {
    pub fn note(&mut self, key: &str, span: Range<usize>) {
        let line = self.lines.line(span.start);
        self.places.entry(key.to_owned()).or_insert_with(|| Place::File(self.file.clone(), line));
    }

    /// Forgets `key` and everything in it: another value takes its place.
    pub fn forget(&mut self, key: &str) {
        let below =
            |place: &str| place.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.places.retain(|place, _| !below(place));
    }

    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = super::read::join(path, key.get_ref());
            self.note(&path, key.span());
            self.value(&path, value.get_ref());
        }
    }

    pub fn value(&mut self, path: &str, value: &DeValue<'_>) {
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
