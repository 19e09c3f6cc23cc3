//! `kubeferry config import`: a configuration of kubernetes-mcp-server, with the keys that kcp's guide uses, as ours.
//!
//! What keeps its meaning is carried over. Everything else is a [`Left`] with what to do; nothing is passed over in
//! silence, and no value of a secret is ever repeated. Where the two differ, the result allows less, never more.

use std::fmt::Write as _;
use std::path::Path;

use toml::{Table, Value};

use super::Environment;
use super::view::{quoted, quoted_key};

mod access;
mod exchange;
mod kcp;
mod listener;
mod policy;

/// Whether a key was carried over in part, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The key there.
    pub key: String,
    /// Why it is not the same here.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.what, self.fix)
    }
}

/// What became of a configuration.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Our configuration.
    pub toml: String,
    /// What could not be carried over.
    pub left: Vec<Left>,
}

/// Why nothing was carried over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is no TOML.
    #[error("line {line}: not TOML: {why}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// Reads the text of a kubernetes-mcp-server configuration. `folder` is its folder: a kubeconfig that it names is looked
/// into, for the endpoint of a kcp only.
///
/// # Errors
/// When it is no TOML.
pub fn import(text: &str, folder: &Path, environment: &Environment) -> Result<Imported, ImportError> {
    let keys = text.parse::<Table>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        ImportError::Syntax { line: 1 + before.matches('\n').count(), why: error.message().to_owned() }
    })?;
    let mut from = From { keys, folder, environment, left: Vec::new() };
    let mut ours = Ours::default();
    let access = access::access(&mut from, &mut ours);
    listener::listener(&mut from, &mut ours, &access);
    policy::policy(&mut from, &mut ours);
    policy::not_here(&mut from);
    let rest: Vec<String> = from.keys.keys().cloned().collect();
    for key in rest {
        from.leave(&key, "is not a key of kubernetes-mcp-server that is known here", "look whether it is needed");
    }
    Ok(Imported { toml: ours.text(&from.left), left: from.left })
}

/// The configuration there; a key that was looked at is taken out.
struct From<'e> {
    keys: Table,
    folder: &'e Path,
    environment: &'e Environment,
    left: Vec<Left>,
}

impl From<'_> {
    fn leave(&mut self, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        self.left.push(Left { key: key.to_owned(), what: what.into(), fix: fix.into() });
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.remove(key)
    }

    /// A text that is not empty; numbers count, as in `port`.
    fn text(&mut self, key: &str) -> Option<String> {
        let value = self.take(key)?;
        let text = value.as_str().map(str::to_owned).or_else(|| value.as_integer().map(|number| number.to_string()));
        if text.is_none() {
            self.leave(key, "is not a text", "correct it there first");
        }
        text.filter(|text| !text.is_empty())
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        let value = self.take(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.leave(key, "is not true or false", "correct it there first");
        }
        flag
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        match self.take(key) {
            Some(Value::Array(items)) => {
                items.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }
            Some(_) => {
                self.leave(key, "is not a list", "correct it there first");
                Vec::new()
            }
            None => Vec::new(),
        }
    }
}

/// Our tables, in the order of the file.
#[derive(Default)]
struct Ours {
    tables: Vec<(String, Vec<String>)>,
}

impl Ours {
    /// Sets a key of a table, as `server` or `[sources]` for a list of tables.
    fn set(&mut self, table: &str, key: &str, value: impl Into<Value>) {
        let line = format!("{key} = {}", written(&value.into()));
        match self.tables.iter_mut().find(|(name, _)| name == table) {
            Some((_, lines)) => lines.push(line),
            None => self.tables.push((table.to_owned(), vec![line])),
        }
    }

    /// Makes a table, with a comment in it.
    fn note(&mut self, table: &str, comment: &str) {
        let line = format!("# {comment}");
        match self.tables.iter_mut().find(|(name, _)| name == table) {
            Some((_, lines)) => lines.push(line),
            None => self.tables.push((table.to_owned(), vec![line])),
        }
    }

    fn text(&self, left: &[Left]) -> String {
        let mut text =
            String::from("# Made by `kubeferry config import` from a configuration of kubernetes-mcp-server.\n");
        const ORDER: [&str; 7] = ["server", "realms", "clusters", "[sources]", "[bind]", "policy", "limits"];
        let place = |table: &str| ORDER.iter().position(|name| table.starts_with(name));
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_by_key(|(table, _)| place(table));
        for (table, lines) in tables {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n[{table}]\n{}\n", lines.join("\n"));
        }
        if !left.is_empty() {
            text.push_str("\n# Not carried over:\n");
        }
        for left in left {
            let line: String = left.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(text, "# {line}");
        }
        text
    }
}

/// A value in TOML's spelling.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(date) => date.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let members = table.iter().map(|(key, value)| format!("{} = {}", quoted_key(key), written(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A list of texts as a value.
fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Value {
    Value::Array(texts.into_iter().map(|text| Value::String(text.as_ref().to_owned())).collect())
}

#[cfg(test)]
mod tests;
