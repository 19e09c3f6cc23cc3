//! A realm said no: which step it was, what the realm said, and what to change. The texts are those of Keycloak 26.7
//! where a text decides, and the error codes of RFC 6749 5.2 and RFC 8693 2.2.2 elsewhere.
//!
//! A realm's text is data of somebody else: it is cut, made printable, stripped of anything that looks like a token, and
//! shown in quotes.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::{Leg, Request};
use crate::model::{FailureKind, RealmName};
use crate::realm::RawAnswer;

/// The longest description that is shown, in characters. It must fit into the line that a caller sees, whose end is cut: what
/// a realm says always ends with its closing quote.
const MAX_DESCRIPTION: usize = 120;

/// Every code of a refusal.
pub(in super::super) const CODES: &[&str] = &[
    "audience_unavailable",
    "audience_unknown",
    "client_refused",
    "clock_skew",
    "exchange_denied",
    "exchange_disabled",
    "exchange_refused",
    "grant_audience",
    "grant_disabled",
    "grant_lifetime",
    "grant_refused",
    "grant_replayed",
    "grant_signature",
    "grant_unsupported",
    "not_exchanged",
    "realm_redirects",
    "realm_unavailable",
    "requester_not_in_audience",
    "scope_not_allowed",
    "scope_wider",
    "sign_in_again",
    "subject_changed",
    "subject_disabled",
    "subject_incomplete",
    "subject_not_linked",
    "subject_token_type",
    "token_audience",
    "token_issuer",
    "token_lifetime",
    "token_subject",
    "trust_missing",
    "unusable_answer",
];

/// A realm's refusal, or an answer that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which realm.
    pub realm: RealmName,
    /// At which step.
    pub leg: Leg,
    /// Our code, `snake_case`.
    pub code: &'static str,
    /// HTTP status of the answer.
    pub status: u16,
    /// Whose turn it is.
    pub kind: FailureKind,
    /// When the realm wants to be asked again.
    pub retry_after: Option<Duration>,
    /// What to change.
    pub fix: String,
    /// What the realm said, sanitised.
    said: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at realm {}: {}", self.leg.words(), self.realm, self.said)
    }
}

/// What is known of a refusal: where it can come from, what identifies it, our code and the fix.
struct Known {
    legs: &'static [Leg],
    /// The `error` code; empty = any.
    error: &'static str,
    /// The beginning of the description; empty = any.
    says: &'static str,
    code: &'static str,
    kind: FailureKind,
    /// `{…}` are filled by [`fill`].
    fix: &'static str,
}

const ANY: &[Leg] = &[Leg::Exchange, Leg::Grant, Leg::Bearer];
const FIRST: &[Leg] = &[Leg::Exchange, Leg::Grant];
const SECOND: &[Leg] = &[Leg::Bearer];

const fn known(
    legs: &'static [Leg],
    error: &'static str,
    says: &'static str,
    code: &'static str,
    fix: &'static str,
) -> Known {
    Known { legs, error, says, code, kind: FailureKind::Credential, fix }
}

