//! Client authentication, as measured at a Keycloak.

use serde_json::Value;

use super::pair::{Answer, Pair, SECRET, refused};
use crate::realm::{Algorithm, AuthMethod, Authentication, Client, Endpoint, SigningKey, Style, TokenBuilder, uuid};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn show(pair: &Pair, assertion: &str, changes: &[(&str, &str)]) -> Answer {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    form.retain(|(name, _)| !changes.iter().any(|(other, _)| other == name));
    form.extend(changes);
    pair.post("corp", &form).await
}

#[tokio::test]
async fn an_assertion_is_checked_as_keycloak_checks_it() {
    let pair = Pair::start(Style::Keycloak).await;
    let key = SigningKey::generate(Algorithm::Es256);
    let auth = Authentication::PrivateKeyJwt(vec![key.jwk()]);
    pair.realms.register("corp", Client::public("signer", &[]).auth(auth));
    let issuer = pair.realms.issuer("corp");
    let endpoint = pair.realms.url("corp", Endpoint::Token);
    let good = || {
        let token = TokenBuilder::new("signer", key.clone(), "signer", 60).claim("jti", uuid());
        token.audience(&issuer).header("typ", "client-authentication+jwt")
    };
    let introspection = format!("{endpoint}/introspect");
    let taken = [
        good(),
        good().audience(&endpoint),
        good().audience(&introspection),
        good().audiences(&[&issuer]),
        good().without_header("typ"),
        good().aged(0, 3600),
    ];
    for (row, assertion) in taken.into_iter().enumerate() {
        let answer = show(&pair, &assertion.mint(), &[]).await;
        assert_eq!(answer.0, 200, "row {row}: {}", answer.1);
    }
    let named = show(&pair, &good().mint(), &[("client_id", "signer")]).await;
    assert_eq!(named.0, 200);
    assert_eq!(pair.realms.grants("corp").last().unwrap().method, Some(AuthMethod::Assertion));

    let strange = SigningKey::generate(Algorithm::Es256);
    let unverified = "Client authentication with signed JWT failed: Signature on JWT token failed validation";
    let used = good();
    assert_eq!(show(&pair, &used.mint(), &[]).await.0, 200);
    let rows = [
        (good().audiences(&[&issuer, &endpoint]), "Multiple audiences not allowed"),
        (good().audience("https://x.example"), "Invalid token audience"),
        (good().audience(&pair.realms.issuer("plant")), "Invalid token audience"),
        (good().without_claim("aud"), "Invalid token audience"),
        (good().without_claim("jti"), "Token jti claim is required"),
        (used, "Token reuse detected"),
        (good().without_claim("exp"), "Token exp claim is required"),
        (good().aged(100, 50), "Token is not active"),
        (good().aged(-5, 50), "Token was issued in the future"),
        (good().signed_by(strange.clone(), Algorithm::Es256), unverified),
        (good().key(strange), "Unable to load public key"),
    ];
    for (assertion, text) in rows {
        assert_eq!(refused(&show(&pair, &assertion.mint(), &[]).await), (400, "invalid_client", text));
    }
    let other = show(&pair, &good().claim("iss", "other").mint(), &[]).await;
    assert_eq!((other.0, &other.1["error"]), (401, &Value::from("invalid_client")));
    let form = [("grant_type", "client_credentials"), ("client_id", "signer"), ("client_secret", SECRET)];
    let text = "Parameter client_assertion_type is missing";
    assert_eq!(refused(&pair.post("corp", &form).await), (400, "invalid_client", text));
}

#[tokio::test]
async fn a_projected_token_authenticates_again_and_again() {
    let pair = Pair::start(Style::Keycloak).await;
    let key = SigningKey::generate(Algorithm::Es256);
    let (cluster, account) = ("https://kubernetes.default.svc", "system:serviceaccount:gateway:ferry");
    let auth = Authentication::Federated { issuer: cluster.into(), subject: account.into(), keys: vec![key.jwk()] };
    pair.realms.register("corp", Client::public("ferry", &[]).auth(auth));
    let token = |sub: &str| TokenBuilder::new(cluster, key.clone(), sub, 3600).audience(&pair.realms.issuer("corp"));
    let projected = token(account).mint();
    for changes in [&[][..], &[("client_id", "ferry")]] {
        assert_eq!(show(&pair, &projected, changes).await.0, 200);
    }
    let refusals = [
        (token("system:serviceaccount:gateway:other").mint(), 401, "Invalid client or Invalid client credentials"),
        (token(account).audience("https://kubernetes.default.svc").mint(), 400, "Invalid token audience"),
        (token(account).aged(4000, 3600).mint(), 400, "Token is not active"),
    ];
    for (projected, status, text) in refusals {
        let answer = show(&pair, &projected, &[("client_id", "ferry")]).await;
        assert_eq!(refused(&answer), (status, "invalid_client", text));
    }
}

#[tokio::test]
async fn a_secret_in_the_header_is_form_decoded_and_can_change() {
    let pair = Pair::start(Style::Keycloak).await;
    let url = pair.realms.url("corp", Endpoint::Token);
    let ask = async |secret: &str| {
        let request = pair.http.post(&url).basic_auth("fed-proxy", Some(secret));
        let answer = request.form(&[("grant_type", "client_credentials")]).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(ask("s3cret%2B%2F%3D%25").await.0, 200);
    let raw = (400, "unauthorized_client", "Unexpected error when authenticating client");
    assert_eq!(refused(&ask(SECRET).await), raw);
    pair.realms.set_secret("corp", "fed-proxy", "new");
    let wrong = (401, "unauthorized_client", "Invalid client or Invalid client credentials");
    assert_eq!(refused(&ask("s3cret%2B%2F%3D%25").await), wrong);
    assert_eq!(ask("new").await.0, 200);
    assert_eq!(pair.realms.grants("corp").last().unwrap().method, Some(AuthMethod::Basic));
}
