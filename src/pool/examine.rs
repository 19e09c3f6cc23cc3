//! What `doctor` asks of clusters, outside of any call and without any caller: whether somebody is there, for which no
//! credential leaves, and, where kubeferry has a credential of its own, whom the API server takes it for. The connections
//! are those of calls, with the same checks; nothing is retried.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::credential::{Acts, Credential, CredentialError, TlsIdentity};
use super::transport::{Reply, Transport};
use super::upstream::Upstream;
use super::{Destination, Limits, Pool, impersonation, reply};
use crate::model::{Caller, ClusterKey, Endpoint, Failure, FailureKind, KeyHasher, UserInfo};

/// Of a body, so much is looked at, in bytes.
const TEXT: usize = 64 << 10;

/// Somebody who answered.
#[derive(Debug, Clone)]
pub struct Presence {
    /// Status of the answer.
    pub status: StatusCode,
    /// `gitVersion` of `/version`, where it is shown to strangers.
    pub version: Option<String>,
    /// The body is a Kubernetes Status, as API servers refuse with.
    pub is_status: bool,
    /// The beginning of the body, for what kubeferry itself says at its own port.
    pub text: String,
    /// From nothing to the answer, connecting included.
    pub took: Duration,
}

/// What a cluster says of kubeferry's own credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Whom it takes the credential for.
    pub who: UserInfo,
    /// What of the template's needs it may not impersonate in general; perhaps some of it by name.
    pub refused: Vec<String>,
    /// It may impersonate for some requests only (KEP-5284).
    pub constrained: bool,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "gitVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

#[derive(Deserialize)]
struct Review<S> {
    status: S,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reviewed {
    user_info: UserInfo,
}

#[derive(Deserialize)]
struct Allowed {
    allowed: bool,
}

/// Asks `endpoint` for `path` with no credential at all, over a connection with these `limits`.
///
/// # Errors
/// When there is no answer within `within`; with the reason in plain words.
pub async fn presence(endpoint: &Endpoint, path: &str, within: Duration, limits: Limits) -> Result<Presence, Failure> {
    let began = Instant::now();
    let key = ClusterKey::from(KeyHasher::new("examine"));
    let transport = transport(key, endpoint, None, limits)?;
    let reply = ask(&transport, (Method::GET, path, None), HeaderMap::new(), within).await?;
    let version: Option<Version> = serde_json::from_slice(&reply.body).ok();
    let kind: Option<Kind> = serde_json::from_slice(&reply.body).ok();
    let beginning = reply.body.get(..TEXT).unwrap_or(&reply.body);
    Ok(Presence {
        status: reply.head.status,
        version: version.map(|found| found.version.chars().filter(|c| !c.is_control()).take(60).collect()),
        is_status: kind.is_some_and(|found| found.kind == "Status"),
        text: String::from_utf8_lossy(beginning).into_owned(),
        took: began.elapsed(),
    })
}

impl Pool {
    /// Whom a cluster takes kubeferry's own credential for, and which of the impersonations that the template needs it may
    /// not do there in general; `None` where every credential is a caller's.
    ///
    /// # Errors
    /// When there is no such credential, or the API server does not accept it or does not answer, within `within`.
    pub async fn gateway(&self, key: &ClusterKey, within: Duration) -> Result<Option<Gateway>, Failure> {
        let Some(Destination { compiled, upstream }) = self.destinations.get(key) else { return Ok(None) };
        let Some(obtaining) = compiled.strategy.gateway() else { return Ok(None) };
        let until = Instant::now() + within;
        let (transport, credential) = lend(upstream, obtaining, within).await?;
        let who = whose(&transport, &credential, "", until).await?;
        let acts = compiled.strategy.acts();
        let refused = refused(&transport, &credential, (&acts, "impersonate", None), until).await?;
        if refused.is_empty() {
            return Ok(Some(Gateway { who, refused, constrained: false }));
        }
        let group = Some(impersonation::CONSTRAINED_GROUP);
        let otherwise = (acts.as_slice(), impersonation::CONSTRAINED, group);
        let constrained = self::refused(&transport, &credential, otherwise, until).await?;
        // The kind of which more is allowed is the one that was meant.
        let is_meant = constrained.len() < refused.len();
        Ok(Some(Gateway { who, refused: if is_meant { constrained } else { refused }, constrained: is_meant }))
    }

