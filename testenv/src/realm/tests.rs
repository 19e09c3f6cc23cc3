use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Algorithm, Client, Endpoint, Fault, RealmConfig, Realms, RealmsConfig, SigningKey, User, oct_jwk, short_rsa_jwk,
};
use crate::pki;
use crate::pki::{Ca, LOOPBACK};

mod bearer;
mod client_auth;
mod exchange;
mod pair;

const AUDIENCE: &str = "https://proxy.example/mcp";

async fn corp_and_plant() -> Realms {
    let corp = RealmConfig::new("corp")
        .user(User::new("alice", &["dev", "ops"]))
        .client(Client::public("cli", &[AUDIENCE, "fed-proxy"]))
        .client(Client::confidential("fed-proxy", "s3cret+/=", &["kubernetes-corp-1"]));
    let plant = RealmConfig::new("plant").algorithm(Algorithm::Es256).user(User::new("alice", &["operators"]));
    Realms::start(RealmsConfig { realms: vec![corp, plant] }).await.unwrap()
}

fn client(realms: &Realms) -> reqwest::Client {
    let tls = (*pki::client_config(realms.ca_pem(), None, &[b"h2", b"http/1.1"])).clone();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

async fn get(realms: &Realms, url: &str) -> Value {
    let response = client(realms).get(url).send().await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    response.json().await.unwrap()
}

async fn keys(realms: &Realms, realm: &str) -> Vec<Value> {
    let document = get(realms, &realms.url(realm, Endpoint::Certs)).await;
    document["keys"].as_array().unwrap().clone()
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&decode(token.split('.').nth(index).unwrap())).unwrap()
}

/// Verifies `token` as its header says, with the key of `keys` that its header names.
fn verifies(token: &str, keys: &[Value]) -> bool {
    let header = part(token, 0);
    let Some(jwk) = keys.iter().find(|key| key["kid"] == header["kid"] && key["alg"] == header["alg"]) else {
        return false;
    };
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (signed, signature) = (signed.as_bytes(), decode(signature));
    let field = |name: &str| decode(jwk[name].as_str().unwrap());
    let rsa = || PublicKeyComponents { n: field("n"), e: field("e") };
    let point = || [vec![4], field("x"), field("y")].concat();
    let verified = match header["alg"].as_str().unwrap() {
        "RS256" => rsa().verify(&RSA_PKCS1_2048_8192_SHA256, signed, &signature),
        "PS256" => rsa().verify(&RSA_PSS_2048_8192_SHA256, signed, &signature),
        "ES256" => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point()).verify(signed, &signature),
        "ES384" => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point()).verify(signed, &signature),
        "EdDSA" => UnparsedPublicKey::new(&ED25519, field("x")).verify(signed, &signature),
        other => panic!("unexpected alg {other}"),
    };
    verified.is_ok()
}

#[tokio::test]
async fn metadata_is_found_on_all_paths() {
    let realms = corp_and_plant().await;
    let issuer = realms.issuer("corp");
    let base = format!("https://{}", realms.address());
    assert_eq!(issuer, format!("{base}/realms/corp"));
    let document = get(&realms, &realms.url("corp", Endpoint::Discovery)).await;
    assert_eq!(document["issuer"], issuer);
    assert_eq!(document["jwks_uri"], realms.url("corp", Endpoint::Certs));
    assert_eq!(document, get(&realms, &format!("{base}/.well-known/oauth-authorization-server/realms/corp")).await);
    assert_eq!(document, get(&realms, &format!("{issuer}/.well-known/oauth-authorization-server")).await);
    assert_eq!(realms.fetches("corp", Endpoint::Discovery), 3);
    assert_eq!(realms.fetches("plant", Endpoint::Discovery), 0);

    let unknown = client(&realms).get(format!("{base}/realms/no/protocol/openid-connect/certs")).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json::<Value>().await.unwrap(), json!({"error": "Realm does not exist"}));
    assert_eq!(realms.requests().last().unwrap().realm, None);
}

