//! `[policy]`: the hard limits, and the rules.

use crate::inventory::{Entry, SourceConfig};
use crate::model::names::{group, namespace, plural, quote};
use crate::model::{Access, ClusterName, RealmName};
use crate::policy::{Effect, Group, Pattern, Rule, RuleMatch};

use super::read::{Table, one_of};
use super::realms::Known;
use super::settings::{DeniedSettings, PolicySettings};

const ACCESS: &str = "write read, write, delete or exec";

/// Reads `[policy]`.
pub(super) fn policy(
    root: &mut Table<'_>,
    known: &Known,
    clusters: &[Entry],
    sources: &[SourceConfig],
) -> PolicySettings {
    let mut table = root.section("policy");
    let mut settings = PolicySettings {
        read_only: table.flag("read_only"),
        disable_destructive: table.flag("disable_destructive"),
        enabled_tools: table.texts("enabled_tools"),
        disabled_tools: table.texts("disabled_tools"),
        denied: table.tables("denied").into_iter().filter_map(denied).collect(),
        ..PolicySettings::default()
    };
    let mut namespaces = table.section("namespaces");
    let fix = "write a namespace's name; there are no wildcards";
    let read = |text: &str| namespace(text).map(str::to_owned);
    settings.allowed_namespaces = namespaces.list("allow", fix, read);
    settings.denied_namespaces = namespaces.list("deny", fix, read);
    namespaces.done();
    settings.rules = rules(&mut table, known, clusters, sources);
    table.done();
    settings
}

fn denied(mut table: Table<'_>) -> Option<DeniedSettings> {
    let api_group = table.optional_text("group").unwrap_or_default();
    if let Err(error) = group(&api_group) {
        table.report("group", error.to_string(), "write an API group, or \"\" for the core group");
    }
    let resource = table.required("resource", "write a plural name, as secrets, or \"*\" for all of the group");
    if let Some(Err(error)) = resource.as_deref().filter(|resource| *resource != "*").map(plural) {
        table.report(
            "resource",
            error.to_string(),
            "write a plural name in lower case, without version and subresource",
        );
    }
    let access = table.list("access", ACCESS, access);
    table.done();
    Some(DeniedSettings { group: api_group, resource: resource?, access })
}

fn access(text: &str) -> Result<Access, String> {
    let words = [Access::Read, Access::Write, Access::Delete, Access::Exec];
    let known = words.into_iter().find(|access| access.word() == text);
    known.ok_or_else(|| format!("{} is not a class of access", quote(text)))
}

/// Reads all rules; their names are unique.
fn rules(policy: &mut Table<'_>, known: &Known, clusters: &[Entry], sources: &[SourceConfig]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for mut table in policy.tables("rules") {
        let fix = "write a name that a denied caller is told, as prod-needs-oncall";
        let name = table.required("name", fix).unwrap_or_default();
        if !name.is_empty() && namespace(&name).is_err() {
            let what = format!("{} is not a rule's name", quote(&name));
            table.report("name", what, "use lower-case letters, digits and '-', at most 63 characters");
        } else if !name.is_empty() && rules.iter().any(|rule| rule.name == name) {
            table.report("name", format!("the rule name {} is taken", quote(&name)), "give each rule its own name");
        }
        if !table.has("match") {
            table.sink.report(table.path(), "match is missing", "say which calls it is about");
        }
        let matches = table.table("match").map(|inner| rule_match(inner, known, clusters, sources)).unwrap_or_default();
        let effect = effect(&mut table);
        rules.push(Rule { origin: table.path().to_owned(), name, matches, effect });
        table.done();
    }
    rules
}

fn effect(table: &mut Table<'_>) -> Effect {
    let fix = "write allow or deny";
    match table.required("effect", fix).as_deref() {
        Some("allow") => return Effect::Allow,
        Some(word @ ("preview" | "person")) => {
            let what = format!("{word} comes with the tools that change things, and all tools here read");
            table.report("effect", what, fix);
        }
        Some("deny") | None => {}
        Some(word) => {
            table.report("effect", format!("{} is not known", quote(word)), one_of(word, ["allow", "deny"].into_iter()))
        }
    }
    Effect::Deny
}

