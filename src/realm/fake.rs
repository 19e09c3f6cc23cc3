//! A small https server on loopback that answers as told: a realm for unit tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{RealmConfig, RealmReader};
use crate::model::RealmName;

/// What the server answers to one path.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(String),
    /// JSON made of the request, head and body.
    Made(Arc<dyn Fn(&str) -> String + Send + Sync>),
    Raw(Vec<u8>),
    /// Chosen by the request, head and body.
    Chosen(Arc<dyn Fn(&str) -> Self + Send + Sync>),
    /// The head, and then a byte now and then.
    Drip,
    /// More and more, without a length.
    Endless,
}

/// A realm of one test. Ends with the test's runtime.
pub(crate) struct Realm {
    pub(crate) port: u16,
    pub(crate) ca: String,
    log: Arc<Mutex<Vec<String>>>,
    routes: Arc<Mutex<Vec<(String, Answer)>>>,
}

impl Realm {
    /// With a certificate for these names, that ends in this year.
    pub(crate) async fn start(names: &[&str], year: i32) -> Self {
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
                    let request = request(&mut stream).await;
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    let routed = |wanted: &str| {
                        let routes = routes.lock().unwrap();
                        routes.iter().find(|(route, _)| route == wanted).map(|(_, answer)| answer.clone())
                    };
                    let answer = routed(&path).or_else(|| routed("*"));
                    log.lock().unwrap().push(path);
                    let answer = match answer {
                        Some(Answer::Chosen(choose)) => Some(choose(&request)),
                        answer => answer,
                    };
                    let answer = match answer {
                        Some(Answer::Made(make)) => Some(Answer::Json(make(&request))),
                        answer => answer,
                    };
                    let _ended = reply(&mut stream, answer).await;
                    let _closed = stream.shutdown().await;
                });
            }
        });
        realm
    }

    pub(crate) fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// What this path is answered, with its query; path `*` is every other one.
    pub(crate) fn route(&self, path: &str, answer: Answer) {
        let mut routes = self.routes.lock().unwrap();
        routes.retain(|(route, _)| route != path);
        routes.push((path.to_owned(), answer));
    }

    /// A discovery document with these members changed.
    pub(crate) fn discovery(&self, changes: &[(&str, &str)]) {
        let issuer = self.issuer();
        let mut document = serde_json::json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "token_endpoint": format!("{issuer}/token"), "extra": [1],
        });
        for (name, value) in changes {
            document[*name] = (*value).into();
        }
        self.route("/.well-known/openid-configuration", Answer::Json(document.to_string()));
    }

    pub(crate) fn config(&self) -> RealmConfig {
        let mut config = RealmConfig::new(RealmName::parse("corp").unwrap(), self.issuer());
        config.ca = Some(Arc::from(self.ca.as_bytes()));
        config.allow_private = true;
        config
    }

    pub(crate) fn reader(&self) -> RealmReader {
        RealmReader::new(&self.config()).unwrap()
    }

    /// True while nobody connected.
    pub(crate) fn untouched(&self) -> bool {
        self.log.lock().unwrap().is_empty()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().filter(|line| *line != "connection").cloned().collect()
    }
}

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
        Some(Answer::Made(_) | Answer::Chosen(_)) => unreachable!("it was made before"),
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

/// Head and body of one request.
async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 8192]);
    loop {
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { if read == 0 { return text } else { continue } };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if read == 0 || body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}
