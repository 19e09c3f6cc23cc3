//! Who is calling: from the headers of one request to a [`Caller`], or to an answer that says why not.
//!
//! Schemes are asked in order, and nothing falls through after a failure: `oidc` (a bearer token of a home realm,
//! `auth/jwt.rs` and `auth/claims.rs`), then `local` (`auth/local.rs`). No header but one `Authorization` identifies
//! anybody, and a token in the query string never does.

mod claims;
mod error;
mod jwks;
mod jwt;
mod local;
mod strict;
#[cfg(test)]
mod tests;
mod verified;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

pub use self::error::AuthError;
pub use self::jwks::Keys;
use self::jwt::Home;
pub use self::local::{IpRange, LocalMode};
use self::verified::Verified;
use crate::model::{Caller, Problem, RealmName, Secret, SubjectToken};
use crate::realm::RealmConfig;

/// The longest token, in bytes, before anything of it is decoded.
pub const MAX_TOKEN: usize = 16 * 1024;
/// What clocks may differ by.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// Chooses the cryptography of jsonwebtoken (aws-lc-rs). Call it first in `main`; further calls do nothing.
pub fn install_crypto() {
    let _already = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// What the front door accepts.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// All configured realms.
    pub realms: Vec<RealmConfig>,
    /// The realms whose tokens are accepted.
    pub home: Vec<RealmName>,
    /// The RFC 9728 resource, and an accepted audience.
    pub resource: Option<String>,
    /// Further accepted audiences.
    pub audiences: Vec<String>,
    /// Audiences of the `passthrough` clusters of each realm.
    pub passthrough_audiences: BTreeMap<RealmName, BTreeSet<String>>,
    /// A gateway's names for us, whose roles narrow the tools.
    pub gateway_server_names: Vec<String>,
    /// Scopes that every token must have.
    pub required_scopes: Vec<String>,
    /// What is accepted without a realm.
    pub local: LocalMode,
    /// The generation of the configuration: part of the key of verified tokens.
    pub generation: u64,
}

/// How one realm is doing, for `/readyz?verbose`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmStatus {
    /// Which realm.
    pub realm: RealmName,
    /// False when its keys could not be read at the last try.
    pub ok: bool,
    /// In words.
    pub detail: String,
}

/// What a scheme says to a request.
enum Outcome {
    /// Not for me: ask the next.
    NotRequested,
    Authenticated(Caller),
    Failed(AuthError),
}

/// Identifies callers, by one generation of the configuration.
#[derive(Debug)]
pub struct Authenticator {
    homes: Vec<Home>,
    /// Audiences that admit a token fully.
    audiences: BTreeSet<String>,
    resource: Option<String>,
    gateway_server_names: Vec<String>,
    required_scopes: Vec<String>,
    local: LocalMode,
    verified: Verified,
}

