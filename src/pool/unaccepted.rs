//! What it may mean when a kcp does not accept a credential (401). A workspace whose type has a
//! WorkspaceAuthenticationConfiguration accepts tokens that its neighbours do not, and needs two things that an ordinary
//! cluster does not: a token for kcp's own audience and for that of the configuration, and some seconds after either was
//! made. While its issuer does not answer, a kcp holds each request to the workspace for 10 s.

use std::time::Duration;

use crate::model::{Cluster, ClusterKind, Failure, Place, Principal, Target, Way};

/// An authenticator that could not start is tried again after this.
const STARTS: Duration = Duration::from_secs(10);

/// Says what to do about `failure`, if it is a kcp's 401.
pub(super) fn explain(failure: Failure, target: &Target, principal: &Principal, way: &Way) -> Failure {
    if failure.code != "cluster_rejected_credential" || target.cluster.kind != ClusterKind::Kcp {
        return failure;
    }
    match advice(target, principal, way) {
        Some((hint, retry)) => Failure { retry: retry.or(failure.retry), ..failure.hint(hint) },
        None => failure,
    }
}

/// What to do where a kcp accepts no credential, and after what time to try again: of the caller and the cluster, whatever
/// is in the workspace. `None` where no workspace is named.
pub(super) fn advice(target: &Target, principal: &Principal, way: &Way) -> Option<(String, Option<Duration>)> {
    if let Some(audience) = lacking(&target.cluster, principal, way) {
        let hint = format!(
            "Your token lacks the audience {audience:?}: a workspace with its own authentication needs kcp's audience and its own"
        );
        return Some((hint, None));
    }
    if target.place == Place::Whole {
        return None;
    }
    let hint = "If the authentication of this workspace is new, or its issuer was away, its authenticator is starting: try again \
                in 10 s. Else check issuer and audiences";
    Some((hint.to_owned(), Some(STARTS)))
}

/// Says what to do about a 401 of a workspace that the walk to another one passes.
pub(super) fn on_the_way(failure: Failure, walked: &str) -> Failure {
    let hint = format!(
        "If only a workspace below {walked} trusts your realm, name it by its logical cluster; or paths = \"trusted\", where there are no mounts"
    );
    Failure { retry: None, ..failure.hint(hint) }
}

/// An audience of the cluster that the caller's own token does not have, where that token goes there.
fn lacking<'a>(cluster: &'a Cluster, principal: &Principal, way: &Way) -> Option<&'a String> {
    let own = matches!(way, Way::Passthrough { .. });
    cluster.audiences.iter().find(|audience| own && !principal.audiences.contains(audience))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{STARTS, explain, on_the_way};
    use crate::model::{Cluster, ClusterKind, Failure, FailureKind, Place, Principal, Target, Way};
    use crate::pool::tests::{caller, compiled, entry};

    fn said(kind: ClusterKind, place: &str, token: &[&str], way: &Way) -> Failure {
        let (cluster, _) = compiled(&entry("https://127.0.0.1:1"));
        let audiences = vec!["https://kcp.default.svc".to_owned(), "plant-world".to_owned()];
        let cluster = Arc::new(Cluster { kind, audiences, ..Cluster::clone(&cluster) });
        let target = Target { cluster, place: Place::parse(place).unwrap(), defaulted: None };
        let audiences = token.iter().map(|audience| (*audience).to_owned()).collect();
        let principal = Principal { audiences, ..Principal::clone(caller().principal()) };
        let rejected = Failure::new(FailureKind::Refused, "cluster_rejected_credential", "401").hint("Check");
        explain(rejected, &target, &principal, way)
    }

    fn hint(failure: &Failure) -> &str {
        failure.hint.as_deref().unwrap_or_default()
    }

    #[test]
    fn a_token_with_one_of_two_audiences_is_told_the_other() {
        let own = Way::Passthrough { audiences: vec![] };
        for (has, lacks) in [("plant-world", "https://kcp.default.svc"), ("https://kcp.default.svc", "plant-world")] {
            let failure = said(ClusterKind::Kcp, "root:plant-world", &[has, "other"], &own);
            assert!(hint(&failure).contains(&format!("lacks the audience \"{lacks}\"")), "{failure:?}");
            assert_eq!(failure.retry, None, "no waiting helps");
        }
    }

    #[test]
    fn a_new_authenticator_is_waited_for() {
        let both = ["plant-world", "https://kcp.default.svc"];
        let own = Way::Passthrough { audiences: vec![] };
        for (token, way) in [(&both[..], &own), (&["our-door"][..], &Way::Exchange)] {
            let failure = said(ClusterKind::Kcp, "root:plant-world", token, way);
            assert!(hint(&failure).contains("try again in 10 s"), "{failure:?}");
            assert_eq!(failure.retry, Some(STARTS));
            let walking = on_the_way(failure, "root");
            assert!(hint(&walking).contains("below root") && walking.retry.is_none(), "{walking:?}");
        }
    }

    #[test]
    fn other_clusters_and_other_failures_keep_their_words() {
        let own = Way::Passthrough { audiences: vec![] };
        assert_eq!(hint(&said(ClusterKind::Kubernetes, "root:plant-world", &[], &own)), "Check");
        let (cluster, _) = compiled(&entry("https://127.0.0.1:1"));
        let cluster = Arc::new(Cluster { kind: ClusterKind::Kcp, ..Cluster::clone(&cluster) });
        let target = Target { cluster, place: Place::Whole, defaulted: None };
        let forbidden = Failure::new(FailureKind::Refused, "forbidden", "no").hint("Ask");
        assert_eq!(hint(&explain(forbidden, &target, caller().principal(), &own)), "Ask");
    }
}