#[tokio::test]
async fn good_tokens_verify_and_look_like_keycloak_s() {
    let realms = corp_and_plant().await;
    let token = realms.mint("corp", "alice", AUDIENCE);
    let corp = keys(&realms, "corp").await;
    assert_eq!((corp[0]["use"].as_str(), corp[0]["alg"].as_str()), (Some("enc"), Some("RSA-OAEP")));
    assert!(verifies(&token, &corp));
    assert!(verifies(&realms.mint("plant", "alice", AUDIENCE), &keys(&realms, "plant").await));
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": realms.key("corp").kid()}));
    assert_eq!(claims["iss"], realms.issuer("corp"));
    assert_eq!(claims["sub"], realms.user("corp", "alice").sub.as_str());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    assert_eq!((&claims["aud"], &claims["typ"]), (&json!(AUDIENCE), &json!("Bearer")));
    assert_eq!((&claims["groups"], &claims["email_verified"]), (&json!(["dev", "ops"]), &json!(true)));
    let names = ["jti", "azp", "scope", "preferred_username", "email", "sid"];
    assert!(names.iter().all(|name| claims[name].is_string()), "{claims}");
}

#[tokio::test]
async fn every_algorithm_signs() {
    let realms = corp_and_plant().await;
    let all = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    for algorithm in all {
        let key = SigningKey::generate(algorithm);
        realms.set_keys("corp", vec![key]);
        let token = realms.mint("corp", "alice", AUDIENCE);
        let keys = keys(&realms, "corp").await;
        assert!(verifies(&token, &keys), "{algorithm:?}");
        let (head, _) = token.rsplit_once('.').unwrap();
        let forged = format!("{head}.{}", URL_SAFE_NO_PAD.encode([7; 64]));
        assert!(!verifies(&forged, &keys), "{algorithm:?}");
    }
}

#[tokio::test]
async fn bad_tokens_are_bad_in_the_way_asked_for() {
    let realms = corp_and_plant().await;
    let good = realms.token("corp", "alice", AUDIENCE);
    let corp = keys(&realms, "corp").await;

    let stranger = SigningKey::generate(Algorithm::Es256);
    assert!(!verifies(&good.clone().key(stranger.clone()).mint(), &corp));
    let own = good.clone().embedded_jwk(stranger).mint();
    assert_eq!((&part(&own, 0)["kid"], &part(&own, 0)["jwk"]["kty"]), (&corp[1]["kid"], &json!("EC")));
    assert!(part(&own, 0)["jwk"].get("d").is_none(), "no private key in a header");

    let other = good.clone().key(realms.key("plant")).mint();
    assert_eq!(part(&other, 1)["iss"], realms.issuer("corp"));
    assert!(verifies(&other, &keys(&realms, "plant").await));

    let pem = realms.key("corp").public_pem();
    let confused = good.clone().hs256(pem.as_bytes()).mint();
    let (signed, signature) = confused.rsplit_once('.').unwrap();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, pem.as_bytes());
    assert!(hmac::verify(&secret, signed.as_bytes(), &decode(signature)).is_ok());
    assert_eq!(part(&confused, 0)["alg"], "HS256");

    let unsigned = good.clone().unsigned("nOnE").mint();
    assert!(unsigned.ends_with('.'));
    assert_eq!(part(&unsigned, 0)["alg"], "nOnE");

    let edited = good.clone().claim("iss", json!([realms.issuer("corp")])).without_claim("sub").claim("exp", "soon");
    let edited = edited.header("crit", json!(["b64"])).header("b64", false).mint();
    assert!(verifies(&edited, &corp), "only the content is bad");
    assert!(part(&edited, 1)["iss"].is_array() && part(&edited, 1).get("sub").is_none());

    let huge = good.clone().raw_payload(good.payload_text().replacen("\"exp\":", "\"exp\":1e19,\"was\":", 1)).mint();
    assert!(verifies(&huge, &corp));
    assert!(part(&huge, 1)["exp"].as_f64().unwrap() > 9e18);
    let twice = good.clone().duplicate_claim("groups", &json!(["system:masters"])).mint();
    let text = String::from_utf8(decode(twice.split('.').nth(1).unwrap())).unwrap();
    assert_eq!(text.matches("\"groups\":").count(), 2);
    assert!(good.clone().padded_to(64 << 10).mint().len() > 64 << 10);
    let nested = good.clone().nested(5000).mint();
    assert!(verifies(&nested, &corp));
    assert!(decode(nested.split('.').nth(1).unwrap()).ends_with(b"]]}"));
    assert_eq!(good.mint_encrypted().split('.').count(), 5);
    let old = part(&good.aged(600, 300).mint(), 1);
    assert_eq!(old["exp"].as_i64().unwrap() - old["iat"].as_i64().unwrap(), 300);
    assert!(old["exp"].as_i64().unwrap() <= super::mint::now() - 300);
}

