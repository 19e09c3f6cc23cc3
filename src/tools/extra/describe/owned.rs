//! The pods of an object: those that its owner references lead to, through ReplicaSets, ReplicationControllers and Jobs;
//! those on a node, behind a service or with a claim. At most two requests.

use std::collections::HashSet;

use serde_json::Value;

use super::{items, printed, text};
use crate::model::{Failure, ListRequest};
use crate::pool::ClusterClient;
use crate::tools::pods;

/// Pods or owners between, at most.
const MOST: u32 = 100;
/// Objects that are read of a namespace to find those that name another one, at most.
const SEARCHED: u32 = 500;
/// Jobs of a CronJob whose pods are read.
const JOBS: usize = 10;

/// What was found, those that are not well first.
#[derive(Debug, Default)]
pub(super) struct Pods {
    pub(super) found: Vec<Value>,
    /// How many more the selector found that another one owns.
    others: usize,
    /// Whether there are more than were read.
    more: bool,
    /// Why labels alone decided: in words.
    by_labels: Option<String>,
    /// Owners between, in the plural, of which there are more than were read.
    unread: Option<&'static str>,
}

/// What a workload owns that owns its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Between {
    plural: &'static str,
    version: &'static str,
    label_selector: Option<String>,
}

/// How a workload owns its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chain {
    Direct,
    Through(Between),
    /// Only their labels tell.
    Unknown,
}

impl Pods {
    pub(super) fn print(&self) -> String {
        let mut text = printed(self.found.iter().map(line), "pods");
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if self.others > 0 {
            text.push_str(&format!("({} more match its selector and belong to others)\n", self.others));
        }
        if let Some(why) = &self.by_labels {
            text.push_str(&format!("(by their labels: {why})\n"));
        }
        if let Some(owners) = self.unread {
            text.push_str(&format!("(it has more {owners} than were read, whose pods count as those of others)\n"));
        }
        if self.more {
            text.push_str("(there are more, unread)\n");
        }
        text
    }
}

/// Name, ready containers, state, restarts and node of a pod.
fn line(pod: &Value) -> String {
    let statuses: Vec<&Value> = items(pod, "/status/containerStatuses").collect();
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let restarts: u64 = statuses.iter().filter_map(|status| status["restartCount"].as_u64()).sum();
    let reason = |status: &&Value| {
        let state = ["/state/waiting/reason", "/state/terminated/reason"];
        state.iter().find_map(|pointer| status.pointer(pointer)?.as_str().map(str::to_owned))
    };
    let state = statuses.iter().find_map(reason).unwrap_or_else(|| text(pod, "/status/phase").to_owned());
    let (name, node) = (pods::name(pod), text(pod, "/spec/nodeName"));
    format!("{name}\t{ready}/{}\t{state}\trestarts {restarts}\t{node}", statuses.len())
}

/// The pods of an object; `None` for kinds that have none.
pub(super) async fn pods(
    client: &ClusterClient,
    object: &Value,
    namespace: Option<&str>,
) -> Option<Result<Pods, Failure>> {
    let (kind, name) = (text(object, "/kind"), pods::name(object));
    let within = |label_selector: Option<String>, limit: u32| ListRequest {
        namespace: namespace.map(Into::into),
        label_selector,
        limit,
        ..ListRequest::default()
    };
    match (kind, namespace) {
        ("Pod", _) => Some(Ok(Pods { found: vec![object.clone()], ..Pods::default() })),
        ("Node", None) => {
            let field_selector = Some(format!("spec.nodeName={name}"));
            let request = ListRequest { field_selector, limit: MOST, ..ListRequest::default() };
            Some(select(client, &request, |_| true).await.map(|pods| Pods { others: 0, ..pods }))
        }
        ("PersistentVolumeClaim", Some(_)) => {
            let mounts = |pod: &Value| {
                items(pod, "/spec/volumes").any(|volume| text(volume, "/persistentVolumeClaim/claimName") == name)
            };
            Some(select(client, &within(None, SEARCHED), mounts).await.map(|pods| Pods { others: 0, ..pods }))
        }
        ("CronJob", Some(_)) => Some(of_jobs(client, object, &within(None, SEARCHED)).await),
        // These select pods without owning them.
        ("Service" | "PodDisruptionBudget", Some(_)) => {
            Some(select(client, &within(Some(pods::selector(object)?), MOST), |_| true).await)
        }
        (_, Some(_)) => Some(of_workload(client, object, &within(Some(pods::selector(object)?), MOST)).await),
        (_, None) => None,
    }
}

