//! The whole listener in this process on a free port, with raw clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Limits, LiveSource, Server, ServerConfig, ServerError, Tls};
use crate::auth::{AuthConfig, Authenticator, Keys, LocalMode};
use crate::dispatch::{CallLimits, Live, Profiles, ReloadStatus};
use crate::inventory::Snapshot;
use crate::model::{Admission, Caller, Principal, RealmName, SubjectToken};
use crate::output::Seal;
use crate::policy::{Policy, PolicyConfig};
use crate::pool::Pool;
use crate::tools::Catalog;

const SOON: Duration = Duration::from_secs(5);

/// A generation that serves nobody.
pub(super) fn live() -> LiveSource {
    live_with(CallLimits::default())
}

pub(super) fn live_with(calls: CallLimits) -> LiveSource {
    crate::auth::install_crypto();
    let config = AuthConfig {
        realms: Vec::new(),
        home: Vec::new(),
        resource: None,
        audiences: Vec::new(),
        passthrough_audiences: BTreeMap::new(),
        gateway_server_names: Vec::new(),
        required_scopes: Vec::new(),
        local: LocalMode::Off,
        generation: 1,
    };
    let live = Live {
        generation: 1,
        auth: Arc::new(Authenticator::new(config, Arc::new(Keys::new())).unwrap()),
        inventory: Snapshot::new(Vec::new(), BTreeMap::new()),
        policy: Policy::new(PolicyConfig::default()),
        pool: Pool::default(),
        catalog: Arc::new(Catalog::new(&[]).unwrap()),
        seal: Arc::new(Seal::random().unwrap()),
        status: Arc::new(ReloadStatus::default()),
        calls,
        profiles: Profiles::default(),
    };
    Arc::new(ArcSwap::from_pointee(live))
}

pub(super) fn principal(sub: &str) -> Principal {
    Principal {
        realm: RealmName::local(),
        iss: "local".to_owned(),
        sub: sub.to_owned(),
        username: sub.to_owned(),
        groups: Vec::new(),
        scopes: Vec::new(),
        audiences: Vec::new(),
        azp: None,
        issued: None,
        expires: None,
        token_digest: [0; 32],
        admission: Admission::Full,
        roles: None,
        shared: false,
    }
}

pub(super) fn caller(sub: &str) -> Caller {
    Caller::new(Arc::new(principal(sub)), SubjectToken::none())
}

pub(super) fn config(limits: Limits) -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        resource: Some("https://ferry.example/mcp".to_owned()),
        allowed_hosts: Vec::new(),
        allowed_origins: Vec::new(),
        tls: None,
        legacy_sessions: false,
        limits,
        scopes_supported: Vec::new(),
        metrics_listen: None,
    }
}

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(limits: Limits) -> Running {
    let server = Server::bind(config(limits), live()).await.unwrap();
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let task = tokio::spawn(server.serve(shutdown.clone()));
    Running { address, shutdown, task }
}

