//! `[[sources]]` and `[[bind]]`.

use std::path::PathBuf;

use crate::inventory::{BindMatch, BindRule, SourceConfig};
use crate::model::ClusterName;
use crate::model::names::quote;

use super::clusters::{paths, settings, tier};
use super::read::{Table, one_of};
use super::realms::Known;
use super::settings::STRATEGIES;

/// Reads all sources; their names are unique.
pub(super) fn sources(root: &mut Table<'_>) -> Vec<SourceConfig> {
    let mut sources: Vec<SourceConfig> = Vec::new();
    for mut table in root.tables("sources") {
        if !table.has("type") {
            table.sink.report(table.path(), "type is missing", one_of("", SourceConfig::TYPES.iter().copied()));
        }
        let Some(word) = table.word("type", SourceConfig::TYPES) else { continue };
        let name = table.text("name").unwrap_or_else(|| word.to_owned());
        let taken = name == "file" || sources.iter().any(|source| source.name() == name);
        if taken {
            let key = if table.has("name") { table.at("name") } else { table.path().to_owned() };
            table.sink.report(
                key,
                format!("the source name {} is taken", quote(&name)),
                "give each source its own name",
            );
        } else if name.contains('@') || ClusterName::parse(&name).is_err() {
            table.report(
                "name",
                format!("{} is not a source name", quote(&name)),
                "use lower-case letters, digits, '-' and '.'",
            );
        }
        let source = match word {
            "kubeconfig" => kubeconfig(&mut table, name),
            _ => continue,
        };
        sources.push(source);
        table.done();
    }
    sources
}

fn kubeconfig(table: &mut Table<'_>, name: String) -> SourceConfig {
    let mut files: Vec<PathBuf> = table.files("paths");
    if !table.has("paths") {
        files = table.sink.environment.kubeconfig_files();
    }
    SourceConfig::Kubeconfig { name, paths: files }
}

/// Reads all rules.
pub(super) fn binds(root: &mut Table<'_>, known: &Known, sources: &[SourceConfig]) -> Vec<BindRule> {
    let mut rules = Vec::new();
    for mut table in root.tables("bind") {
        if !table.has("strategy") {
            table.sink.report(table.path(), "strategy is missing", one_of("", STRATEGIES.into_iter()));
        }
        if !table.has("match") {
            table.sink.report(table.path(), "match is missing", "say which discovered clusters it is about");
        }
        let matches = table.table("match").map(|inner| bind_match(inner, sources)).unwrap_or_default();
        rules.push(BindRule {
            origin: table.path().to_owned(),
            matches,
            follow_changes: table.flag("follow_changes"),
            settings: settings(&mut table, known, None),
            labels: table.map("labels"),
            tier: tier(&mut table),
            advertise: table.flag("advertise"),
            paths: paths(&mut table),
        });
        table.done();
    }
    rules
}

fn bind_match(mut table: Table<'_>, sources: &[SourceConfig]) -> BindMatch {
    let host = |text: &str| {
        let plain = text.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if plain.contains(['/', '@', '*']) { Err("a host name or address alone") } else { Ok(plain) }
    };
    let matches = BindMatch {
        source: table.text("source"),
        name: table.text("name"),
        host: table.parsed("host", "write it without scheme, user, port or wildcard", host),
        port: table.port("port"),
        path: table.text("path"),
    };
    if let Some(source) = &matches.source
        && !sources.iter().any(|known| known.name() == source)
    {
        table.report(
            "source",
            format!("no source {} is configured", quote(source)),
            one_of(source, sources.iter().map(SourceConfig::name)),
        );
    }
    if ["source", "name", "host", "port", "path"].iter().all(|key| !table.has(key)) {
        table.sink.report(table.path(), "has no condition", "write one of source, name, host, port, path");
    }
    table.done();
    matches
}
