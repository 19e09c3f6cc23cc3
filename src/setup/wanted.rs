//! What the configuration wants of a home realm and of the realm that it is chained to: plain data, no provider.

use crate::config::{Config, LinkSettings};
use crate::inventory::ClusterSettings;
use crate::model::{Problem, RealmName};
use crate::realm::{RealmClient, RealmConfig};

/// What the command line asks for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The realm where people sign in.
    pub home: String,
    /// The realm that it is chained to.
    pub target: Option<String>,
    /// Clients with which people sign in, which are given the scope that names us.
    pub login_clients: Vec<String>,
    /// Clients may register themselves from these hosts; `None` = that is left as it is.
    pub registration_hosts: Option<Vec<String>>,
    /// Where the target realm reads the keys of the home realm; `None` = where the provider publishes them.
    pub jwks_url: Option<String>,
}

/// One realm with what is wanted of it.
#[derive(Debug, Clone)]
pub struct Side {
    /// The realm.
    pub realm: RealmConfig,
    /// Our client there.
    pub client: RealmClient,
    /// Its part.
    pub part: Part,
}

/// The part of a realm.
#[derive(Debug, Clone)]
pub enum Part {
    /// People sign in here.
    Home(Home),
    /// It takes the home realm's word for them.
    Target(Target),
}

/// What a home realm is wanted for.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// The audience that callers' tokens need at our door.
    pub resource: Option<String>,
    /// Clients with which people sign in.
    pub login_clients: Vec<String>,
    /// Hosts from which clients may register themselves; `None` = left as it is.
    pub registration_hosts: Option<Vec<String>>,
    /// Scopes that callers' tokens need at our door.
    pub required_scopes: Vec<String>,
    /// Tokens for clusters that trust this realm.
    pub accesses: Vec<Access>,
    /// Grants to other realms.
    pub grants: Vec<Grant>,
}

/// What a target realm is wanted for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The home realm's name in the configuration.
    pub home: RealmName,
    /// Its issuer.
    pub home_issuer: String,
    /// Where its keys are; `None` = where the provider publishes them.
    pub jwks_url: Option<String>,
    /// Tokens for clusters that trust this realm.
    pub accesses: Vec<Access>,
}

/// A token for a cluster: what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Key of the cluster's table.
    pub key: String,
    /// All audiences that the cluster accepts, at least one; the first is asked for.
    pub audiences: Vec<String>,
    /// The scope.
    pub scope: String,
}

/// A grant to another realm: what is asked for on the first leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Key of the link's table.
    pub key: String,
    /// The other realm's issuer, or what `request.audience` says.
    pub audience: String,
    /// The scope.
    pub scope: String,
}

/// Reads what `asked` is about: the home side, then the target's.
///
/// # Errors
/// With every mistake, by the key of the configuration or the option of the command line.
pub fn wanted(config: &Config, asked: &Asked) -> Result<Vec<Side>, Vec<Problem>> {
    let mut problems = Vec::new();
    if asked.jwks_url.as_ref().is_some_and(|url| !url.starts_with("https://")) {
        let fix = "write the address of the home realm's keys as the target realm's server reaches it";
        problems.push(Problem::new("--jwks-url", "is not an https URL", fix));
    }
    let home = realm(config, "--home", &asked.home, &mut problems);
    let target = asked.target.as_ref().map(|name| realm(config, "--target", name, &mut problems));
    let (Some(home), Ok(target)) = (home, target.map(|found| found.ok_or(())).transpose()) else {
        return Err(problems);
    };
    if !config.server.home_realms.contains(&home.0.name) {
        let what = format!("realm {} is no home realm, so nobody of it is let in", home.0.name);
        problems.push(Problem::new("--home", what, "add it to server.home_realms, or name a realm of that list"));
    }
    let links = target.as_ref().map(|(target, _)| links(config, &home.0, target, &mut problems)).unwrap_or_default();
    let mut sides = Vec::new();
    if let Some((target, client)) = &target {
        let chained = |settings: &ClusterSettings| {
            let link = settings.link.as_deref();
            settings.strategy == "chain" && links.iter().any(|known| link == Some(known.name.as_str()))
        };
        let part = Target {
            home: home.0.name.clone(),
            home_issuer: home.0.issuer.clone(),
            jwks_url: asked.jwks_url.clone(),
            accesses: accesses(config, chained, &mut problems),
        };
        sides.push(Side { realm: target.clone(), client: client.clone(), part: Part::Target(part) });
    }
    let exchanged =
        |settings: &ClusterSettings| settings.strategy == "exchange" && settings.realm.as_ref() == Some(&home.0.name);
    let part = Home {
        resource: config.server.resource.clone().or_else(|| config.server.audiences.first().cloned()),
        login_clients: asked.login_clients.clone(),
        registration_hosts: asked.registration_hosts.clone(),
        required_scopes: config.server.required_scopes.clone(),
        accesses: accesses(config, exchanged, &mut problems),
        grants: links
            .iter()
            .filter_map(|link| grant(link, target.as_ref().map(|(realm, _)| realm), &mut problems))
            .collect(),
    };
    if part.resource.is_none() && (part.registration_hosts.is_some() || !part.login_clients.is_empty()) {
        problems.push(Problem::new(
            "server.resource",
            "missing, so there is nothing that sign-in clients could ask for",
            "write the URL under which clients reach /mcp",
        ));
    }
    sides.insert(0, Side { realm: home.0, client: home.1, part: Part::Home(part) });
    if problems.is_empty() { Ok(sides) } else { Err(problems) }
}

