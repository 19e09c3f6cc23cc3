//! Hop 1: from an HTTP request to a request that carries its `Caller`.
//!
//! In reading order: request id and span, health, Host, metadata, Origin, metrics, route, authentication, load, body;
//! then MCP; then what only HTTP can say about the answer. One generation of `Live` is taken here and travels with the request.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HeaderName, ORIGIN,
    PROXY_AUTHORIZATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::body::{self, Body, problem};
use super::mcp::McpService;
use super::origin::{Doors, Unwelcome};
use super::rescue::one_line;
use super::sessions::Owners;
use super::sign_in::SignInCell;
use super::wellknown::Metadata;
use super::{Limits, LiveSource, RequestId, RequestIds, ServerConfig, ServerError, health};
use crate::auth::AuthError;
use crate::dispatch::Live;
use crate::model::Caller;
use crate::telemetry::{Metrics, span};

/// Large bodies being read, in bytes in all.
const BODIES: usize = 64 * 1024 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Time for authentication, which may have to fetch a realm's keys.
const AUTHENTICATE_WITHIN: Duration = Duration::from_secs(15);
/// What MCP may take beyond the deadline of a call.
const BEYOND_DEADLINE: Duration = Duration::from_secs(5);

/// The HTTP side of the server.
#[derive(Debug)]
pub(super) struct Http {
    live: LiveSource,
    limits: Limits,
    doors: Doors,
    /// None in local mode.
    metadata: Option<Metadata>,
    mcp: McpService,
    /// None without legacy sessions.
    owners: Option<Owners>,
    in_flight: Semaphore,
    room: body::Room,
    ids: RequestIds,
    metrics: Arc<Metrics>,
    drain: CancellationToken,
}

impl Http {
    pub(super) fn new(
        config: ServerConfig,
        address: SocketAddr,
        live: LiveSource,
        drain: CancellationToken,
        cut: CancellationToken,
    ) -> Result<Self, ServerError> {
        let doors = Doors::new(&config, address)?;
        let scopes = config.scopes_supported;
        let metadata = config.resource.map(|resource| Metadata::new(&resource, scopes)).transpose()?;
        let limits = config.limits;
        Ok(Self {
            mcp: McpService::new(Arc::clone(&live), limits, config.legacy_sessions, cut),
            owners: config.legacy_sessions.then(|| Owners::new(limits.sessions)),
            in_flight: Semaphore::new(limits.in_flight.min(Semaphore::MAX_PERMITS)),
            room: body::Room::new(BODIES),
            ids: RequestIds::new(),
            metrics: Arc::clone(live.load().metrics()),
            live,
            limits,
            doors,
            metadata,
            drain,
        })
    }

