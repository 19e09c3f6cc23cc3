//! Who comes in, and with which credential clusters are reached.

use std::path::PathBuf;

use toml::{Table, Value};

use super::{From, Ours, list};
use crate::config::urls::https_url;
use crate::kubeconfig::{Kubeconfig, ServerUrl};

/// The name that the one realm there gets here.
const REALM: &str = "oidc";
/// The CA of a kcp, which a kubeconfig holds inline.
const KCP_CA: &str = "kcp-ca.pem";

/// What the listener must know of it.
pub(super) struct Access {
    /// Callers sign in.
    pub realm: bool,
}

/// How a token for a cluster is had there.
enum Way {
    /// The caller's own.
    Own,
    /// By an exchange that this version does not have.
    Exchange,
}

pub(super) fn access(from: &mut From<'_>, ours: &mut Ours) -> Access {
    let required = from.flag("require_oauth").unwrap_or(false);
    let issuer = from.text("authorization_url");
    let audience = from.text("oauth_audience");
    let mode = from.text("cluster_auth_mode");
    let strategy = from.text("cluster_provider_strategy");
    let kubeconfig = from.text("kubeconfig");
    let exchange = exchange(from);
    oauth_remains(from);
    let ca = from.text("certificate_authority");
    let realm = match issuer {
        Some(issuer) if required => realm(from, ours, &issuer, ca),
        Some(_) => {
            let fix = "set require_oauth = true there and import again, if callers should sign in";
            from.leave("authorization_url", "is not used there without require_oauth", fix);
            false
        }
        None if required => {
            let what = "callers must sign in, and no issuer is named: no such token can be verified";
            from.leave(
                "require_oauth",
                what,
                "write a [realms.<name>] table and server.home_realms; until then this is local mode",
            );
            false
        }
        None => false,
    };
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
    let way = if exchange || shared { Way::Exchange } else { Way::Own };
    clusters(from, ours, &Fleet { realm, way, audience, strategy, kubeconfig });
    Access { realm }
}

/// Keys of token exchange, old and new. True when any asks for one.
fn exchange(from: &mut From<'_>) -> bool {
    const OLD: [&str; 9] = [
        "token_exchange_strategy",
        "sts_client_id",
        "sts_client_secret",
        "sts_audience",
        "sts_scopes",
        "sts_auth_style",
        "sts_client_cert_file",
        "sts_client_key_file",
        "sts_federated_token_file",
    ];
    let is_set = |value: &Value| !matches!(value, Value::String(text) if text.is_empty());
    let mut asked = false;
    for key in OLD {
        if !from.take(key).is_some_and(|value| is_set(&value)) {
            continue;
        }
        asked |= key != "sts_auth_style" && key != "sts_scopes";
        let fix = match key {
            "sts_client_secret" => {
                "put the secret into a file of its own, and name it in [realms.oidc.client] as secret_file, with auth = \"client_secret_post\""
            }
            "sts_client_id" => "write it as id in [realms.oidc.client]",
            "sts_client_key_file" => "name it in [realms.oidc.client] as key_file, with auth = \"private_key_jwt\"",
            "sts_federated_token_file" => {
                "name it in [realms.oidc.client] as token_file, with auth = \"federated_file\""
            }
            "sts_audience" => "it becomes audiences = [\"…\"] of the cluster",
            "sts_scopes" => "they become scope = \"…\" of the cluster",
            _ => "nothing for now",
        };
        from.leave(key, "token exchange is not in this version; the clusters stay unbound until it is", fix);
    }
    if let Some(Value::Table(keys)) = from.take("token_exchange") {
        asked = true;
        let names: Vec<&str> = keys.keys().map(String::as_str).collect();
        let what = format!(
            "token exchange is not in this version ({}); the clusters stay unbound until it is",
            names.join(", ")
        );
        from.leave("token_exchange", what, "keep it at hand for [realms.oidc.client] and strategy = \"exchange\"");
    }
    asked
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

fn realm(from: &mut From<'_>, ours: &mut Ours, issuer: &str, ca: Option<String>) -> bool {
    if let Err(why) = https_url(issuer, false) {
        from.leave(
            "authorization_url",
            format!("cannot be an issuer here: {why}"),
            "write the https URL that tokens have as iss in a [realms.<name>] table",
        );
        return false;
    }
    let table = format!("realms.{REALM}");
    ours.set(&table, "issuer", issuer);
    if let Some(ca) = ca {
        ours.set(&table, "ca_file", ca);
    }
    ours.set("server", "home_realms", list([REALM]));
    true
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
        Some("kcp") => return kcp(from, ours, fleet),
        Some("in-cluster") => {
            let what = "the pod's own service account is not used by this version";
            from.leave(
                "cluster_provider_strategy",
                what,
                "write a [clusters.<name>] table, or mount a kubeconfig and name it in [[sources]]",
            );
        }
        Some("disabled") => {
            let what = "one context alone is not a setting here: every context of the kubeconfig is a cluster";
            from.leave("cluster_provider_strategy", what, "name a kubeconfig that has only that context");
        }
        Some("kubeconfig") | None => {}
        Some(other) => from.leave(
            "cluster_provider_strategy",
            format!("{other:?} is not known here"),
            "write the clusters as [clusters.<name>] tables",
        ),
    }
    source(ours, fleet);
    if fleet.realm {
        ours.set("[bind]", "match", Value::Table(Table::from_iter([("source".to_owned(), Value::from("kubeconfig"))])));
        way(from, ours, "[bind]", fleet);
    }
}

