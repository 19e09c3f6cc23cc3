//! A success of a token endpoint, and what the token in it says. The token came over TLS from the realm that issued it, so
//! its claims are read without its keys (the API server verifies it); what is checked is that it is what was asked for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{ACCESS_TOKEN, JWT, Leg, Refusal, Request};
use crate::model::{RealmName, Secret};
use crate::pool::credential::CredentialError;
use crate::realm::Profile;

/// The longest token that is taken, in bytes: it must fit into a request header.
const MAX_TOKEN: usize = 16 * 1024;

/// A token that a realm issued. A refresh token in the answer is not even read.
#[derive(Debug)]
pub(in super::super) struct Issued {
    pub(in super::super) token: Secret,
    pub(in super::super) claims: Claims,
    /// `expires_in`, at most a year; `None` when it is missing, zero when it is no positive whole number.
    pub(in super::super) expires_in: Option<Duration>,
    /// `scope` of the answer, where the realm says it.
    pub(in super::super) scope: Option<String>,
}

/// What we read of an issued token.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Claims {
    pub(in super::super) iss: Option<String>,
    pub(in super::super) sub: Option<String>,
    pub(in super::super) aud: Vec<String>,
    pub(in super::super) exp: Option<SystemTime>,
    pub(in super::super) jti: Option<String>,
}

/// What an issued token must say before it is used.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Expected<'a> {
    pub(in super::super) iss: &'a str,
    /// Its audiences are some of these, at least one.
    pub(in super::super) audiences: &'a [String],
    /// The caller's subject, where the same realm issued both.
    pub(in super::super) sub: Option<&'a str>,
    /// The token that was exchanged: an equal one was not exchanged.
    pub(in super::super) subject: &'a Secret,
}

pub(super) fn read(
    request: Request<'_>,
    profile: Profile,
    realm: &RealmName,
    body: &[u8],
) -> Result<Issued, CredentialError> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: Option<String>,
        token_type: Option<String>,
        issued_token_type: Option<String>,
        expires_in: Option<serde_json::Value>,
        scope: Option<String>,
        error: Option<String>,
    }
    let refused = |why: &str| CredentialError::Refused(Box::new(Refusal::unusable(realm, request, why)));
    // The parse error could quote the token.
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_error| refused("the answer is not the expected JSON"))?;
    if answer.error.is_some() {
        return Err(refused("the answer is a success that holds an error"));
    }
    let token = answer.access_token.filter(|token| !token.is_empty()).ok_or_else(|| refused("it holds no token"))?;
    if token.len() > MAX_TOKEN || !token.bytes().all(|c| c.is_ascii_graphic()) {
        return Err(refused("its token is too long, or does not fit into a header"));
    }
    let token_type = answer.token_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    let issued = answer.issued_token_type.as_deref();
    let fits = match request.leg {
        Leg::Bearer => token_type == "bearer",
        Leg::Exchange => token_type == "bearer" && matches!(issued, Some(ACCESS_TOKEN | JWT)),
        // RFC 8693 2.2.1: a token that is no access token has the type N_A.
        Leg::Grant if profile == Profile::Keycloak => token_type == "bearer" && issued == Some(ACCESS_TOKEN),
        Leg::Grant => token_type == "n_a" && issued == Some(JWT),
    };
    if !fits {
        let hint = match (request.leg, profile) {
            (Leg::Grant, Profile::Rfc | Profile::Dex) if token_type == "bearer" => {
                "its token_type is Bearer where a grant has N_A; profile = \"keycloak\" accepts that of a Keycloak"
            }
            _ => "its token_type or issued_token_type is not what was asked for",
        };
        return Err(refused(hint));
    }
    let claims = Claims::read(&token).ok_or_else(|| refused("its token is opaque, which is not supported"))?;
    let seconds = answer.expires_in.as_ref().map(|said| said.as_u64().unwrap_or_default());
    let expires_in = seconds.map(|seconds| Duration::from_secs(seconds.min(365 * 24 * 3600)));
    Ok(Issued { token: Secret::new(token), claims, expires_in, scope: answer.scope })
}

impl Claims {
    /// The claims of a JWT; `None` when it is none.
    fn read(token: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Written {
            iss: Option<String>,
            sub: Option<String>,
            aud: Option<OneOrMany>,
            exp: Option<f64>,
            jti: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        let pieces: Vec<&str> = token.splitn(4, '.').collect();
        let &[_, claims, _] = pieces.as_slice() else { return None };
        let written: Written = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let aud = match written.aud {
            None => Vec::new(),
            Some(OneOrMany::One(one)) => vec![one],
            Some(OneOrMany::Many(many)) => many,
        };
        let (iss, sub, jti) = (written.iss, written.sub, written.jti);
        Some(Self { iss, sub, aud, exp: written.exp.and_then(time), jti })
    }

    /// What is wrong with it for this use, as a code and in words; nothing of it is used then.
    pub(in super::super) fn wrong(&self, token: &Secret, expected: &Expected<'_>) -> Option<(&'static str, String)> {
        if token.expose() == expected.subject.expose() {
            return Some(("not_exchanged", "the realm gave the same token back".to_owned()));
        }
        if self.iss.as_deref() != Some(expected.iss) {
            return Some(("token_issuer", format!("the token's issuer is not {}", expected.iss)));
        }
        let strange = self.aud.iter().find(|audience| !expected.audiences.contains(audience));
        if self.aud.is_empty() {
            let wanted = expected.audiences.first().map_or("the cluster", String::as_str);
            return Some(("token_audience", format!("the token names no audience; it must name {wanted}")));
        }
        if let Some(strange) = strange {
            let strange = crate::model::names::quote(strange);
            return Some(("token_audience", format!("the token also names the audience {strange}")));
        }
        if self.sub.as_deref().is_none_or(str::is_empty) {
            return Some(("token_subject", "the token names no subject".to_owned()));
        }
        if expected.sub.is_some_and(|sub| self.sub.as_deref() != Some(sub)) {
            return Some(("token_subject", "the token is of another subject than the caller".to_owned()));
        }
        match self.exp {
            None => Some(("token_lifetime", "the token says no end (exp)".to_owned())),
            Some(exp) if exp <= SystemTime::now() => {
                Some(("token_lifetime", "the token has ended already: compare the clocks".to_owned()))
            }
            Some(_) => None,
        }
    }
}

/// A NumericDate (RFC 7519 2) between 1970 and 2262.
fn time(seconds: f64) -> Option<SystemTime> {
    let seconds = Duration::try_from_secs_f64(seconds).ok().filter(|seconds| seconds.as_secs() < 9_223_372_036)?;
    UNIX_EPOCH.checked_add(seconds)
}
