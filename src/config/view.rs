//! The effective configuration as TOML, with the origin of each value as a comment.

use std::fmt::Write as _;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::places::SourceMap;
use super::read::{SECRET_KEYS, join};
use super::{ConfigError, Environment, Origin, ServerConfig, layers};

/// The configuration after all layers, with defaults of the scalar keys; relative paths and references to files are as
/// written. `None` when it has mistakes: what is not understood is not repeated, it may be a secret.
///
/// # Errors
/// When a file of it cannot be read.
pub fn view(origin: &Origin, environment: &Environment) -> Result<Option<String>, ConfigError> {
    if !super::load(origin, environment)?.problems.is_empty() {
        return Ok(None);
    }
    let texts = super::texts(origin, environment)?;
    let mut map = SourceMap::default();
    let Ok(mut document) = layers::merge(&texts, &mut map) else { return Ok(None) };
    if !layers::variables(&mut document, environment, &mut map).is_empty() {
        return Ok(None);
    }
    let flag = || DeValue::Boolean(false);
    let listen = ServerConfig::default().listen.to_string();
    for (table, key, value) in [
        ("server", "listen", DeValue::String(listen.into())),
        ("server", "legacy_sessions", flag()),
        ("server", "tls_terminated_upstream", flag()),
        ("policy", "read_only", flag()),
        ("policy", "disable_destructive", flag()),
    ] {
        if map.exact(&join(table, key)).is_none() {
            layers::set(&mut document, table, key, value);
        }
    }
    let mut text = String::new();
    if texts.is_empty() {
        text.push_str("# no configuration file: clusters come from the kubeconfig\n");
    }
    let mut view = View { map: &map, text: &mut text };
    view.table("", "", &document);
    Ok(Some(text))
}

struct View<'a> {
    map: &'a SourceMap,
    text: &'a mut String,
}

impl View<'_> {
    /// Values first, then the tables: what follows a header belongs to it. `header` is the path in TOML's spelling,
    /// `path` in that of problems.
    fn table(&mut self, header: &str, path: &str, table: &DeTable<'_>) {
        let inner = |value: &Spanned<DeValue<'_>>| is_table(value) || is_tables(value.get_ref());
        for (key, value) in table.iter().filter(|(_, value)| !inner(value)) {
            let name = key.get_ref().as_ref();
            let place = self.map.exact(&join(path, name)).map_or_else(|| "default".to_owned(), ToString::to_string);
            let mut shown = String::new();
            if SECRET_KEYS.contains(&name) {
                shown.push_str("\"(hidden)\"");
            } else {
                write_value(&mut shown, value.get_ref());
            }
            self.line(&format!("{} = {shown}  # {}", quoted_key(name), one_line(&place)));
        }
        for (key, value) in table.iter().filter(|(_, value)| inner(value)) {
            let name = key.get_ref().as_ref();
            let header = join(header, &quoted_key(name));
            let path = join(path, name);
            match value.get_ref() {
                DeValue::Table(table) => {
                    // A table of tables alone needs no header of its own.
                    if table.is_empty() || !table.values().all(inner) {
                        self.line(&format!("\n[{header}]"));
                    }
                    self.table(&header, &path, table);
                }
                DeValue::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let path = format!("{path}[{index}]");
                        self.line(&format!("\n[[{header}]]"));
                        item.get_ref().as_table().into_iter().for_each(|table| self.table(&header, &path, table));
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

    fn line(&mut self, line: &str) {
        self.text.push_str(if self.text.is_empty() { line.trim_start() } else { line });
        self.text.push('\n');
    }
}

fn is_table(value: &Spanned<DeValue<'_>>) -> bool {
    value.get_ref().is_table()
}

fn is_tables(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(is_table))
}

fn write_value(text: &mut String, value: &DeValue<'_>) {
    match value {
        DeValue::String(string) => text.push_str(&quoted(string)),
        DeValue::Boolean(flag) => text.push_str(if *flag { "true" } else { "false" }),
        DeValue::Integer(number) => write!(text, "{number}").expect("writing to a String never fails"),
        DeValue::Float(number) => write!(text, "{number}").expect("writing to a String never fails"),
        DeValue::Datetime(date) => write!(text, "{date}").expect("writing to a String never fails"),
        DeValue::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_value(text, item.get_ref());
            }
            text.push(']');
        }
        DeValue::Table(table) => {
            text.push('{');
            for (index, (key, value)) in table.iter().enumerate() {
                text.push_str(if index == 0 { " " } else { ", " });
                text.push_str(&quoted_key(key.get_ref()));
                text.push_str(" = ");
                write_value(text, value.get_ref());
            }
            text.push_str(" }");
        }
    }
}

pub(super) fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { key.to_owned() } else { quoted(key) }
}

/// A basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(c)).expect("writing to a String never fails");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests;
