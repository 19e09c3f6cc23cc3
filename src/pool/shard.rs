//! What it means when a kcp answers that it cannot: behind a front-proxy the shard of one workspace may be away while those
//! of others are well, and a shard that is asked for a workspace of another one says so with 429.

use http::StatusCode;

use super::transport::Reply;
use crate::model::{ClusterKind, Failure, FailureKind, Target};

/// What a shard says of a workspace of another one.
const ELSEWHERE: &str = "Not found on this shard";
/// A text that is longer than this is not that one.
const SHORT: usize = 4096;

/// Says what `failure`, which was made of `reply`, means when it is a kcp's.
pub(super) fn explain(failure: Failure, reply: &Reply, target: &Target) -> Failure {
    if target.cluster.kind != ClusterKind::Kcp {
        return failure;
    }
    let status = reply.head.status;
    let elsewhere = reply.body.len() < SHORT && String::from_utf8_lossy(&reply.body).contains(ELSEWHERE);
    let (cause, hint) = match status {
        StatusCode::TOO_MANY_REQUESTS if elsewhere => (
            "the server says that this workspace is on another shard (429)".to_owned(),
            "Try again in a minute; if it stays, the server in the inventory must be the front-proxy",
        ),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => (
            format!("the shard of this workspace does not answer, or something before it ({})", status.as_u16()),
            "Other workspaces may well work; try again later, or ask whoever runs this kcp",
        ),
        _ => return failure,
    };
    // The server was reached: one document of discovery that is answered so costs the others nothing.
    let said = Failure::new(FailureKind::Cluster, "workspace_unreachable", cause).hint(hint);
    Failure { detail: Some(failure.to_string()), retry: failure.retry, ..said }
}

/// As it is said of a workspace that a walk to another one passes.
pub(super) fn on_the_way(failure: Failure, walked: &str) -> Failure {
    let cause = failure.cause.replace("this workspace", &format!("the workspace {walked}, on the way,"));
    Failure { cause, ..failure }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::{explain, on_the_way};
    use crate::model::{Cluster, ClusterKind, Failure, FailureKind, Place, Target};
    use crate::pool::tests::{compiled, entry};
    use crate::pool::transport::Reply;

    fn said(kind: ClusterKind, status: u16, body: &'static str) -> Failure {
        let (cluster, _) = compiled(&entry("https://127.0.0.1:1"));
        let cluster = Arc::new(Cluster { kind, ..Cluster::clone(&cluster) });
        let target = Target { cluster, place: Place::parse("root:a").unwrap(), defaulted: None };
        let (head, ()) = http::Response::builder().status(status).body(()).unwrap().into_parts();
        let reply = Reply { head, body: Bytes::from_static(body.as_bytes()) };
        explain(Failure::new(FailureKind::Cluster, "cluster_error", "as it was"), &reply, &target)
    }

    #[test]
    fn a_shard_that_is_away_is_not_the_whole_kcp() {
        for status in [502, 503, 504] {
            let failure = said(ClusterKind::Kcp, status, "");
            assert_eq!((failure.code, failure.kind), ("workspace_unreachable", FailureKind::Cluster));
            assert!(failure.cause.ends_with(&format!("or something before it ({status})")), "{failure:?}");
        }
        let passed = on_the_way(said(ClusterKind::Kcp, 502, ""), "root:org");
        assert!(
            passed.cause.starts_with("the shard of the workspace root:org, on the way, does not answer"),
            "{passed:?}"
        );
        let moved = said(ClusterKind::Kcp, 429, "Not found on this shard\n");
        assert!(moved.cause.contains("on another shard"), "{moved:?}");
    }

    #[test]
    fn other_answers_keep_their_words() {
        for (kind, status, body) in [
            (ClusterKind::Kubernetes, 503, ""),
            (ClusterKind::Kcp, 500, ""),
            (ClusterKind::Kcp, 429, "Too many requests"),
            (ClusterKind::Kcp, 403, "Not found on this shard"),
        ] {
            assert_eq!(said(kind, status, body).code, "cluster_error", "{status}");
        }
    }
}
