//! From configuration as written to what each module takes.

use std::sync::Arc;

use crate::config::{Config, LinkSettings, PolicySettings};
use crate::model::{Problem, RealmName, names};
use crate::policy::{DeniedKind, Namespaces, Pattern, PolicyConfig};
use crate::pool::credential::{CompileContext, Link, RealmClient};
use crate::realm::{RealmConfig, RealmReader};
use crate::server::{ServerConfig, Tls};
use crate::tools::{Catalog, TOOLSETS};

/// What strategies may know: our client at each realm, and the links.
pub(super) fn compile_context(config: &Config, home_realms: Vec<RealmName>) -> CompileContext {
    let client = |realm: &RealmConfig| {
        let reader = RealmReader::new(realm).map_err(|error| error.to_string());
        let client =
            reader.and_then(|reader| RealmClient::new(realm, Arc::new(reader)).map_err(|error| error.to_string()));
        (realm.name.clone(), client)
    };
    let link = |written: &LinkSettings| {
        let LinkSettings { name, from, to, audience, scope } = written.clone();
        (name, Link { from, to, audience, scope })
    };
    CompileContext {
        home_realms,
        clients: config.realms.iter().filter(|realm| realm.client.is_some()).map(client).collect(),
        links: config.links.iter().map(link).collect(),
        ours: config.server.resource.iter().chain(&config.server.audiences).cloned().collect(),
    }
}

pub(super) fn server(config: &Config) -> ServerConfig {
    let written = &config.server;
    ServerConfig {
        listen: written.listen,
        resource: written.resource.clone(),
        allowed_hosts: written.allowed_hosts.clone(),
        allowed_origins: written.allowed_origins.clone(),
        tls: written.tls.as_ref().map(|tls| Tls { cert_file: tls.cert_file.clone(), key_file: tls.key_file.clone() }),
        legacy_sessions: written.legacy_sessions,
        limits: config.limits.listener,
        scopes_supported: written.required_scopes.clone(),
        metrics_listen: written.metrics_listen,
    }
}

pub(super) fn policy(written: &PolicySettings, shared_writes: bool) -> PolicyConfig {
    PolicyConfig {
        read_only: written.read_only,
        disable_destructive: written.disable_destructive,
        enabled_tools: written.enabled_tools.iter().cloned().collect(),
        disabled_tools: written.disabled_tools.iter().cloned().collect(),
        denied: written
            .denied
            .iter()
            .map(|denied| DeniedKind {
                group: denied.group.clone(),
                resource: denied.resource.clone(),
                access: denied.access.clone(),
            })
            .collect(),
        namespaces: Namespaces { allow: written.allowed_namespaces.clone(), deny: written.denied_namespaces.clone() },
        shared_reads_only: !shared_writes,
        rules: written.rules.clone(),
    }
}

/// A problem at a key of `table`.
pub(super) fn below(table: &str, problem: Problem) -> Problem {
    Problem { key: format!("{table}.{}", problem.key), ..problem }
}

/// Names in `policy.enabled_tools`, `policy.disabled_tools` and rules that no toolset has: a limit that limits nothing is
/// a mistake.
pub(super) fn unknown_tools(written: &PolicySettings) -> Vec<Problem> {
    let all: Vec<String> = TOOLSETS.iter().map(|toolset| toolset.name.to_owned()).collect();
    let Ok(catalog) = Catalog::new(&all) else { return Vec::new() };
    let lists = [("enabled_tools", &written.enabled_tools), ("disabled_tools", &written.disabled_tools)];
    let limits =
        lists.into_iter().flat_map(|(key, tools)| tools.iter().map(move |tool| (key.to_owned(), tool.as_str())));
    let limits = limits.filter(|(_, tool)| catalog.get(tool).is_none());
    let is_of = |pattern: &Pattern| catalog.iter().any(|entry| pattern.fits(entry.spec.name));
    let of_rules = written.rules.iter().enumerate().flat_map(|(index, rule)| {
        let unknown = rule.matches.tool.iter().filter(|pattern| !is_of(pattern));
        unknown.map(move |pattern| (format!("rules[{index}].match.tool"), pattern.as_str()))
    });
    let unknown = limits.chain(of_rules);
    let problem = |(key, tool): (String, &str)| {
        let near = names::near(tool, catalog.iter().map(|entry| entry.spec.name), 3);
        let fix = if near.is_empty() {
            "see `kubeferry tools`".to_owned()
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        Problem::new(format!("policy.{key}"), format!("there is no tool {}", names::quote(tool)), fix)
    };
    unknown.map(problem).collect()
}
