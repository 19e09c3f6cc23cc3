//! The send site: the only place where a request to a cluster leaves. It reads what the request would do, holds that
//! against the permit, attaches the credential to a fresh set of headers (no inbound header is ever copied), and compares
//! cluster keys once more.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RANGE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::breaker::{CallId, Contact};
use super::caches::Caches;
use super::classify::classify;
use super::credential::{Compiled, Credential};
use super::impersonation;
use super::reply::{code, failure, unreachable};
use super::retry;
use super::shard;
use super::stream::{End, Stream, Until};
use super::transport::{Reply, Transport, TransportError};
use super::unaccepted;
use super::upstream::Upstream;
use crate::model::{Access, Failure, FailureKind};
use crate::policy::{Operation, Permit, Refusal};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("kubeferry/", env!("CARGO_PKG_VERSION")));
/// How long a stream waits for a place.
const PLACE: Duration = Duration::from_secs(2);
/// What a stream leaves of the call's time, for what comes after it.
const LAST: Duration = Duration::from_secs(2);
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One request, before it is known whether it may leave.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Path and query relative to the cluster or workspace.
    pub(super) path: String,
    pub(super) accept: &'static str,
    pub(super) body: Option<Bytes>,
    /// Discovery said that the kind is in no namespace.
    pub(super) cluster_scoped: bool,
    /// Only the last so many bytes of the answer, from servers that can (RFC 9110, section 14).
    pub(super) last: Option<u64>,
}

impl Ask {
    /// A GET of JSON.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            accept: "application/json",
            body: None,
            cluster_scoped: false,
            last: None,
        }
    }
}

/// What every request of one call shares.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) upstream: Arc<Upstream>,
    pub(super) transport: Arc<Transport>,
    pub(super) credential: Credential,
    /// What replaces it after the cluster refused it, once per call.
    pub(super) renewed: OnceLock<Credential>,
    pub(super) compiled: Arc<Compiled>,
    pub(super) caches: Arc<Caches>,
    pub(super) permit: Permit,
    pub(super) deadline: Instant,
    pub(super) call: CallId,
}

impl Sender {
    /// Sends `ask` to a place (`""`, or `/clusters/<ref>` with a checked ref) and gives back a success.
    pub(super) async fn send(&self, place: &str, ask: &Ask) -> Result<Reply, Failure> {
        let operation = self.admit(ask)?;
        let sent = self.credential();
        let mut outcome = self.exchange(place, ask, &operation).await?;
        if unauthorized(&outcome) && self.renew(&operation, sent).await? {
            outcome = self.exchange(place, ask, &operation).await?;
        }
        self.verdict(outcome, &operation)
    }

