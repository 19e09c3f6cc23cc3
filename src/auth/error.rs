//! Why nobody was identified, as HTTP and OAuth say it.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use crate::model::RealmName;

/// What a realm without keys is given before the next try.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why nobody was identified. Displays are for the caller; none holds any part of a token but names in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No credential: 401.
    #[error("a bearer token is required")]
    Missing,
    /// A credential that is not accepted: 401.
    #[error("{why}")]
    Invalid {
        /// Why, for the caller.
        why: Cow<'static, str>,
        /// The realm that the token claims to be of, if it is a home realm.
        realm: Option<RealmName>,
    },
    /// Not one credential, but several: 400.
    #[error("{0}")]
    BadRequest(&'static str),
    /// A valid token without these scopes: 403.
    #[error("the token lacks a scope; needed: {}", required.join(" "))]
    InsufficientScope {
        /// All scopes that are needed.
        required: Vec<String>,
    },
    /// The client, not the person, is not allowed: 403.
    #[error("this client may not be used here")]
    ClientNotAllowed,
    /// The realm's keys cannot be had: 503.
    #[error("the keys of realm {realm} cannot be read now; try again")]
    RealmUnavailable {
        /// Which realm.
        realm: RealmName,
    },
}

impl AuthError {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Invalid { .. } => StatusCode::UNAUTHORIZED,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::InsufficientScope { .. } | Self::ClientNotAllowed => StatusCode::FORBIDDEN,
            Self::RealmUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The value of `Retry-After`, where there is one.
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::RealmUnavailable { .. }).then_some(RETRY_AFTER)
    }

    /// A token that is not accepted, before its realm is known.
    pub(super) fn invalid(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { why: why.into(), realm: None }
    }

    /// The error code of RFC 6750 3.1.
    pub(super) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { .. } => Some("invalid_token"),
            Self::BadRequest(_) => Some("invalid_request"),
            Self::InsufficientScope { .. } => Some("insufficient_scope"),
            Self::Missing | Self::ClientNotAllowed | Self::RealmUnavailable { .. } => None,
        }
    }
}