    /// What the process counts.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers one request. A panic below becomes 500; the client finds the request id in every answer.
    pub(super) async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let id = self.ids.next();
        let claimed =
            request.headers().get(REQUEST_ID).map(|value| one_line(&String::from_utf8_lossy(value.as_bytes()), 64));
        let span = tracing::info_span!(span::REQUEST, request_id = id.as_str(), client_request_id = claimed, %peer);
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let started = Instant::now();
        let routed = AssertUnwindSafe(self.route(request, peer, &id)).catch_unwind().instrument(span.clone()).await;
        let _entered = span.enter();
        let mut response = routed.unwrap_or_else(|_panic| {
            tracing::error!("a request panicked");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "an internal error; see x-request-id")
        });
        let (status, took) = (response.status().as_u16(), started.elapsed());
        self.metrics.request(method.as_str(), &path, status, took);
        tracing::debug!(%method, status, ?took, "answered");
        let headers = response.headers_mut();
        headers
            .insert(REQUEST_ID, HeaderValue::from_str(id.as_str()).expect("a request id is hexadecimal and a hyphen"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn route(&self, request: Request<Incoming>, peer: IpAddr, id: &RequestId) -> Response<Body> {
        let path = request.uri().path();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let host = self.doors.check_host(request.uri(), request.headers());
        // Probes come with the address of the pod; the plain answers say nothing that a stranger may not know.
        match path {
            "/livez" | "/healthz" | "/readyz" if !reads => return not_allowed("GET, HEAD"),
            "/livez" | "/healthz" => return health::live(),
            "/readyz" => {
                // Names of realms and reasons are for this machine.
                let verbose = health::is_local(peer, request.headers())
                    && host.is_ok()
                    && request.uri().query().is_some_and(asks_verbose);
                return health::ready(&self.live.load(), self.drain.is_cancelled(), verbose);
            }
            _ => {}
        }
        if let Err(unwelcome) = host {
            return forbidden(unwelcome);
        }
        if let Some(metadata) = self.metadata.as_ref().filter(|metadata| metadata.is_at(path)) {
            let issuers = self.live.load().auth.home_issuers();
            return match (issuers.is_empty(), reads) {
                (true, _) => not_found(),
                (false, true) => metadata.answer(&issuers),
                (false, false) => not_allowed("GET, HEAD"),
            };
        }
        if let Err(unwelcome) = self.doors.check_origin(request.headers()) {
            return forbidden(unwelcome);
        }
        // Names of clusters are for this machine only: to everybody else there is no such page.
        if path == "/metrics" && health::is_local(peer, request.headers()) {
            return if reads { health::metrics(&self.live.load()) } else { not_allowed("GET, HEAD") };
        }
        if !matches!(path, "/mcp" | "/mcp/") {
            return not_found();
        }
        let origin = request.headers().get(ORIGIN).cloned();
        let mut response =
            if request.method() == Method::OPTIONS { preflight() } else { self.mcp(request, peer, id).await };
        if let Some(origin) = origin {
            open_to(&origin, response.headers_mut());
        }
        response
    }

    /// Load, authentication, body, MCP.
    async fn mcp(&self, mut request: Request<Incoming>, peer: IpAddr, id: &RequestId) -> Response<Body> {
        let live = self.live.load_full();
        let caller = match self.authenticate(&live, &request, peer).await {
            Ok(caller) => caller,
            Err(error) => return self.refuse(&live, &error),
        };
        // After authentication: a stranger, or a realm that is slow, takes nobody's place.
        let Ok(_slot) = self.in_flight.try_acquire() else {
            self.metrics.shed();
            return retry_later(
                problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many requests in flight"),
                1,
            );
        };
        // From here on nobody reads credentials from headers, and no log can.
        for header in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE] {
            request.headers_mut().remove(header);
        }
        if let Some(refusal) = self.check_session(&request, &caller) {
            return refusal;
        }
        let request = match self.take_body(request).await {
            Ok(request) => request,
            Err(refused) => return refused.answer(),
        };
        self.hand_over(request, live, caller, id).await
    }

    async fn authenticate(&self, live: &Live, request: &Request<Incoming>, peer: IpAddr) -> Result<Caller, Failed> {
        let authenticated = live.auth.authenticate(request.headers(), request.uri().query(), Some(peer));
        match timeout(AUTHENTICATE_WITHIN, authenticated).await {
            Ok(result) => result.map_err(Failed::Auth),
            Err(_elapsed) => Err(Failed::TooSlow),
        }
    }

    /// The answer to a request without a caller: the status, the challenge and a small document.
    fn refuse(&self, live: &Live, failed: &Failed) -> Response<Body> {
        let Failed::Auth(error) = failed else {
            let late =
                problem(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "authentication took too long");
            return retry_later(late, 5);
        };
        let word = auth_word(error);
        let description = one_line(&error.to_string(), 300);
        if matches!(error, AuthError::Missing) {
            tracing::debug!("a request without credentials");
        } else {
            tracing::info!(error = word, description, "a caller was refused");
        }
        let status = error.status();
        let mut response = problem(status, word, &description);
        if let Some(challenge) = live.auth.challenge(self.metadata_url(live), error) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE { retry_later(response, 5) } else { response }
    }

    /// The realm no longer honours this token, whatever its signature says: send the person to sign in.
    fn sign_in_again(&self, live: &Live, caller: &Caller, why: &str) -> Response<Body> {
        let realm = Some(caller.principal().realm.clone());
        self.refuse(live, &Failed::Auth(AuthError::Invalid { why: why.to_owned().into(), realm }))
    }

    /// None in local mode.
    fn metadata_url(&self, live: &Live) -> Option<&str> {
        self.metadata.as_ref().filter(|_| !live.auth.home_issuers().is_empty()).map(Metadata::url)
    }

    /// A legacy session serves who opened it; everyone else is told that there is none.
    fn check_session(&self, request: &Request<Incoming>, caller: &Caller) -> Option<Response<Body>> {
        let owners = self.owners.as_ref()?;
        match request.headers().get(SESSION_ID).map(|id| id.to_str().unwrap_or_default()) {
            Some(id) if owners.owns(id, caller.principal()) => None,
            Some(_) => Some(problem(StatusCode::NOT_FOUND, "session_not_found", "no such session")),
            None if owners.has_room() => None,
            None => {
                let full = problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many sessions");
                Some(retry_later(full, 30))
            }
        }
    }

    async fn take_body(&self, request: Request<Incoming>) -> Result<Request<Full<Bytes>>, body::Refused> {
        let (parts, incoming) = request.into_parts();
        let bytes = body::read(incoming, self.limits.body_bytes, self.limits.body_read, &self.room).await?;
        if parts.method == Method::POST && is_json(&parts.headers) {
            body::check_json(&bytes, self.limits.json_depth)?;
        }
        Ok(Request::from_parts(parts, Full::new(bytes)))
    }

    /// Gives the request to MCP and looks at what comes back.
    async fn hand_over(
        &self,
        mut request: Request<Full<Bytes>>,
        live: Arc<Live>,
        caller: Caller,
        id: &RequestId,
    ) -> Response<Body> {
        let sign_in = SignInCell::default();
        let session = request.headers().get(SESSION_ID).cloned();
        let (ends, json) = (request.method() == Method::DELETE, is_json(request.headers()));
        let extensions = request.extensions_mut();
        extensions.insert(caller.clone());
        extensions.insert(Arc::clone(&live));
        extensions.insert(id.clone());
        extensions.insert(sign_in.clone());
        let within = live.calls.deadline + BEYOND_DEADLINE;
        let Ok(mut response) = timeout(within, self.mcp.handle(request)).await else {
            tracing::error!("MCP did not answer within its deadline");
            return problem(StatusCode::GATEWAY_TIMEOUT, "timeout", "no answer within the deadline");
        };
        if let Some(owners) = &self.owners {
            note_session(owners, session.as_ref(), &response, &caller, ends);
        }
        if ends && response.status() == StatusCode::ACCEPTED {
            // rmcp's 202 is a failure to clients that want it done.
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        if let Some(why) = sign_in.get().filter(|_| is_json(response.headers())) {
            return self.sign_in_again(&live, &caller, why);
        }
        if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE && json {
            // rmcp says so of JSON that is no JSON-RPC message.
            return body::rpc_error(-32600, "Invalid Request");
        }
        response
    }
}

/// Why there is no caller.
enum Failed {
    Auth(AuthError),
    TooSlow,
}

/// The `data.error` of the answer; RFC 6750 names where it has them.
fn auth_word(error: &AuthError) -> &'static str {
    match error {
        AuthError::Missing => "unauthorized",
        AuthError::Invalid { .. } => "invalid_token",
        AuthError::BadRequest(_) => "invalid_request",
        AuthError::InsufficientScope { .. } => "insufficient_scope",
        AuthError::ClientNotAllowed => "access_denied",
        AuthError::RealmUnavailable { .. } => "temporarily_unavailable",
    }
}

