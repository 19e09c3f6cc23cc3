//! Who reaches a cluster, by which way, and as which user RBAC sees them. Nothing is asked: it follows from the
//! configuration.

use super::Finding;
use crate::config::Config;
use crate::dispatch::Live;
use crate::model::{Admission, Cluster, Principal, RealmName, Way};
use crate::pool::credential::Expectation;

pub(super) fn check(live: &Live, config: &Config, cluster: &Cluster) -> Option<Finding> {
    let homes = &config.server.home_realms;
    if homes.is_empty() || cluster.strategy == "none" {
        return None;
    }
    let about = format!("access {}", cluster.name);
    let mut said: Vec<String> = homes.iter().map(|home| way(config, cluster, home)).collect();
    match user(live, config, cluster) {
        Ok(user) => said.extend(user),
        Err(refused) => return Some(Finding::failed(&about, refused, "change the template of this cluster")),
    }
    Some(Finding::ok(&about, said.join("; ")))
}

/// How callers of `home` reach the cluster, or what could be written so that they do.
fn way(config: &Config, cluster: &Cluster, home: &RealmName) -> String {
    match cluster.reach.way_of(home) {
        Some(Way::Chain { link }) => return format!("callers of {home} by chain {link}"),
        Some(way) => return format!("callers of {home} by {}", way.word()),
        None => {}
    }
    let could = match &cluster.realm {
        None => format!("impersonate could work: name {home} in realms"),
        Some(realm) if realm == home => {
            let lacks = lacking(config, &[home]);
            if lacks.is_empty() {
                "exchange or passthrough could work, in an entry of its own".to_owned()
            } else {
                format!("passthrough could work, in an entry of its own, or exchange with {}", lacks.join(" and "))
            }
        }
        Some(realm) => {
            let mut lacks = lacking(config, &[home, realm]);
            if !config.links.iter().any(|link| &link.from == home && &link.to == realm) {
                lacks.push(format!("a [links.*] table from {home} to {realm}"));
            }
            match lacks.is_empty() {
                true => "chain could work, in an entry of its own".to_owned(),
                false => format!("chain could work, in an entry of its own, with {}", lacks.join(" and ")),
            }
        }
    };
    format!("callers of {home} not ({could})")
}

/// The realms of these that have no client of ours.
fn lacking(config: &Config, realms: &[&RealmName]) -> Vec<String> {
    let has = |name: &RealmName| config.realms.iter().any(|realm| &realm.name == name && realm.client.is_some());
    realms.iter().filter(|name| !has(name)).map(|name| format!("[realms.{name}.client]")).collect()
}

/// What to write in a RoleBinding.
fn user(live: &Live, config: &Config, cluster: &Cluster) -> Result<Option<String>, String> {
    let issuer = |name: &RealmName| {
        let realm = config.realms.iter().find(|realm| &realm.name == name);
        realm.map(|realm| realm.issuer.clone()).unwrap_or_default()
    };
    let Some(home) = cluster.reach.realms().next() else { return Ok(None) };
    let expected = live.pool.expects(&cluster.key, &anybody(home, issuer(home))).map_err(|failure| failure.cause)?;
    let Expectation { username, groups, .. } = expected.unwrap_or_default();
    let groups = groups.filter(|groups| !groups.is_empty());
    let groups = groups.map(|groups| format!(" and the group {:?}", groups.join(", "))).unwrap_or_default();
    Ok(match (username, &cluster.realm) {
        (Some(name), _) => Some(format!("a RoleBinding names the user {name:?}{groups}")),
        (None, Some(realm)) => {
            let name = format!("{}#<sub>", issuer(realm));
            let found = "by the API server's default --oidc-* flags, which expect_username would prove";
            Some(format!("a RoleBinding names the user {name:?} {found}"))
        }
        (None, None) => None,
    })
}

/// A caller whose names stand for themselves.
fn anybody(realm: &RealmName, iss: String) -> Principal {
    Principal {
        realm: realm.clone(),
        iss,
        sub: "<sub>".to_owned(),
        username: "<username>".to_owned(),
        groups: vec!["<group>".to_owned()],
        scopes: Vec::new(),
        audiences: Vec::new(),
        azp: Some("<client>".to_owned()),
        expires: None,
        issued: None,
        token_digest: [0; 32],
        admission: Admission::Full,
        roles: None,
        shared: false,
    }
}