fn rule_match(mut table: Table<'_>, known: &Known, clusters: &[Entry], sources: &[SourceConfig]) -> RuleMatch {
    let fix = "write a name, or its beginning with '*' at the end";
    let matches = RuleMatch {
        realm: table.one_or_more("realm", fix, Pattern::parse),
        cluster: table.one_or_more("cluster", fix, Pattern::parse),
        labels: labels(&mut table),
        tier: table.one_or_more("tier", fix, Pattern::parse),
        tool: table.one_or_more("tool", fix, Pattern::parse),
        access: table.one_or_more("access", ACCESS, access),
        groups: groups(&mut table, "groups", known),
        not_groups: groups(&mut table, "not_groups", known),
        workspace: table.one_or_more(
            "workspace",
            "write paths that begin with root, or * for every workspace",
            Pattern::workspace,
        ),
    };
    let local = RealmName::local();
    for pattern in &matches.realm {
        let mut realms = known.realms.iter().chain(known.is_local().then_some(&local));
        if !realms.any(|realm| pattern.fits(realm.as_str())) {
            let (what, fix) = known.unknown(pattern.as_str());
            table.report("realm", what, fix);
        }
    }
    for pattern in &matches.cluster {
        unknown_cluster(&table, pattern, clusters, sources);
    }
    let limits = "remove it: policy.denied has kinds and policy.namespaces has namespaces, for every cluster";
    table.unsupported("kind", "a rule decides before it is known which kinds a call is about", limits);
    table.unsupported("namespace", "a rule decides before it is known which namespaces a call is about", limits);
    let keys = [
        "realm",
        "cluster",
        "labels",
        "tier",
        "tool",
        "access",
        "groups",
        "not_groups",
        "workspace",
        "kind",
        "namespace",
    ];
    if keys.iter().all(|key| !table.has(key)) {
        table.sink.report(table.path(), "has no condition", "write one; cluster = \"*\" is every call to a cluster");
    }
    table.done();
    matches
}

/// A rule about a cluster that is not there would hold back nothing. Discovered ones come and go, and are not known here.
fn unknown_cluster(table: &Table<'_>, pattern: &Pattern, clusters: &[Entry], sources: &[SourceConfig]) {
    let names = || clusters.iter().map(|entry| entry.name.as_str());
    match pattern.whole() {
        Some(name) if ClusterName::parse(name).is_err() => {
            table.report("cluster", format!("{} is no cluster's name", quote(name)), one_of(name, names()));
        }
        _ if !sources.is_empty() || clusters.is_empty() || names().any(|name| pattern.fits(name)) => {}
        _ => table.report(
            "cluster",
            format!("no cluster {} is configured", quote(pattern.as_str())),
            one_of(pattern.as_str(), names()),
        ),
    }
}

fn labels(table: &mut Table<'_>) -> std::collections::BTreeMap<String, Pattern> {
    let mut labels = std::collections::BTreeMap::new();
    let there = table.has("labels");
    let written = table.map("labels");
    if there && written.is_empty() {
        table.report("labels", "is empty", "name at least one, or leave the key out");
    }
    for (key, text) in written {
        match Pattern::parse(&text) {
            Ok(pattern) => drop(labels.insert(key, pattern)),
            Err(error) => table.report(
                &format!("labels.{key}"),
                error.to_string(),
                "write a value, or its beginning with '*' at the end",
            ),
        }
    }
    labels
}

fn groups(table: &mut Table<'_>, key: &'static str, known: &Known) -> Vec<Group> {
    let groups = table.some(key, "write realm:group, as corp:platform-oncall", Group::parse);
    for group in &groups {
        if !known.realms.contains(&group.realm) {
            let (what, fix) = known.unknown(group.realm.as_str());
            table.report(key, what, fix);
        }
    }
    groups
}

#[cfg(test)]
mod tests;
