//! Who is calling.

use std::sync::Arc;
use std::time::SystemTime;

use super::names::RealmName;
use super::secret::Secret;

/// A verified caller. Identity is the pair (`iss`, `sub`), never one of them alone.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The realm whose keys verified the token; `local` in local mode.
    pub realm: RealmName,
    /// The issuer, exactly as configured and as in the token.
    pub iss: String,
    /// The subject at that issuer.
    pub sub: String,
    /// The realm's username claim.
    pub username: String,
    /// The realm's group claim values, bare; policy writes them `realm:group`.
    pub groups: Vec<String>,
    /// Scopes of the token.
    pub scopes: Vec<String>,
    /// Audiences of the token.
    pub audiences: Vec<String>,
    /// The client that obtained the token.
    pub azp: Option<String>,
    /// When the token was issued (`iat`), where it says so.
    pub issued: Option<SystemTime>,
    /// When the token expires; `None` for the local caller.
    pub expires: Option<SystemTime>,
    /// SHA-256 of the token; all zero for the local caller.
    pub token_digest: [u8; 32],
    /// What the token was accepted for.
    pub admission: Admission,
    /// Tools that the token's roles name, when its audience is one of a gateway's server names; `None` = not narrowed.
    pub roles: Option<Arc<[String]>>,
    /// True when several people may stand behind this principal (an accepted unauthenticated listener).
    pub shared: bool,
}

impl Principal {
    /// True for the caller of local mode.
    pub fn is_local(&self) -> bool {
        self.realm.as_str() == RealmName::LOCAL
    }

    /// True for the person at this machine, who owns the kubeconfig and may read of servers and files; not for whoever
    /// stands behind a shared identity.
    pub fn owns_this_machine(&self) -> bool {
        self.is_local() && !self.shared
    }
}

/// What a token was accepted for at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The token was issued for us: every way to a cluster is open to its realm.
    Full,
    /// The token was accepted only through the audience of a `passthrough` cluster: it reaches the passthrough clusters
    /// that its `aud` names and nothing else.
    PassthroughOnly,
    /// An ID token accepted by `accept_id_token`: passthrough and impersonate only.
    IdToken,
}

/// A principal with its subject token. Tools get the principal only.
#[derive(Debug, Clone)]
pub struct Caller {
    principal: Arc<Principal>,
    token: SubjectToken,
}

impl Caller {
    /// A caller that presented `token`; `auth` makes these.
    pub fn new(principal: Arc<Principal>, token: SubjectToken) -> Self {
        Self { principal, token }
    }

    /// Who it is.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// What it presented; read by `pool::credential` only.
    pub fn token(&self) -> &SubjectToken {
        &self.token
    }
}

/// The token that the caller presented at the door, or none in local mode.
#[derive(Debug, Clone)]
pub struct SubjectToken(Option<Arc<Secret>>);

impl SubjectToken {
    /// A verified bearer token.
    pub fn bearer(token: Secret) -> Self {
        Self(Some(Arc::new(token)))
    }

    /// No token: local mode.
    pub fn none() -> Self {
        Self(None)
    }

    /// The token, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        self.0.as_deref()
    }
}
