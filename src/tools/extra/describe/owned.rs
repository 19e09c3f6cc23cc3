//! The pods of an object: those that its owner references lead to, through ReplicaSets and Jobs; those on a node, behind a
//! service or with a claim. At most two requests.

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
    /// Whether the owners between could not be read, so that labels alone decided.
    by_labels: bool,
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
        if self.by_labels {
            text.push_str("(by their labels: its replicasets cannot be read)\n");
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

/// The pods of a workload, and those that match and have no owner: its controller adopts them. A Deployment owns
/// ReplicaSets, and these own pods.
async fn of_workload(client: &ClusterClient, object: &Value, request: &ListRequest) -> Result<Pods, Failure> {
    let mut owners = HashSet::from([uid(object)]);
    if text(object, "/kind") == "Deployment" {
        match replica_sets(client, request).await {
            Ok(sets) => {
                owners.extend(items(&sets, "/items").filter(|set| is_owned(set, &owners)).map(uid).collect::<Vec<_>>());
            }
            Err(_unread) => {
                let pods = select(client, request, |_| true).await?;
                return Ok(Pods { by_labels: true, ..pods });
            }
        }
    }
    let is_free = |pod: &Value| items(pod, "/metadata/ownerReferences").next().is_none();
    select(client, request, |pod| is_free(pod) || is_owned(pod, &owners)).await
}

async fn replica_sets(client: &ClusterClient, request: &ListRequest) -> Result<Value, Failure> {
    let kind = client.kind("replicasets", Some("apps/v1")).await?;
    client.list_objects(&kind, request).await
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
    Ok(Pods { found, others: others.len(), more, by_labels: false })
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

    use super::{Pods, is_owned, line};

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
        let text = Pods { found: vec![pod], others: 2, more: true, by_labels: false }.print();
        assert!(text.ends_with("\tn\n(2 more match its selector and belong to others)\n(there are more, unread)\n"));
        assert_eq!(Pods::default().print(), "none\n");
    }

    #[test]
    fn owners_are_known_by_uid() {
        let owners = HashSet::from(["a".to_owned(), String::new()]);
        let owned = |uid: &str| is_owned(&json!({"metadata": {"ownerReferences": [{"uid": uid}]}}), &owners);
        assert!(owned("a") && !owned("b") && !owned(""));
        assert!(!is_owned(&json!({"metadata": {}}), &owners));
    }
}
