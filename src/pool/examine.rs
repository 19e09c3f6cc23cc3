//! What `doctor` asks of clusters, outside of any call and without any caller: whether somebody is there, for which no
//! credential leaves, and, where kubeferry has a credential of its own, whom the API server takes it for. The connections
//! are those of calls, with the same checks; nothing is retried.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::credential::{Credential, TlsIdentity};
use super::transport::{Reply, Transport};
use super::{Destination, Limits, Pool, reply};
use crate::model::{ClusterKey, Endpoint, Failure, FailureKind, KeyHasher, UserInfo};

/// Somebody who answered.
#[derive(Debug, Clone)]
pub struct Presence {
    /// Status of the answer.
    pub status: StatusCode,
    /// `gitVersion` of `/version`, where it is shown to strangers.
    pub version: Option<String>,
    /// The answer has an `x-request-id`, as kubeferry's have.
    pub request_id: bool,
    /// From nothing to the answer, connecting included.
    pub took: Duration,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "gitVersion")]
    version: String,
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

/// Asks `endpoint` for `path` with no credential at all.
///
/// # Errors
/// When there is no answer within `within`; with the reason in plain words.
pub async fn presence(endpoint: &Endpoint, path: &str, within: Duration) -> Result<Presence, Failure> {
    let began = Instant::now();
    let key = ClusterKey::from(KeyHasher::new("examine"));
    let transport = transport(key, endpoint, None, Limits::default())?;
    let reply = ask(&transport, (Method::GET, path, None), HeaderMap::new(), within).await?;
    let version: Option<Version> = serde_json::from_slice(&reply.body).ok();
    Ok(Presence {
        status: reply.head.status,
        version: version.map(|found| found.version.chars().filter(|c| !c.is_control()).take(60).collect()),
        request_id: reply.head.headers.contains_key("x-request-id"),
        took: began.elapsed(),
    })
}

impl Pool {
    /// Whom a cluster takes kubeferry's own credential for, and what of `impersonate` on users and groups it may not do
    /// there; `None` where every credential is a caller's.
    ///
    /// # Errors
    /// When there is no such credential, or the API server does not accept it or does not answer, within `within`.
    pub async fn gateway(
        &self,
        key: &ClusterKey,
        within: Duration,
    ) -> Result<Option<(UserInfo, Vec<&'static str>)>, Failure> {
        let Some(Destination { compiled, upstream }) = self.destinations.get(key) else { return Ok(None) };
        let Some(obtaining) = compiled.strategy.gateway() else { return Ok(None) };
        let until = Instant::now() + within;
        let obtained = tokio::time::timeout(within, obtaining).await;
        let late = |_elapsed| Failure::new(FailureKind::Credential, "credential_timeout", "no credential in time");
        let credential = obtained.map_err(late)?.map_err(|error| error.failure(true))?;
        let transport =
            upstream.transport(credential.identity().map(AsRef::as_ref)).map_err(|error| unusable(&error))?;
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let Reviewed { user_info } = self::review(&transport, &credential, (path, &review), until).await?;
        let mut refused = Vec::new();
        for resource in ["users", "groups"] {
            let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {"verb": "impersonate", "resource": resource}}});
            let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
            let Allowed { allowed } = self::review(&transport, &credential, (path, &review), until).await?;
            refused.extend((!allowed).then_some(resource));
        }
        Ok(Some((user_info, refused)))
    }
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