    /// Whom a cluster takes `person`, who owns this machine, for; `place` is the prefix of a workspace, or empty. `None`
    /// when the cluster is not theirs.
    ///
    /// # Errors
    /// As [`Pool::gateway`].
    pub async fn own_user(
        &self,
        key: &ClusterKey,
        (person, place): (&Caller, &str),
        within: Duration,
    ) -> Result<Option<UserInfo>, Failure> {
        let Some(Destination { compiled, upstream }) = self.destinations.get(key) else { return Ok(None) };
        if compiled.name != "local" || !person.principal().owns_this_machine() {
            return Ok(None);
        }
        let until = Instant::now() + within;
        let (transport, credential) =
            lend(upstream, compiled.strategy.credential(person, self.caches.kept.minting()), within).await?;
        whose(&transport, &credential, place, until).await.map(Some)
    }
}

/// Those of `acts` that the holder of `credential` may not do with `verb` whatever the name; all in `group` if given.
async fn refused(
    transport: &Transport,
    credential: &Credential,
    (acts, verb, group): (&[Acts], &str, Option<&str>),
    until: Instant,
) -> Result<Vec<String>, Failure> {
    let mut refused = Vec::new();
    for act in acts {
        let mut asked = json!({"verb": verb, "group": group.unwrap_or(act.group), "resource": act.resource});
        if let Some(subresource) = &act.subresource {
            asked["subresource"] = json!(subresource);
        }
        let question = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked}});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let Allowed { allowed } = review(transport, credential, (path, &question), until).await?;
        let named = act
            .subresource
            .as_ref()
            .map_or_else(|| act.resource.to_owned(), |below| format!("{}/{below}", act.resource));
        refused.extend((!allowed).then_some(named));
    }
    Ok(refused)
}

/// A credential, and the connections that it goes over.
async fn lend(
    upstream: &Upstream,
    obtaining: BoxFuture<'_, Result<Credential, CredentialError>>,
    within: Duration,
) -> Result<(Arc<Transport>, Credential), Failure> {
    let late = |_elapsed| Failure::new(FailureKind::Credential, "credential_timeout", "no credential in time");
    let obtained = tokio::time::timeout(within, obtaining).await.map_err(late)?;
    let credential = obtained.map_err(|error| error.failure(true))?;
    let transport = upstream.transport(credential.identity().map(AsRef::as_ref)).map_err(|error| unusable(&error))?;
    Ok((transport, credential))
}

/// Whom the API server takes the holder of `credential` for.
async fn whose(
    transport: &Transport,
    credential: &Credential,
    place: &str,
    until: Instant,
) -> Result<UserInfo, Failure> {
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = format!("{place}/apis/authentication.k8s.io/v1/selfsubjectreviews");
    let Reviewed { user_info } = review(transport, credential, (&path, &asked), until).await?;
    Ok(user_info)
}

/// Sends a review about the holder of `credential`.
async fn review<S: DeserializeOwned>(
    transport: &Transport,
    credential: &Credential,
    (path, review): (&str, &serde_json::Value),
    until: Instant,
) -> Result<S, Failure> {
    let mut headers = HeaderMap::new();
    credential.attach(transport.key(), &mut headers).map_err(|wrong| Failure::internal(wrong.to_string()))?;
    let left = until.saturating_duration_since(Instant::now());
    let reply = ask(transport, (Method::POST, path, Some(review.to_string())), headers, left).await?;
    match reply.head.status {
        StatusCode::CREATED | StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => {
            let cause = "the API server does not accept the credential (401)";
            return Err(Failure::new(FailureKind::Refused, "cluster_rejected_credential", cause));
        }
        other => {
            let cause = format!("the API server answers {other} to a review");
            return Err(Failure::new(FailureKind::Cluster, "cluster_error", cause));
        }
    }
    let review: Review<S> = serde_json::from_slice(&reply.body).map_err(|error| {
        Failure::new(FailureKind::Cluster, "unexpected_answer", "the answer is no review").because(&error)
    })?;
    Ok(review.status)
}

fn transport(
    key: ClusterKey,
    endpoint: &Endpoint,
    identity: Option<&TlsIdentity>,
    limits: Limits,
) -> Result<Transport, Failure> {
    Transport::new(key, endpoint, identity, limits).map_err(|error| unusable(&error))
}

fn unusable(error: &super::transport::SetupError) -> Failure {
    let cause = format!("the connection cannot be set up: {}", crate::model::chain(error));
    Failure::new(FailureKind::Credential, "tls_setup", cause)
}

async fn ask(
    transport: &Transport,
    (method, path, body): (Method, &str, Option<String>),
    mut headers: HeaderMap,
    within: Duration,
) -> Result<Reply, Failure> {
    let wrong = |error: String| Failure::internal(error);
    let url = transport.url(path).map_err(|error| wrong(error.to_string()))?;
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let body = Full::new(Bytes::from(body.unwrap_or_default()));
    let mut request =
        Request::builder().method(method).uri(url).body(body).map_err(|error| wrong(error.to_string()))?;
    *request.headers_mut() = headers;
    transport.send(request, within).await.map_err(|error| reply::unreachable(&error))
}
