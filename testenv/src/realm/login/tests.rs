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
    assert_eq!((status, audience(&granted)), (200, json!([RESOURCE, "corp-1"])), "no resource: all of the client's");
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