fn realm(config: &Config, option: &str, name: &str, problems: &mut Vec<Problem>) -> Option<(RealmConfig, RealmClient)> {
    let Some(realm) = config.realms.iter().find(|realm| realm.name.as_str() == name) else {
        let known: Vec<&str> = config.realms.iter().map(|realm| realm.name.as_str()).collect();
        let fix = match known.is_empty() {
            true => "name a configuration with [realms.*] by --config".to_owned(),
            false => format!("write one of {}", known.join(", ")),
        };
        problems.push(Problem::new(option, format!("no realm {name:?} is configured"), fix));
        return None;
    };
    let Some(client) = &realm.client else {
        let fix = "write id = \"kubeferry\", auth = \"client_secret_basic\" and secret_file there";
        problems.push(Problem::new(format!("realms.{name}.client"), "our client at this realm is missing", fix));
        return None;
    };
    Some((realm.clone(), client.clone()))
}

fn links<'c>(
    config: &'c Config,
    home: &RealmConfig,
    target: &RealmConfig,
    problems: &mut Vec<Problem>,
) -> Vec<&'c LinkSettings> {
    if home.name == target.name {
        problems.push(Problem::new("--target", "is the home realm", "leave it out to set up one realm alone"));
        return Vec::new();
    }
    let fits = |link: &&LinkSettings| link.from == home.name && link.to == target.name;
    let found: Vec<_> = config.links.iter().filter(fits).collect();
    if found.is_empty() {
        let what = format!("no link leads from realm {} to realm {}", home.name, target.name);
        let fix = format!("write [links.<name>] with from = \"{}\" and to = \"{}\"", home.name, target.name);
        problems.push(Problem::new("links", what, fix));
    }
    found
}

fn grant(link: &LinkSettings, target: Option<&RealmConfig>, problems: &mut Vec<Problem>) -> Option<Grant> {
    let key = format!("links.{}", link.name);
    let audience = link.audience.clone().or_else(|| target.map(|realm| realm.issuer.clone()))?;
    match &link.scope {
        Some(scope) => Some(Grant { key, audience, scope: scope.clone() }),
        None => {
            let fix = format!("write request = {{ scope = \"access-{}\" }}: the scope brings the audience in", link.to);
            problems.push(Problem::new(key, "request.scope is missing", fix));
            None
        }
    }
}

/// What own and bound clusters ask for, in the order of the configuration.
fn accesses(config: &Config, of: impl Fn(&ClusterSettings) -> bool, problems: &mut Vec<Problem>) -> Vec<Access> {
    let own = config.clusters.iter().map(|entry| (format!("clusters.{}", entry.name), &entry.settings));
    let bound = config.binds.iter().map(|rule| (rule.origin.clone(), &rule.settings));
    let mut found = Vec::new();
    for (key, settings) in own.chain(bound).filter(|(_, settings)| of(settings)) {
        match (settings.audiences.as_slice(), &settings.scope) {
            (audiences @ [_, ..], Some(scope)) => {
                found.push(Access { key, audiences: audiences.to_owned(), scope: scope.clone() });
            }
            ([], _) => {
                let fix = "write what the API server accepts, as audiences = [\"kubernetes-prod-1\"]";
                problems.push(Problem::new(key, "audiences is missing", fix));
            }
            (_, None) => {
                let fix = "write the scope that brings the audience in, as scope = \"k8s-prod-1\"";
                problems.push(Problem::new(key, "scope is missing", fix));
            }
        }
    }
    found
}
