//! A typed reader over parsed TOML: it records every problem instead of stopping at the first, and every key that was
//! asked for, so that the rest are the unknown ones. No value is ever quoted in a problem unless it is a name or a word:
//! it may be a secret at the wrong place.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::kubeconfig::Environment;
use crate::model::Problem;
use crate::model::names::quote;

/// Keys that elsewhere hold a secret. Here secrets come by file reference only.
pub(super) const SECRET_KEYS: [&str; 7] =
    ["client_secret", "secret", "password", "token", "key", "private_key", "seal_key"];

/// What reading a file shares: its folder, the environment, and the problems so far.
#[derive(Debug)]
pub(super) struct Sink<'e> {
    pub folder: PathBuf,
    pub environment: &'e Environment,
    problems: RefCell<Vec<Problem>>,
    files: RefCell<BTreeSet<PathBuf>>,
}

impl<'e> Sink<'e> {
    pub fn new(folder: &Path, environment: &'e Environment) -> Self {
        Self { folder: folder.to_owned(), environment, problems: RefCell::default(), files: RefCell::default() }
    }

    pub fn report(&self, key: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) {
        self.problems.borrow_mut().push(Problem::new(key, what, fix));
    }

    /// The files that keys name, also those that cannot be read.
    pub fn named_files(&self) -> BTreeSet<PathBuf> {
        self.files.borrow().clone()
    }

    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// `path.key`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// One table; an absent one reads as empty.
#[derive(Debug)]
pub(super) struct Table<'d> {
    path: String,
    entries: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
    pub sink: &'d Sink<'d>,
}

impl<'d> Table<'d> {
    pub fn new(path: impl Into<String>, entries: Option<&'d DeTable<'d>>, sink: &'d Sink<'d>) -> Self {
        Self { path: path.into(), entries, known: Vec::new(), sink }
    }

    /// The dotted path of `key` in this table.
    pub fn at(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Records a problem with the value of `key`.
    pub fn report(&self, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        self.sink.report(self.at(key), what, fix);
    }

    fn value(&mut self, key: &'static str) -> Option<&'d DeValue<'d>> {
        self.known.push(key);
        self.entries.and_then(|entries| entries.get(key)).map(toml::Spanned::get_ref)
    }

    /// A value of one type; another type is a problem.
    fn typed<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        take: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let taken = take(value);
        if taken.is_none() {
            self.mismatch(&self.at(key), wanted, value);
        }
        taken
    }