fn note_session(owners: &Owners, asked: Option<&HeaderValue>, response: &Response<Body>, caller: &Caller, ends: bool) {
    let id = |value: Option<&HeaderValue>| value.and_then(|id| id.to_str().ok()).map(str::to_owned);
    match (id(asked), id(response.headers().get(SESSION_ID))) {
        (None, Some(opened)) => owners.opened(&opened, caller.principal()),
        (Some(asked), _) if ends && response.status().is_success() => owners.closed(&asked),
        _ => {}
    }
}

fn asks_verbose(query: &str) -> bool {
    query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose="))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn not_found() -> Response<Body> {
    body::text(StatusCode::NOT_FOUND, "not found")
}

fn not_allowed(methods: &'static str) -> Response<Body> {
    let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn forbidden(unwelcome: Unwelcome) -> Response<Body> {
    tracing::info!(%unwelcome, "a request was refused");
    problem(StatusCode::FORBIDDEN, "forbidden", &unwelcome.to_string())
}

fn retry_later(mut response: Response<Body>, seconds: u32) -> Response<Body> {
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// What a browser asks before it calls; the origin is checked already.
fn preflight() -> Response<Body> {
    let mut response = body::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE"));
    let allowed = "authorization, content-type, accept, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, last-event-id";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    response
}

/// Lets scripts of an allowed origin read the answer.
fn open_to(origin: &HeaderValue, headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(VARY, HeaderValue::from_static("origin"));
    let exposed = HeaderValue::from_static("www-authenticate, mcp-session-id, x-request-id");
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

#[cfg(test)]
mod tests;