#[tokio::test]
async fn keys_rotate_and_may_share_an_id() {
    let realms = corp_and_plant().await;
    let first = realms.mint("corp", "alice", AUDIENCE);
    realms.rotate("corp", true);
    let second = realms.mint("corp", "alice", AUDIENCE);
    assert_ne!(part(&first, 0)["kid"], part(&second, 0)["kid"]);
    let both = keys(&realms, "corp").await;
    assert!(verifies(&first, &both) && verifies(&second, &both));
    realms.rotate("corp", false);
    let one = keys(&realms, "corp").await;
    assert_eq!(one.len(), 2, "an encryption key and a signing key");
    assert!(!verifies(&first, &one) && verifies(&realms.mint("corp", "alice", AUDIENCE), &one));

    let twins = [Algorithm::Rs256, Algorithm::Es256].map(|algorithm| SigningKey::generate(algorithm).with_kid("k"));
    realms.set_keys("corp", twins.to_vec());
    realms.publish("corp", vec![oct_jwk("oct", b"secret"), short_rsa_jwk("short")]);
    let set = keys(&realms, "corp").await;
    assert_eq!(set.iter().filter(|key| key["kid"] == "k").count(), 2);
    assert!(verifies(&realms.token("corp", "alice", AUDIENCE).key(twins[1].clone()).mint(), &set));
    assert_eq!(
        set.iter().map(|key| key["kty"].as_str().unwrap()).collect::<Vec<_>>(),
        ["RSA", "RSA", "EC", "oct", "RSA"]
    );
}

#[tokio::test]
async fn metadata_can_lie() {
    let realms = corp_and_plant().await;
    realms.set_metadata("corp", "issuer", format!("{}/", realms.issuer("corp")));
    realms.set_metadata("corp", "jwks_uri", "http://127.0.0.1:9/certs");
    realms.set_metadata("corp", "token_endpoint", Value::Null);
    let document = get(&realms, &realms.url("corp", Endpoint::Discovery)).await;
    assert!(document["issuer"].as_str().unwrap().ends_with("/corp/"));
    assert_eq!(document["jwks_uri"], "http://127.0.0.1:9/certs");
    assert!(document.get("token_endpoint").is_none());
    realms.heal("corp");
    let document = get(&realms, &realms.url("corp", Endpoint::Discovery)).await;
    assert_eq!(document["issuer"], realms.issuer("corp"));
}

#[tokio::test]
async fn endpoints_misbehave_as_told() {
    let realms = corp_and_plant().await;
    let url = realms.url("corp", Endpoint::Certs);
    let client = client(&realms);
    let fetch = || client.get(&url).send();

    realms.fault("corp", Endpoint::Certs, Fault::Redirect("https://127.0.0.1:9/x".to_owned()));
    let moved = fetch().await.unwrap();
    assert_eq!(
        (moved.status().as_u16(), moved.headers()["location"].as_bytes()),
        (302, b"https://127.0.0.1:9/x".as_slice())
    );
    realms.fault("corp", Endpoint::Certs, Fault::Html);
    let page = fetch().await.unwrap();
    assert_eq!((page.status().as_u16(), page.headers()["content-type"].as_bytes()), (200, b"text/html".as_slice()));
    realms.fault("corp", Endpoint::Certs, Fault::Huge(10 << 20));
    let huge = fetch().await.unwrap();
    assert_eq!(huge.content_length(), None);
    assert!(huge.bytes().await.unwrap().len() > 10 << 20);
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let raw = Fault::Raw { status: 203, headers, body: Bytes::from_static(b"{}") };
    realms.fault("corp", Endpoint::Certs, raw);
    assert_eq!(fetch().await.unwrap().status(), 203);
    realms.fault("corp", Endpoint::Certs, Fault::Reset);
    assert!(fetch().await.is_err());

    realms.fault("corp", Endpoint::Certs, Fault::Drip(Duration::from_millis(20)));
    let mut drip = fetch().await.unwrap();
    let started = Instant::now();
    for expected in ["{", "\"", "k"] {
        assert_eq!(drip.chunk().await.unwrap().unwrap(), expected);
    }
    assert!(started.elapsed() >= Duration::from_millis(40));
    drop(drip);

    realms.fault_times("corp", Endpoint::Certs, Fault::Status(500), 2);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(fetch().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 200]);
    assert!(realms.fetches("corp", Endpoint::Certs) >= 9);
    assert_eq!(keys(&realms, "plant").await.len(), 2, "another realm is well");
}

