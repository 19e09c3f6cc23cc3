//! What a caller can reach, as plain data: so that `auth`, `inventory` and `policy` need no strategy code.

use std::collections::BTreeSet;

use super::caller::{Admission, Principal};
use super::names::RealmName;

/// Which realms can reach a cluster, and by which way. Compiled once per cluster by its strategy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// A few at most, and thousands of clusters have them: a list is a tenth of a map.
    ways: Vec<(RealmName, Way)>,
    /// For callers who cannot reach the cluster but see it advertised: the step that is missing.
    pub missing_step: String,
}

impl Reach {
    /// A cluster that nobody reaches, with the step that is missing.
    pub fn nobody(missing_step: impl Into<String>) -> Self {
        Self { ways: Vec::new(), missing_step: missing_step.into() }
    }

    /// Callers of each of `realms` reach it by `way`.
    pub fn by(realms: impl IntoIterator<Item = RealmName>, way: &Way, missing_step: impl Into<String>) -> Self {
        let realms: BTreeSet<RealmName> = realms.into_iter().collect();
        Self { ways: realms.into_iter().map(|realm| (realm, way.clone())).collect(), missing_step: missing_step.into() }
    }

    /// The way by which `principal` reaches the cluster, if there is one.
    pub fn way(&self, principal: &Principal) -> Option<&Way> {
        let way = self.way_of(&principal.realm)?;
        let open = match (way, principal.admission) {
            (Way::Passthrough { audiences }, _) => {
                principal.audiences.iter().any(|audience| audiences.contains(audience))
            }
            (_, Admission::Full) => true,
            (Way::Impersonate, Admission::IdToken) => true,
            (_, Admission::IdToken | Admission::PassthroughOnly) => false,
        };
        open.then_some(way)
    }

    /// The realms that have a way at all.
    pub fn realms(&self) -> impl Iterator<Item = &RealmName> {
        self.ways.iter().map(|(realm, _)| realm)
    }

    /// The way of a realm, whatever its token: for the operator's views.
    pub fn way_of(&self, realm: &RealmName) -> Option<&Way> {
        self.ways.iter().find(|(known, _)| known == realm).map(|(_, way)| way)
    }
}

/// A way to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// The caller's own token goes to the cluster: same realm, and its `aud` names one of these.
    Passthrough {
        /// Audiences that the API server accepts.
        audiences: Vec<String>,
    },
    /// RFC 8693 in the caller's realm.
    Exchange,
    /// RFC 8693 at home, then RFC 7523 at the cluster's realm.
    Chain {
        /// Name of the link.
        link: String,
    },
    /// The gateway's credential with `Impersonate-*` headers.
    Impersonate,
    /// The kubeconfig user of the person at this machine.
    Local,
    /// One credential for all callers.
    Shared,
    /// A discovered cluster without a rule: seen by the local caller, with how to bind it; no call goes there.
    Unbound,
}

impl Way {
    /// The word that answers use for this way: the strategy's name.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passthrough { .. } => "passthrough",
            Self::Exchange => "exchange",
            Self::Chain { .. } => "chain",
            Self::Impersonate => "impersonate",
            Self::Local => "local",
            Self::Shared => "shared",
            Self::Unbound => "none",
        }
    }
}

/// What policy knows of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolRef {
    /// The tool's name.
    pub name: &'static str,
    /// The toolset it is in.
    pub toolset: &'static str,
    /// The strongest thing that it does.
    pub access: Access,
}

/// Classes of access, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// get, list, watch, and the Self*Reviews.
    Read,
    /// create, update, patch.
    Write,
    /// delete, deletecollection, evictions.
    Delete,
    /// exec, attach, port-forward, proxy, ephemeral containers.
    Exec,
}

impl Access {
    /// The word in configuration and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Exec => "exec",
        }
    }
}
