//! Rows of table B that need a realm on the wire.

use std::sync::Arc;
use std::time::Instant;

use super::fake::{Answer, Realm};
use super::{Algorithm, RealmConfig, RealmError, RealmReader};
use crate::model::{RealmName, chain};

const KEYS: &str =
    r#"{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","use":"sig"},{"kid":"no kty"},"x",{"kty":"future"}]}"#;

async fn good_realm() -> Realm {
    let realm = Realm::start(&["localhost", "127.0.0.1"], 2100).await;
    realm.discovery(&[]);
    realm.route("/keys", Answer::Json(KEYS.to_owned()));
    realm
}

fn text(error: &RealmError) -> String {
    chain(error)
}

#[tokio::test]
async fn a_good_realm_is_read() {
    let realm = good_realm().await;
    let reader = realm.reader();
    let metadata = reader.metadata().await.unwrap();
    assert_eq!((metadata.issuer, metadata.token_endpoint), (realm.issuer(), Some(format!("{}/token", realm.issuer()))));
    let keys = reader.keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.kty.as_str()).collect::<Vec<_>>(), ["RSA", "future"]);
    reader.keys().await.unwrap();
    assert_eq!(
        realm.asked(),
        ["/.well-known/openid-configuration", "/keys", "/keys"],
        "the document is kept, the keys are not"
    );
}

#[tokio::test]
async fn discovery_is_shared_by_those_who_wait() {
    let realm = good_realm().await;
    realm.discovery(&[("issuer", "https://other")]);
    let reader = realm.reader();
    let answers = futures::future::join_all((0..20).map(|_| reader.metadata())).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(realm.asked().len(), 1);
    realm.discovery(&[]);
    assert!(reader.metadata().await.is_ok(), "a failure is not kept");
}

#[tokio::test]
async fn b04_redirects_are_not_followed() {
    let realm = good_realm().await;
    let moved = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}/secret\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        realm.issuer()
    );
    realm.route("/keys", Answer::Raw(moved.clone().into_bytes()));
    let error = realm.reader().keys().await.unwrap_err();
    assert!(text(&error).contains("answered 302"), "{}", text(&error));
    realm.route("/.well-known/openid-configuration", Answer::Raw(moved.into_bytes()));
    assert!(realm.reader().metadata().await.is_err());
    assert!(!realm.asked().contains(&"/secret".to_owned()));
}

