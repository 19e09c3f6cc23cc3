//! Who comes in, and with which credential clusters are reached.

use std::path::PathBuf;

use toml::Value;

use super::exchange::{Carried, Exchange};
use super::{From, Ours, kcp, list};
use crate::config::urls::https_url;
use crate::kubeconfig::Kubeconfig;

/// The name that the one realm there gets here.
const REALM: &str = "oidc";
/// A kubeconfig with nothing but the current context, to be made by the operator.
const CURRENT: &str = "current-context.kubeconfig";

/// What the listener must know of it.
pub(super) struct Access {
    /// Callers sign in.
    pub realm: bool,
}

/// How a token for a cluster is had.
enum Way {
    /// The caller's own.
    Own,
    /// By an exchange.
    Exchange(Carried),
    /// In no way that is carried over.
    None,
}

pub(super) fn access(from: &mut From<'_>, ours: &mut Ours) -> Access {
    let required = from.flag("require_oauth").unwrap_or(false);
    let issuer = from.text("authorization_url");
    let audience = from.text("oauth_audience");
    let mode = from.text("cluster_auth_mode");
    let strategy = from.text("cluster_provider_strategy");
    let kubeconfig = from.text("kubeconfig");
    let exchange = Exchange::take(from);
    oauth_remains(from);
    let ca = from.text("certificate_authority");
    if required {
        realm(from, ours, issuer.as_deref(), ca);
    } else {
        without_realm(
            from,
            [("authorization_url", issuer), ("oauth_audience", audience.clone()), ("certificate_authority", ca)],
        );
    }
    let realm = required;
    if realm {
        audiences(from, ours, audience.as_deref());
    } else if mode.as_deref() == Some("passthrough") {
        let what = "without realms no caller has a token that could be passed on";
        from.leave("cluster_auth_mode", what, "nothing, if the kubeconfig's users are meant; else configure a realm");
    }
    if realm && mode.as_deref() == Some("kubeconfig") {
        let what = "all callers would share the kubeconfig's users";
        from.leave("cluster_auth_mode", what, "bind the clusters by impersonate, so that each caller is who they are");
    }
    let shared = mode.as_deref() == Some("kubeconfig");
    let way = match exchange {
        None if shared => Way::None,
        None => Way::Own,
        Some(exchange) if !realm => {
            exchange.unused(from);
            Way::None
        }
        Some(exchange) => {
            let carried = exchange.carry(from, ours, &format!("realms.{REALM}"), audience.as_deref());
            carried.filter(|_| !shared).map_or(Way::None, Way::Exchange)
        }
    };
    clusters(from, ours, &Fleet { realm, way, audience, strategy, kubeconfig });
    Access { realm }
}

fn oauth_remains(from: &mut From<'_>) {
    if from.flag("skip_jwt_verification") == Some(true) {
        let what = "every token is verified here";
        from.leave(
            "skip_jwt_verification",
            what,
            "have the realm issue signed tokens, or name its keys with jwks_file",
        );
    }
    // There is no registration endpoint here that could be taken away.
    let _nothing_to_do = from.flag("disable_dynamic_client_registration");
    let scopes = from.texts("oauth_scopes");
    if !scopes.is_empty() {
        let what = "scopes are only shown to clients there; here server.required_scopes are required of every token";
        from.leave("oauth_scopes", what, "write server.required_scopes if every token has them");
    }
}

/// What is there for callers who sign in, when none must.
fn without_realm(from: &mut From<'_>, keys: [(&str, Option<String>); 3]) {
    for (key, value) in keys {
        if value.is_some() {
            let fix = "set require_oauth = true there and import again, if callers should sign in";
            from.leave(key, "is not used without require_oauth", fix);
        }
    }
}