fn source(ours: &mut Ours, fleet: &Fleet) {
    ours.set("[sources]", "type", "kubeconfig");
    if let Some(file) = &fleet.kubeconfig {
        ours.set("[sources]", "paths", list([file]));
    }
}

/// How callers reach what `table` is about.
fn way(from: &mut From<'_>, ours: &mut Ours, table: &str, fleet: &Fleet) {
    match fleet.way {
        Way::Own => {
            ours.set(table, "strategy", "passthrough");
            ours.set(table, "realm", REALM);
            ours.set(table, "audiences", list([fleet.audience.as_deref().unwrap_or("kubeferry")]));
            ours.set(table, "i_accept_token_passthrough", true);
            let what =
                "the caller's own token goes to every cluster, as there; MCP forbids it, so this is an opt-in here";
            from.leave("cluster_auth_mode", what, "give each cluster an audience of its own where the realm can");
        }
        Way::Exchange => ours.set(table, "strategy", "none"),
    }
}

/// A kcp is one cluster, whose targets are its workspaces.
fn kcp(from: &mut From<'_>, ours: &mut Ours, fleet: &Fleet) {
    if !fleet.realm {
        let what = "without realms each context is reached by its own user; one whose server ends in /clusters/<workspace> is a kcp";
        from.leave("cluster_provider_strategy", what, "give the context's server a workspace, as /clusters/root");
        return source(ours, fleet);
    }
    let table = "clusters.kcp";
    ours.set(table, "kind", "kcp");
    let file = fleet.kubeconfig.as_ref().map(|file| from.environment.resolve(file, from.folder));
    let files: Vec<PathBuf> = file.map_or_else(|| from.environment.kubeconfig_files(), |file| vec![file]);
    let read = Kubeconfig::read_all(&files).ok();
    let current = read.as_ref().and_then(|read| read.context(read.current()?).ok());
    let server = current.as_ref().map(|context| context.cluster.server.clone());
    match server.filter(ServerUrl::is_https) {
        Some(server) => ours.set(table, "server", host(&server)),
        None => {
            ours.set(table, "server", "https://kcp.example.com:6443");
            from.leave(
                "kubeconfig",
                "its current context could not be read here",
                "write the host of the kcp as clusters.kcp.server",
            );
        }
    }
    if current.is_none_or(|context| context.cluster.ca.is_some()) {
        ours.set(table, "ca_file", KCP_CA);
        let fix = format!(
            "kubectl config view --raw --minify --flatten -o jsonpath='{{.clusters[0].cluster.certificate-authority-data}}' | base64 -d > {KCP_CA}"
        );
        from.leave("kubeconfig", "the CA of a cluster is a file here", fix);
    }
    ours.set(table, "entry", list(["root"]));
    way(from, ours, table, fleet);
}

/// The host of a kcp, without the workspace.
fn host(server: &ServerUrl) -> String {
    if server.path().starts_with("/clusters/") {
        server.without_path().text().to_owned()
    } else {
        server.text().to_owned()
    }
}