/// First match decides; texts before bare codes.
const TABLE: &[Known] = &[
    known(
        FIRST,
        "access_denied",
        "Client is not within the token audience",
        "requester_not_in_audience",
        "in realm {realm}, add an audience mapper for our client to a scope of the client that people sign in with, then sign in again",
    ),
    known(
        FIRST,
        "invalid_client",
        "Audience not found",
        "audience_unknown",
        "in realm {realm}, create a client whose id is {audience}",
    ),
    known(
        FIRST,
        "invalid_client",
        "Client disabled",
        "audience_unknown",
        "in realm {realm}, enable the client whose id is {audience}",
    ),
    known(
        FIRST,
        "invalid_request",
        "Requested audience not available",
        "audience_unavailable",
        "in realm {realm}, give our client the optional scope {scope} with an audience mapper to {audience}, and name the scope in the configuration",
    ),
    known(
        FIRST,
        "invalid_request",
        "Standard token exchange is not enabled",
        "exchange_disabled",
        "in realm {realm}, switch on Standard token exchange at our client (Capability config)",
    ),
    Known {
        legs: FIRST,
        error: "invalid_request",
        says: "Invalid token",
        code: "sign_in_again",
        kind: FailureKind::SignIn,
        fix: "Sign in again at realm {home}: your token has ended there, was revoked, or your account is disabled",
    },
    known(
        FIRST,
        "invalid_request",
        "Parameter 'subject_token' supports access tokens only",
        "subject_token_type",
        "sign in with an access token, not an ID token",
    ),
    known(
        SECOND,
        "invalid_grant",
        "JWT Authorization Grant is not supported",
        "grant_disabled",
        "in realm {realm}, switch on the JWT authorization grant at our client",
    ),
    known(
        SECOND,
        "invalid_grant",
        "No Identity Provider for provided issuer",
        "trust_missing",
        "in realm {realm}, create an identity provider for issuer {iss}, enable it, and switch on its JWT authorization grant",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Identity Provider is not allowed",
        "trust_missing",
        "in realm {realm}, allow the identity provider of issuer {iss} at our client",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Invalid signature",
        "grant_signature",
        "in realm {realm}, let the identity provider of issuer {iss} read that realm's current keys (JWKS URL)",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Multiple audiences not allowed",
        "grant_audience",
        "write request.audience of the link: the issuer of realm {realm}, exactly",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Invalid token audience",
        "grant_audience",
        "request.audience of the link must equal the issuer of realm {realm}, exactly",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Token was issued in the future",
        "clock_skew",
        "set the clocks of both realms, or allow a clock skew at the identity provider in realm {realm}",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Token is not active",
        "clock_skew",
        "set the clocks of both realms: the grant was seconds old",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Token was issued too far in the past",
        "grant_lifetime",
        "in realm {realm}, raise the maximum age of assertions at the identity provider of issuer {iss}, or set the clocks",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Token expiration is too far in the future",
        "grant_lifetime",
        "in the realm of issuer {iss}, shorten the life of tokens of our client",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Token reuse detected",
        "grant_replayed",
        "call again; if it stays, report it: a grant is never sent twice",
    ),
    known(
        SECOND,
        "invalid_grant",
        "User not found",
        "subject_not_linked",
        "in realm {realm}, link your account to {home}: POST users/<id>/federated-identity/<alias> {\"userId\":\"{sub}\"}",
    ),
    known(
        SECOND,
        "invalid_grant",
        "User is not enabled",
        "subject_disabled",
        "in realm {realm}, enable the account that is linked to you",
    ),
    known(
        SECOND,
        "invalid_grant",
        "Account is not fully set up",
        "subject_incomplete",
        "sign in once at realm {realm} and do what it asks for, or take the required actions off the account there",
    ),
    known(
        ANY,
        "invalid_scope",
        "",
        "scope_not_allowed",
        "in realm {realm}, give our client the optional scope {scope}",
    ),
    known(ANY, "invalid_client", "Token is not active", "clock_skew", CLIENT_CLOCK),
    known(ANY, "invalid_client", "Token was issued in the future", "clock_skew", CLIENT_CLOCK),
    known(ANY, "invalid_client", "", "client_refused", CLIENT),
    known(ANY, "unauthorized_client", "", "client_refused", CLIENT),
    known(
        FIRST,
        "invalid_target",
        "",
        "audience_unavailable",
        "in realm {realm}, allow our client the audience {audience}",
    ),
    known(
        ANY,
        "unsupported_grant_type",
        "",
        "grant_unsupported",
        "realm {realm} does not offer this grant: choose another strategy, or switch it on there",
    ),
    known(
        FIRST,
        "access_denied",
        "",
        "exchange_denied",
        "ask who runs realm {realm} why our client may not exchange your token",
    ),
    known(SECOND, "invalid_grant", "", "grant_refused", "ask who runs realm {realm} what it has against the grant"),
];

/// Of a client that signs what shows who it is.
const CLIENT_CLOCK: &str =
    "set the clocks of realm {realm} and of the machine that asks it: the assertion of our client was seconds old";

const CLIENT: &str = "in the configuration, check id, auth and the secret or key of our client at realm {realm}";

/// The error answer of RFC 6749 5.2.
#[derive(Deserialize, Default)]
struct Body {
    error: Option<String>,
    error_description: Option<String>,
}

impl Body {
    /// Empty when the answer is none.
    fn read(answer: &RawAnswer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }
}

/// True when a realm says that our client, which it knows, has no service account.
pub(super) fn no_service_account(answer: &RawAnswer) -> bool {
    let Body { error, error_description } = Body::read(answer);
    let said = error_description.unwrap_or_default();
    (400..500).contains(&answer.status)
        && error.as_deref() == Some("unauthorized_client")
        && said.starts_with("Client not enabled to retrieve service account")
}

impl Refusal {
    /// Reads an answer that is no success.
    pub(super) fn read(realm: &RealmName, request: Request<'_>, answer: &RawAnswer) -> Self {
        let body = Body::read(answer);
        let error = body.error.as_deref().map(|error| clean(error, 60)).unwrap_or_default();
        let description = body.error_description.as_deref().unwrap_or_default();
        let (code, kind, fix) = match TABLE.iter().find(|known| known.fits(request.leg, &error, description)) {
            // Only where the answer is OAuth at all: a proxy's or a server's own error is the realm being away.
            Some(known) if (400..500).contains(&answer.status) => {
                (known.code, known.kind, fill(known.fix, realm, request))
            }
            _ if matches!(answer.status, 408 | 429 | 500..=599) => {
                ("realm_unavailable", FailureKind::Unreachable, format!("try again, and ask who runs realm {realm}"))
            }
            _ if (300..400).contains(&answer.status) => {
                let fix = format!("realm {realm} redirects its token endpoint: check issuer or discovery_url");
                ("realm_redirects", FailureKind::Credential, fix)
            }
            _ => ("exchange_refused", FailureKind::Credential, format!("ask who runs realm {realm}")),
        };
        let said = match (error.as_str(), description) {
            ("", _) => format!("the realm answered {}", answer.status),
            (error, "") => format!("refused: {error}"),
            (error, text) => format!("refused: {error} \"{}\"", clean(text, MAX_DESCRIPTION)),
        };
        let (status, retry_after) = (answer.status, answer.retry_after);
        Self { realm: realm.clone(), leg: request.leg, code, status, kind, retry_after, fix, said }
    }