/// Callers sign in at `issuer`. Without one that can be used the table has none, so that the result does not start until it
/// is written: without any realm everybody who reaches the port would be the person of the kubeconfig.
fn realm(from: &mut From<'_>, ours: &mut Ours, issuer: Option<&str>, ca: Option<String>) {
    let table = format!("realms.{REALM}");
    let missing = match issuer.map(|issuer| (issuer, https_url(issuer, false))) {
        Some((issuer, Ok(_))) => {
            ours.set(&table, "issuer", issuer);
            None
        }
        Some((_, Err(why))) => Some(("authorization_url", format!("cannot be an issuer here: {why}"))),
        None => {
            let what = "callers must sign in, and no issuer is named: no such token can be verified";
            Some(("require_oauth", what.to_owned()))
        }
    };
    if let Some((key, what)) = missing {
        ours.note(
            &table,
            "issuer = \"https://…\" is missing: the URL that tokens have as iss. Without it this does not start.",
        );
        from.leave(key, what, format!("write the https URL that tokens have as iss as {table}.issuer"));
    }
    if let Some(ca) = ca {
        ours.set(&table, "ca_file", ca);
    }
    ours.set("server", "home_realms", list([REALM]));
}

fn audiences(from: &mut From<'_>, ours: &mut Ours, audience: Option<&str>) {
    let url = from.text("server_url").map(|url| url.trim_end_matches('/').to_owned());
    let resource = url.map(|url| if url.ends_with("/mcp") { url } else { format!("{url}/mcp") });
    let named = resource.clone().filter(|resource| https_url(resource, true).is_ok());
    if resource.is_some() && named.is_none() {
        from.leave(
            "server_url",
            "is not an https URL",
            "write server.resource, the URL under which clients reach /mcp",
        );
    }
    if let Some(resource) = &named {
        ours.set("server", "resource", resource.as_str());
    }
    match audience {
        Some(audience) => ours.set("server", "audiences", list([audience])),
        None if named.is_some() => {
            let what = "any token of the issuer was accepted there; here it must be meant for server.resource";
            from.leave(
                "oauth_audience",
                what,
                "have the realm put server.resource, or an audience of server.audiences, into tokens",
            );
        }
        None => {
            let what = "any token of the issuer was accepted there; here a token must be meant for this server";
            from.leave(
                "oauth_audience",
                what,
                "replace the audience \"kubeferry\" in server.audiences by one that your tokens have",
            );
            ours.set("server", "audiences", list(["kubeferry"]));
        }
    }
}

struct Fleet {
    realm: bool,
    way: Way,
    audience: Option<String>,
    strategy: Option<String>,
    kubeconfig: Option<String>,
}

fn clusters(from: &mut From<'_>, ours: &mut Ours, fleet: &Fleet) {
    match fleet.strategy.as_deref() {
        Some("kubeconfig") | None => {
            source(ours, fleet.kubeconfig.as_deref());
            bind(from, ours, None, fleet);
        }
        Some("kcp") if fleet.realm => {
            kcp::cluster(from, ours, &files(from, fleet));
            way(from, ours, kcp::TABLE, fleet);
        }
        Some("kcp" | "disabled") => one_context(from, ours, fleet),
        Some("in-cluster") => {
            let what = "the pod's own service account is not used by this version, so there is no cluster";
            let fix = "write a [clusters.<name>] table, or mount a kubeconfig of that cluster alone and name it in [[sources]]";
            from.leave("cluster_provider_strategy", what, fix);
            no_clusters(ours);
        }
        Some(other) => {
            let what = format!("{other:?} is not known here, so there is no cluster");
            from.leave("cluster_provider_strategy", what, "write the clusters as [clusters.<name>] tables");
            no_clusters(ours);
        }
    }
}

/// Without this table, in local mode the contexts of the usual kubeconfig would be the clusters.
fn no_clusters(ours: &mut Ours) {
    ours.note("clusters", "None: see below.");
}

fn source(ours: &mut Ours, file: Option<&str>) {
    ours.set("[sources]", "type", "kubeconfig");
    if let Some(file) = file {
        ours.set("[sources]", "paths", list([file]));
    }
}

