//! OpenAPI v3 documents: one per group and version (v2, which is everything at once, is never asked for).

use bytes::Bytes;

use super::client::ClusterClient;
use super::send::Ask;
use crate::model::{ApiResource, Failure, FailureKind, names};

impl ClusterClient {
    /// The OpenAPI v3 document of a kind's group and version, as the server writes it: some MB at most.
    ///
    /// # Errors
    /// When there is none for it; the API server's answer when it is none, or no answer.
    pub async fn openapi(&self, kind: &ApiResource) -> Result<Bytes, Failure> {
        let reply = self.request(&Ask { cluster_scoped: true, ..Ask::get(path(kind)?) }).await;
        reply.map(|reply| reply.body).map_err(|failure| match failure.kind {
            FailureKind::NotFound => Failure {
                cause: format!("there is no OpenAPI v3 document of {}", kind.api_version()),
                hint: Some("It is served from Kubernetes 1.24 on; an aggregated API may have none".to_owned()),
                ..failure
            },
            FailureKind::Arguments
            | FailureKind::UnknownTarget
            | FailureKind::UnknownTool
            | FailureKind::Denied
            | FailureKind::SignIn
            | FailureKind::Credential
            | FailureKind::Refused
            | FailureKind::Cluster
            | FailureKind::Unreachable
            | FailureKind::Overloaded
            | FailureKind::Internal => failure,
        })
    }
}

/// `/openapi/v3/apis/apps/v1`, or `/openapi/v3/api/v1`: both segments checked.
fn path(kind: &ApiResource) -> Result<String, Failure> {
    let wrong = |error: names::NameError| Failure::arguments(error.to_string());
    let (group, version) = (names::group(&kind.group).map_err(wrong)?, names::version(&kind.version).map_err(wrong)?);
    Ok(match group {
        "" => format!("/openapi/v3/api/{version}"),
        group => format!("/openapi/v3/apis/{group}/{version}"),
    })
}