    fn mismatch(&self, path: &str, wanted: &str, found: &DeValue<'_>) {
        self.sink.report(path, format!("{} where {wanted} is expected", kind(found)), format!("write {wanted}"));
    }

    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let text = self.optional_text(key)?;
        if text.is_empty() {
            self.report(key, "is empty", "write a value, or leave the key out");
            return None;
        }
        Some(text)
    }

    /// A text that may be empty.
    pub fn optional_text(&mut self, key: &'static str) -> Option<String> {
        self.typed(key, "a string in quotes", |value| value.as_str().map(str::to_owned))
    }

    /// A text that must be there.
    pub fn required(&mut self, key: &'static str, fix: &str) -> Option<String> {
        let there = self.entries.is_some_and(|entries| entries.contains_key(key));
        if !there {
            self.known.push(key);
            self.sink.report(self.path.clone(), format!("{key} is missing"), fix);
            return None;
        }
        self.text(key)
    }

    pub fn flag(&mut self, key: &'static str) -> bool {
        self.typed(key, "true or false", DeValue::as_bool).unwrap_or(false)
    }

    pub fn port(&mut self, key: &'static str) -> Option<u16> {
        let wanted = "a port, 1 to 65535";
        self.typed(key, wanted, |value| {
            let number = value.as_integer()?;
            u16::from_str_radix(number.as_str(), number.radix()).ok().filter(|port| *port > 0)
        })
    }

    /// A whole number within a range.
    pub fn number(&mut self, key: &'static str, range: RangeInclusive<usize>) -> Option<usize> {
        let wanted = format!("a number from {} to {}", range.start(), range.end());
        self.typed(key, &wanted, |value| {
            let number = value.as_integer()?;
            usize::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| range.contains(number))
        })
    }

    /// A duration within a range; the ends are whole seconds, or below one.
    pub fn span(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let span = self.duration(key)?;
        if range.contains(&span) {
            return Some(span);
        }
        let fix = format!("write a time from {} to {}", shown(*range.start()), shown(*range.end()));
        self.report(key, format!("{} is out of range", shown(span)), fix);
        None
    }

    /// A list of texts; absent = empty.
    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        self.indexed_texts(key).into_iter().map(|(_, text)| text).collect()
    }

    /// A list of texts, each with its index in the file.
    pub fn indexed_texts(&mut self, key: &'static str) -> Vec<(usize, String)> {
        let Some(items) = self.typed(key, "a list of strings", DeValue::as_array) else { return Vec::new() };
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item.get_ref().as_str() {
                Some(text) if !text.is_empty() => texts.push((index, text.to_owned())),
                Some(_) => self.sink.report(format!("{}[{index}]", self.at(key)), "is empty", "write a value"),
                None => self.mismatch(&format!("{}[{index}]", self.at(key)), "a string in quotes", item.get_ref()),
            }
        }
        texts
    }

    /// A list whose items are read by `parse`; each that fails is a problem.
    pub fn list<T, E: Display>(
        &mut self,
        key: &'static str,
        fix: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let texts = self.indexed_texts(key);
        let read = |(index, text): (usize, String)| match parse(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.sink.report(format!("{}[{index}]", join(&self.path, key)), why.to_string(), fix);
                None
            }
        };
        texts.into_iter().filter_map(read).collect()
    }

    /// One text, or a list that is not empty, each read by `parse`; absent = empty.
    pub fn one_or_more<T, E: Display>(
        &mut self,
        key: &'static str,
        fix: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        if self.entries.and_then(|entries| entries.get(key)).is_some_and(|value| value.get_ref().is_str()) {
            return self.parsed(key, fix, parse).into_iter().collect();
        }
        self.some(key, fix, parse)
    }

    /// As [`Table::list`]; an empty one is a problem.
    pub fn some<T, E: Display>(
        &mut self,
        key: &'static str,
        fix: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        if self.entries.and_then(|entries| entries.get(key)?.get_ref().as_array()).is_some_and(|items| items.is_empty())
        {
            self.report(key, "is empty", "name at least one, or leave the key out");
        }
        self.list(key, fix, parse)
    }

    /// A text read by `parse`; a failure is a problem.
    pub fn parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        fix: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(&text).map_err(|why| self.report(key, why.to_string(), fix)).ok()
    }

    /// One of some words.
    pub fn word(&mut self, key: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            self.report(key, format!("{} is not known", quote(&text)), one_of(&text, words.iter().copied()));
        }
        found
    }

    /// A duration as `500ms`, `30s`, `5m`, `24h` or `7d`.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.parsed(key, "write a number and a unit, as \"30s\", \"5m\" or \"24h\"", duration)
    }

    /// A file, relative to the folder of the configuration, that exists.
    pub fn file(&mut self, key: &'static str) -> Option<PathBuf> {
        let text = self.text(key)?;
        self.existing(&self.at(key), &text)
    }

    /// A list of files that exist.
    pub fn files(&mut self, key: &'static str) -> Vec<PathBuf> {
        let texts = self.indexed_texts(key);
        let path = |(index, text): (usize, String)| self.existing(&format!("{}[{index}]", self.at(key)), &text);
        texts.into_iter().filter_map(path).collect()
    }

    fn existing(&self, key: &str, text: &str) -> Option<PathBuf> {
        let path = self.sink.environment.resolve(text, &self.sink.folder);
        self.sink.files.borrow_mut().insert(path.clone());
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => return Some(path),
            Ok(_) => self.sink.report(key, format!("{} is not a file", path.display()), "name a file"),
            Err(error) => {
                let fix = "create the file, or correct its path; a relative path starts at the configuration's folder";
                self.sink.report(key, format!("{} cannot be read: {error}", path.display()), fix);
            }
        }
        None
    }

    pub fn table(&mut self, key: &'static str) -> Option<Self> {
        let entries = self.typed(key, "a table", DeValue::as_table)?;
        Some(Self::new(self.at(key), Some(entries), self.sink))
    }

    /// `key` as a table, empty when absent.
    pub fn section(&mut self, key: &'static str) -> Self {
        let path = self.at(key);
        self.table(key).unwrap_or_else(|| Self::new(path, None, self.sink))
    }

    /// The tables in the table `key`, by name.
    pub fn named(&mut self, key: &'static str) -> Vec<(&'d str, Self)> {
        let Some(outer) = self.table(key) else { return Vec::new() };
        let mut found = Vec::new();
        for (name, value) in outer.entries.into_iter().flatten() {
            let path = outer.at(name.get_ref());
            match value.get_ref().as_table() {
                Some(entries) => found.push((name.get_ref().as_ref(), Self::new(path, Some(entries), self.sink))),
                None => self.mismatch(&path, "a table", value.get_ref()),
            }
        }
        found
    }

    /// The tables of the list `key`.
    pub fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let Some(items) = self.typed(key, "a list of tables", DeValue::as_array) else { return Vec::new() };
        let mut found = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.at(key));
            match item.get_ref().as_table() {
                Some(entries) => found.push(Self::new(path, Some(entries), self.sink)),
                None => self.mismatch(&path, "a table", item.get_ref()),
            }
        }
        found
    }

    /// A table of texts, as labels are.
    pub fn map(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let Some(inner) = self.table(key) else { return BTreeMap::new() };
        let mut map = BTreeMap::new();
        for (name, value) in inner.entries.into_iter().flatten() {
            match value.get_ref().as_str() {
                Some(text) => drop(map.insert(name.get_ref().to_string(), text.to_owned())),
                None => self.mismatch(&inner.at(name.get_ref()), "a string in quotes", value.get_ref()),
            }
        }
        map
    }

    /// Whether `key` is written.
    pub fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// A key that is known and not supported here.
    pub fn unsupported(&mut self, key: &'static str, what: &str, fix: &str) {
        if self.value(key).is_some() {
            self.report(key, what, fix);
        }
    }

    /// Every key that nobody asked for is a problem.
    pub fn done(self) {
        for key in self.entries.into_iter().flat_map(DeTable::keys).map(|key| key.get_ref().as_ref()) {
            if self.known.contains(&key) {
                continue;
            }
            let fix = if SECRET_KEYS.contains(&key) {
                "secrets come by file reference only: put the value into a file that only kubeferry can read".to_owned()
            } else {
                one_of(key, self.known.iter().copied())
            };
            self.report(key, "unknown key", fix);
        }
    }
}

/// "did you mean …?", or all words.
pub(super) fn one_of<'w>(given: &str, words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<&str> = words.collect();
    let nearest = words.iter().map(|word| (strsim::damerau_levenshtein(given, word), *word)).min();
    match nearest {
        Some((distance, word)) if distance <= 1 + given.len().min(word.len()) / 3 => format!("did you mean {word}?"),
        Some(_) => format!("write one of {}", words.join(", ")),
        None => "remove it".to_owned(),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A duration as it is written.
pub(super) fn shown(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        _ if span.subsec_nanos() != 0 => format!("{}ms", span.as_millis()),
        1.. if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        1.. if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        1.. if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let refused = "not a duration";
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(refused)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refused)?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs).ok_or("too long");
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(60 * 60),
        "d" => seconds(24 * 60 * 60),
        _ => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, shown};

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["500ms", "7s", "90s", "5m", "24h", "2d", "0s"] {
            assert_eq!(duration(&shown(duration(text).unwrap())), duration(text), "{text}");
        }
        for bad in ["", "5", "m", "-5m", "5 m", "5w", "1.5h", "99999999999999999999s", "18446744073709551615d", "５m"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