/// The pods of a workload, and those that match and have no owner: its controller adopts them.
async fn of_workload(client: &ClusterClient, object: &Value, request: &ListRequest) -> Result<Pods, Failure> {
    let mut owners = HashSet::from([uid(object)]);
    let mut unread = None;
    let mut by_labels = None;
    match chain(object) {
        Chain::Direct => {}
        Chain::Unknown => by_labels = Some("how it owns its pods is not known".to_owned()),
        Chain::Through(between) => match list(client, &between, request).await {
            Ok(list) => {
                unread = has_more(&list).then_some(between.plural);
                let found: Vec<String> =
                    items(&list, "/items").filter(|owner| is_owned(owner, &owners)).map(uid).collect();
                owners.extend(found);
            }
            Err(_unread) => by_labels = Some(format!("its {} cannot be read", between.plural)),
        },
    }
    let is_free = |pod: &Value| items(pod, "/metadata/ownerReferences").next().is_none();
    let labels_decide = by_labels.is_some();
    let pods = select(client, request, |pod| labels_decide || is_free(pod) || is_owned(pod, &owners)).await?;
    Ok(Pods { by_labels, unread, ..pods })
}

fn chain(object: &Value) -> Chain {
    match text(object, "/kind") {
        // A Rollout of Argo owns ReplicaSets as a Deployment does; these have the labels of their pods.
        "Deployment" | "Rollout" => {
            Chain::Through(Between { plural: "replicasets", version: "apps/v1", label_selector: None })
        }
        // A ReplicationController of OpenShift has not the labels of its pods, but the name of its DeploymentConfig.
        "DeploymentConfig" => {
            let label_selector = Some(format!("openshift.io/deployment-config.name={}", pods::name(object)));
            Chain::Through(Between { plural: "replicationcontrollers", version: "v1", label_selector })
        }
        "DaemonSet" | "Job" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => Chain::Direct,
        _ => Chain::Unknown,
    }
}

/// The owners between in the namespace of `request`; by its labels where they have no others.
async fn list(client: &ClusterClient, between: &Between, request: &ListRequest) -> Result<Value, Failure> {
    let kind = client.kind(between.plural, Some(between.version)).await?;
    let label_selector = between.label_selector.clone().or_else(|| request.label_selector.clone());
    client.list_objects(&kind, &ListRequest { label_selector, ..request.clone() }).await
}

/// The pods of the newest Jobs of a CronJob.
async fn of_jobs(client: &ClusterClient, object: &Value, request: &ListRequest) -> Result<Pods, Failure> {
    let kind = client.kind("jobs", Some("batch/v1")).await?;
    let list = client.list_objects(&kind, request).await?;
    let owner = HashSet::from([uid(object)]);
    let mut jobs: Vec<&Value> = items(&list, "/items").filter(|job| is_owned(job, &owner)).collect();
    jobs.sort_by_key(|job| std::cmp::Reverse(text(job, "/metadata/creationTimestamp")));
    let older = jobs.len() > JOBS;
    jobs.truncate(JOBS);
    if jobs.is_empty() {
        return Ok(Pods { more: has_more(&list), ..Pods::default() });
    }
    let names: Vec<&str> = jobs.iter().map(|job| pods::name(job)).collect();
    let owners: HashSet<String> = jobs.iter().map(|job| uid(job)).collect();
    let label_selector = Some(format!("job-name in ({})", names.join(",")));
    let request = ListRequest { label_selector, limit: MOST, ..request.clone() };
    let found = select(client, &request, |pod| is_owned(pod, &owners)).await?;
    Ok(Pods { more: found.more || older || has_more(&list), ..found })
}

