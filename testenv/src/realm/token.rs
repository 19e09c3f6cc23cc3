//! The token endpoint. Errors and their texts are Keycloak's.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::bearer::bearer;
use super::client::{Authentication, Client};
use super::client_auth::Shown;
use super::config::User;
use super::exchange::exchange;
use super::faults::{Body, Fault, answer};
use super::grants::{GrantRequest, GrantType};
use super::http::json_answer;
use super::mint::TokenBuilder;
use super::scopes::for_audiences;
use super::state::{Published, Realm};
use super::verify::Jwt;
use crate::tap::digest;

/// An OAuth error answer (RFC 6749 section 5.2).
pub(super) struct Refusal {
    status: u16,
    error: &'static str,
    description: String,
}

pub(super) type Form = BTreeMap<String, String>;

/// A token request, read.
pub(super) struct Asked<'a> {
    pub form: &'a Form,
    /// `audience`, which may be there several times (RFC 8693 section 2.1).
    pub audiences: Vec<String>,
    /// The keys that all issuers of this server publish.
    pub published: &'a Published,
}

/// What is made of a token request.
pub(super) struct Answered {
    pub response: Response<Body>,
    /// For the log.
    pub seen: GrantRequest,
    /// What happens to the response on its way.
    pub fault: Option<Fault>,
}

