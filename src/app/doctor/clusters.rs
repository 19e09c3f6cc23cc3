//! A cluster: is it there, is it what it is said to be, and do the credentials work that are kubeferry's own.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Finding;
use crate::dispatch::{self, Call, Live};
use crate::model::{Caller, Cluster, ClusterKind, UserInfo};
use crate::pool::{Presence, presence};

/// Time for one question; connecting has three seconds of it.
const ANSWER: Duration = Duration::from_secs(6);

pub(super) async fn check(live: Arc<Live>, cluster: Arc<Cluster>, person: Option<Caller>) -> Vec<Finding> {
    let about = format!("cluster {}", cluster.name);
    if cluster.strategy == "none" {
        return vec![unbound(&about, &cluster)];
    }
    let mut findings = match presence(&cluster.endpoint, "/version", ANSWER).await {
        Ok(found) => answered(&about, &cluster, &found),
        Err(failure) => {
            let fix = "check that it is up, and its server and ca_file";
            return vec![Finding::of(&about, &cluster.endpoint.server, &failure, fix)];
        }
    };
    if cluster.reach.realms().next().is_none() {
        let said = "no realm reaches it".to_owned();
        findings.push(Finding::warning(&about, said, cluster.reach.missing_step.clone()));
    }
    match live.pool.gateway(&cluster.key, ANSWER).await {
        Ok(None) => {}
        Ok(Some((who, refused))) => findings.extend(gateway(&about, &who, &refused)),
        Err(failure) => {
            let fix = "check the context in gateway_credentials.kubeconfig";
            findings.push(Finding::of(&about, "kubeferry's own credential", &failure, fix));
        }
    }
    if cluster.strategy == "local" {
        findings.extend(own_user(&about, live, &cluster, person).await);
    }
    findings
}

/// What the API server says of kubeferry's own credential.
fn gateway(about: &str, who: &UserInfo, refused: &[&str]) -> Vec<Finding> {
    let name = &who.username;
    let mut findings = Vec::new();
    if let Some(group) = administrator(who) {
        let said =
            format!("kubeferry is {name:?} of the group {group} there: it may do everything, not only act for others");
        let fix = "apply clusters/impersonator.yaml there, and give gateway_credentials a user with that token alone";
        findings.push(Finding::warning(about, said, fix));
    }
    findings.push(if refused.is_empty() {
        Finding::ok(about, format!("kubeferry is {name:?} there, and may impersonate"))
    } else {
        let said = format!("kubeferry is {name:?} there, and may not impersonate {}", refused.join(" and "));
        Finding::failed(about, said, "apply clusters/impersonator.yaml there with that user as its subject")
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

/// An API server answers a stranger with its version, or with 401 or 403.
fn answered(about: &str, cluster: &Cluster, found: &Presence) -> Vec<Finding> {
    let version = found.version.as_deref();
    let server = &cluster.endpoint.server;
    let expected = matches!(found.status, StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if !expected || (found.status == StatusCode::OK && version.is_none()) {
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

/// Whom the API server takes the kubeconfig's own user for: asked as any call is.
async fn own_user(about: &str, live: Arc<Live>, cluster: &Cluster, person: Option<Caller>) -> Option<Finding> {
    let caller = person?;
    let target = match cluster.entry.first() {
        Some(workspace) => format!("{}:{workspace}", cluster.name),
        None => cluster.name.to_string(),
    };
    let arguments = json!({"cluster": target}).as_object().cloned().unwrap_or_default();
    let call = Call {
        live,
        caller,
        tool: "whoami".to_owned(),
        arguments,
        cancel: CancellationToken::new(),
        request_id: "doctor".to_owned(),
        deadline: ANSWER,
    };
    Some(match dispatch::run(call).await {
        Ok(_answer) => Finding::ok(about, "the kubeconfig's user is accepted"),
        Err(failure) => Finding::of(about, "the kubeconfig's user", &failure, "sign in again, as for kubectl"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Ok, Warning};
    use super::gateway;
    use crate::model::UserInfo;

    #[test]
    fn a_gateway_that_is_an_administrator_is_a_warning() {
        let who = |groups: &[&str]| UserInfo {
            username: "gateway".to_owned(),
            groups: groups.iter().map(ToString::to_string).collect(),
            ..UserInfo::default()
        };
        let levels = |groups: &[&str]| gateway("c", &who(groups), &[]).iter().map(|one| one.level).collect::<Vec<_>>();
        assert_eq!(levels(&["system:serviceaccounts", "system:authenticated"]), [Ok]);
        for group in ["system:masters", "kubeadm:cluster-admins"] {
            assert_eq!(levels(&["system:authenticated", group]), [Warning, Ok], "{group}");
        }
    }
}
