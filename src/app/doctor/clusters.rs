//! A cluster: is it there, is it what it is said to be, and do the credentials work that are kubeferry's own.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::{Finding, Level};
use crate::dispatch::Live;
use crate::model::{Caller, Cluster, ClusterKind, UserInfo};
use crate::pool::{Gateway, Limits, Presence, presence};

/// Time for one question; connecting has three seconds of it.
const ANSWER: Duration = Duration::from_secs(6);

pub(super) async fn check(
    live: Arc<Live>,
    cluster: Arc<Cluster>,
    person: Option<Caller>,
    limits: Limits,
) -> Vec<Finding> {
    let about = format!("cluster {}", cluster.name);
    if cluster.strategy == "none" {
        return vec![unbound(&about, &cluster)];
    }
    let mut found = presence(&cluster.endpoint, "/version", ANSWER, limits).await;
    // A front-proxy knows nothing but workspaces.
    let at_proxy = |found: &Presence| cluster.kind == ClusterKind::Kcp && found.status == StatusCode::NOT_FOUND;
    if found.as_ref().is_ok_and(at_proxy) {
        found = presence(&cluster.endpoint, "/clusters/root/version", ANSWER, limits).await;
    }
    let mut findings = match found {
        Ok(found) => answered(&about, &cluster, &found),
        Err(failure) => {
            let fix = "check that it is up, and its server and ca_file";
            return vec![Finding::of(&about, &cluster.endpoint.server, &failure, fix)];
        }
    };
    if findings.iter().any(|finding| finding.level == Level::Failed) {
        // Whoever this is, it gets no credential.
        return findings;
    }
    if cluster.reach.realms().next().is_none() {
        let said = "no realm reaches it".to_owned();
        findings.push(Finding::warning(&about, said, cluster.reach.missing_step.clone()));
    }
    match live.pool.gateway(&cluster.key, ANSWER).await {
        Ok(None) => {}
        Ok(Some(found)) => findings.extend(gateway(&about, &found)),
        Err(failure) => {
            let fix = "check the context in gateway_credentials.kubeconfig";
            findings.push(Finding::of(&about, "kubeferry's own credential", &failure, fix));
        }
    }
    if cluster.strategy == "local" {
        findings.extend(own_user(&about, &live, &cluster, person.as_ref()).await);
    }
    findings
}

/// What the API server says of kubeferry's own credential.
fn gateway(about: &str, Gateway { who, refused, constrained }: &Gateway) -> Vec<Finding> {
    let name = &who.username;
    let manifest = if *constrained { "clusters/impersonator-constrained.yaml" } else { "clusters/impersonator.yaml" };
    let mut findings = Vec::new();
    if let Some(group) = administrator(who) {
        let said =
            format!("kubeferry is {name:?} of the group {group} there: it may do everything, not only act for others");
        let fix = "apply clusters/impersonator.yaml there, and give gateway_credentials a user with that token alone";
        findings.push(Finding::warning(about, said, fix));
    }
    findings.push(if refused.is_empty() {
        let bounds = if *constrained { ", where its ClusterRole says" } else { "" };
        Finding::ok(about, format!("kubeferry is {name:?} there, and may impersonate{bounds}"))
    } else {
        let said = format!("kubeferry is {name:?} there, and may not impersonate all {}", refused.join(" and all "));
        let fix = format!(
            "nothing, if its ClusterRole names some with resourceNames; else apply {manifest} there with that user as its subject"
        );
        Finding::warning(about, said, fix)
    });
    findings
}

/// The group by which a user passes every check of a cluster made by kubeadm, as a Kind cluster is.
fn administrator(who: &UserInfo) -> Option<&'static str> {
    let all = ["system:masters", "kubeadm:cluster-admins"];
    all.into_iter().find(|group| who.groups.iter().any(|held| held == group))
}

