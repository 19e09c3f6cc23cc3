//! Grants of the token endpoint: what each request asked for and got, and how the next ones are made to differ.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::Value;

use super::client_auth::AuthMethod;
use super::faults::Fault;
use super::mint::TokenBuilder;
use super::token::Form;

/// `grant_type`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantType {
    /// `authorization_code`
    AuthorizationCode,
    /// `password`
    Password,
    /// `client_credentials`
    ClientCredentials,
    /// `urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693)
    TokenExchange,
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523)
    JwtBearer,
}

impl GrantType {
    /// All of them.
    pub(super) const ALL: [Self; 5] =
        [Self::AuthorizationCode, Self::Password, Self::ClientCredentials, Self::TokenExchange, Self::JwtBearer];

    /// The value of `grant_type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::Password => "password",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    pub(super) fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.name() == name)
    }
}

/// One token request as the realm saw it. It holds no token, only digests ([`crate::tap::digest`]).
#[derive(Debug, Clone)]
pub struct GrantRequest {
    /// The realm that was asked.
    pub realm: String,
    /// `None` for one that is missing or not known.
    pub grant: Option<GrantType>,
    /// The client's id, as shown.
    pub client: Option<String>,
    /// How it tried to authenticate.
    pub method: Option<AuthMethod>,
    /// `audience`, as often as it was there.
    pub audiences: Vec<String>,
    /// `scope`
    pub scope: Option<String>,
    /// `requested_token_type`
    pub requested_token_type: Option<String>,
    /// Digest of `subject_token` or `assertion`.
    pub subject: Option<String>,
    /// Status of the answer, 200 when it was lost on the way.
    pub status: u16,
    /// `error`; `None` for a success, and for a fault that was asked for.
    pub error: Option<String>,
    /// `error_description`
    pub description: Option<String>,
    /// Digest of the token in the answer.
    pub token: Option<String>,
    /// The `jti` of that token.
    pub jti: Option<String>,
    /// When it was answered.
    pub at: SystemTime,
}

/// Changes the claims or the header of a token before it is signed.
pub(super) type TokenEdit = Arc<dyn Fn(TokenBuilder) -> TokenBuilder + Send + Sync>;
/// Changes the JSON of a success; also sees the request's form.
pub(super) type AnswerEdit = Arc<dyn Fn(&mut Value, &Form) + Send + Sync>;

/// How the next requests differ, by grant.
#[derive(Debug, Default)]
pub(super) struct Behaviour {
    pub faults: Next<Fault>,
    pub tokens: Next<TokenEdit>,
    pub answers: Next<AnswerEdit>,
}

impl Behaviour {
    pub fn clear(&self) {
        self.faults.clear();
        self.tokens.clear();
        self.answers.clear();
    }
}

/// Something that happens to the next requests of a grant, or to all.
pub(super) struct Next<T>(Mutex<BTreeMap<GrantType, (T, Option<usize>)>>);

impl<T: Clone> Next<T> {
    /// Happens `times` times; `None` is for ever.
    pub fn set(&self, grant: GrantType, what: T, times: Option<usize>) {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match times {
            Some(0) => next.remove(&grant),
            _ => next.insert(grant, (what, times)),
        };
    }

    /// What this request meets.
    pub fn take(&self, grant: GrantType) -> Option<T> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (what, left) = next.get_mut(&grant)?;
        let what = what.clone();
        if let Some(left) = left {
            *left -= 1;
            if *left == 0 {
                next.remove(&grant);
            }
        }
        Some(what)
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<T> Default for Next<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for Next<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_map().entries(next.iter().map(|(grant, (_, left))| (grant, left))).finish()
    }
}