impl Authenticator {
    /// Checks the configuration and makes the authenticator. Asks nothing of any realm.
    ///
    /// # Errors
    /// Every mistake that was found.
    #[expect(clippy::needless_pass_by_value, reason = "an authenticator shares the keys, whatever it takes of them")]
    pub fn new(config: AuthConfig, keys: Arc<Keys>) -> Result<Self, Vec<Problem>> {
        let (mut homes, mut problems) = (Vec::<Home>::new(), Vec::new());
        for name in &config.home {
            match home(&config, name, &keys) {
                Ok(home) if homes.iter().any(|other| other.realm.issuer == home.realm.issuer) => {
                    problems.push(Problem::new(
                        format!("realms.{name}.issuer"),
                        "two home realms have this issuer",
                        "keep one of them in server.home_realms",
                    ))
                }
                Ok(home) => homes.push(home),
                Err(problem) => problems.push(problem),
            }
        }
        let audiences: BTreeSet<String> = config.audiences.iter().chain(&config.resource).cloned().collect();
        if !config.home.is_empty() && !matches!(config.local, LocalMode::Off) {
            problems.push(Problem::new(
                "server.home_realms",
                "local mode and home realms exclude each other",
                "keep one of them",
            ));
        }
        if !config.home.is_empty() && audiences.is_empty() && homes.iter().all(|home| home.passthrough.is_empty()) {
            problems.push(Problem::new(
                "server.resource",
                "is missing, so that no token could be for this server",
                "set the public address of this server",
            ));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            homes,
            audiences,
            resource: config.resource,
            gateway_server_names: config.gateway_server_names,
            required_scopes: config.required_scopes,
            local: config.local,
            verified: Verified::new(config.generation),
        })
    }

    /// Identifies the caller of one HTTP request. `query` is the raw query string, `peer` the socket's peer.
    ///
    /// # Errors
    /// When nobody is identified; see [`AuthError::status`].
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        peer: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let header = match headers.get_all(AUTHORIZATION).iter().collect::<Vec<_>>().as_slice() {
            [] => None,
            [one] => Some(*one),
            _ => return Err(AuthError::BadRequest("more than one Authorization header")),
        };
        let in_query = query.is_some_and(has_access_token);
        if in_query && header.is_some() {
            return Err(AuthError::BadRequest("a token in the query string beside the Authorization header"));
        }
        for outcome in [self.oidc(header).await, self.local.check(header, peer)] {
            match outcome {
                Outcome::NotRequested => {}
                Outcome::Authenticated(caller) => return Ok(caller),
                Outcome::Failed(AuthError::Missing) if in_query => {
                    return Err(AuthError::invalid(
                        "a token in the query string is not accepted; send it as Authorization: Bearer",
                    ));
                }
                Outcome::Failed(error) => return Err(error),
            }
        }
        Err(AuthError::Missing)
    }

    /// Identifies the owner of a token that did not come by HTTP (`--token-file`), as strictly as at the door.
    ///
    /// # Errors
    /// When the token is not accepted.
    pub async fn bearer(&self, token: Secret) -> Result<Caller, AuthError> {
        let text = token.expose();
        if text.len() > MAX_TOKEN {
            return Err(AuthError::invalid("the token is longer than 16 KiB"));
        }
        let digest = crate::model::key::digest(text.as_bytes());
        let now = SystemTime::now();
        if let Some(caller) = self.verified.get(&digest, now) {
            return Ok(caller);
        }
        let principal = self.verify(text, digest, now).await.inspect_err(|error| {
            let realm = if let AuthError::Invalid { realm: Some(realm), .. } = error { realm.as_str() } else { "" };
            tracing::debug!(%error, realm, "a token was not accepted");
        })?;
        let caller = Caller::new(Arc::new(principal), SubjectToken::bearer(token));
        self.verified.put(digest, &caller, now);
        Ok(caller)
    }

    /// The caller of stdio and the CLI in local mode; `None` when a token is needed.
    pub fn local_caller(&self) -> Option<Caller> {
        self.local.caller()
    }

    /// The value of `WWW-Authenticate` (RFC 6750 3, RFC 9728 5.1). `metadata_url` is the address of our resource
    /// metadata; local mode has none and does not name it.
    pub fn challenge(&self, metadata_url: Option<&str>, error: &AuthError) -> Option<HeaderValue> {
        let mut parameters: Vec<(&str, Cow<'_, str>)> = Vec::new();
        let metadata_url = metadata_url.filter(|_| !self.homes.is_empty());
        let scopes = match error {
            AuthError::InsufficientScope { required } => required,
            AuthError::Missing | AuthError::Invalid { .. } => &self.required_scopes,
            AuthError::BadRequest(_) => &Vec::new(),
            AuthError::ClientNotAllowed | AuthError::RealmUnavailable { .. } => return None,
        };
        if let Some(url) = metadata_url {
            parameters.push(("resource_metadata", url.into()));
        }
        if !scopes.is_empty() {
            parameters.push(("scope", scopes.join(" ").into()));
        }
        if let Some(code) = error.code() {
            parameters.push(("error", code.into()));
            parameters.push(("error_description", error.to_string().into()));
        }
        let list: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}=\"{}\"", quotable(value))).collect();
        HeaderValue::try_from(format!("Bearer {}", list.join(", ")).trim_end()).ok()
    }

    /// The issuers of the home realms, for the resource metadata; empty in local mode.
    pub fn home_issuers(&self) -> Vec<String> {
        self.homes.iter().map(|home| home.realm.issuer.clone()).collect()
    }

    /// How the home realms are doing.
    pub fn realm_status(&self) -> Vec<RealmStatus> {
        let status = |home: &Home| {
            let (ok, detail) = home.keys.status();
            RealmStatus { realm: home.realm.name.clone(), ok, detail }
        };
        self.homes.iter().map(status).collect()
    }

    /// Forgets that a token was verified, so that its next use is verified again.
    pub fn forget(&self, token_digest: &[u8; 32]) {
        self.verified.forget(token_digest);
    }

    async fn oidc(&self, header: Option<&HeaderValue>) -> Outcome {
        if self.homes.is_empty() {
            return Outcome::NotRequested;
        }
        let token = match bearer_token(header) {
            Ok(token) => token,
            Err(error) => return Outcome::Failed(error),
        };
        match self.bearer(token).await {
            Ok(caller) => Outcome::Authenticated(caller),
            Err(error) => Outcome::Failed(error),
        }
    }
}