#[tokio::test]
async fn a_server_goes_down_and_comes_back() {
    let realms = corp_and_plant().await;
    let url = realms.url("corp", Endpoint::Certs);
    let kept = client(&realms);
    kept.get(&url).send().await.unwrap();
    realms.down().await;
    assert!(kept.get(&url).send().await.unwrap_err().is_connect());
    realms.up().await.unwrap();
    assert_eq!(kept.get(&url).send().await.unwrap().status(), 200);
    realms.present(&Ca::new("stranger").server(LOOPBACK));
    assert!(client(&realms).get(&url).send().await.is_err());
    realms.present(&realms.ca().expired_server(LOOPBACK));
    assert!(client(&realms).get(&url).send().await.is_err());
    realms.present(&realms.ca().server(LOOPBACK));
    assert!(client(&realms).get(&url).send().await.is_ok());
}

async fn ask(realms: &Realms, basic: Option<(&str, &str)>, form: &[(&str, &str)]) -> (u16, Value) {
    let mut request = client(realms).post(realms.url("corp", Endpoint::Token)).form(form);
    if let Some((id, secret)) = basic {
        request = request.basic_auth(id, Some(secret));
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_user_signs_in_by_password() {
    let realms = corp_and_plant().await;
    let alice = realms.user("corp", "alice");
    let form = [("grant_type", "password"), ("client_id", "cli"), ("username", "alice")];
    let good = [&form[..], &[("password", alice.password.as_str()), ("scope", "openid")]].concat();
    let (status, body) = ask(&realms, None, &good).await;
    assert_eq!((status, &body["token_type"]), (200, &json!("Bearer")));
    let token = body["access_token"].as_str().unwrap();
    assert!(verifies(token, &keys(&realms, "corp").await));
    let claims = part(token, 1);
    assert_eq!((&claims["azp"], &claims["aud"]), (&json!("cli"), &json!([AUDIENCE, "fed-proxy"])));
    assert_eq!((&claims["scope"], claims["sub"].as_str()), (&body["scope"], Some(alice.sub.as_str())));
    let (status, body) = ask(&realms, None, &[&form[..], &[("password", "wrong")]].concat()).await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_grant")));
}

#[tokio::test]
async fn a_client_needs_its_secret() {
    let realms = corp_and_plant().await;
    let grant = ("grant_type", "client_credentials");
    // Percent-encoded, as RFC 6749 section 2.3.1 has it.
    let (status, body) = ask(&realms, Some(("fed-proxy", "s3cret%2B%2F%3D")), &[grant]).await;
    assert_eq!(status, 200, "{body}");
    let claims = part(body["access_token"].as_str().unwrap(), 1);
    assert_eq!(claims["preferred_username"], "service-account-fed-proxy");
    assert_eq!(claims["aud"], "kubernetes-corp-1");
    let post = [grant, ("client_id", "fed-proxy"), ("client_secret", "s3cret+/=")];
    let (status, again) = ask(&realms, None, &post).await;
    assert_eq!(status, 200);
    assert_eq!(part(again["access_token"].as_str().unwrap(), 1)["sub"], claims["sub"]);

    let errors = [
        (Some(("fed-proxy", "wrong")), vec![grant], 401, "unauthorized_client"),
        (Some(("nobody", "x")), vec![grant], 401, "invalid_client"),
        (None, vec![grant, ("client_id", "cli")], 401, "unauthorized_client"),
        (None, vec![("client_id", "cli")], 400, "invalid_request"),
        (None, vec![("grant_type", "magic"), ("client_id", "cli")], 400, "unsupported_grant_type"),
        (None, vec![grant, grant], 400, "invalid_request"),
    ];
    for (basic, form, status, error) in errors {
        let (got, body) = ask(&realms, basic, &form).await;
        assert_eq!((got, body["error"].as_str()), (status, Some(error)), "{form:?}");
    }
    let get = client(&realms).get(realms.url("corp", Endpoint::Token)).send().await.unwrap();
    assert_eq!(get.status(), 405);
}

#[tokio::test]
async fn names_must_be_plain_and_no_secret_is_printed() {
    assert!(Realms::start(RealmsConfig::named(&["a", "a"])).await.is_err());
    assert!(Realms::start(RealmsConfig::named(&["a/b"])).await.is_err());
    let config =
        RealmConfig::new("corp").user(User::new("alice", &[])).client(Client::confidential("c", "s3cret", &[]));
    let text = format!("{config:?}");
    assert!(!text.contains("s3cret") && !text.contains(&config.users[0].password), "{text}");
}
