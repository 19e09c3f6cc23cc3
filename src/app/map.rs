//! From configuration as written to what each module takes.

use crate::config::{PolicySettings, RealmSettings, ServerConfig as Written};
use crate::model::{Problem, names};
use crate::policy::{DeniedKind, Namespaces, PolicyConfig};
use crate::realm::{Algorithm, Profile, RealmClient, RealmConfig};
use crate::server::{Limits, ServerConfig, Tls};
use crate::tools::{Catalog, TOOLSETS};

pub(super) fn realm(written: &RealmSettings) -> RealmConfig {
    RealmConfig {
        name: written.name.clone(),
        issuer: written.issuer.clone(),
        discovery_url: written.discovery_url.clone(),
        jwks_file: written.jwks_file.clone(),
        ca: written.ca.clone(),
        allow_private: written.allow_private,
        algorithms: written.algorithms.iter().filter_map(|word| Algorithm::parse(word)).collect(),
        username_claim: written.username_claim.clone(),
        groups_claim: written.groups_claim.clone(),
        profile: Profile::parse(&written.profile).unwrap_or(Profile::Rfc),
        allowed_clients: written.allowed_clients.clone(),
        max_token_lifetime: written.max_token_lifetime,
        accept_id_token: written.accept_id_token,
        client: written.client.as_ref().map(|client| RealmClient {
            id: client.id.clone(),
            auth: client.auth.clone(),
            secret_file: client.secret_file.clone(),
            key_file: client.key_file.clone(),
            token_file: client.token_file.clone(),
        }),
    }
}

pub(super) fn server(written: &Written) -> ServerConfig {
    ServerConfig {
        listen: written.listen,
        resource: written.resource.clone(),
        allowed_hosts: written.allowed_hosts.clone(),
        allowed_origins: written.allowed_origins.clone(),
        tls: written.tls.as_ref().map(|tls| Tls { cert_file: tls.cert_file.clone(), key_file: tls.key_file.clone() }),
        legacy_sessions: written.legacy_sessions,
        limits: Limits::default(),
        scopes_supported: written.required_scopes.clone(),
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
    }
}

/// A problem at a key of `table`.
pub(super) fn below(table: &str, problem: Problem) -> Problem {
    Problem { key: format!("{table}.{}", problem.key), ..problem }
}

/// Names in `policy.enabled_tools` and `policy.disabled_tools` that no toolset has: a limit that limits nothing is a
/// mistake.
pub(super) fn unknown_tools(written: &PolicySettings) -> Vec<Problem> {
    let all: Vec<String> = TOOLSETS.iter().map(|toolset| toolset.name.to_owned()).collect();
    let Ok(catalog) = Catalog::new(&all) else { return Vec::new() };
    let lists = [("enabled_tools", &written.enabled_tools), ("disabled_tools", &written.disabled_tools)];
    let unknown = lists.into_iter().flat_map(|(key, tools)| tools.iter().map(move |tool| (key, tool)));
    let unknown = unknown.filter(|(_, tool)| catalog.get(tool).is_none());
    let problem = |(key, tool): (&str, &String)| {
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
