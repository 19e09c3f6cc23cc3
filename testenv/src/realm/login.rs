//! Signing in with a browser: authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), for one resource
//! (RFC 8707), with the issuer in the answer (RFC 9207). There is no consent: who knows the password signs in.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Method, Response};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::client::Client;
use super::faults::{Body, answer};
use super::grants::GrantType;
use super::keys::uuid;
use super::state::Realm;
use super::token::{Form, Refusal, granted, parse, refusal, user_token};

/// How long a code is good for; RFC 6749 allows ten minutes at most.
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// The most codes that wait at once; the oldest give way.
const MAX_CODES: usize = 1_000;

/// Codes that were given and not yet used.
#[derive(Debug, Default)]
pub(super) struct Codes(Mutex<BTreeMap<String, Grant>>);

/// What a code stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    at: Instant,
    username: String,
    client_id: String,
    redirect_uri: String,
    challenge: String,
    resource: Option<String>,
    scope: String,
}

impl Codes {
    fn give(&self, grant: Grant) -> String {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, grant| grant.at.elapsed() < CODE_LIFETIME);
        let oldest = codes.iter().min_by_key(|(_, grant)| grant.at).map(|(code, _)| code.clone());
        if let Some(oldest) = oldest.filter(|_| codes.len() >= MAX_CODES) {
            codes.remove(&oldest);
        }
        let code = format!("{}.{}", uuid(), uuid());
        codes.insert(code.clone(), grant);
        code
    }

    /// A code is spent by the first try, good or bad.
    fn take(&self, code: &str, now: Instant) -> Option<Grant> {
        let grant = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(code)?;
        (now.saturating_duration_since(grant.at) < CODE_LIFETIME).then_some(grant)
    }
}

/// A good authorization request.
struct Request<'a> {
    client: &'a Client,
    redirect: Url,
    /// As written; a parsed URL may be written otherwise.
    redirect_uri: String,
    state: Option<&'a String>,
    challenge: String,
    resource: Option<String>,
    scope: String,
}

/// Answers at the authorization endpoint: `GET` shows the page to sign in, whose form posts name and password to the
/// same URL; `POST` sends the browser back to the client.
pub(super) fn authorize(realm: &Realm, method: &Method, query: &str, body: &Bytes) -> Response<Body> {
    let Ok(form) = parse(&Bytes::copy_from_slice(query.as_bytes())) else {
        return page(400, "Invalid request: duplicated parameter");
    };
    // What is not sure to be the client's address is never redirected to (RFC 6749 section 4.1.2.1).
    let Some(client) = form.get("client_id").and_then(|id| realm.config.clients.iter().find(|client| client.id == *id))
    else {
        return page(400, "Client not found.");
    };
    let registered = form.get("redirect_uri").filter(|uri| client.redirect_uris.contains(uri));
    let Some(redirect) = registered.and_then(|uri| Url::parse(uri).ok()) else {
        return page(400, "Invalid parameter: redirect_uri");
    };
    let state = form.get("state");
    let request = match read(client, redirect.clone(), &form) {
        Ok(request) => request,
        Err((error, why)) => {
            return back(realm, redirect, state, &[("error", error), ("error_description", why)]);
        }
    };
    match *method {
        Method::GET => page(200, FORM),
        Method::POST => sign_in(realm, request, body),
        _ => page(405, "Method not allowed"),
    }
}

/// The page's form; it posts to the URL that it came from.
const FORM: &str = r#"<form method="post">
<label>Username <input name="username" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button>Sign in</button></form>"#;

