//! What the operator wrote or a source found about one cluster, before its strategy is compiled.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::model::{ClusterKind, ClusterName, Endpoint, PathTrust, RealmName, Tier, WorkspacePath};

/// What the operator wrote about how a credential is had for a cluster: in `[clusters.*]`, or by a `[[bind]]` rule for a
/// discovered one. Plain data; the strategy that it names checks it (`pool::credential`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Name of the strategy.
    pub strategy: String,
    /// The realm whose tokens the API server accepts.
    pub realm: Option<RealmName>,
    /// Audiences that the API server accepts; the first is requested.
    pub audiences: Vec<String>,
    /// For `chain`: the link.
    pub link: Option<String>,
    /// Scope to request for this cluster.
    pub scope: Option<String>,
    /// Realms whose callers may use it: required for `impersonate` and every shared strategy.
    pub realms: Vec<RealmName>,
    /// For `impersonate` and `static`: the kubeconfig that holds the gateway's own credential.
    pub gateway_kubeconfig: Option<PathBuf>,
    /// For `impersonate`: the template.
    pub impersonate: Option<ImpersonateSettings>,
    /// For `passthrough`: the operator knows that the MCP specification forbids it.
    pub i_accept_token_passthrough: bool,
    /// For shared strategies: the operator knows that callers share an identity.
    pub allow_shared_identity: bool,
    /// What SelfSubjectReview must answer for a caller, as `plant:{username}`.
    pub expect_username: Option<String>,
    /// For `local`: the kubeconfig file and the context whose user is used.
    pub local: Option<LocalContext>,
}

/// `impersonate = { user = "…", groups = "…", uid = "…", extra = { … } }`: templates over `{realm}`, `{iss}`, `{sub}`,
/// `{username}`, `{azp}`, and in `groups` `{group}`, the bare claim value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImpersonateSettings {
    /// Template of `Impersonate-User`.
    pub user: String,
    /// Template of each `Impersonate-Group`, once per group of the caller; none = no groups.
    pub groups: Option<String>,
    /// Template of `Impersonate-Uid`.
    pub uid: Option<String>,
    /// Templates of `Impersonate-Extra-<key>`.
    pub extra: BTreeMap<String, String>,
}

/// A context of a kubeconfig file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalContext {
    /// The files, merged as kubectl merges KUBECONFIG: the user may be in another one than the context.
    pub files: Vec<PathBuf>,
    /// The context in them.
    pub context: String,
}

/// A cluster before its strategy is compiled: what a source found or the operator declared, after merging and naming.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name; unique after [`super::Store`] merged.
    pub name: ClusterName,
    /// Foreign spellings of it.
    pub aliases: Vec<String>,
    /// Dotted path of its table in the configuration, for problems: `clusters.plant-1`, `bind[0]`; `None` when unbound.
    pub origin: Option<String>,
    /// The source that brought it: `file`, or the name of a `[[sources]]` entry.
    pub source: String,
    /// What it is.
    pub kind: ClusterKind,
    /// Where it is.
    pub endpoint: Endpoint,
    /// How a credential is had; strategy `none` when unbound.
    pub settings: ClusterSettings,
    /// The operator's labels.
    pub labels: BTreeMap<String, String>,
    /// The operator's tier.
    pub tier: Tier,
    /// Shown to callers who cannot reach it.
    pub advertise: bool,
    /// For a kcp: where navigation starts.
    pub entry: Vec<WorkspacePath>,
    /// For a kcp: whether paths are resolved first.
    pub paths: PathTrust,
    /// Namespace of the kubeconfig context.
    pub namespace: Option<String>,
    /// True for the kubeconfig's current-context.
    pub current: bool,
}
