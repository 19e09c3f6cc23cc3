//! The layers of the configuration: the file, then `conf.d/*.toml` beside it in lexical order, then `KUBEFERRY_…` of the
//! environment, merged into one document. (Flags come last, in `config::load`.)
//!
//! Tables merge key by key, lists of tables append, and any other value replaces the earlier one.

use std::io;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::kubeconfig::{Environment, read_bounded};
use crate::model::Problem;

use super::ConfigError;
use super::places::{SourceMap, Walk};
use super::read::{join, one_of};

/// Files in `conf.d`, at most.
const MAX_FILES: usize = 256;

/// The scalar keys of `[server]` and `[policy]`, which the environment can set; true where the value is a boolean.
const VARIABLES: [(&str, &str, bool); 9] = [
    ("server", "listen", false),
    ("server", "metrics_listen", false),
    ("server", "resource", false),
    ("server", "tls_terminated_upstream", true),
    ("server", "legacy_sessions", true),
    ("server", "i_accept_unauthenticated_clients", true),
    ("server", "i_accept_unauthenticated_writes", true),
    ("policy", "read_only", true),
    ("policy", "disable_destructive", true),
];

/// A file of the configuration with its text.
#[derive(Debug)]
pub(super) struct Text {
    pub file: PathBuf,
    pub text: String,
}

/// The folder whose files follow `file`.
pub(super) fn folder(file: &Path) -> PathBuf {
    file.with_file_name("conf.d")
}

/// Reads `file` and what follows it.
pub(super) fn read(file: &Path) -> Result<Vec<Text>, ConfigError> {
    let mut texts = vec![read_text(file)?];
    for file in listed(&folder(file))? {
        texts.push(read_text(&file)?);
    }
    Ok(texts)
}

fn read_text(file: &Path) -> Result<Text, ConfigError> {
    let bytes = read_bounded(file);
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8")));
    match text {
        Ok(text) => Ok(Text { file: file.to_owned(), text }),
        Err(source) => Err(ConfigError::Unreadable { file: file.to_owned(), source }),
    }
}

/// The `*.toml` of a folder in lexical order, without hidden ones; none when there is no folder.
pub(super) fn listed(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: folder.to_owned(), source };
    let items = match std::fs::read_dir(folder) {
        Ok(items) => items,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for item in items {
        let path = item.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(unreadable(io::Error::other(format!("more than {MAX_FILES} files"))));
        }
    }
    files.sort();
    Ok(files)
}

/// Merges the files. Each that is no TOML is a problem, and then there is no document.
pub(super) fn merge<'t>(texts: &'t [Text], map: &mut SourceMap) -> Result<DeTable<'t>, Vec<Problem>> {
    let mut document = DeTable::new();
    let mut problems = Vec::new();
    for (index, Text { file, text }) in texts.iter().enumerate() {
        let mut walk = map.walk(file, text);
        match DeTable::parse(text) {
            Ok(parsed) => {
                walk.note("", 0..0);
                merge_table(&mut document, parsed.into_inner(), "", &mut walk);
            }
            Err(error) => {
                // The main file is the root of everything; another one is called by its name.
                let name = file.file_name().map(|name| format!("conf.d/{}", name.to_string_lossy()));
                let key = if index == 0 { String::new() } else { name.unwrap_or_default() };
                walk.note(&key, error.span().unwrap_or(0..0));
                problems.push(Problem::new(key, format!("not TOML: {}", error.message()), "correct the syntax"));
            }
        }
    }
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

fn merge_table<'t>(into: &mut DeTable<'t>, from: DeTable<'t>, path: &str, walk: &mut Walk<'_>) {
    for (key, value) in from {
        let at = join(path, key.get_ref());
        let Some(old) = into.get_mut(key.get_ref().as_ref()) else {
            walk.note(&at, key.span());
            walk.value(&at, value.get_ref());
            into.insert(key, value);
            continue;
        };
        match (old.get_mut(), value.into_inner()) {
            (DeValue::Table(old), DeValue::Table(new)) => merge_table(old, new, &at, walk),
            (DeValue::Array(old), DeValue::Array(new)) if are_tables(old) && are_tables(&new) => {
                for item in new {
                    let at = format!("{at}[{}]", old.len());
                    walk.note(&at, item.span());
                    walk.value(&at, item.get_ref());
                    old.push(item);
                }
            }
            (old, new) => {
                walk.forget(&at);
                walk.note(&at, key.span());
                walk.value(&at, &new);
                *old = new;
            }
        }
    }
}

fn are_tables(items: &[Spanned<DeValue<'_>>]) -> bool {
    !items.is_empty() && items.iter().all(|item| item.get_ref().is_table())
}

/// Puts the variables of the environment over the document. Each `KUBEFERRY_SERVER_…` and `KUBEFERRY_POLICY_…` that is
/// no such variable is a problem.
pub(super) fn variables(document: &mut DeTable<'_>, environment: &Environment, map: &mut SourceMap) -> Vec<Problem> {
    let mut problems = Vec::new();
    let known: Vec<String> = VARIABLES.iter().map(|(table, key, _)| variable(table, key)).collect();
    for name in environment.names() {
        let Some(rest) = ["KUBEFERRY_SERVER_", "KUBEFERRY_POLICY_"].iter().find_map(|prefix| name.strip_prefix(prefix))
        else {
            continue;
        };
        // Kubernetes gives such variables to a pod for each Service, here one called kubeferry-server.
        if rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_") {
            continue;
        }
        map.set_by_variable(name, name);
        let found = known.iter().position(|known| known == name).and_then(|at| VARIABLES.get(at));
        match (found, environment.get(name)) {
            (Some((table, key, is_flag)), Some(text)) => {
                let value = match text.as_str() {
                    "true" if *is_flag => DeValue::Boolean(true),
                    "false" if *is_flag => DeValue::Boolean(false),
                    _ => DeValue::String(text.into()),
                };
                set(document, table, key, value);
                map.set_by_variable(&join(table, key), name);
            }
            (Some(_), None) => problems.push(Problem::new(name, "is not UTF-8", "correct it, or unset it")),
            (None, _) => {
                let fix = one_of(name, known.iter().map(String::as_str));
                problems.push(Problem::new(name, "sets no key that the environment can set", fix));
            }
        }
    }
    problems
}

fn variable(table: &str, key: &str) -> String {
    format!("KUBEFERRY_{table}_{key}").to_ascii_uppercase()
}

/// Sets a key of a table that may not be there yet. What is no table stays, for the reader to report.
pub(super) fn set<'t>(document: &mut DeTable<'t>, table: &'static str, key: &'static str, value: DeValue<'t>) {
    if !document.contains_key(table) {
        document.insert(Spanned::new(0..0, table.into()), Spanned::new(0..0, DeValue::Table(DeTable::new())));
    }
    if let Some(DeValue::Table(entries)) = document.get_mut(table).map(Spanned::get_mut) {
        entries.insert(Spanned::new(0..0, key.into()), Spanned::new(0..0, value));
    }
}

#[cfg(test)]
mod tests;