fn unbound(about: &str, cluster: &Cluster) -> Finding {
    let name = cluster.aliases.first().map_or(cluster.name.as_str(), String::as_str);
    let fix = if cluster.source == "file" {
        "write a strategy, as \"passthrough\" or \"impersonate\", in its table".to_owned()
    } else {
        format!(
            "bind it: [[bind]] match = {{ source = {:?}, name = {name:?} }}, with strategy, realms and what the strategy needs",
            cluster.source
        )
    };
    Finding::warning(about, "nobody reaches it: its strategy is none", fix)
}

/// An API server answers a stranger with its version, or with a Status of 401 or 403.
fn answered(about: &str, cluster: &Cluster, found: &Presence) -> Vec<Finding> {
    let version = found.version.as_deref();
    let server = &cluster.endpoint.server;
    let refused = matches!(found.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) && found.is_status;
    if !refused && (found.status != StatusCode::OK || version.is_none()) {
        let said = format!("{server} answers {} to /version, as no API server does", found.status.as_u16());
        return vec![Finding::failed(about, said, "write the URL of the API server itself")];
    }
    let what = version.map_or_else(|| "shows its version to nobody".to_owned(), str::to_owned);
    let mut findings = vec![Finding::ok(about, format!("{server} answers in {} ms: {what}", found.took.as_millis()))];
    let is_kcp = version.map(|version| version.contains("kcp"));
    let (said, fix) = match (cluster.kind, is_kcp) {
        (ClusterKind::Kcp, Some(false)) => ("it is said to be a kcp, and is none", "remove kind = \"kcp\""),
        (ClusterKind::Kubernetes | ClusterKind::Kind, Some(true)) => {
            ("it is a kcp, and not said to be one", "write kind = \"kcp\", so that its workspaces are targets")
        }
        (_, None) | (ClusterKind::Kcp, Some(true)) | (ClusterKind::Kubernetes | ClusterKind::Kind, Some(false)) => {
            return findings;
        }
    };
    findings.push(Finding::warning(about, said, fix));
    findings
}

/// Whom the API server takes the kubeconfig's own user for. No tool is called: the policy may have none.
async fn own_user(about: &str, live: &Live, cluster: &Cluster, person: Option<&Caller>) -> Option<Finding> {
    // The first segment of a path can never be a mount.
    let first = cluster.entry.first().and_then(|path| path.segments().next());
    let place = first.map(|workspace| format!("/clusters/{workspace}")).unwrap_or_default();
    match live.pool.own_user(&cluster.key, (person?, &place), ANSWER).await {
        Ok(who) => {
            who.map(|who| Finding::ok(about, format!("the kubeconfig's user is accepted, as {:?}", who.username)))
        }
        Err(failure) => Some(Finding::of(about, "the kubeconfig's user", &failure, "sign in again, as for kubectl")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Ok, Warning};
    use super::{Gateway, gateway};
    use crate::model::UserInfo;

    #[test]
    fn a_gateway_that_is_an_administrator_is_a_warning() {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let found = |groups: &[&str], refused: &[&str]| Gateway {
            who: UserInfo { username: "gateway".to_owned(), groups: owned(groups), ..UserInfo::default() },
            refused: owned(refused),
            constrained: false,
        };
        let levels =
            |groups: &[&str]| gateway("c", &found(groups, &[])).iter().map(|one| one.level).collect::<Vec<_>>();
        let narrow = gateway("c", &found(&[], &["groups", "uids"]));
        assert_eq!(narrow[0].level, Warning, "some may be named: {narrow:?}");
        assert!(narrow[0].said.ends_with("all groups and all uids") && narrow[0].fix.contains("resourceNames"));
        assert_eq!(levels(&["system:serviceaccounts", "system:authenticated"]), [Ok]);
        for group in ["system:masters", "kubeadm:cluster-admins"] {
            assert_eq!(levels(&["system:authenticated", group]), [Warning, Ok], "{group}");
        }
        let constrained = gateway("c", &Gateway { constrained: true, ..found(&[], &["groups"]) });
        assert!(constrained[0].fix.contains("clusters/impersonator-constrained.yaml"), "{constrained:?}");
    }
}
