//! A cluster as the inventory has it, and a target in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::address::{Address, LogicalCluster, Place, WorkspacePath};
use super::key::ClusterKey;
use super::names::{ClusterName, RealmName};
use super::reach::Reach;

/// One inventory entry: where it is, which realm it trusts, who reaches it. It holds no secret.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name; unique in one generation.
    pub name: ClusterName,
    /// Foreign spellings that mean this cluster; matched whole only.
    pub aliases: Vec<String>,
    /// What it is.
    pub kind: ClusterKind,
    /// Where it is and by which CA it is known.
    pub endpoint: Endpoint,
    /// The realm whose tokens it accepts.
    pub realm: Option<RealmName>,
    /// Audiences that its API server accepts; the first is the one requested. The server URL always counts as one.
    pub audiences: Vec<String>,
    /// Name of its strategy, as in configuration.
    pub strategy: &'static str,
    /// Who reaches it, by which way.
    pub reach: Reach,
    /// The operator's labels.
    pub labels: BTreeMap<String, String>,
    /// From the operator only; unset counts as `prod`.
    pub tier: Tier,
    /// The source that brought it: `file` for the operator's own entries.
    pub source: String,
    /// Also shown, with the missing step, to callers who cannot reach it.
    pub advertise: bool,
    /// For a kcp: where navigation starts. Not a fence.
    pub entry: Vec<WorkspacePath>,
    /// For a kcp: whether a path may be sent without resolving it first.
    pub paths: PathTrust,
    /// For the local caller: the namespace of the kubeconfig context.
    pub namespace: Option<String>,
    /// For the local caller: true for the kubeconfig's current-context.
    pub current: bool,
    /// Digest of everything that decides where and how a credential goes.
    pub key: ClusterKey,
}

impl Cluster {
    /// All audiences that mean this cluster: the configured ones and the server URL.
    pub fn all_audiences(&self) -> impl Iterator<Item = &str> {
        self.audiences.iter().map(String::as_str).chain([self.endpoint.server.as_str()])
    }
}

/// What a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterKind {
    /// An ordinary Kubernetes API server.
    Kubernetes,
    /// A Kind cluster: its CA and port change when it is made anew.
    Kind,
    /// A kcp: its targets are workspaces.
    Kcp,
}

impl ClusterKind {
    /// The word in configuration and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Kind => "kind",
            Self::Kcp => "kcp",
        }
    }
}

/// Where an API server is, and how its certificate is checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host[:port][/path]`, normalised, without a trailing slash, user, query or fragment. `http` only in local
    /// mode on loopback.
    pub server: String,
    /// PEM certificates that it is checked against; `None` = the system's.
    pub ca: Option<Arc<[u8]>>,
    /// Name expected in its certificate, when it differs from the host.
    pub tls_server_name: Option<String>,
    /// `insecure-skip-tls-verify`; refused for every strategy that carries a person's identity.
    pub insecure: bool,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("server", &self.server)
            .field("ca_bytes", &self.ca.as_ref().map(|ca| ca.len()))
            .field("tls_server_name", &self.tls_server_name)
            .field("insecure", &self.insecure)
            .finish()
    }
}

/// Whether a workspace path may go to a kcp as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathTrust {
    /// Resolve a path to a logical cluster name first, so that no credential goes below a possible mount.
    #[default]
    Resolve,
    /// The operator knows that there are no mounts: send paths.
    Trusted,
}

/// How careful to be with a cluster. Unset counts as `prod`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tier(Option<String>);

impl Tier {
    /// A tier that the operator set.
    pub fn set(word: impl Into<String>) -> Self {
        Self(Some(word.into()))
    }

    /// The word, `prod` when unset.
    pub fn word(&self) -> &str {
        self.0.as_deref().unwrap_or("prod")
    }
}

/// What one call goes to: a cluster and a place in it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The place in it; `Whole` for everything but a kcp.
    pub place: Place,
    /// Why this target was taken when the caller named none, for the answer to say.
    pub defaulted: Option<String>,
}

impl Target {
    /// The target as a caller writes it.
    pub fn address(&self) -> Address {
        Address { cluster: self.cluster.name.clone(), place: self.place.clone() }
    }

    /// The logical cluster name, where the place is given as one.
    pub fn logical_cluster(&self) -> Option<&LogicalCluster> {
        match &self.place {
            Place::Name(name) => Some(name),
            Place::Whole | Place::Path(_) => None,
        }
    }
}