    /// Sends `ask` once and gives back a success whose body is read while it comes, for `span` at most; or what ended
    /// before an answer began: a stream may well be silent.
    pub(super) async fn open(
        &self,
        place: &str,
        ask: &Ask,
        span: Duration,
    ) -> Result<Result<Stream<'_>, End>, Failure> {
        let operation = self.admit(ask)?;
        let turn = tokio::time::timeout(PLACE.min(self.left()?), self.upstream.stream()).await;
        let turn = turn.ok().flatten().ok_or_else(|| busy(&self.permit))?;
        let request = self.request(place, ask)?;
        let until = Until::new(span, self.left()?.saturating_sub(LAST), self.credential().left(SystemTime::now()));
        let attempt = self.upstream.breaker().attempt(self.call).map_err(|wait| self.cut_off(wait))?;
        let sent = Instant::now();
        let outcome = self.transport.open(request, until.left()).await;
        attempt.end(Contact::of(&outcome, self.upstream.limits().connect));
        self.count(&operation, outcome.as_ref().map(Response::status), sent);
        let outcome = match outcome {
            Ok(response) if response.status().is_success() => {
                return Ok(Ok(Stream::new(response.into_body(), until, turn)));
            }
            Err(TransportError::Timeout(_)) => return Ok(Err(until.end())),
            Ok(response) => self.transport.rest(response, self.left()?).await,
            Err(error) => Err(error),
        };
        // What is here is no success.
        if unauthorized(&outcome) {
            self.caches.kept.rejected(&self.compiled, self.permit.caller(), self.credential()).await;
        }
        self.verdict(outcome, &operation).map(|_| Err(End::Closed))
    }

    /// A success, or what an answer that is none means.
    fn verdict(&self, outcome: Result<Reply, TransportError>, operation: &Operation) -> Result<Reply, Failure> {
        match outcome {
            Ok(reply) if reply.head.status.is_success() => Ok(reply),
            Ok(reply) => Err(self.refusal(&reply, operation)),
            Err(error) => Err(unreachable(&error)),
        }
        .map_err(|failure| failure.target(self.permit.target().address().to_string()))
    }

    /// What an answer means that is no success.
    fn refusal(&self, reply: &Reply, operation: &Operation) -> Failure {
        let refused = impersonation::refusal(reply, &self.compiled.strategy.acts());
        let failure = refused.unwrap_or_else(|| failure(reply, operation));
        let permit = &self.permit;
        let failure = shard::explain(failure, reply, permit.target());
        unaccepted::explain(failure, permit.target(), permit.caller().principal(), permit.way())
    }

    fn count(&self, operation: &Operation, outcome: Result<StatusCode, &TransportError>, sent: Instant) {
        let cluster = self.permit.target().cluster.name.as_str();
        self.caches.metrics.upstream(cluster, operation.verb, code(outcome), sent.elapsed());
    }

    /// The cluster refused the credential `sent`. True when there is another one and the request may be sent once more,
    /// which only a request that changes nothing may.
    async fn renew(&self, operation: &Operation, sent: &Credential) -> Result<bool, Failure> {
        let caller = self.permit.caller();
        let again = self.caches.kept.rejected(&self.compiled, caller, sent).await;
        if !again || operation.access != Some(Access::Read) {
            return Ok(false);
        }
        if let Some(renewed) = self.renewed.get() {
            // Another request of this call was refused first.
            return Ok(renewed.digest() != sent.digest());
        }
        let obtained = tokio::time::timeout(self.left()?, self.caches.kept.credential(&self.compiled, caller)).await;
        // Without a new one, the cluster's own answer says more.
        let Ok(Ok(credential)) = obtained else { return Ok(false) };
        let _first = self.renewed.set(credential);
        Ok(true)
    }

    fn credential(&self) -> &Credential {
        self.renewed.get().unwrap_or(&self.credential)
    }

    /// Reads the request and holds it against the permit.
    fn admit(&self, ask: &Ask) -> Result<Operation, Failure> {
        let operation =
            classify(&ask.method, &ask.path).map(|read| Operation { cluster_scoped: ask.cluster_scoped, ..read });
        let held = operation.and_then(|operation| self.permit.limits().hold(&operation).map(|()| operation));
        held.map_err(|refusal| self.refused(&refusal))
    }

    fn refused(&self, refusal: &Refusal) -> Failure {
        let failure = Failure::new(FailureKind::Denied, "policy", refusal.to_string());
        let namespaces = &self.permit.limits().namespaces;
        match refusal {
            Refusal::AllNamespaces if namespaces.allow.is_empty() => {
                failure.hint(format!("Name a namespace; these are out of bounds: {}", namespaces.deny.join(", ")))
            }
            Refusal::AllNamespaces | Refusal::Namespace { .. } if !namespaces.allow.is_empty() => {
                failure.hint(format!("These are in bounds: {}", namespaces.allow.join(", ")))
            }
            Refusal::Access { .. }
            | Refusal::DryRunOnly
            | Refusal::Kind { .. }
            | Refusal::Namespace { .. }
            | Refusal::AllNamespaces
            | Refusal::Node
            | Refusal::TellsOf { .. }
            | Refusal::Never { .. } => failure,
        }
    }

    async fn exchange(
        &self,
        place: &str,
        ask: &Ask,
        operation: &Operation,
    ) -> Result<Result<Reply, TransportError>, Failure> {
        let mut again = false;
        loop {
            let left = self.left()?;
            let request = self.request(place, ask)?;
            self.upstream.breaker().look(self.call).map_err(|wait| self.cut_off(wait))?;
            let turn = tokio::time::timeout(left, self.upstream.turn());
            let turn = turn.await.map_err(|_elapsed| busy(&self.permit))?;
            // While it waited for its turn, the requests before it may have found that nobody answers.
            let attempt = self.upstream.breaker().attempt(self.call).map_err(|wait| self.cut_off(wait))?;
            let left = self.left()?;
            let sent = Instant::now();
            let outcome = self.transport.send(request, left).await;
            attempt.end(Contact::of(&outcome, self.upstream.limits().connect));
            drop(turn);
            self.count(operation, outcome.as_ref().map(|reply| reply.head.status), sent);
            let Some(pause) = retry::after(operation, &outcome, again) else { return Ok(outcome) };
            if pause >= self.left()? {
                return Ok(outcome);
            }
            tokio::time::sleep(pause).await;
            again = true;
        }
    }

    fn request(&self, place: &str, ask: &Ask) -> Result<Request<Full<Bytes>>, Failure> {
        let now = SystemTime::now();
        if self.upstream.is_retired() {
            let cause = "this cluster's configuration was changed during the call";
            return Err(Failure::new(FailureKind::Cluster, "configuration_changed", cause)
                .hint("Call again")
                .retry(Duration::from_millis(1)));
        }
        if self.credential().expired(now) {
            return Err(self.expired(now));
        }
        let url = self
            .transport
            .url(&format!("{place}{}", ask.path))
            .map_err(|error| Failure::internal(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT, HeaderValue::from_static(ask.accept));
        if ask.body.is_some() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        if let Some(last) = ask.last {
            let range = HeaderValue::try_from(format!("bytes=-{last}"));
            headers.insert(RANGE, range.map_err(|error| Failure::internal(error.to_string()))?);
        }
        let attached = self.credential().attach(self.transport.key(), &mut headers);
        attached.map_err(|wrong| Failure::internal(wrong.to_string()))?;
        let body = Full::new(ask.body.clone().unwrap_or_default());
        let mut request = Request::builder().method(ask.method.clone()).uri(url).body(body);
        if let Ok(request) = &mut request {
            *request.headers_mut() = headers;
        }
        request.map_err(|error| Failure::internal(error.to_string()))
    }

    /// No connection could be had lately, so none is tried for `wait`.
    fn cut_off(&self, wait: Duration) -> Failure {
        let seconds = wait.as_millis().div_ceil(1000);
        let cause = format!("connecting failed several times in a row, so this was not sent; retry in {seconds} s");
        Failure::new(FailureKind::Unreachable, "cluster_unreachable", cause)
            .target(self.permit.target().address().to_string())
            .hint("Try again after that, or use another cluster")
            .retry(wait)
    }

    /// The caller's own token has ended, or only the credential for this cluster.
    fn expired(&self, now: SystemTime) -> Failure {
        let own = self.permit.caller().principal().expires.is_some_and(|expires| expires <= now);
        if own {
            return Failure::new(FailureKind::SignIn, "sign_in_again", "your token expired during the call")
                .hint("Sign in again");
        }
        Failure::new(FailureKind::Credential, "credential_expired", "the credential expired during the call")
            .hint("Call again")
    }

    /// What is left of the call's time.
    fn left(&self) -> Result<Duration, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let address = self.permit.target().address().to_string();
            return Err(Failure::new(FailureKind::Unreachable, "deadline", "the call's time is over").target(address));
        }
        Ok(left)
    }
}

fn unauthorized(outcome: &Result<Reply, super::transport::TransportError>) -> bool {
    outcome.as_ref().is_ok_and(|reply| reply.head.status == StatusCode::UNAUTHORIZED)
}

fn busy(permit: &Permit) -> Failure {
    Failure::new(FailureKind::Overloaded, "cluster_queue_full", "too many requests to this cluster are under way")
        .target(permit.target().address().to_string())
        .retry(Duration::from_secs(1))
}
