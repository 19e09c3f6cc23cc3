//! What a configuration says, checked, as plain data. Each module of a lower floor has its own type for its part, which
//! `app` makes of these.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::dispatch::CallLimits;
use crate::inventory::{BindRule, Entry, SourceConfig};
use crate::model::{Access, RealmName};
use crate::policy::Rule;
use crate::realm::RealmConfig;
use crate::{pool, server};

/// Everything that a configuration says.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `[server]`.
    pub server: ServerConfig,
    /// `[gateway]`.
    pub gateway: GatewaySettings,
    /// `[realms.*]`, by name.
    pub realms: Vec<RealmConfig>,
    /// `[links.*]`, by name.
    pub links: Vec<LinkSettings>,
    /// `[clusters.*]`, by name: the operator's own entries.
    pub clusters: Vec<Entry>,
    /// `[[sources]]`, in the order of the file; with no sources and clusters in local mode the default one.
    pub sources: Vec<SourceConfig>,
    /// `[[bind]]`, in the order of the file.
    pub binds: Vec<BindRule>,
    /// `[policy]`.
    pub policy: PolicySettings,
    /// `[limits]`.
    pub limits: LimitSettings,
    /// What stands in for clusters that nobody configured; `None` = something is configured.
    pub default_source: Option<DefaultSource>,
}

impl Config {
    /// Local mode: no realm is configured, so that the caller is the person at this machine.
    pub fn is_local(&self) -> bool {
        self.realms.is_empty()
    }
}

/// Where clusters come from when nothing is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultSource {
    /// The kubeconfig files that kubectl would read; they are in [`Config::sources`].
    Kubeconfig,
    /// The service account of the pod that we run in.
    InCluster,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where to listen; loopback port 8080 unless written.
    pub listen: SocketAddr,
    /// Where `/metrics` is served beside the main listener, to whoever comes; `None` = nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// RFC 9728 resource identifier, exactly as written, and an audience that callers may carry.
    pub resource: Option<String>,
    /// Further accepted audiences.
    pub audiences: Vec<String>,
    /// Realms whose tokens are accepted at the door.
    pub home_realms: Vec<RealmName>,
    /// Accepted `Host` values beside the listener's own.
    pub allowed_hosts: Vec<String>,
    /// Accepted `Origin` values.
    pub allowed_origins: Vec<String>,
    /// Scopes that every token must have.
    pub required_scopes: Vec<String>,
    /// Certificate and key files.
    pub tls: Option<TlsFiles>,
    /// Somebody in front of us ends TLS.
    pub tls_terminated_upstream: bool,
    /// Key files for sealed handles; the first seals, all open.
    pub seal_key_files: Vec<PathBuf>,
    /// Toolsets that are offered.
    pub toolsets: Vec<String>,
    /// Also speak MCP with sessions.
    pub legacy_sessions: bool,
    /// A listener without realms beyond loopback, or without the local token, is meant.
    pub i_accept_unauthenticated_clients: bool,
    /// Such clients may also write.
    pub i_accept_unauthenticated_writes: bool,
    /// Address ranges (address, prefix length) that such clients may come from.
    pub allowed_addresses: Vec<(IpAddr, u8)>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics_listen: None,
            resource: None,
            audiences: Vec::new(),
            home_realms: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            required_scopes: Vec::new(),
            tls: None,
            tls_terminated_upstream: false,
            seal_key_files: Vec::new(),
            toolsets: Vec::new(),
            legacy_sessions: false,
            i_accept_unauthenticated_clients: false,
            i_accept_unauthenticated_writes: false,
            allowed_addresses: Vec::new(),
        }
    }
}

/// `tls = { cert_file = "…", key_file = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM certificates, ours first.
    pub cert_file: PathBuf,
    /// PEM private key.
    pub key_file: PathBuf,
}

/// `[gateway]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Names under which an MCP gateway knows us, whose roles in `resource_access` are ours.
    pub server_names: Vec<String>,
}

/// `[links.<name>]`: how a caller of one realm gets a token of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// Its name.
    pub name: String,
    /// The caller's realm.
    pub from: RealmName,
    /// The cluster's realm.
    pub to: RealmName,
    /// Audience to request on the first leg.
    pub audience: Option<String>,
    /// Scope to request on the first leg.
    pub scope: Option<String>,
}

/// `[limits]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSettings {
    /// Of the listener; fixed while the process runs.
    pub listener: server::Limits,
    /// Of tool calls.
    pub calls: CallLimits,
    /// Of the traffic with each cluster.
    pub clusters: pool::Limits,
}

/// `[policy]`: hard limits and rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// Nothing but reads.
    pub read_only: bool,
    /// No deletes and nothing that executes.
    pub disable_destructive: bool,
    /// When not empty: only these tools.
    pub enabled_tools: Vec<String>,
    /// Never these tools.
    pub disabled_tools: Vec<String>,
    /// Kinds that are out of bounds.
    pub denied: Vec<DeniedSettings>,
    /// When not empty: only these namespaces.
    pub allowed_namespaces: Vec<String>,
    /// Never these namespaces.
    pub denied_namespaces: Vec<String>,
    /// `[[policy.rules]]`, in the order of the file.
    pub rules: Vec<Rule>,
}

/// An item of `policy.denied`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedSettings {
    /// API group, empty for the core group.
    pub group: String,
    /// Plural, or `*`.
    pub resource: String,
    /// Denied classes of access; empty = all.
    pub access: Vec<Access>,
}

/// All strategies.
pub const STRATEGIES: [&str; 8] =
    ["exchange", "chain", "impersonate", "passthrough", "local", "static", "in_cluster", "none"];
