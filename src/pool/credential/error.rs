//! Why there is no credential, and what a caller sees of it.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;

use super::{AuthenticationError, Leg, Refusal, exec};
use crate::model::{Failure, FailureKind, RealmName};
use crate::realm::RealmError;

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The caller is of no realm that this strategy serves; the permit should have stopped the call.
    #[error("the caller cannot use strategy {strategy}")]
    NotReachable {
        /// The strategy.
        strategy: &'static str,
    },
    /// The caller's own token has ended, or what is made of it could not be used before it does.
    #[error("your token has ended, or ends within seconds")]
    SubjectExpired,
    /// A part of the credential cannot stand in a header.
    #[error("the {header} header cannot be built: control or non-ASCII characters")]
    Unprintable {
        /// The header.
        header: HeaderName,
    },
    /// A name that the template makes is refused.
    #[error("the template makes {what}, which is refused: {why}")]
    Template {
        /// Which part.
        what: String,
        /// Why.
        why: &'static str,
    },
    /// A file of the credential cannot be read.
    #[error("a credential file cannot be read")]
    File(#[source] std::io::Error),
    /// The kubeconfig cannot be read.
    #[error("the kubeconfig cannot be read")]
    Kubeconfig(#[source] crate::kubeconfig::KubeconfigError),
    /// The kubeconfig user has nothing that we can use.
    #[error("{0}")]
    User(&'static str),
    /// The attempt failed, now or a few seconds ago.
    #[error(transparent)]
    Again(Arc<Self>),
    /// The credential plugin failed.
    #[error("the credential plugin failed")]
    Exec(#[source] exec::ExecError),
    /// Our client cannot authenticate at a realm.
    #[error("our client cannot authenticate at realm {realm}")]
    Client {
        /// Which realm.
        realm: RealmName,
        /// Why.
        #[source]
        source: AuthenticationError,
    },
    /// A realm gave no answer.
    #[error("no usable answer from realm {realm} at {}", leg.words())]
    Unanswered {
        /// Which realm.
        realm: RealmName,
        /// At which step.
        leg: Leg,
        /// Why.
        #[source]
        source: RealmError,
    },
    /// A realm refused, or answered with something that cannot be used.
    #[error("{0}")]
    Refused(Box<Refusal>),
}

impl CredentialError {
    /// Its code.
    pub(super) fn code(&self) -> &'static str {
        if let Self::Again(first) = self {
            return first.code();
        }
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Unanswered { source, .. } if is_away(source) => "realm_unavailable",
            Self::Unanswered { .. } => "realm_unusable",
            Self::Client { .. } => "client_credentials",
            Self::NotReachable { .. }
            | Self::SubjectExpired
            | Self::Unprintable { .. }
            | Self::Template { .. }
            | Self::File(_)
            | Self::Kubeconfig(_)
            | Self::User(_)
            | Self::Again(_)
            | Self::Exec(_) => "no_credential",
        }
    }

    /// What the caller sees of it. `hints` of local files go to the local caller only, who owns them.
    pub fn failure(&self, local: bool) -> Failure {
        if let Self::Again(first) = self {
            return first.failure(local);
        }
        let kind = match self {
            Self::SubjectExpired => FailureKind::SignIn,
            Self::NotReachable { .. } => FailureKind::Internal,
            Self::Unanswered { source, .. } if is_away(source) => FailureKind::Unreachable,
            // The realm's own documents or our configuration of it: asking again does not help.
            Self::Unanswered { .. } => FailureKind::Credential,
            Self::Refused(refusal) => refusal.kind,
            Self::Unprintable { .. }
            | Self::Template { .. }
            | Self::File(_)
            | Self::Kubeconfig(_)
            | Self::User(_)
            | Self::Again(_)
            | Self::Client { .. }
            | Self::Exec(_) => FailureKind::Credential,
        };
        let code = self.code();
        let cause = if local { crate::model::chain(self) } else { self.to_string() };
        let failure = Failure::new(kind, code, cause).because(self);
        match self {
            Self::SubjectExpired => failure.hint("Sign in again"),
            Self::Exec(_) if local => {
                failure.hint("Run the plugin's own sign-in, as kubectl does for this context, and call again")
            }
            Self::Template { .. } | Self::Unprintable { .. } => {
                failure.hint("Ask the operator to change the impersonate template")
            }
            Self::Refused(refusal) => {
                let failure = failure.hint(format!("To mend it: {}", refusal.fix));
                match refusal.retry_after {
                    Some(after) => failure.retry(after),
                    None => failure,
                }
            }
            Self::Unanswered { realm, source, .. } if !is_away(source) => {
                failure.hint(format!("Ask the operator to check [realms.{realm}]: {source}"))
            }
            Self::Unanswered { realm, source, .. } => failure
                .hint(format!("Clusters of other realms are not affected; ask who runs realm {realm}"))
                .retry(if let RealmError::Resting { after, .. } = source { *after } else { Duration::from_secs(5) }),
            Self::Client { realm, .. } => {
                failure.hint(format!("Ask the operator to check [realms.{realm}.client] and the file that it names"))
            }
            Self::NotReachable { .. }
            | Self::File(_)
            | Self::Kubeconfig(_)
            | Self::User(_)
            | Self::Again(_)
            | Self::Exec(_) => failure.hint("Ask the operator to check this cluster's credential"),
        }
    }
}

/// True when the realm is not there, or is left alone for a while because of that.
fn is_away(error: &RealmError) -> bool {
    matches!(error, RealmError::Fetch { .. } | RealmError::Resting { .. })
}

/// Every code of a failure of this module, for docs/reference/errors.md.
#[cfg(test)]
pub(crate) fn codes() -> Vec<&'static str> {
    super::oauth::CODES
        .iter()
        .copied()
        .chain(["realm_unavailable", "realm_unusable", "client_credentials", "no_credential"])
        .collect()
}

/// What realms say, with code and fix, for docs/reference/errors.md.
#[cfg(test)]
pub(crate) fn refusals() -> Vec<[String; 4]> {
    super::oauth::rows()
}
