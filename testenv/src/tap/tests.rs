use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc;
use http::{Request, Response, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Tap, TapConfig, digest};
use crate::pki;
use crate::pki::{Ca, LOOPBACK, Leaf};
use crate::poll;

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
const SOON: Duration = Duration::from_secs(10);

/// A server that tells what it got. It ends with the test's runtime.
struct Upstream {
    address: String,
    ca: Ca,
    connections: Arc<AtomicUsize>,
}

async fn upstream(alpn: &[&[u8]]) -> Upstream {
    let ca = Ca::new("upstream");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TlsAcceptor::from(pki::mutual_server_config(&ca.server(LOOPBACK), ca.pem(), alpn));
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let client = tls.get_ref().1.peer_certificates().is_some();
                let service = service_fn(move |request| answer(request, client));
                let server = auto::Builder::new(TokioExecutor::new());
                drop(server.serve_connection_with_upgrades(TokioIo::new(tls), service).await);
            });
        }
    });
    Upstream { address, ca, connections }
}

async fn answer(
    mut request: Request<Incoming>,
    client_certificate: bool,
) -> Result<Response<BoxBody<Bytes, Infallible>>, std::io::Error> {
    match request.uri().path() {
        "/upgrade" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut bytes = [0; 4];
                io.read_exact(&mut bytes).await.unwrap();
                bytes.reverse();
                io.write_all(&bytes).await.unwrap();
                io.shutdown().await.unwrap();
            });
            let response = Response::builder().status(101).header("connection", "Upgrade").header("upgrade", "echo");
            Ok(response.body(Empty::new().boxed()).unwrap())
        }
        // One chunk now; the rest never comes.
        "/stream" => {
            let (mut sender, receiver) = mpsc::channel(1);
            sender.try_send(Ok(Frame::data(Bytes::from_static(b"first\n")))).unwrap();
            let forever = receiver.chain(futures::stream::pending());
            Ok(Response::new(BoxBody::new(StreamBody::new(forever))))
        }
        "/break" => Err(std::io::Error::other("broken off")),
        _ => {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            let headers: Vec<_> = parts
                .headers
                .iter()
                .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
                .collect();
            let authority = parts.uri.authority().map(ToString::to_string);
            let text = json!({
                "method": parts.method.as_str(), "path": parts.uri.path_and_query().unwrap().as_str(),
                "headers": headers, "authority": authority, "body": String::from_utf8_lossy(&body),
                "http2": parts.version == Version::HTTP_2, "client": client_certificate,
            });
            let body = Full::new(Bytes::from(text.to_string())).boxed();
            Ok(Response::builder().status(201).header("audit-id", "a1").body(body).unwrap())
        }
    }
}

async fn tap_before(upstream: &Upstream) -> Tap {
    Tap::start(TapConfig::new("t", &upstream.address, upstream.ca.pem())).await.unwrap()
}

fn client(tap: &Tap, certificate: Option<&Leaf>, alpn: &[&[u8]]) -> reqwest::Client {
    let tls = (*pki::client_config(tap.ca_pem(), certificate, alpn)).clone();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(SOON).build().unwrap()
}

fn header<'a>(echo: &'a Value, name: &str) -> Vec<&'a str> {
    let pairs = echo["headers"].as_array().unwrap();
    pairs.iter().filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
}

