//! Client authentication at the token endpoint: a secret (RFC 6749 section 2.3.1), a signed assertion or the token of
//! another issuer (RFC 7523 section 2.2). Statuses, texts and their order are Keycloak's.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use url::form_urlencoded;

use super::client::{Authentication, Client};
use super::state::Realm;
use super::token::{Form, Refusal, refusal};
use super::verify::{BadSignature, Jwt};

/// The one type of client assertion here.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a request tried to authenticate its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
    /// `private_key_jwt`, or the token of another issuer.
    Assertion,
    /// With its id alone.
    None,
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::Assertion => "private_key_jwt",
            Self::None => "none",
        })
    }
}

/// What a request shows about its client.
#[derive(Clone)]
pub(super) struct Shown {
    pub method: AuthMethod,
    pub id: Option<String>,
    /// The secret or the assertion.
    proof: Option<String>,
}

impl Shown {
    /// Reads it from the header or else from the form.
    pub fn read(headers: &HeaderMap, form: &Form) -> Result<Self, Refusal> {
        let field = |name: &str| form.get(name).cloned();
        let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(basic);
        if let Some(basic) = basic {
            let text = "Unexpected error when authenticating client";
            let (id, secret) = basic.ok_or_else(|| refusal(400, "unauthorized_client", text))?;
            return Ok(Self { method: AuthMethod::Basic, id: Some(id), proof: Some(secret) });
        }
        if field("client_assertion_type").is_some_and(|of| of == ASSERTION_TYPE) {
            let proof = field("client_assertion");
            // An assertion names its client; `client_id` need not be there.
            let named = proof.as_deref().and_then(Jwt::read).and_then(|jwt| jwt.text("sub").map(str::to_owned));
            return Ok(Self { method: AuthMethod::Assertion, id: field("client_id").or(named), proof });
        }
        let proof = field("client_secret");
        let method = if proof.is_some() { AuthMethod::Post } else { AuthMethod::None };
        Ok(Self { method, id: field("client_id"), proof })
    }

    /// Finds the client and checks what it shows.
    pub fn authenticate<'a>(&self, realm: &'a Realm) -> Result<&'a Client, Refusal> {
        let refused = |error| refusal(401, error, "Invalid client or Invalid client credentials");
        let assertion = self.proof.as_deref().filter(|_| self.method == AuthMethod::Assertion).and_then(Jwt::read);
        let named = |client: &&Client| match (&client.auth, &assertion) {
            (Authentication::Federated { issuer, subject, .. }, Some(jwt)) => {
                let known = jwt.text("iss") == Some(issuer) && jwt.text("sub") == Some(subject);
                known && self.id.as_ref().is_none_or(|id| *id == client.id || id == subject)
            }
            _ => self.id.as_ref() == Some(&client.id),
        };
        let client = realm.config.clients.iter().find(named).filter(|client| client.enabled);
        let client = client.ok_or_else(|| refused("invalid_client"))?;
        match &client.auth {
            Authentication::Public => Ok(client),
            Authentication::Secret(secret) if self.proof.as_ref() != Some(secret) => {
                Err(refused("unauthorized_client"))
            }
            Authentication::Secret(_) => Ok(client),
            Authentication::PrivateKeyJwt(keys) => {
                let jwt = self.assertion(assertion)?;
                if jwt.text("iss") != jwt.text("sub") || jwt.text("sub") != Some(&client.id) {
                    return Err(refused("invalid_client"));
                }
                check(realm, &jwt, keys, Reuse::Refused).map(|()| client)
            }
            Authentication::Federated { keys, .. } => {
                let jwt = self.assertion(assertion)?;
                check(realm, &jwt, keys, Reuse::Allowed).map(|()| client)
            }
        }
    }

    fn assertion(&self, read: Option<Jwt>) -> Result<Jwt, Refusal> {
        let missing = |name: &str| refusal(400, "invalid_client", &format!("Parameter {name} is missing"));
        if self.method != AuthMethod::Assertion {
            return Err(missing("client_assertion_type"));
        }
        read.ok_or_else(|| missing("client_assertion"))
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("method", &self.method).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether an assertion may come twice; a projected token is the same for an hour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reuse {
    Allowed,
    Refused,
}

fn check(realm: &Realm, jwt: &Jwt, keys: &[serde_json::Value], reuse: Reuse) -> Result<(), Refusal> {
    let invalid = |text: &str| Err(refusal(400, "invalid_client", text));
    match jwt.check(keys) {
        Err(BadSignature::Key) => return invalid("Unable to load public key"),
        Err(BadSignature::Algorithm) => return invalid("Invalid signature algorithm"),
        Err(BadSignature::Wrong) => {
            let text = "Client authentication with signed JWT failed: Signature on JWT token failed validation";
            return invalid(text);
        }
        Ok(()) => {}
    }
    let audiences = jwt.audiences();
    if audiences.len() > 1 {
        return invalid("Multiple audiences not allowed");
    }
    let endpoint = realm.token_endpoint();
    let introspection = format!("{endpoint}/introspect");
    if !audiences.iter().any(|audience| [&realm.issuer, &endpoint, &introspection].contains(&&(*audience).to_owned())) {
        return invalid("Invalid token audience");
    }
    let now = realm.now();
    let Some(exp) = jwt.seconds("exp") else { return invalid("Token exp claim is required") };
    if exp <= now || jwt.seconds("nbf").is_some_and(|nbf| nbf > now) {
        return invalid("Token is not active");
    }
    if jwt.seconds("iat").is_some_and(|iat| iat > now) {
        return invalid("Token was issued in the future");
    }
    if reuse == Reuse::Allowed {
        return Ok(());
    }
    let Some(jti) = jwt.text("jti") else { return invalid("Token jti claim is required") };
    if !realm.ledger.spend("client", jti) {
        return invalid("Token reuse detected");
    }
    Ok(())
}

/// Id and secret of a Basic header: `None` when it is another scheme, `Some(None)` when it cannot be decoded.
fn basic(value: &str) -> Option<Option<(String, String)>> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decode = || {
        let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some((form_decoded(id)?, form_decoded(secret)?))
    };
    Some(decode())
}

/// Form-decodes one value; `None` for a `%` that encodes nothing, at which Keycloak gives up.
fn form_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    pieces.next();
    let hex = |piece: &str| piece.len() >= 2 && piece.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !pieces.all(hex) {
        return None;
    }
    Some(
        form_urlencoded::parse(format!("x={}", text.replace('&', "%26")).as_bytes())
            .map(|(_, value)| value.into_owned())
            .collect(),
    )
}
