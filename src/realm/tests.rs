//! Rows of table B that need a realm on the wire: a small https server on loopback that answers as told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Algorithm, RealmConfig, RealmError, RealmReader};
use crate::model::{RealmName, chain};

/// What the server answers to one path.
#[derive(Clone)]
enum Answer {
    Json(String),
    Raw(Vec<u8>),
    /// The head, and then a byte now and then.
    Drip,
    /// More and more, without a length.
    Endless,
}

/// A realm of one test. Ends with the test's runtime.
struct Realm {
    port: u16,
    ca: String,
    log: Arc<Mutex<Vec<String>>>,
    routes: Arc<Mutex<Vec<(String, Answer)>>>,
}

impl Realm {
    /// With a certificate for these names, that ends in this year.
    async fn start(names: &[&str], year: i32) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut ca_params = CertificateParams::new(Vec::new()).unwrap();
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = ca_params.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &Issuer::from_params(&ca_params, &ca_key)).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (log, routes) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<(String, Answer)>>>::default());
        let realm = Self { port, ca: ca.pem(), log: Arc::clone(&log), routes: Arc::clone(&routes) };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, log, routes) = (acceptor.clone(), Arc::clone(&log), Arc::clone(&routes));
                tokio::spawn(async move {
                    log.lock().unwrap().push("connection".to_owned());
                    let Ok(mut stream) = acceptor.accept(socket).await else {
                        return;
                    };
                    let mut head = vec![0; 8192];
                    let read = stream.read(&mut head).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&head[..read]).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let answer = routes
                        .lock()
                        .unwrap()
                        .iter()
                        .find(|(route, _)| *route == path)
                        .map(|(_, answer)| answer.clone());
                    log.lock().unwrap().push(path);
                    let _ended = reply(&mut stream, answer).await;
                    let _closed = stream.shutdown().await;
                });
            }
        });
        realm
    }

    fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn route(&self, path: &str, answer: Answer) {
        let mut routes = self.routes.lock().unwrap();
        routes.retain(|(route, _)| route != path);
        routes.push((path.to_owned(), answer));
    }

    /// A discovery document with these members changed.
    fn discovery(&self, changes: &[(&str, &str)]) {
        let issuer = self.issuer();
        let mut document = serde_json::json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "token_endpoint": format!("{issuer}/token"), "extra": [1],
        });
        for (name, value) in changes {
            document[*name] = (*value).into();
        }
        self.route("/.well-known/openid-configuration", Answer::Json(document.to_string()));
    }

    fn config(&self) -> RealmConfig {
        let mut config = RealmConfig::new(RealmName::parse("corp").unwrap(), self.issuer());
        config.ca = Some(Arc::from(self.ca.as_bytes()));
        config.allow_private = true;
        config
    }

    fn reader(&self) -> RealmReader {
        RealmReader::new(&self.config()).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().filter(|line| *line != "connection").cloned().collect()
    }

    async fn good() -> Self {
        let realm = Self::start(&["localhost", "127.0.0.1"], 2100).await;
        realm.discovery(&[]);
        realm.route("/keys", Answer::Json(KEYS.to_owned()));
        realm
    }
}

const KEYS: &str =
    r#"{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","use":"sig"},{"kid":"no kty"},"x",{"kty":"future"}]}"#;

async fn reply(stream: &mut (impl tokio::io::AsyncWrite + Unpin), answer: Option<Answer>) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n";
    match answer {
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await,
        Some(Answer::Json(body)) => {
            stream
                .write_all(
                    format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                        .as_bytes(),
                )
                .await
        }
        Some(Answer::Raw(bytes)) => stream.write_all(&bytes).await,
        Some(Answer::Drip) => {
            stream.write_all(format!("{head}content-length: 100000\r\n\r\n").as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
        Some(Answer::Endless) => {
            stream.write_all(format!("{head}\r\n{{\"keys\":[\"").as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
    }
}

fn text(error: &RealmError) -> String {
    chain(error)
}

#[tokio::test]
async fn a_good_realm_is_read() {
    let realm = Realm::good().await;
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
    let realm = Realm::good().await;
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
    let realm = Realm::good().await;
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
    let realm = Realm::good().await;
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
    let realm = Realm::good().await;
    realm.route("/keys", Answer::Drip);
    let began = Instant::now();
    assert!(realm.reader().keys().await.is_err());
    assert!((4..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn b07_the_documents_issuer_is_compared_exactly() {
    let realm = Realm::good().await;
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
    let realm = Realm::good().await;
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
    let good = Realm::good().await;
    let mut other_ca = good.config();
    other_ca.ca = Some(Arc::from(Realm::good().await.ca.as_bytes()));
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
    let realm = Realm::good().await;
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
    assert!(realm.log.lock().unwrap().is_empty(), "not even a connection");
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
