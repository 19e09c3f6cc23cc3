//! The token endpoint. Errors and their texts are Keycloak's.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue, Response};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::config::{Client, User};
use super::faults::{Body, answer};
use super::http::json_answer;
use super::mint::TokenBuilder;
use super::state::Realm;

/// Grants of this endpoint, for the metadata.
pub(super) const GRANTS: &[&str] = &["authorization_code", "password", "client_credentials"];

/// An OAuth error answer (RFC 6749 section 5.2).
pub(super) struct Refusal {
    status: u16,
    error: &'static str,
    description: String,
}

pub(super) type Form = BTreeMap<String, String>;

/// Answers one token request of `realm`.
pub(super) fn token(realm: &Realm, headers: &HeaderMap, body: &Bytes) -> Response<Body> {
    match grant(realm, headers, body) {
        Ok(granted) => {
            let mut response = json_answer(200, &granted);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(Refusal { status, error, description }) => {
            json_answer(status, &json!({"error": error, "error_description": description}))
        }
    }
}

/// The answer to a method other than `POST`.
pub(super) fn wrong_method() -> Response<Body> {
    answer(405, "application/json", Bytes::from_static(b"{\"error\":\"HTTP 405 Method Not Allowed\"}"))
}

fn grant(realm: &Realm, headers: &HeaderMap, body: &Bytes) -> Result<Value, Refusal> {
    let form = parse(body)?;
    let grant_type =
        form.get("grant_type").ok_or_else(|| refusal(400, "invalid_request", "Missing form parameter: grant_type"))?;
    let client = authenticate(realm, headers, &form)?;
    match grant_type.as_str() {
        "authorization_code" => super::login::code(realm, client, &form),
        "password" => password(realm, client, &form),
        "client_credentials" => client_credentials(realm, client, &form),
        _ => Err(refusal(400, "unsupported_grant_type", "Unsupported grant_type")),
    }
}

fn password(realm: &Realm, client: &Client, form: &Form) -> Result<Value, Refusal> {
    let username =
        form.get("username").ok_or_else(|| refusal(401, "invalid_request", "Missing parameter: username"))?;
    let user = realm.config.users.iter().find(|user| user.username == *username);
    let user = user
        .filter(|user| form.get("password") == Some(&user.password))
        .ok_or_else(|| refusal(401, "invalid_grant", "Invalid user credentials"))?;
    Ok(granted(realm, &user_token(realm, user), client, form))
}

fn client_credentials(realm: &Realm, client: &Client, form: &Form) -> Result<Value, Refusal> {
    if client.secret.is_none() {
        let text = "Public client not allowed to retrieve service account";
        return Err(refusal(401, "unauthorized_client", text));
    }
    let token = base_token(realm, &service_account_sub(&realm.config.name, &client.id))
        .claim("preferred_username", format!("service-account-{}", client.id))
        .claim("client_id", client.id.clone());
    Ok(granted(realm, &token, client, form))
}

/// A token for `user`, still without audience and authorized party.
pub(super) fn user_token(realm: &Realm, user: &User) -> TokenBuilder {
    base_token(realm, &user.sub)
        .claim("preferred_username", user.username.clone())
        .claim("email", user.email.clone())
        .claim("email_verified", true)
        .claim("groups", user.groups.clone())
}

fn base_token(realm: &Realm, sub: &str) -> TokenBuilder {
    TokenBuilder::new(&realm.issuer, realm.keys[0].clone(), sub, realm.config.token_lifetime)
}

/// Finishes the token for `client` and writes the answer of RFC 6749 section 5.1.
pub(super) fn granted(realm: &Realm, token: &TokenBuilder, client: &Client, form: &Form) -> Value {
    let openid = form.get("scope").is_some_and(|scope| scope.split(' ').any(|item| item == "openid"));
    let scope = if openid { "openid profile email groups" } else { "profile email groups" };
    let token = token.clone().claim("azp", client.id.clone()).claim("scope", scope);
    let token = match client.audiences.as_slice() {
        [] => token,
        [one] => token.claim("aud", one.clone()),
        several => token.claim("aud", several.to_vec()),
    };
    json!({
        "access_token": token.mint(), "expires_in": realm.config.token_lifetime, "refresh_expires_in": 0,
        "token_type": "Bearer", "not-before-policy": 0, "scope": scope,
    })
}

/// Finds the client by HTTP Basic (RFC 6749 section 2.3.1) or by the form, and checks its secret.
fn authenticate<'a>(realm: &'a Realm, headers: &HeaderMap, form: &Form) -> Result<&'a Client, Refusal> {
    let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(basic_credentials);
    let (id, secret) = basic.unwrap_or_else(|| {
        let field = |name: &str| form.get(name).cloned();
        (field("client_id").unwrap_or_default(), field("client_secret"))
    });
    let refused = |error| refusal(401, error, "Invalid client or Invalid client credentials");
    let client = realm.config.clients.iter().find(|client| client.id == id).ok_or_else(|| refused("invalid_client"))?;
    if client.secret.is_some() && client.secret != secret {
        return Err(refused("unauthorized_client"));
    }
    Ok(client)
}

fn basic_credentials(value: &str) -> Option<(String, Option<String>)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id), Some(form_decoded(secret))))
}

fn form_decoded(text: &str) -> String {
    form_urlencoded::parse(format!("x={text}").as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// Reads a form; a parameter may be there once (RFC 6749 section 3.2).
pub(super) fn parse(body: &Bytes) -> Result<Form, Refusal> {
    let mut form = Form::new();
    for (name, value) in form_urlencoded::parse(body) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(refusal(400, "invalid_request", "duplicated parameter"));
        }
    }
    Ok(form)
}

/// A service account's `sub` must be the same in every token, so it is derived from its names.
fn service_account_sub(realm: &str, client: &str) -> String {
    let hex = crate::tap::digest(&format!("{realm}/{client}"));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
}

pub(super) fn refusal(status: u16, error: &'static str, description: &str) -> Refusal {
    Refusal { status, error, description: description.to_owned() }
}