async fn select(
    client: &ClusterClient,
    request: &ListRequest,
    belongs: impl Fn(&Value) -> bool,
) -> Result<Pods, Failure> {
    let kind = client.kind("pods", Some("v1")).await?;
    let mut list = client.list_objects(&kind, request).await?;
    let more = has_more(&list);
    let found = list.get_mut("items").map(Value::take);
    let found = if let Some(Value::Array(items)) = found { items } else { Vec::new() };
    let (mut found, others): (Vec<Value>, Vec<Value>) = found.into_iter().partition(belongs);
    found.sort_by_key(pods::is_well);
    Ok(Pods { found, others: others.len(), more, ..Pods::default() })
}

fn has_more(list: &Value) -> bool {
    !text(list, "/metadata/continue").is_empty()
}

fn uid(object: &Value) -> String {
    text(object, "/metadata/uid").to_owned()
}

/// True when one of `owners` is among its owner references. An empty uid owns nothing.
fn is_owned(object: &Value, owners: &HashSet<String>) -> bool {
    items(object, "/metadata/ownerReferences").any(|owner| {
        let uid = text(owner, "/uid");
        !uid.is_empty() && owners.contains(uid)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::{Between, Chain, Pods, chain, is_owned, line};

    #[test]
    fn pods_say_why_they_wait() {
        let pod = json!({
            "metadata": {"name": "web-1"}, "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "containerStatuses": [
                {"ready": true, "restartCount": 1, "state": {"running": {}}},
                {"ready": false, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            ]},
        });
        assert_eq!(line(&pod), "web-1\t1/2\tCrashLoopBackOff\trestarts 5\tn");
        let text = Pods { found: vec![pod], others: 2, more: true, ..Pods::default() }.print();
        assert!(text.ends_with("\tn\n(2 more match its selector and belong to others)\n(there are more, unread)\n"));
        assert_eq!(Pods::default().print(), "none\n");
        let half = Pods { by_labels: Some("why".into()), unread: Some("replicasets"), ..Pods::default() }.print();
        let said = "(it has more replicasets than were read, whose pods count as those of others)\n";
        assert_eq!(half, format!("none\n(by their labels: why)\n{said}"));
    }

    #[test]
    fn workloads_own_pods_themselves_or_through_what_they_own() {
        let of = |kind: &str| chain(&json!({"kind": kind, "metadata": {"name": "web"}}));
        let sets = Chain::Through(Between { plural: "replicasets", version: "apps/v1", label_selector: None });
        assert_eq!([of("Deployment"), of("Rollout")], [sets.clone(), sets]);
        let label_selector = Some("openshift.io/deployment-config.name=web".to_owned());
        let controllers = Between { plural: "replicationcontrollers", version: "v1", label_selector };
        assert_eq!(of("DeploymentConfig"), Chain::Through(controllers));
        assert_eq!([of("StatefulSet"), of("ReplicaSet")], [Chain::Direct, Chain::Direct]);
        assert_eq!(of("CloneSet"), Chain::Unknown);
    }

    #[test]
    fn owners_are_known_by_uid() {
        let owners = HashSet::from(["a".to_owned(), String::new()]);
        let owned = |uid: &str| is_owned(&json!({"metadata": {"ownerReferences": [{"uid": uid}]}}), &owners);
        assert!(owned("a") && !owned("b") && !owned(""));
        assert!(!is_owned(&json!({"metadata": {}}), &owners));
    }
}