    /// A success that cannot be used.
    pub(super) fn unusable(realm: &RealmName, request: Request<'_>, why: &str) -> Self {
        Self::wrong(realm, request.leg, "unusable_answer", why.to_owned())
    }

    /// True when the realm's verdict is on the grant, or on what is asked for with it, and not on our client.
    pub(super) fn is_of_grant(&self) -> bool {
        !self.said.starts_with("refused: invalid_client")
    }

    /// An issued token that is not what it must be.
    pub(in super::super) fn wrong(realm: &RealmName, leg: Leg, code: &'static str, why: String) -> Self {
        let fix = match code {
            "token_audience" => format!(
                "name a scope in the configuration that brings exactly the audience, and check the audience mappers of our client in realm {realm}"
            ),
            "subject_changed" => format!(
                "ask who runs realm {realm} whether your link was changed on purpose; if so, a reload of kubeferry forgets the first account"
            ),
            "token_lifetime" => format!("compare the clocks of realm {realm} and of this machine"),
            "token_subject" => format!("in realm {realm}, give our client the scope that brings sub (Keycloak: basic)"),
            "grant_lifetime" => format!("in realm {realm}, shorten the life of our client's tokens to 5 minutes"),
            _ => format!("ask who runs realm {realm}, and check profile, audiences and scope in the configuration"),
        };
        debug_assert!(CODES.contains(&code), "{code} is not listed");
        let (status, retry_after) = (200, None);
        Self { realm: realm.clone(), leg, code, status, kind: FailureKind::Credential, retry_after, fix, said: why }
    }
}

impl Known {
    fn fits(&self, leg: Leg, error: &str, description: &str) -> bool {
        self.legs.contains(&leg) && self.error == error && description.starts_with(self.says)
    }
}

/// Fills a fix with what this request was about. The subject is the caller's own.
fn fill(fix: &str, realm: &RealmName, request: Request<'_>) -> String {
    // What the operator wrote and who the caller is: no text of somebody else, so nothing of it is taken for a token.
    let clean = |text: &str| printable(text, 255);
    fix.replace("{realm}", realm.as_str())
        .replace("{home}", request.caller.realm.as_str())
        .replace("{iss}", &request.caller.iss)
        .replace("{audience}", &clean(request.audience.unwrap_or("the cluster's audience")))
        .replace("{scope}", &clean(request.scope.unwrap_or("that brings the audience")))
        .replace("{sub}", &clean(&request.caller.sub))
}

/// One line of at most `limit` characters, printable ASCII, nothing that looks like a token.
fn clean(text: &str, limit: usize) -> String {
    let shown: String = text.chars().take(4 * limit).map(shown).collect();
    let words = shown.split(' ').filter(|word| !word.is_empty());
    let words: Vec<&str> = words.map(|word| if is_token(word) { "(token)" } else { word }).collect();
    printable(&words.join(" "), limit)
}

fn shown(c: char) -> char {
    if c.is_ascii_graphic() { c } else { ' ' }
}

/// One line of at most `limit` characters that can stand between double quotes.
fn printable(text: &str, limit: usize) -> String {
    let mut line: String = text.chars().take(4 * limit).map(shown).collect::<String>().replace(['"', '\\'], "'");
    if line.len() > limit {
        line.truncate(limit.saturating_sub(3));
        line.push_str("...");
    }
    line
}

/// True for what could be a JWT or another long secret; host names and addresses have dots and slashes in between.
fn is_token(word: &str) -> bool {
    let run = word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).map(str::len).max();
    run.unwrap_or(0) >= 40 || word.contains("eyJ")
}

/// The table of docs/reference/errors.md: step, what a realm says, code, fix.
#[cfg(test)]
pub(in super::super) fn rows() -> Vec<[String; 4]> {
    let step = |legs: &[Leg]| match legs.len() {
        3 => "any",
        2 => "exchange, leg 1",
        _ => "leg 2",
    };
    let says = |known: &Known| match known.says {
        "" => format!("`{}`", known.error),
        text => format!("`{}` “{text}…”", known.error),
    };
    let row = |known: &Known| [step(known.legs).into(), says(known), format!("`{}`", known.code), known.fix.into()];
    TABLE.iter().map(row).collect()
}

#[cfg(test)]
mod tests;