#[tokio::test]
async fn b05_hostile_bodies_are_bounded() {
    let realm = good_realm().await;
    let reader = realm.reader();
    let mut zip = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n".to_vec();
    zip.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]);
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n{}", "x".repeat(300_000));
    for (answer, why) in [
        (Answer::Endless, "larger than 262144 bytes"),
        (Answer::Raw(large.into_bytes()), "larger than 262144 bytes"),
        (Answer::Json("<html>".to_owned()), "not a JWKS"),
        (Answer::Json(r#"{"keys":{}}"#.to_owned()), "not a JWKS"),
        (Answer::Json(format!(r#"{{"keys":{}}}"#, "[".repeat(200_000))), "not a JWKS"),
        (Answer::Raw(zip), "not a JWKS"),
        (Answer::Raw(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec()), "answered 500"),
        (Answer::Raw(b"nonsense".to_vec()), "reading the keys from https://localhost"),
    ] {
        realm.route("/keys", answer);
        let error = reader.keys().await.unwrap_err();
        assert!(text(&error).contains(why), "{}", text(&error));
    }
    realm.route("/.well-known/openid-configuration", Answer::Endless);
    let error = realm.reader().metadata().await.unwrap_err();
    assert!(text(&error).contains("larger than 65536 bytes"), "{}", text(&error));
}

#[tokio::test]
async fn b05_a_slow_drip_ends_after_five_seconds() {
    let realm = good_realm().await;
    realm.route("/keys", Answer::Drip);
    let began = Instant::now();
    assert!(realm.reader().keys().await.is_err());
    assert!((4..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn b07_the_documents_issuer_is_compared_exactly() {
    let realm = good_realm().await;
    let issuer = realm.issuer();
    for other in [format!("{issuer}/"), issuer.to_uppercase(), issuer.replace("https", "http"), String::new()] {
        realm.discovery(&[("issuer", &other)]);
        let error = realm.reader().keys().await.unwrap_err();
        assert!(text(&error).contains("not the configured one"), "{}", text(&error));
    }
    assert!(!realm.asked().contains(&"/keys".to_owned()));
}

#[tokio::test]
async fn b08_endpoints_elsewhere_are_refused() {
    let realm = good_realm().await;
    let port = realm.port;
    let user = format!("https://u:p@localhost:{port}/token");
    for elsewhere in [
        "https://evil.example/x",
        &format!("http://localhost:{port}/x"),
        &format!("https://127.0.0.1:{port}/x"),
        "file:///etc/passwd",
        &user,
        "/x",
        "",
    ] {
        for endpoint in ["token_endpoint", "jwks_uri"] {
            realm.discovery(&[(endpoint, elsewhere)]);
            let error = realm.reader().metadata().await.unwrap_err();
            assert!(matches!(error, RealmError::Refused { .. }), "{}", text(&error));
        }
    }
    // The host of discovery_url counts as the realm's own.
    realm.discovery(&[("jwks_uri", &format!("https://127.0.0.1:{port}/keys"))]);
    let mut config = realm.config();
    config.discovery_url = Some(format!("https://127.0.0.1:{port}/.well-known/openid-configuration"));
    assert_eq!(RealmReader::new(&config).unwrap().keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn b10_tls_that_does_not_prove_the_realm() {
    let good = good_realm().await;
    let mut other_ca = good.config();
    other_ca.ca = Some(Arc::from(good_realm().await.ca.as_bytes()));
    let (wrong_name, expired) =
        (Realm::start(&["other.example"], 2100).await, Realm::start(&["localhost"], 2001).await);
    for config in [other_ca, wrong_name.config(), expired.config()] {
        let error = text(&RealmReader::new(&config).unwrap().keys().await.unwrap_err());
        assert!(error.contains("realm corp") && error.contains("ca_file, the CA"), "{error}");
    }
    assert!(good.asked().is_empty() && wrong_name.asked().is_empty() && expired.asked().is_empty());
    for ca in ["", "no pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let mut config = good.config();
        config.ca = Some(Arc::from(ca.as_bytes()));
        assert!(RealmReader::new(&config).is_err(), "{ca}");
    }
}

#[tokio::test]
async fn b11_private_addresses_are_refused_at_connect_time() {
    let realm = good_realm().await;
    let port = realm.port;
    for issuer in [
        realm.issuer(),
        format!("https://127.0.0.1:{port}"),
        format!("https://[::1]:{port}"),
        format!("https://0x7f.1:{port}"),
        "https://169.254.169.254".to_owned(),
    ] {
        let mut config = realm.config();
        config.issuer = issuer;
        config.allow_private = false;
        let error = text(&RealmReader::new(&config).unwrap().keys().await.unwrap_err());
        assert!(error.contains("private address") && error.contains("allow_private"), "{error}");
    }
    assert!(realm.untouched(), "not even a connection");
}

#[tokio::test]
async fn keys_from_a_file_need_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, KEYS).unwrap();
    let mut config = RealmConfig::new(RealmName::parse("corp").unwrap(), "kubernetes/serviceaccount");
    config.jwks_file = Some(path.clone());
    let reader = RealmReader::new(&config).unwrap();
    assert_eq!(reader.keys().await.unwrap().len(), 2);
    assert!(reader.metadata().await.is_err());
    std::fs::write(&path, format!("{KEYS}{}", " ".repeat(300_000))).unwrap();
    assert!(text(&reader.keys().await.unwrap_err()).contains("larger than 256 KiB"));
    std::fs::remove_file(&path).unwrap();
    assert!(text(&reader.keys().await.unwrap_err()).contains("jwks.json"));
}

#[test]
fn issuers_are_https_addresses() {
    for bad in ["http://kc.example", "kc.example", "https://u@kc.example", "https://kc.example/#f", ""] {
        let config = RealmConfig::new(RealmName::parse("corp").unwrap(), bad);
        assert!(matches!(RealmReader::new(&config), Err(RealmError::Config { .. })), "{bad}");
    }
}

#[test]
fn words_of_algorithms_are_exact() {
    assert!(Algorithm::ALL.into_iter().all(|algorithm| Algorithm::parse(algorithm.word()) == Some(algorithm)));
    for bad in ["none", "HS256", "HS384", "HS512", "rs256", "RS256 ", ""] {
        assert_eq!(Algorithm::parse(bad), None, "{bad}");
    }
}
