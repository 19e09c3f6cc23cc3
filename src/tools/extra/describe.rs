//! `resources_describe`: an object with its events, its pods, what stands around it, and the last lines of the logs that
//! matter, each inside its own room. It takes at most eight requests beside those for events.

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::model::{Access, Failure};
use crate::output::{Body, Output, part};
use crate::pool::ClusterClient;
use crate::tools::core::{events, resources};
use crate::tools::{Cx, Spec, TargetNeed, Tool, arguments};

mod around;
mod log;
mod owned;

/// Bytes of the object.
const OBJECT: usize = 4_500;
/// Bytes of each list.
const LIST: usize = 1_800;
/// Rows of each list, at most.
const ROWS: usize = 20;

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
        let mut found = resources::get(client, &resource, which).await?;
        let namespace = found.namespace.as_deref();
        let (events, pods, around) = futures::join!(
            events_of(client, &found.object, namespace),
            owned::pods(client, &found.object, namespace),
            around::sections(client, &found.object),
        );
        let log = match &pods {
            Some(Ok(pods)) => log::of(client, &pods.found).await,
            Some(Err(_)) | None => None,
        };
        let is_pod = text(&found.object, "/kind") == "Pod";
        let left_out = around::without_bulk(&mut found.object);
        let mut answer = part(found.object, OBJECT)?;
        for (name, section) in around {
            add(&mut answer, name, Some(section));
        }
        add(&mut answer, "events", Some(events));
        if !is_pod {
            add(&mut answer, "pods", pods.map(|pods| pods.map(|pods| pods.print())));
        }
        add(&mut answer, "log", log);
        let output = Output::new(Body::Lines(answer));
        Ok(Output { notes: found.note.into_iter().chain(left_out).collect(), ..output })
    }
}

/// Adds a part. The log is the last one: whatever its lines look like, no other part can follow. One that cannot be read
/// says so in one line; a kind that is not served here, as pods in a workspace of kcp, has no part.
fn add(answer: &mut String, name: &str, part: Option<Result<String, Failure>>) {
    match part {
        None => {}
        Some(Err(failure)) if failure.code == "kind_not_served" => {}
        Some(Ok(part)) => answer.push_str(&format!("--- {name}\n{}\n", part.trim_end_matches('\n'))),
        Some(Err(failure)) => answer.push_str(&format!("--- {name}\ncannot be read: {}\n", one_line(&failure.cause))),
    }
}

/// Events stand in the namespace of their object, and those of objects without one in `default`.
async fn events_of(client: &ClusterClient, object: &Value, namespace: Option<&str>) -> Result<String, Failure> {
    let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
    let selector = format!("involvedObject.kind={kind},involvedObject.name={name}");
    let selector = arguments::field_selector(Some(selector))?;
    let found = events::read(client, Some(namespace.unwrap_or("default").to_owned()), selector).await?;
    let table = events::table(&found.groups, false, Timestamp::now());
    Ok(printed(table.rows.iter().map(|row| [0, 1, 2, 4].map(|at| row.cells[at].as_str()).join("\t")), "events"))
}

/// A text of an object; empty when it is none.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The elements of an array of an object; none when it is no array.
fn items<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// As many lines as fit, and how many there are.
fn printed(lines: impl IntoIterator<Item = String>, what: &str) -> String {
    let mut text = String::new();
    let (mut shown, mut all, mut full) = (0, 0, false);
    for line in lines {
        all += 1;
        let line = one_line(&line);
        full |= shown == ROWS || (text.len() + line.len() > LIST && shown > 0);
        if full {
            continue;
        }
        text.push_str(&line);
        text.push('\n');
        shown += 1;
    }
    match all {
        0 => "none".to_owned(),
        all if all > shown => text + &format!("({shown} of {all} {what})\n"),
        _ => text,
    }
}

/// Foreign text on one line of its own, cut.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { ' ' } else { c }).take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::{add, one_line, printed};
    use crate::model::{Failure, FailureKind};

    #[test]
    fn a_part_that_cannot_be_read_says_so_in_one_line_and_one_that_is_not_served_is_none() {
        let mut text = "object\n".to_owned();
        add(&mut text, "events", Some(Err(Failure::new(FailureKind::Refused, "forbidden", "no\nway"))));
        add(&mut text, "pods", None);
        add(&mut text, "quota", Some(Err(Failure::new(FailureKind::NotFound, "kind_not_served", "x"))));
        add(&mut text, "log", Some(Ok("a\n".into())));
        assert_eq!(text, "object\n--- events\ncannot be read: no way\n--- log\na\n");
    }

    #[test]
    fn lines_are_bounded_and_counted() {
        let text = printed((0..50).map(|at| format!("pod-{at}")), "pods");
        assert!(text.ends_with("pod-19\n(20 of 50 pods)\n"), "{text}");
        assert!(printed(vec!["x".repeat(1000); 10], "pods").len() < 2_000);
        assert_eq!(printed([], "pods"), "none");
        assert_eq!(one_line("a\nb"), "a b");
    }
}