/// Answers one token request of `realm`.
pub(super) fn token(realm: &Realm, published: &Published, headers: &HeaderMap, body: &Bytes) -> Answered {
    let form = parse(body);
    let asked = form.as_ref().ok().map(|form| Asked { form, audiences: all(body, "audience"), published });
    let shown = asked.as_ref().map(|asked| Shown::read(headers, asked.form));
    let mut seen = seen(realm, asked.as_ref(), shown.as_ref().and_then(|shown| shown.as_ref().ok()));
    let fault = seen.grant.and_then(|grant| realm.behaviour.faults.take(grant));
    if let Some(status) = fault.as_ref().and_then(Fault::replaces) {
        seen.status = status;
        return Answered { response: answer(status, "text/plain", Bytes::new()), seen, fault };
    }
    let outcome = match (&form, &asked, shown) {
        (Ok(_), Some(asked), Some(shown)) => shown.and_then(|shown| grant(realm, asked, &shown, seen.grant)),
        _ => Err(refusal(400, "invalid_request", "duplicated parameter")),
    };
    let response = match outcome {
        Ok(granted) => {
            let token = granted["access_token"].as_str();
            seen.token = token.map(digest);
            seen.jti = token.and_then(Jwt::read).and_then(|jwt| jwt.text("jti").map(str::to_owned));
            let mut response = json_answer(200, &granted);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(Refusal { status, error, description }) => {
            let response = json_answer(status, &json!({"error": error, "error_description": description}));
            (seen.status, seen.error, seen.description) = (status, Some(error.to_owned()), Some(description));
            response
        }
    };
    Answered { response, seen, fault }
}

fn seen(realm: &Realm, asked: Option<&Asked<'_>>, shown: Option<&Shown>) -> GrantRequest {
    let field = |name: &str| asked.and_then(|asked| asked.form.get(name));
    GrantRequest {
        realm: realm.config.name.clone(),
        grant: field("grant_type").and_then(|name| GrantType::read(name)),
        client: shown.and_then(|shown| shown.id.clone()),
        method: shown.map(|shown| shown.method),
        audiences: asked.map(|asked| asked.audiences.clone()).unwrap_or_default(),
        scope: field("scope").cloned(),
        requested_token_type: field("requested_token_type").cloned(),
        subject: field("subject_token").or_else(|| field("assertion")).map(|token| digest(token)),
        status: 200,
        error: None,
        description: None,
        token: None,
        jti: None,
        at: SystemTime::now(),
    }
}

/// The answer to a method other than `POST`.
pub(super) fn wrong_method() -> Response<Body> {
    answer(405, "application/json", Bytes::from_static(b"{\"error\":\"HTTP 405 Method Not Allowed\"}"))
}

fn grant(realm: &Realm, asked: &Asked<'_>, shown: &Shown, grant: Option<GrantType>) -> Result<Value, Refusal> {
    let form = asked.form;
    if !form.contains_key("grant_type") {
        return Err(refusal(400, "invalid_request", "Missing form parameter: grant_type"));
    }
    let client = shown.authenticate(realm)?;
    let grant = grant.ok_or_else(|| refusal(400, "unsupported_grant_type", "Unsupported grant_type"))?;
    let mut granted = match grant {
        GrantType::AuthorizationCode => super::login::code(realm, client, form),
        GrantType::Password => password(realm, client, form),
        GrantType::ClientCredentials => client_credentials(realm, client, form),
        GrantType::TokenExchange => exchange(realm, client, asked),
        GrantType::JwtBearer => bearer(realm, client, asked),
    }?;
    if let Some(edit) = realm.behaviour.answers.take(grant) {
        edit(&mut granted, form);
    }
    Ok(granted)
}

fn password(realm: &Realm, client: &Client, form: &Form) -> Result<Value, Refusal> {
    let username =
        form.get("username").ok_or_else(|| refusal(401, "invalid_request", "Missing parameter: username"))?;
    let user = realm.config.users.iter().find(|user| user.username == *username);
    let user = user
        .filter(|user| form.get("password") == Some(&user.password))
        .ok_or_else(|| refusal(401, "invalid_grant", "Invalid user credentials"))?;
    if !user.enabled {
        return Err(refusal(400, "invalid_grant", "Account disabled"));
    }
    if user.action_pending {
        return Err(refusal(400, "invalid_grant", "Account is not fully set up"));
    }
    Ok(granted(realm, GrantType::Password, &user_token(realm, user), client, form))
}

fn client_credentials(realm: &Realm, client: &Client, form: &Form) -> Result<Value, Refusal> {
    if matches!(client.auth, Authentication::Public) {
        let text = "Public client not allowed to retrieve service account";
        return Err(refusal(401, "unauthorized_client", text));
    }
    if !client.service_account {
        return Err(refusal(401, "unauthorized_client", "Client not enabled to retrieve service account"));
    }
    Ok(granted(realm, GrantType::ClientCredentials, &service_account(realm, client), client, form))
}

fn service_account(realm: &Realm, client: &Client) -> TokenBuilder {
    base_token(realm, &service_account_sub(&realm.config.name, &client.id))
        .claim("preferred_username", format!("service-account-{}", client.id))
        .claim("client_id", client.id.clone())
}

/// A token for `user`, still without audience and authorized party.
pub(super) fn user_token(realm: &Realm, user: &User) -> TokenBuilder {
    base_token(realm, &user.sub)
        .claim("preferred_username", user.username.clone())
        .claim("email", user.email.clone())
        .claim("email_verified", true)
        .claim("groups", user.groups.clone())
}

/// A token for whoever has this `sub`: a user who is enabled, or the service account of a client that is.
pub(super) fn subject(realm: &Realm, sub: &str) -> Option<TokenBuilder> {
    if let Some(user) = realm.config.users.iter().find(|user| user.sub == sub) {
        return user.enabled.then(|| user_token(realm, user));
    }
    let is_account = |client: &&Client| service_account_sub(&realm.config.name, &client.id) == sub;
    let client =
        realm.config.clients.iter().find(is_account).filter(|client| client.enabled && client.service_account)?;
    Some(service_account(realm, client))
}

fn base_token(realm: &Realm, sub: &str) -> TokenBuilder {
    let lifetime = realm.config.token_lifetime;
    let now = realm.now();
    TokenBuilder::new(&realm.issuer, realm.keys[0].clone(), sub, lifetime)
        .claim("iat", now)
        .claim("exp", now + lifetime)
        .claim("sid", realm.ledger.session(sub))
}

/// Signs a token that `grant` asked for, edited where a test wants that.
pub(super) fn finish(realm: &Realm, grant: GrantType, token: TokenBuilder) -> String {
    match realm.behaviour.tokens.take(grant) {
        Some(edit) => edit(token).mint(),
        None => token.mint(),
    }
}

/// Finishes the token for `client` and writes the answer of RFC 6749 section 5.1.
pub(super) fn granted(realm: &Realm, grant: GrantType, token: &TokenBuilder, client: &Client, form: &Form) -> Value {
    let openid = form.get("scope").is_some_and(|scope| scope.split(' ').any(|item| item == "openid"));
    let scope = if openid { "openid profile email groups" } else { "profile email groups" };
    let token = token.clone().claim("azp", client.id.clone()).claim("scope", scope);
    let token = finish(realm, grant, for_audiences(token, &client.audiences));
    json!({
        "access_token": token, "expires_in": realm.config.token_lifetime, "refresh_expires_in": 0,
        "token_type": "Bearer", "not-before-policy": 0, "scope": scope,
    })
}

/// Reads a form; a parameter may be there once (RFC 6749 section 3.2), `audience` and `resource` more often (RFC 8693
/// section 2.1).
pub(super) fn parse(body: &Bytes) -> Result<Form, Refusal> {
    let mut form = Form::new();
    for (name, value) in form_urlencoded::parse(body) {
        let once = name != "audience" && name != "resource";
        if form.insert(name.into_owned(), value.into_owned()).is_some() && once {
            return Err(refusal(400, "invalid_request", "duplicated parameter"));
        }
    }
    Ok(form)
}

fn all(body: &Bytes, wanted: &str) -> Vec<String> {
    form_urlencoded::parse(body).filter(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).collect()
}

/// A service account's `sub` must be the same in every token, so it is derived from its names.
fn service_account_sub(realm: &str, client: &str) -> String {
    let hex = crate::tap::digest(&format!("{realm}/{client}"));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
}

pub(super) fn refusal(status: u16, error: &'static str, description: &str) -> Refusal {
    Refusal { status, error, description: description.to_owned() }
}