/// Callers who sign in reach what a rule binds: the contexts with this name, or all.
fn bind(from: &mut From<'_>, ours: &mut Ours, name: Option<&str>, fleet: &Fleet) {
    if fleet.realm {
        let name = name.map(|name| ("name".to_owned(), Value::from(name)));
        let matches = name.into_iter().chain([("source".to_owned(), Value::from("kubeconfig"))]);
        ours.set("[bind]", "match", Value::Table(matches.collect()));
        way(from, ours, "[bind]", fleet);
    }
}

/// The current context alone is a target there. Here every context of a source is one that local callers reach, and that a
/// rule may bind.
fn one_context(from: &mut From<'_>, ours: &mut Ours, fleet: &Fleet) {
    let key = "cluster_provider_strategy";
    if !fleet.realm {
        source(ours, Some(CURRENT));
        let what = "one context alone is not a setting here: every context of a kubeconfig is a cluster";
        let file = fleet.kubeconfig.as_ref().map(|file| format!(" --kubeconfig {file:?}")).unwrap_or_default();
        let fix =
            format!("kubectl config view{file} --raw --minify --flatten > {CURRENT}, which it does not start without");
        return from.leave(key, what, fix);
    }
    source(ours, fleet.kubeconfig.as_deref());
    let read = Kubeconfig::read_all(&files(from, fleet)).ok();
    // A '*' in a rule stands for any text.
    match read.as_ref().and_then(Kubeconfig::current).filter(|name| !name.contains('*')) {
        Some(name) => {
            let what = format!("only the context {name:?}, which is current now, is bound");
            from.leave(key, what, "nothing; write more [[bind]] rules for others");
            bind(from, ours, Some(name), fleet);
        }
        None => {
            let what = "the current context could not be read here, so nothing is bound";
            from.leave(key, what, "write a [[bind]] rule with match = { source = \"kubeconfig\", name = \"…\" }");
        }
    }
}

/// The kubeconfig files that are meant there. Where a pod had one mounted, it is looked for beside the configuration.
fn files(from: &From<'_>, fleet: &Fleet) -> Vec<PathBuf> {
    let Some(file) = &fleet.kubeconfig else { return from.environment.kubeconfig_files() };
    let there = from.environment.resolve(file, from.folder);
    let beside =
        there.file_name().map(|name| from.folder.join(name)).filter(|beside| !there.exists() && beside.exists());
    vec![beside.unwrap_or(there)]
}

/// How callers reach what `table` is about.
fn way(from: &mut From<'_>, ours: &mut Ours, table: &str, fleet: &Fleet) {
    match &fleet.way {
        Way::Own => {
            ours.set(table, "strategy", "passthrough");
            ours.set(table, "realm", REALM);
            ours.set(table, "audiences", list([fleet.audience.as_deref().unwrap_or("kubeferry")]));
            ours.set(table, "i_accept_token_passthrough", true);
            let what =
                "the caller's own token goes to every cluster, as there; MCP forbids it, so this is an opt-in here";
            let fix = format!(
                "have the realm issue a token for each cluster: write [realms.{REALM}.client], and strategy = \"exchange\" \
                 with a scope in place of passthrough; `kubeferry realm setup` makes the rest at a Keycloak"
            );
            from.leave("cluster_auth_mode", what, fix);
            let what = "ID tokens were taken as well, as those of kubectl oidc-login; here only access tokens are";
            let fix = format!("write realms.{REALM}.accept_id_token = true if callers bring such tokens");
            from.leave("require_oauth", what, fix);
        }
        Way::Exchange(Carried { audience, scope }) => {
            ours.set(table, "strategy", "exchange");
            ours.set(table, "realm", REALM);
            ours.set(table, "audiences", list([audience]));
            if let Some(scope) = scope {
                ours.set(table, "scope", scope.as_str());
            }
        }
        Way::None => ours.set(table, "strategy", "none"),
    }
}