fn read<'a>(client: &'a Client, redirect: Url, form: &'a Form) -> Result<Request<'a>, (&'static str, &'static str)> {
    if form.get("response_type").map(String::as_str) != Some("code") {
        return Err(("unsupported_response_type", "response_type is code here"));
    }
    if form.get("code_challenge_method").map(String::as_str) != Some("S256") {
        return Err(("invalid_request", "Missing parameter: code_challenge_method; S256 is required"));
    }
    // A SHA-256 digest in base64url has 43 characters.
    let challenge = form.get("code_challenge").filter(|challenge| challenge.len() == 43);
    let challenge = challenge.ok_or(("invalid_request", "Invalid parameter: code_challenge"))?.clone();
    let resource = form.get("resource").cloned();
    if resource.as_ref().is_some_and(|resource| !client.audiences.contains(resource)) {
        return Err(("invalid_target", "this client gets no tokens for that resource"));
    }
    let scope = form.get("scope").cloned().unwrap_or_default();
    let redirect_uri = form.get("redirect_uri").cloned().unwrap_or_default();
    Ok(Request { client, redirect, redirect_uri, state: form.get("state"), challenge, resource, scope })
}

fn sign_in(realm: &Realm, request: Request<'_>, body: &Bytes) -> Response<Body> {
    let Ok(entered) = parse(body) else { return page(400, "Invalid request: duplicated parameter") };
    let user = realm.config.users.iter().find(|user| entered.get("username") == Some(&user.username));
    let Some(user) = user.filter(|user| entered.get("password") == Some(&user.password)) else {
        // As Keycloak: the page again, with 200.
        return page(200, &format!("<p>Invalid username or password.</p>\n{FORM}"));
    };
    let code = realm.codes.give(Grant {
        at: Instant::now(),
        username: user.username.clone(),
        client_id: request.client.id.clone(),
        redirect_uri: request.redirect_uri,
        challenge: request.challenge,
        resource: request.resource,
        scope: request.scope,
    });
    back(realm, request.redirect, request.state, &[("code", &code)])
}

/// Sends the browser to the client, with `state` and `iss` beside `answer`.
fn back(realm: &Realm, mut redirect: Url, state: Option<&String>, answers: &[(&str, &str)]) -> Response<Body> {
    redirect.query_pairs_mut().extend_pairs(answers).extend_pairs(state.map(|state| ("state", state)));
    redirect.query_pairs_mut().append_pair("iss", &realm.issuer);
    let mut response = page(302, "");
    let location = HeaderValue::try_from(redirect.as_str()).expect("a parsed URL is a header value");
    response.headers_mut().insert(LOCATION, location);
    response
}

fn page(status: u16, content: &str) -> Response<Body> {
    let text = format!("<!doctype html>\n<title>Sign in</title>\n{content}\n");
    let mut response = answer(status, "text/html; charset=utf-8", Bytes::from(text));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The grant `authorization_code` of the token endpoint.
pub(super) fn code(realm: &Realm, client: &Client, form: &Form) -> Result<Value, Refusal> {
    let field = |name: &str| {
        form.get(name).ok_or_else(|| refusal(400, "invalid_request", &format!("Missing parameter: {name}")))
    };
    let invalid = |why| refusal(400, "invalid_grant", why);
    let (code, verifier, redirect) = (field("code")?, field("code_verifier")?, field("redirect_uri")?);
    let grant = realm.codes.take(code, Instant::now()).ok_or_else(|| invalid("Code not valid"))?;
    if grant.client_id != client.id || grant.redirect_uri != *redirect {
        return Err(invalid("Incorrect redirect_uri"));
    }
    if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != grant.challenge {
        return Err(invalid("PKCE verification failed"));
    }
    let asked = form.get("resource").or(grant.resource.as_ref());
    if grant.resource.is_some() && asked != grant.resource.as_ref() {
        return Err(refusal(400, "invalid_target", "the code is for another resource"));
    }
    let mut client = client.clone();
    if let Some(resource) = asked {
        if !client.audiences.contains(resource) {
            return Err(refusal(400, "invalid_target", "this client gets no tokens for that resource"));
        }
        client.audiences = vec![resource.clone()];
    }
    let user = realm.config.users.iter().find(|user| user.username == grant.username);
    let user = user.ok_or_else(|| invalid("User not found"))?;
    let form = Form::from([("scope".to_owned(), grant.scope)]);
    Ok(granted(realm, GrantType::AuthorizationCode, &user_token(realm, user), &client, &form))
}

#[cfg(test)]
mod tests;
