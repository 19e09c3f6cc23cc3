//! `resources_describe`: an object with its events, its pods and the last lines of a log, each inside its own room.

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::model::{Access, Failure, ListRequest, Row, Table};
use crate::output::{Body, Output, part, scrub_text};
use crate::pool::{ClusterClient, LogRequest};
use crate::tools::core::{events, resources};
use crate::tools::{Cx, Spec, TargetNeed, Tool, arguments, lines, pods};

/// Bytes of the object.
const OBJECT: usize = 4_500;
/// Bytes of each list.
const LIST: usize = 1_800;
/// Bytes of the log.
const LOG: usize = 2_000;
/// Rows of each list, at most.
const ROWS: usize = 20;
/// Lines of the log, at most.
const TAIL: u32 = 30;
/// Bytes that are read of the log, at most.
const READ: u64 = 256 * 1024;
/// Pods that are read, at most.
const PODS: u32 = 100;

/// `resources_describe`.
pub(super) struct ResourcesDescribe;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    api_version: Option<String>,
    kind: String,
    name: String,
    namespace: Option<String>,
}

impl Tool for ResourcesDescribe {
    const SPEC: Spec = Spec {
        name: "resources_describe",
        title: "Resources: describe",
        description: "One object with its events, its pods and their last log lines",
        toolset: "extra",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, _cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        arguments::kind(&args.kind, args.api_version.as_deref())?;
        let which = resources::Which::read(args.name, args.namespace)?;
        let resource = client.kind(&args.kind, args.api_version.as_deref()).await?;
        let found = resources::get(client, &resource, which).await?;
        let namespace = found.namespace.as_deref();
        let (events, pods) =
            futures::join!(events_of(client, &found.object, namespace), pods_of(client, &found.object, namespace));
        let log = match &pods {
            Some(Ok(pods)) => log_of(client, pods).await,
            Some(Err(_)) | None => None,
        };
        let is_pod = found.object.get("kind").and_then(Value::as_str) == Some("Pod");
        let mut text = part(found.object, OBJECT)?;
        section(&mut text, "events", Some(events));
        if !is_pod {
            section(&mut text, "pods", pods.map(|pods| pods.map(|pods| rows(&pods))));
        }
        section(&mut text, "log", log);
        let output = Output::new(Body::Lines(text));
        Ok(Output { notes: found.note.into_iter().collect(), ..output })
    }
}

/// Adds a part. The log is the last one: whatever its lines look like, no other part can follow. One that cannot be read says so in one line.
fn section(text: &mut String, name: &str, part: Option<Result<String, Failure>>) {
    match part {
        None => {}
        Some(Ok(part)) => text.push_str(&format!("--- {name}\n{}\n", part.trim_end_matches('\n'))),
        Some(Err(failure)) => text.push_str(&format!("--- {name}\ncannot be read: {}\n", one_line(&failure.cause))),
    }
}

/// Events stand in the namespace of their object, and those of objects without one in `default`.
async fn events_of(client: &ClusterClient, object: &Value, namespace: Option<&str>) -> Result<String, Failure> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let selector = format!("involvedObject.kind={},involvedObject.name={}", text("/kind"), text("/metadata/name"));
    let selector = arguments::field_selector(Some(selector))?;
    let found = events::read(client, Some(namespace.unwrap_or("default").to_owned()), selector).await?;
    if found.groups.is_empty() {
        return Ok("none".to_owned());
    }
    let table = events::table(&found.groups, false, Timestamp::now());
    Ok(printed(&table.rows, "events", |row| [0, 1, 2, 4].map(|at| row.cells[at].as_str()).join("\t")))
}

/// The pods that belong to an object; `None` for kinds that have none.
async fn pods_of(
    client: &ClusterClient,
    object: &Value,
    namespace: Option<&str>,
) -> Option<Result<Vec<Value>, Failure>> {
    let request = match (object.get("kind").and_then(Value::as_str), namespace) {
        (Some("Pod"), _) => return Some(Ok(vec![object.clone()])),
        (Some("Node"), None) => ListRequest {
            field_selector: Some(format!("spec.nodeName={}", pods::name(object))),
            limit: PODS,
            ..ListRequest::default()
        },
        (_, Some(namespace)) => ListRequest {
            namespace: Some(namespace.to_owned()),
            label_selector: Some(pods::selector(object)?),
            limit: PODS,
            ..ListRequest::default()
        },
        (_, None) => return None,
    };
    Some(listed(client, &request).await)
}

async fn listed(client: &ClusterClient, request: &ListRequest) -> Result<Vec<Value>, Failure> {
    let resource = client.kind("pods", Some("v1")).await?;
    let mut list = client.list_objects(&resource, request).await?;
    let mut found = match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        Some(_) | None => Vec::new(),
    };
    found.sort_by_key(pods::is_well);
    Ok(found)
}