fn home(config: &AuthConfig, name: &RealmName, keys: &Keys) -> Result<Home, Problem> {
    let unknown = || {
        Problem::new(
            "server.home_realms",
            format!("no realm is called {name}"),
            format!("add [realms.{name}], or leave it out"),
        )
    };
    let realm = config.realms.iter().find(|realm| realm.name == *name).ok_or_else(unknown)?;
    let key = format!("realms.{name}");
    if name.as_str() == RealmName::LOCAL {
        return Err(Problem::new(key, "the name is that of local mode", "choose another name"));
    }
    if realm.issuer.is_empty() {
        return Err(Problem::new(
            format!("{key}.issuer"),
            "is empty",
            "write the issuer exactly as its tokens name it",
        ));
    }
    if realm.algorithms.is_empty() {
        return Err(Problem::new(
            format!("{key}.algorithms"),
            "is empty, so that no token could be verified",
            "leave it out, or name the algorithms",
        ));
    }
    let keys = keys
        .set(realm)
        .map_err(|error| Problem::new(key, error.to_string(), "correct the realm's address, CA or keys"))?;
    let passthrough = config.passthrough_audiences.get(name).cloned().unwrap_or_default();
    Ok(Home { realm: realm.clone(), keys, passthrough })
}

/// The token of an `Authorization: Bearer` header; the scheme is compared without case (RFC 9110 11.1).
fn bearer_token(header: Option<&HeaderValue>) -> Result<Secret, AuthError> {
    let header = header.ok_or(AuthError::Missing)?;
    let text = header.to_str().map_err(|_| AuthError::invalid("the Authorization header is not ASCII"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::invalid("only Authorization: Bearer is accepted"));
    }
    match token.trim_matches(' ') {
        "" => Err(AuthError::invalid("the bearer token is empty")),
        token if token.len() > MAX_TOKEN => Err(AuthError::invalid("the token is longer than 16 KiB")),
        token => Ok(Secret::new(token)),
    }
}

fn has_access_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}

/// What may stand in a quoted string of a challenge (RFC 6750 3): printable ASCII without `"` and `\`.
fn quotable(text: &str) -> String {
    let fits = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    text.chars().map(|c| if c == '"' { '\'' } else { c }).map(|c| if fits(c) { c } else { '?' }).take(1024).collect()
}
