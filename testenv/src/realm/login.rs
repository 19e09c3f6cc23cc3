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

use super::config::Client;
use super::faults::{Body, answer};
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
    Ok(granted(realm, &user_token(realm, user), &client, &form))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki;
    use crate::realm::{Endpoint, RealmConfig, Realms, RealmsConfig, User};
    use reqwest::StatusCode;
    use serde_json::json;

    const BACK: &str = "http://127.0.0.1:9/back?a=b";
    const RESOURCE: &str = "https://ferry.example/mcp";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    /// Of RFC 7636 appendix B, as the verifier.
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    struct Browser {
        realms: Realms,
        http: reqwest::Client,
    }

    impl Browser {
        async fn start() -> Self {
            let client = Client::public("app", &[RESOURCE, "corp-1"]).redirect(BACK);
            let realm = RealmConfig::new("corp").user(User::new("alice", &["dev"])).client(client);
            let realms = Realms::start(RealmsConfig { realms: vec![realm] }).await.unwrap();
            let tls = (*pki::client_config(realms.ca_pem(), None, &[b"http/1.1"])).clone();
            let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
            let http = http.redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(10));
            Self { realms, http: http.build().unwrap() }
        }

        fn url(&self, changes: &[(&str, &str)]) -> Url {
            let mut query = BTreeMap::from([
                ("response_type", "code"),
                ("client_id", "app"),
                ("redirect_uri", BACK),
                ("state", "s t&te"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
                ("resource", RESOURCE),
            ]);
            query.extend(changes.iter().copied());
            query.retain(|_, value| !value.is_empty());
            Url::parse_with_params(&self.realms.url("corp", Endpoint::Authorization), query).unwrap()
        }

        /// The query of the redirect.
        async fn signs_in(&self, changes: &[(&str, &str)]) -> BTreeMap<String, String> {
            let password = self.realms.user("corp", "alice").password;
            let form = [("username", "alice"), ("password", &password)];
            let answer = self.http.post(self.url(changes)).form(&form).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FOUND);
            let back = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
            assert!(back.as_str().starts_with(BACK), "{back}");
            back.query_pairs().into_owned().collect()
        }

        async fn fetches(&self, code: &str, changes: &[(&str, &str)]) -> (u16, Value) {
            let mut form = BTreeMap::from([
                ("grant_type", "authorization_code"),
                ("client_id", "app"),
                ("code", code),
                ("redirect_uri", BACK),
                ("code_verifier", VERIFIER),
                ("resource", RESOURCE),
            ]);
            form.extend(changes.iter().copied());
            form.retain(|_, value| !value.is_empty());
            let answer = self.http.post(self.realms.url("corp", Endpoint::Token)).form(&form).send().await.unwrap();
            (answer.status().as_u16(), answer.json().await.unwrap())
        }
    }

    fn audience(granted: &Value) -> Value {
        let claims = granted["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!((&claims["preferred_username"], &claims["azp"]), (&json!("alice"), &json!("app")));
        claims["aud"].clone()
    }

    #[tokio::test]
    async fn a_person_signs_in_once_for_one_resource() {
        let browser = Browser::start().await;
        let page = browser.http.get(browser.url(&[])).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        assert!(page.text().await.unwrap().contains("name=\"password\""));

        let answer = browser.signs_in(&[]).await;
        assert_eq!((answer["state"].as_str(), answer["a"].as_str()), ("s t&te", "b"));
        assert_eq!(answer["iss"], browser.realms.issuer("corp"));
        let (status, granted) = browser.fetches(&answer["code"], &[]).await;
        assert_eq!((status, audience(&granted)), (200, json!(RESOURCE)));
        let (status, again) = browser.fetches(&answer["code"], &[]).await;
        assert_eq!((status, &again["error"]), (400, &json!("invalid_grant")), "a code is for one use");

        let answer = browser.signs_in(&[("resource", "")]).await;
        let (status, granted) = browser.fetches(&answer["code"], &[("resource", "")]).await;
        assert_eq!(
            (status, audience(&granted)),
            (200, json!([RESOURCE, "corp-1"])),
            "no resource: all of the client's"
        );
        assert_eq!(browser.realms.fetches("corp", Endpoint::Authorization), 3);
    }

    #[tokio::test]
    async fn a_bad_request_goes_back_to_the_client_only_when_it_is_the_client() {
        let browser = Browser::start().await;
        for changes in [("client_id", "stranger"), ("redirect_uri", "http://127.0.0.1:9/other"), ("redirect_uri", "")] {
            let answer = browser.http.get(browser.url(&[changes])).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{changes:?}");
            assert!(!answer.headers().contains_key("location"), "{changes:?}");
        }
        for (changes, error) in [
            (("response_type", "token"), "unsupported_response_type"),
            (("code_challenge_method", "plain"), "invalid_request"),
            (("code_challenge_method", ""), "invalid_request"),
            (("code_challenge", ""), "invalid_request"),
            (("resource", "https://other.example/mcp"), "invalid_target"),
        ] {
            let answer = browser.signs_in(&[changes]).await;
            assert_eq!((answer["error"].as_str(), answer["state"].as_str()), (error, "s t&te"), "{changes:?}");
            assert!(!answer.contains_key("code") && answer.contains_key("iss"), "{changes:?}");
        }
        let form = [("username", "alice"), ("password", "wrong")];
        let answer = browser.http.post(browser.url(&[])).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.text().await.unwrap().contains("Invalid username or password"));
    }

    #[tokio::test]
    async fn a_code_is_for_who_asked_for_it() {
        let browser = Browser::start().await;
        browser.realms.register("corp", Client::public("other", &[RESOURCE]).redirect(BACK));
        for (changes, error) in [
            (("code_verifier", "wrong"), "invalid_grant"),
            (("code_verifier", ""), "invalid_request"),
            (("redirect_uri", "http://127.0.0.1:9/back"), "invalid_grant"),
            (("client_id", "other"), "invalid_grant"),
            (("resource", "corp-1"), "invalid_target"),
            (("code", "guess"), "invalid_grant"),
        ] {
            let answer = browser.signs_in(&[]).await;
            let (status, refused) = browser.fetches(&answer["code"], &[changes]).await;
            assert_eq!((status, refused["error"].as_str()), (400, Some(error)), "{changes:?}: {refused}");
        }
    }

    #[test]
    fn a_code_ends_after_a_minute_and_codes_are_bounded() {
        let codes = Codes::default();
        let grant = || Grant {
            at: Instant::now(),
            username: "alice".to_owned(),
            client_id: "app".to_owned(),
            redirect_uri: BACK.to_owned(),
            challenge: CHALLENGE.to_owned(),
            resource: None,
            scope: String::new(),
        };
        let (first, second) = (codes.give(grant()), codes.give(grant()));
        assert!(codes.take(&first, Instant::now() + CODE_LIFETIME).is_none(), "too late");
        assert!(codes.take(&second, Instant::now() + Duration::from_secs(50)).is_some());
        let oldest = codes.give(grant());
        for _ in 0..MAX_CODES {
            codes.give(grant());
        }
        assert!(codes.take(&oldest, Instant::now()).is_none());
        assert_eq!(codes.0.lock().unwrap().len(), MAX_CODES);
    }
}