fn rows(found: &[Value]) -> String {
    if found.is_empty() {
        return "none".to_owned();
    }
    let table = pod_table(found);
    let what = if found.len() < PODS as usize { "pods" } else { "pods or more" };
    printed(&table.rows, what, |row| row.cells.join("\t"))
}

/// The columns of pods that say whether they are well.
fn pod_table(found: &[Value]) -> Table {
    let row = |pod: &Value| {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let statuses: Vec<&Value> =
            pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten().collect();
        let ready = statuses.iter().filter(|status| status["ready"] == true).count();
        let restarts: u64 = statuses.iter().filter_map(|status| status["restartCount"].as_u64()).sum();
        let reason = |status: &&Value| {
            let state = ["/state/waiting/reason", "/state/terminated/reason"];
            state.iter().find_map(|pointer| status.pointer(pointer)?.as_str().map(str::to_owned))
        };
        let state = statuses.iter().find_map(reason).unwrap_or_else(|| text("/status/phase"));
        let cells = vec![
            text("/metadata/name"),
            format!("{ready}/{}", statuses.len()),
            state,
            format!("restarts {restarts}"),
            text("/spec/nodeName"),
        ];
        Row { namespace: None, cells }
    };
    Table { rows: found.iter().map(row).collect(), ..Table::default() }
}

/// The last lines of the first pod: the one that is not well, if there is such.
async fn log_of(client: &ClusterClient, found: &[Value]) -> Option<Result<String, Failure>> {
    let pod = found.first()?;
    let (name, container) = (pods::name(pod), pods::container(pod)?);
    let namespace = pod.pointer("/metadata/namespace")?.as_str()?;
    let request =
        LogRequest { container: Some(container.to_owned()), tail: TAIL, limit_bytes: READ, ..LogRequest::default() };
    let read = async {
        let resource = client.kind("pods", Some("v1")).await?;
        let log = scrub_text(&client.log(&resource, namespace, name, &request).await?);
        let fitted = lines::newest(&lines::fold(log.lines().filter(|line| !line.is_empty())), "", LOG);
        let lines = if fitted.text.is_empty() { "none\n".to_owned() } else { fitted.text };
        Ok(format!("{namespace}/{name} {container}, newest {} lines\n{lines}", fitted.shown))
    };
    Some(read.await)
}

/// As many rows as fit, and how many there are.
fn printed(rows: &[Row], what: &str, line: impl Fn(&Row) -> String) -> String {
    let mut text = String::new();
    let mut shown = 0;
    for row in rows.iter().take(ROWS) {
        let line = one_line(&line(row));
        if text.len() + line.len() > LIST && shown > 0 {
            break;
        }
        text.push_str(&line);
        text.push('\n');
        shown += 1;
    }
    if shown < rows.len() {
        text.push_str(&format!("({shown} of {} {what})\n", rows.len()));
    }
    text
}

/// Foreign text on one line of its own, cut.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { ' ' } else { c }).take(400).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{one_line, pod_table, printed, section};
    use crate::model::{Failure, FailureKind, Row};

    #[test]
    fn a_part_that_cannot_be_read_says_so_in_one_line() {
        let mut text = "object\n".to_owned();
        section(&mut text, "events", Some(Err(Failure::new(FailureKind::Refused, "forbidden", "no\nway"))));
        section(&mut text, "pods", None);
        section(&mut text, "log", Some(Ok("a\n".into())));
        assert_eq!(text, "object\n--- events\ncannot be read: no way\n--- log\na\n");
    }

    #[test]
    fn rows_are_bounded_and_counted() {
        let rows: Vec<Row> = (0..50).map(|at| Row { namespace: None, cells: vec![format!("pod-{at}")] }).collect();
        let text = printed(&rows, "pods", |row| row.cells.join("\t"));
        assert!(text.ends_with("pod-19\n(20 of 50 pods)\n"), "{text}");
        let long = vec![Row { namespace: None, cells: vec!["x".repeat(1000)] }; 10];
        assert!(printed(&long, "pods", |row| row.cells.join("\t")).len() < 2_000);
        assert_eq!(one_line("a\nb"), "a b");
    }

    #[test]
    fn pods_say_why_they_wait() {
        let pod = json!({
            "metadata": {"name": "web-1"}, "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "containerStatuses": [
                {"ready": true, "restartCount": 1, "state": {"running": {}}},
                {"ready": false, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            ]},
        });
        assert_eq!(pod_table(&[pod]).rows[0].cells, ["web-1", "1/2", "CrashLoopBackOff", "restarts 5", "n"]);
    }
}