#[tokio::test]
async fn relays_a_request_and_records_a_digest() {
    let upstream = upstream(BOTH).await;
    let tap = tap_before(&upstream).await;
    for alpn in [&[b"http/1.1".as_slice()], &[b"h2".as_slice()]] {
        tap.clear();
        let http2 = alpn[0] == b"h2";
        let response = client(&tap, None, alpn)
            .post(format!("{}/api/v1/pods?limit=2", tap.url()))
            .bearer_auth("tok-alice")
            .header("x-own", "kept")
            .body("hello")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["audit-id"], "a1");
        let echo: Value = response.json().await.unwrap();
        assert_eq!(echo["path"], "/api/v1/pods?limit=2");
        assert_eq!(echo["body"], "hello");
        assert_eq!(echo["http2"], http2);
        assert_eq!(header(&echo, "authorization"), ["Bearer tok-alice"]);
        assert_eq!(header(&echo, "x-own"), ["kept"]);
        let host = if http2 { echo["authority"].as_str().unwrap() } else { header(&echo, "host")[0] };
        assert_eq!(host, upstream.address);

        let requests = tap.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!((requests[0].method.as_str(), requests[0].status), ("POST", Some(201)));
        assert_eq!(requests[0].path, "/api/v1/pods?limit=2");
        assert_eq!(requests[0].authorization, Some(digest("tok-alice")));
        assert!(requests[0].header_names.contains(&"x-own".to_owned()));
        assert_eq!(tap.connection_log()[0].alpn.as_deref(), Some(if http2 { "h2" } else { "http/1.1" }));
        assert_eq!(tap.token_digests().into_iter().collect::<Vec<_>>(), [digest("tok-alice")]);
        assert!(!format!("{requests:?}").contains("tok-alice"));
    }
}

#[tokio::test]
async fn counts_connections_as_the_server_sees_them() {
    let upstream = upstream(BOTH).await;
    let tap = tap_before(&upstream).await;
    let http1 = client(&tap, None, &[b"http/1.1"]);
    for _ in 0..3 {
        http1.get(tap.url()).send().await.unwrap().bytes().await.unwrap();
    }
    assert_eq!((tap.requests().len(), tap.connections()), (3, 1));
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);

    let http2 = client(&tap, None, &[b"h2"]);
    http2.get(tap.url()).send().await.unwrap().bytes().await.unwrap();
    let parallel = (0..20).map(|_| http2.get(tap.url()).send());
    for response in futures::future::join_all(parallel).await {
        response.unwrap().bytes().await.unwrap();
    }
    assert_eq!((tap.requests().len(), tap.connections()), (24, 2));
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
    tap.clear();
    http2.get(tap.url()).send().await.unwrap();
    assert_eq!((tap.requests().len(), tap.connections()), (1, 0), "an open connection is not counted again");
}

#[tokio::test]
async fn agrees_on_what_the_upstream_speaks() {
    let upstream = upstream(&[b"http/1.1"]).await;
    let tap = tap_before(&upstream).await;
    let echo: Value = client(&tap, None, BOTH).get(tap.url()).send().await.unwrap().json().await.unwrap();
    assert_eq!(echo["http2"], false);
    assert_eq!(tap.connection_log()[0].alpn.as_deref(), Some("http/1.1"));
}

#[tokio::test]
async fn keeps_the_order_of_impersonation() {
    let upstream = upstream(BOTH).await;
    let tap = tap_before(&upstream).await;
    client(&tap, None, BOTH)
        .get(tap.url())
        .header("Impersonate-User", "oidc:alice")
        .header("Impersonate-Group", "dev")
        .header("Impersonate-Group", "admins")
        .header("Impersonate-Extra-Scopes", "view")
        .send()
        .await
        .unwrap();
    let request = tap.requests().remove(0);
    let names: Vec<_> = request.impersonation.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["impersonate-user", "impersonate-group", "impersonate-extra-scopes"]);
    assert_eq!(request.impersonated("impersonate-group"), ["dev", "admins"]);
    assert_eq!(request.authorization, None);
    assert!(tap.token_digests().is_empty());
}

#[tokio::test]
async fn a_sink_answers_and_records() {
    let sink = Tap::sink("wrong server", 418).await.unwrap();
    let response = client(&sink, None, BOTH).get(format!("{}/x", sink.url())).bearer_auth("t").send().await.unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(sink.requests()[0].status, Some(418));
    assert_eq!(sink.token_digests().len(), 1);
}