impl Running {
    /// Sends `head` and gives the whole answer; the connection closes after it.
    async fn ask(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(SOON, self.task).await.unwrap().unwrap();
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end too.
    let _read = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    String::from_utf8(answer).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn health_is_open_to_probes_and_verbose_to_known_hosts() {
    let server = start(Limits::default()).await;
    for path in ["/livez", "/healthz", "/readyz"] {
        let answer = server.ask(&format!("GET {path} HTTP/1.1\r\nhost: 10.9.8.7:80")).await;
        assert!(answer.starts_with("http/1.1 200 ") && answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    let verbose = server.ask("GET /readyz?verbose HTTP/1.1\r\nhost: localhost").await;
    assert!(verbose.contains("[+]listener ok") && verbose.contains("generation 1"), "{verbose}");
    let stranger = server.ask("GET /readyz?verbose HTTP/1.1\r\nhost: evil.example").await;
    assert!(stranger.ends_with("\r\n\r\nok"), "{stranger}");
    assert!(server.ask("POST /readyz HTTP/1.1\r\nhost: localhost").await.starts_with("http/1.1 405 "));
    server.stop().await;
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_its_hosts() {
    let server = start(Limits::default()).await;
    server.ask("POST /mcp HTTP/1.1\r\nhost: localhost").await;
    server.ask("GET /no/such/page HTTP/1.1\r\nhost: localhost").await;
    let page = server.ask("GET /metrics HTTP/1.1\r\nhost: localhost").await;
    assert!(page.starts_with("http/1.1 200 ") && page.contains("application/openmetrics-text"), "{page}");
    for line in [
        "kubeferry_http_requests_total{route=\"/mcp\",status_class=\"4xx\"} 1",
        "kubeferry_http_requests_total{route=\"other\",status_class=\"4xx\"} 1",
        "kubeferry_inventory_generation 1",
        "kubeferry_connections 1",
        "k8s_mcp_server_info{version=",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    assert!(page.ends_with("# eof\n") && !page.contains("/no/such/page"), "{page}");
    for (head, status) in [
        ("GET /metrics HTTP/1.1\r\nhost: evil.example", 403),
        ("GET /metrics HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example", 403),
        ("GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: 203.0.113.9", 404),
        ("POST /metrics HTTP/1.1\r\nhost: localhost", 405),
    ] {
        let answer = server.ask(head).await;
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{head}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn strangers_and_unknown_paths_do_not_come_in() {
    let server = start(Limits::default()).await;
    let host = server.ask("POST /mcp HTTP/1.1\r\nhost: evil.example").await;
    assert!(host.starts_with("http/1.1 403 "), "{host}");
    let origin = server.ask("POST /mcp HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example").await;
    assert!(origin.starts_with("http/1.1 403 ") && !origin.contains("access-control"), "{origin}");
    assert!(server.ask("GET /admin HTTP/1.1\r\nhost: localhost").await.starts_with("http/1.1 404 "));
    let local = server.ask("GET /.well-known/oauth-protected-resource HTTP/1.1\r\nhost: localhost").await;
    assert!(local.starts_with("http/1.1 404 "), "without realms there is no metadata: {local}");
    server.stop().await;
}

#[tokio::test]
async fn mcp_without_credentials_is_401_for_every_method() {
    let server = start(Limits::default()).await;
    for method in ["POST", "GET", "DELETE"] {
        let answer = server.ask(&format!("{method} /mcp HTTP/1.1\r\nhost: localhost\r\nx-request-id: mine")).await;
        assert!(answer.starts_with("http/1.1 401 "), "{answer}");
        assert!(answer.contains("\"error\":\"unauthorized\""), "{answer}");
        assert!(answer.contains("\r\nx-request-id: ") && !answer.contains("mine"), "{answer}");
    }
    let preflight = server.ask("OPTIONS /mcp HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost:6274").await;
    assert!(preflight.starts_with("http/1.1 204 "), "{preflight}");
    assert!(preflight.contains("access-control-allow-origin: http://localhost:6274"), "{preflight}");
    server.stop().await;
}

#[tokio::test]
async fn a_slow_head_is_ended_and_a_kept_connection_is_not() {
    let limits = Limits { header_read: Duration::from_millis(200), ..Limits::default() };
    let server = start(limits).await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: loc").await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    assert_eq!(read_to_end(&mut slow).await, "");
    assert!(began.elapsed() < Duration::from_secs(3));
    let mut kept = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        kept.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let read = timeout(SOON, kept.read(&mut answer)).await.unwrap().unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        sleep(Duration::from_millis(600)).await;
    }
    drop(kept);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_ended() {
    let server = start(Limits { idle: Duration::from_millis(200), ..Limits::default() }).await;
    let mut kept = TcpStream::connect(server.address).await.unwrap();
    kept.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut kept).await.starts_with("http/1.1 200 "));
    server.stop().await;
}

#[tokio::test]
async fn connections_over_the_cap_are_told_so() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    let read = timeout(SOON, first.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    let mut second = TcpStream::connect(server.address).await.unwrap();
    assert!(read_to_end(&mut second).await.starts_with("http/1.1 503 "));
    drop(first);
    let freed = async {
        while !server.ask("GET /livez HTTP/1.1\r\nhost: localhost").await.starts_with("http/1.1 200 ") {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, freed).await.expect("the place is free again");
    server.stop().await;
}

#[tokio::test]
async fn a_head_over_its_limit_is_431() {
    let server = start(Limits { header_bytes: 8 << 10, ..Limits::default() }).await;
    let answer =
        server.ask(&format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-long: {}", "a".repeat(16 << 10))).await;
    assert!(answer.starts_with("http/1.1 431 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn shutdown_closes_idle_connections_at_once_and_cuts_the_rest_after_the_drain() {
    let server = start(Limits { drain: Duration::from_millis(300), ..Limits::default() }).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    assert!(timeout(SOON, idle.read(&mut answer)).await.unwrap().unwrap() > 0);
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nhost: loc").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    server.shutdown.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(began.elapsed() < Duration::from_millis(250), "an idle connection need not wait for the drain");
    timeout(SOON, server.task).await.unwrap().unwrap();
    assert_eq!(read_to_end(&mut half).await, "");
    assert!(TcpStream::connect(server.address).await.is_err(), "the port is free");
}

#[tokio::test]
async fn a_taken_port_is_a_one_line_error() {
    let server = start(Limits::default()).await;
    let taken = ServerConfig { listen: server.address, ..config(Limits::default()) };
    let error = Server::bind(taken, live()).await.unwrap_err();
    assert!(matches!(error, ServerError::Listen { .. }), "{error}");
    assert!(!crate::model::chain(&error).contains('\n'));
    server.stop().await;
}

#[tokio::test]
async fn tls_speaks_http2_and_ends_it_at_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let files = Tls { cert_file: folder.path().join("tls.crt"), key_file: folder.path().join("tls.key") };
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&files.cert_file, made.cert.pem()).unwrap();
    std::fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
    let config = ServerConfig { tls: Some(files), ..config(Limits::default()) };
    let server = Server::bind(config, live()).await.unwrap();
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let task = tokio::spawn(server.serve(shutdown.clone()));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = versions.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let ask = |path: &str| {
        let uri = format!("https://localhost:{}{path}", address.port());
        ::http::Request::post(uri).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap()
    };
    let answer = timeout(SOON, send.send_request(ask("/mcp"))).await.unwrap().unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (::http::Version::HTTP_2, 401));
    shutdown.cancel();
    timeout(SOON, task).await.unwrap().unwrap();
    timeout(SOON, connection).await.unwrap().unwrap().unwrap();
}
