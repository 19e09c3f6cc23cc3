//! The https side of the realms: connections, paths, answers.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::faults::{Body, BrokenOff, answer};
use super::login;
use super::state::{Endpoint, RealmRequest, Site};
use super::token;
use super::token::Answered;

/// Limit of a TLS handshake, and of reading the body of a request.
const INPUT: Duration = Duration::from_secs(10);
/// Limit of one connection.
const CONNECTION: Duration = Duration::from_secs(3600);
/// Largest body of a request, in bytes.
const MAX_BODY: usize = 1 << 20;

/// The serving configuration, which can be replaced while the server runs.
pub(super) type Tls = Arc<RwLock<Arc<rustls::ServerConfig>>>;

/// Serves until the task is ended; all connections end with it.
pub(super) async fn serve(listener: TcpListener, tls: Tls, site: Arc<Site>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((tcp, _)) => {
                let config = Arc::clone(&tls.read().unwrap_or_else(PoisonError::into_inner));
                let serving = connection(tcp, config, Arc::clone(&site));
                connections.spawn(async move { drop(timeout(CONNECTION, serving).await) });
            }
            // Out of file descriptors, most likely: let some be closed.
            Err(_) => crate::poll::pause(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(tcp: TcpStream, tls: Arc<rustls::ServerConfig>, site: Arc<Site>) {
    let Ok(Ok(stream)) = timeout(INPUT, TlsAcceptor::from(tls).accept(tcp)).await else {
        return;
    };
    let service = service_fn(move |request| respond(Arc::clone(&site), request));
    let server = auto::Builder::new(TokioExecutor::new());
    // A client that breaks off is its own test's business.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

async fn respond(site: Arc<Site>, request: Request<Incoming>) -> Result<Response<Body>, BrokenOff> {
    let path = request.uri().path().to_owned();
    let route = route(&path).filter(|(name, _)| site.realms.contains_key(*name));
    site.record(RealmRequest {
        realm: route.map(|(name, _)| name.to_owned()),
        endpoint: route.and_then(|(_, endpoint)| endpoint),
        method: request.method().to_string(),
        path: path.clone(),
        at: SystemTime::now(),
    });
    let Some((name, endpoint)) = route else {
        return Ok(json_answer(404, &json!({"error": "Realm does not exist"})));
    };
    let Some(endpoint) = endpoint else {
        return Ok(json_answer(404, &json!({"error": "HTTP 404 Not Found"})));
    };
    let fault = site.realm(name, |realm| realm.next_fault(endpoint)).flatten();
    let good = match endpoint {
        Endpoint::Discovery => document(&site, name, |realm| realm.discovery()),
        Endpoint::Certs => document(&site, name, |realm| realm.jwks()),
        Endpoint::Token if request.method() == Method::POST => grant(&site, name, request).await?,
        Endpoint::Token => token::wrong_method(),
        Endpoint::Authorization => authorize(&site, name, request).await,
    };
    match fault {
        None => Ok(good),
        Some(fault) => fault.spoil(good).await,
    }
}

fn document(site: &Site, name: &str, read: impl FnOnce(&super::state::Realm) -> Value) -> Response<Body> {
    let value = site.realm(name, |realm| read(realm)).unwrap_or_default();
    let mut response = json_answer(200, &value);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn grant(site: &Site, name: &str, request: Request<Incoming>) -> Result<Response<Body>, BrokenOff> {
    let (parts, body) = match read(request).await {
        Ok(read) => read,
        Err(refused) => return Ok(refused),
    };
    let published = site.published();
    let answered = site.realm(name, |realm| token::token(realm, &published, &parts.headers, &body));
    let Some(Answered { response, seen, fault }) = answered else {
        return Ok(answer(404, "text/plain", Bytes::new()));
    };
    site.granted(seen);
    match fault {
        None => Ok(response),
        Some(fault) => fault.spoil(response).await,
    }
}

async fn authorize(site: &Site, name: &str, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = match read(request).await {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let query = parts.uri.query().unwrap_or_default();
    let answered = site.realm(name, |realm| login::authorize(realm, &parts.method, query, &body));
    answered.unwrap_or_else(|| answer(404, "text/plain", Bytes::new()))
}

async fn read(request: Request<Incoming>) -> Result<(http::request::Parts, Bytes), Response<Body>> {
    let (parts, body) = request.into_parts();
    match timeout(INPUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok((parts, body.to_bytes())),
        Ok(Err(_)) | Err(_) => Err(answer(413, "text/plain", Bytes::new())),
    }
}

/// The realm that a path names, and its endpoint.
fn route(path: &str) -> Option<(&str, Option<Endpoint>)> {
    // RFC 8414 section 3.1 inserts the well-known part before the path of the issuer.
    if let Some(name) = path.strip_prefix("/.well-known/oauth-authorization-server/realms/") {
        return Some((name, Some(Endpoint::Discovery)));
    }
    let (name, rest) = path.strip_prefix("/realms/")?.split_once('/')?;
    let endpoint = match rest {
        ".well-known/openid-configuration" | ".well-known/oauth-authorization-server" => Endpoint::Discovery,
        "protocol/openid-connect/certs" => Endpoint::Certs,
        "protocol/openid-connect/token" => Endpoint::Token,
        "protocol/openid-connect/auth" => Endpoint::Authorization,
        _ => return Some((name, None)),
    };
    Some((name, Some(endpoint)))
}

pub(super) fn json_answer(status: u16, value: &Value) -> Response<Body> {
    answer(status, "application/json", Bytes::from(value.to_string()))
}