#[tokio::test]
async fn an_unreachable_upstream_is_502_until_it_can_be_reached() {
    let upstream = upstream(BOTH).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let tap = Tap::start(TapConfig::new("t", &closed, upstream.ca.pem())).await.unwrap();
    assert_eq!(client(&tap, None, BOTH).get(tap.url()).send().await.unwrap().status(), 502);
    tap.retarget(&upstream.address, Ca::new("wrong").pem(), None);
    assert_eq!(client(&tap, None, BOTH).get(tap.url()).send().await.unwrap().status(), 502, "wrong CA");
    tap.retarget(&upstream.address, upstream.ca.pem(), None);
    assert_eq!(client(&tap, None, BOTH).get(tap.url()).send().await.unwrap().status(), 201);
    let statuses: Vec<_> = tap.requests().iter().filter_map(|request| request.status).collect();
    assert_eq!(statuses, [502, 502, 201]);
}

#[tokio::test]
async fn streams_an_answer_that_never_ends() {
    let upstream = upstream(BOTH).await;
    let tap = tap_before(&upstream).await;
    for alpn in [&[b"http/1.1".as_slice()], &[b"h2".as_slice()]] {
        let mut response = client(&tap, None, alpn).get(format!("{}/stream", tap.url())).send().await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "first\n");
    }
}

#[tokio::test]
async fn breaks_off_when_the_upstream_does() {
    let upstream = upstream(BOTH).await;
    let tap = tap_before(&upstream).await;
    for alpn in [&[b"http/1.1".as_slice()], &[b"h2".as_slice()]] {
        let client = client(&tap, None, alpn);
        assert!(client.get(format!("{}/break", tap.url())).send().await.is_err());
        assert_eq!(client.get(tap.url()).send().await.unwrap().status(), 201);
    }
    let statuses: Vec<_> = tap.requests().iter().map(|request| request.status).collect();
    // Clients may try a broken request again, so only what matters is compared.
    assert_eq!(statuses.iter().flatten().collect::<Vec<_>>(), [&201, &201]);
    assert!(statuses.contains(&None));
}

#[tokio::test]
async fn records_and_presents_client_certificates() {
    let upstream = upstream(BOTH).await;
    let mut config = TapConfig::new("t", &upstream.address, upstream.ca.pem());
    config.upstream_client = Some(upstream.ca.client("tap", &[]));
    let tap = Tap::start(config).await.unwrap();
    let leaf = Ca::new("clients").client("alice", &["dev"]);
    let echo: Value = client(&tap, Some(&leaf), BOTH).get(tap.url()).send().await.unwrap().json().await.unwrap();
    assert_eq!(echo["client"], true);
    let (der, _) = pki::identity(&leaf);
    assert_eq!(tap.requests()[0].client_certificate, Some(super::record::hex_digest(&der[0])));
    client(&tap, None, BOTH).get(tap.url()).send().await.unwrap();
    assert_eq!(tap.requests()[1].client_certificate, None);
}

#[tokio::test]
async fn tunnels_an_upgraded_connection() {
    let upstream = upstream(BOTH).await;
    let tap = tap_before(&upstream).await;
    let tcp = TcpStream::connect(tap.address()).await.unwrap();
    let tls = TlsConnector::from(pki::client_config(tap.ca_pem(), None, &[b"http/1.1"]));
    let stream = tls.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request =
        Request::get("/upgrade").header("host", "x").header("connection", "Upgrade").header("upgrade", "echo");
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["upgrade"], "echo");
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    io.write_all(b"abcd").await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, io.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"dcba");
    assert_eq!(tap.requests()[0].status, Some(101));
}

#[tokio::test]
async fn a_stopped_tap_refuses_connections() {
    let tap = Tap::sink("s", 200).await.unwrap();
    assert!(TcpStream::connect(tap.address()).await.is_ok());
    let address = tap.address();
    poll::until("the connection to be counted", SOON, || {
        let opened = tap.connections();
        async move { if opened == 1 { Ok(()) } else { Err(format!("{opened} connections")) } }
    })
    .await
    .unwrap();
    assert!(!tap.connection_log()[0].secured);
    tap.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}
