//! `[clusters.*]`, `[[sources]]` and `[[bind]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::Text;
use crate::config::settings::STRATEGIES;
use crate::inventory::SourceConfig;

/// One of your own clusters.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
pub(super) struct Cluster {
    /// What it is.
    #[schemars(extend("enum" = ["kubernetes", "kind", "kcp"], "default" = "kubernetes"))]
    kind: Option<String>,
    /// The API server, as `https://10.1.2.3:6443`; of a kcp the host alone.
    server: Text,
    /// PEM certificates that the API server is checked against; none = the system's.
    ca_file: Option<Text>,
    /// The name in the API server's certificate, where it is not the host of `server`.
    tls_server_name: Option<Text>,
    /// The API server's certificate is not checked; refused for every strategy that carries a person's identity.
    #[schemars(default)]
    insecure_skip_tls_verify: bool,
    /// Of a kcp: the workspaces where navigation starts, as `root:org`.
    #[schemars(default)]
    entry: Vec<Text>,
    #[schemars(flatten)]
    settings: Settings,
}

/// How a cluster is reached, and what is known of it: the same for your own clusters and for rules.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Settings {
    /// How a credential for a call is had.
    #[schemars(extend("enum" = STRATEGIES))]
    strategy: String,
    /// The realm that the API server trusts: for exchange, chain and passthrough.
    realm: Option<Text>,
    /// Audiences that the API server accepts; the first is requested.
    #[schemars(default)]
    audiences: Vec<Text>,
    /// For chain: the link from the caller's realm.
    link: Option<Text>,
    /// The scope to request in an exchange.
    scope: Option<Text>,
    /// The realms whose callers may come: for impersonate and every shared strategy.
    #[schemars(default)]
    realms: Vec<Text>,
    gateway_credentials: Option<GatewayCredentials>,
    impersonate: Option<Impersonate>,
    /// For passthrough: the caller's own token goes to the cluster, which MCP forbids unless the operator means it.
    #[schemars(default)]
    i_accept_token_passthrough: bool,
    /// For static and in_cluster: all callers share one identity there.
    #[schemars(default)]
    allow_shared_identity: bool,
    /// Whom the API server must take a caller for, as `corp:{username}`; checked once per caller.
    expect_username: Option<Text>,
    /// Labels that callers see.
    #[schemars(default)]
    labels: BTreeMap<String, String>,
    /// How much care it wants, as `prod` or `dev`; unset counts as `prod`.
    tier: Option<Text>,
    /// Callers who cannot reach it see that it is there, and what they lack.
    #[schemars(default)]
    advertise: bool,
    /// Of a kcp: whether workspace paths are resolved to logical clusters (`resolve`), or sent as they are (`trusted`,
    /// where there are no mounts).
    #[schemars(extend("enum" = ["resolve", "trusted"], "default" = "resolve"))]
    paths: Option<String>,
}

/// kubeferry's own credential at a cluster.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct GatewayCredentials {
    /// A kubeconfig with a context whose server and CA equal the cluster's.
    kubeconfig: Text,
}

/// Whom a caller is impersonated as. Templates know `{realm}`, `{iss}`, `{sub}`, `{username}`, `{azp}` and, in
/// `groups`, `{group}`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Impersonate {
    /// The user, as `{realm}:{username}`.
    user: Text,
    /// One group for each of the caller's, as `{realm}:{group}`.
    groups: Option<Text>,
    /// The UID, as `{iss}#{sub}`.
    uid: Option<Text>,
    /// Further fields, by name.
    #[schemars(default)]
    extra: BTreeMap<String, String>,
}

/// A place where clusters are discovered: endpoint and CA are taken, users are not (except in local mode).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
pub(super) struct Source {
    /// What kind of source.
    #[schemars(extend("enum" = SourceConfig::TYPES))]
    r#type: String,
    /// Its name, for `[[bind]]`; none = its type.
    name: Option<Text>,
    /// Of a kubeconfig source: the files, merged as kubectl merges them; none = KUBECONFIG, else `~/.kube/config`.
    #[schemars(default)]
    paths: Vec<Text>,
}

/// How discovered clusters are reached.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
pub(super) struct Bind {
    r#match: Match,
    /// A changed server or CA of the same name stays bound; without it, the cluster is unbound then.
    #[schemars(default)]
    follow_changes: bool,
    #[schemars(flatten)]
    settings: Settings,
}

/// Which discovered clusters a rule is about; all conditions must hold, and one is needed.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Match {
    /// The name of the source.
    source: Option<Text>,
    /// The cluster's name; `*` stands for any characters.
    name: Option<Text>,
    /// The host of the server, without scheme and port.
    host: Option<Text>,
    /// The port of the server URL; 443 where none is written.
    #[schemars(range(min = 1, max = 65_535))]
    port: Option<usize>,
    /// The path of the server URL, as `/clusters/root:org`.
    path: Option<Text>,
}
