//! Sockets: TLS, HTTP/1.1 and HTTP/2, one record per request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::authn::{bearer, certificate_user, token_digest};
use super::body::{self, Body, Cut};
use super::fault::{Fault, continued};
use super::impersonate;
use super::kubelet::Follow;
use super::log::RequestRecord;
use super::rbac::User;
use super::reply::{Outcome, Refusal, Reply};
use super::request::{Call, percent_decode};
use super::state::State;

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
const BODY_DEADLINE: Duration = Duration::from_secs(30);
const BODY_LIMIT: usize = 3 * 1024 * 1024;
const MAX_CONNECTIONS: usize = 4096;
/// How long a request hangs at most.
const HANG: Duration = Duration::from_secs(600);

/// The other end of a connection.
pub(super) struct Peer {
    pub(super) connection: u64,
    pub(super) certificate: Option<User>,
    /// Told when the connection is to take no further request.
    leave: Arc<Notify>,
}

/// What becomes known of a request while it is answered.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) requestor: Option<String>,
    pub(super) user: Option<String>,
    pub(super) forwarded: bool,
}

/// Accepts connections until it is aborted; the connections end with it.
pub(super) async fn run(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    let mut connections = JoinSet::new();
    let mut count = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    count += 1;
                    connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&state), count));
                }
                Ok((stream, _)) => drop(stream),
                // Out of file descriptors, most likely: waiting is all that helps.
                Err(error) => {
                    tracing::warn!("accept: {error}");
                    crate::poll::pause(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>, number: u64) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("nodelay: {error}");
    }
    let stream = match timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!("TLS handshake: {error}"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.and_then(|der| certificate_user(der).ok());
    let leave = Arc::new(Notify::new());
    let peer = Arc::new(Peer { connection: number, certificate, leave: Arc::clone(&leave) });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(state.max_streams());
    let service = service_fn(move |request| {
        let (state, peer) = (Arc::clone(&state), Arc::clone(&peer));
        async move { exchange(&state, &peer, request).await }
    });
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = served.as_mut() => served,
        () = leave.notified() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = served {
        tracing::debug!("connection {number}: {error}");
    }
}

async fn exchange(state: &State, peer: &Peer, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let _under_way = state.log.begin();
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut record = RequestRecord {
        connection: peer.connection,
        method: parts.method.to_string(),
        target: target.to_owned(),
        requestor: None,
        user: None,
        bearer: bearer(&parts.headers).map(token_digest),
        impersonation: impersonate::headers_of(&parts.headers),
        forwarded: false,
        status: 0,
    };
    let mut healed = state.faults.healed();
    let fault = state.faults.take(target);
    let is_head = parts.method == Method::HEAD;
    let delay = state.delay() + if let Some(Fault::Slow(more)) = fault { more } else { Duration::ZERO };
    if !delay.is_zero() {
        crate::poll::pause(delay).await;
    }
    if fault == Some(Fault::Hang) {
        // Whoever waits for the request to be seen cannot wait for its answer.
        state.log.add(record);
        crate::poll::pause(HANG).await;
        return Err(Cut);
    }
    if fault == Some(Fault::Hold) {
        match tokio::time::timeout(HANG, healed.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Cut),
        }
    }
    let mut trace = Trace::default();
    let reply = match read(parts, body).await {
        Ok(call) => answer(state, call, peer, fault.as_ref(), &mut trace).await,
        Err(refusal) => refusal.into_reply(),
    };
    record.requestor = trace.requestor;
    record.user = trace.user;
    record.forwarded = trace.forwarded;
    record.status = reply.status().as_u16();
    state.log.add(record);
    send(peer, fault.as_ref(), if is_head { without_body(reply) } else { reply })
}

async fn answer(state: &State, call: Call, peer: &Peer, fault: Option<&Fault>, trace: &mut Trace) -> Reply {
    let Some(fault) = fault else {
        return state.answer(call, peer, trace).await;
    };
    if let Some(instead) = fault.instead() {
        // Only so that the log says who it was.
        if let Err(refusal) = state.authenticate(&call, peer, trace).await {
            tracing::debug!("a fault met a request of nobody: {refusal:?}");
        }
        return instead;
    }
    let continued = continued(&call);
    fault.after(continued.as_deref(), state.answer(call, peer, trace).await)
}

/// The reply in the body that the fault wants. What is not sent at once declares its length first, if it has one.
fn send(peer: &Peer, fault: Option<&Fault>, reply: Reply) -> Result<Response<Body>, Cut> {
    let (mut head, bytes) = reply.into_parts();
    let (chunks, length) = match head.extensions.remove::<Follow>() {
        Some(follow) => (follow.chunks(), None),
        None => (stream::iter([Ok(bytes.clone())]).boxed(), Some(bytes.len())),
    };
    let body = match (fault, length) {
        (Some(Fault::Reset { after: 0 }), _) | (Some(Fault::Reset { .. }), Some(0)) => return Err(Cut),
        (Some(Fault::Reset { after }), Some(length)) => body::cut(chunks, (*after).min(length - 1)),
        (Some(Fault::Reset { after }), None) => body::cut(chunks, *after),
        (Some(Fault::Drip { every }), _) => body::drip(chunks, *every),
        (Some(Fault::GoAway), _) => body::then_notify(chunks, Arc::clone(&peer.leave)),
        (_, None) => body::streamed(chunks),
        (_, Some(_)) => return Ok(Response::from_parts(head, body::whole(bytes))),
    };
    if let Some(length) = length.filter(|length| *length > 0) {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(Response::from_parts(head, body))
}

fn without_body(mut reply: Reply) -> Reply {
    reply.extensions_mut().remove::<Follow>();
    reply.map(|_| Bytes::new())
}

async fn read(parts: http::request::Parts, body: Incoming) -> Outcome<Call> {
    let body = timeout(BODY_DEADLINE, Limited::new(body, BODY_LIMIT).collect()).await;
    let body = body
        .map_err(|_| Refusal::bad_request("the body did not arrive in time"))?
        .map_err(|_| Refusal::too_large(BODY_LIMIT))?;
    let path =
        percent_decode(parts.uri.path()).ok_or_else(|| Refusal::bad_request("the path has a malformed escape"))?;
    let query = parts.uri.query().unwrap_or_default();
    Ok(Call {
        method: parts.method,
        path,
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: parts.headers,
        body: body.to_bytes(),
    })
}
