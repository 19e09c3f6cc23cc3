//! `events_list`: events, newest first, one row per object and reason.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::model::{Access, Column, Failure, ListRequest, Row, Table};
use crate::output::{Body, Listing, Output};
use crate::pool::ClusterClient;
use crate::tools::{Cx, Spec, TargetNeed, Tool, age, arguments};

/// Events per request.
const PAGE: u32 = 500;
/// Requests per call: an API server has no order by time, so the newest are known only when all are read.
const PAGES: usize = 4;

/// `events_list`.
pub(super) struct EventsList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    namespace: Option<String>,
    #[schemars(description = "As involvedObject.name=web,type=Warning")]
    field_selector: Option<String>,
}

impl Tool for EventsList {
    const SPEC: Spec = Spec {
        name: "events_list",
        title: "Events: list",
        description: "List events by object and reason, newest first",
        toolset: "core",
        access: Access::Read,
        target: TargetNeed::One,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let namespace = arguments::namespace(args.namespace)?;
        let doing = match &namespace {
            Some(namespace) => format!("listing events in namespace {namespace}"),
            None => "listing events".to_owned(),
        };
        let across = namespace.is_none();
        let field_selector = arguments::field_selector(args.field_selector)?;
        let found = read(client, namespace, field_selector).await.map_err(|failure| failure.doing(doing))?;
        let note = found.said();
        let output = Output::new(Body::Table(Listing {
            resource: if found.groups.is_empty() { "events" } else { "groups of events" }.into(),
            content: table(&found.groups, across, Timestamp::now()),
            page: cx.page.clone(),
            narrow: "namespace or fieldSelector",
        }));
        Ok(Output { notes: note.into_iter().collect(), ..output })
    }
}

/// Events of one object with one type and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tools) struct Group {
    namespace: String,
    object: String,
    kind: String,
    reason: String,
    /// The newest one's.
    message: String,
    source: String,
    count: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

/// What was read of a cluster's events.
#[derive(Debug, Default)]
pub(in crate::tools) struct Found {
    /// Newest first.
    pub(in crate::tools) groups: Vec<Group>,
    /// Events that they stand for.
    read: u64,
    /// True when there are more than one call reads.
    more: bool,
    /// How many more, when the server says so.
    remaining: Option<u64>,
}

impl Found {
    /// The totals, when they are not the number of rows.
    fn said(&self) -> Option<String> {
        let (read, rows) = (self.read, self.groups.len());
        let warnings = self.groups.iter().filter(|group| group.kind == "Warning").count();
        let groups = if rows == 1 { "group" } else { "groups" };
        let totals = format!("{read} events in {rows} {groups}, {warnings} of warnings");
        match (self.more, self.remaining) {
            (false, _) => (read > 0).then_some(totals),
            (true, Some(remaining)) => Some(format!(
                "{totals}; read were {read} of {} events, not by time: name a namespace or a fieldSelector",
                read + remaining
            )),
            (true, None) => Some(format!("{totals}; there are more, unread: name a namespace or a fieldSelector")),
        }
    }
}

/// Reads events and groups them.
pub(in crate::tools) async fn read(
    client: &ClusterClient,
    namespace: Option<String>,
    field_selector: Option<String>,
) -> Result<Found, Failure> {
    let resource = client.kind("events", Some("v1")).await?;
    let mut request = ListRequest { namespace, field_selector, limit: PAGE, ..ListRequest::default() };
    let mut groups = Groups::default();
    for _ in 0..PAGES {
        let list = client.list_objects(&resource, &request).await?;
        groups.add(&list);
        request.continue_token = list.pointer("/metadata/continue").and_then(Value::as_str).map(Into::into);
        request.continue_token = request.continue_token.filter(|token| !token.is_empty());
        groups.found.remaining = list.pointer("/metadata/remainingItemCount").and_then(Value::as_u64);
        if request.continue_token.is_none() {
            break;
        }
    }
    groups.found.more = request.continue_token.is_some();
    Ok(groups.newest_first())
}

/// Rows for groups: kubectl's columns, with how often in LAST SEEN.
pub(in crate::tools) fn table(groups: &[Group], across: bool, now: Timestamp) -> Table {
    let columns = [
        ("LAST SEEN", 0),
        ("TYPE", 0),
        ("REASON", 0),
        ("OBJECT", 0),
        ("MESSAGE", 0),
        ("FIRST SEEN", 1),
        ("COUNT", 1),
        ("SOURCE", 1),
    ];
    let row = |group: &Group| {
        let (last, first) = (age::ago(group.last, now), age::ago(group.first, now));
        let seen = match group.count {
            1 => last,
            count if first.is_empty() || first == last => format!("{last} (x{count})"),
            count => format!("{last} (x{count} over {first})"),
        };
        let cells = vec![
            seen,
            group.kind.clone(),
            group.reason.clone(),
            group.object.clone(),
            group.message.clone(),
            first,
            group.count.to_string(),
            group.source.clone(),
        ];
        Row { namespace: across.then(|| group.namespace.clone()), cells }
    };
    let columns = columns.map(|(name, priority)| Column { name: name.into(), priority });
    Table { columns: columns.to_vec(), rows: groups.iter().map(row).collect(), ..Table::default() }
}

#[derive(Default)]
struct Groups {
    found: Found,
    places: HashMap<[String; 4], usize>,
}

impl Groups {
    fn add(&mut self, list: &Value) {
        for event in list.get("items").and_then(Value::as_array).into_iter().flatten() {
            let group = group(event);
            self.found.read += 1;
            let key = [&group.namespace, &group.object, &group.kind, &group.reason].map(Clone::clone);
            match self.places.entry(key) {
                Slot::Vacant(slot) => {
                    slot.insert(self.found.groups.len());
                    self.found.groups.push(group);
                }
                Slot::Occupied(slot) => self.found.groups[*slot.get()].join(group),
            }
        }
    }

    fn newest_first(mut self) -> Found {
        self.found.groups.sort_by_key(|group| std::cmp::Reverse(group.last));
        self.found
    }
}

impl Group {
    fn join(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = match (self.first, other.first) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        if other.last > self.last {
            (self.last, self.message, self.source) = (other.last, other.message, other.source);
        }
    }
}

/// One event as a group of its own. Times and counts stand in different fields, by the age of its reporter.
fn group(event: &Value) -> Group {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let first_of = |pointers: &[&str]| pointers.iter().find_map(|pointer| age::parse(text(pointer)));
    let counts = ["/series/count", "/count"];
    let count = counts.iter().find_map(|pointer| event.pointer(pointer).and_then(Value::as_u64));
    let source = [text("/source/component"), text("/reportingComponent")].into_iter().find(|name| !name.is_empty());
    Group {
        namespace: text("/metadata/namespace").to_owned(),
        object: format!("{}/{}", text("/involvedObject/kind").to_lowercase(), text("/involvedObject/name")),
        kind: text("/type").to_owned(),
        reason: text("/reason").to_owned(),
        message: text("/message").trim().to_owned(),
        source: source.unwrap_or_default().to_owned(),
        count: count.unwrap_or(1).max(1),
        first: first_of(&["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"]),
        last: first_of(&["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Groups, table};
    use crate::tools::age;

    fn event(name: &str, reason: &str, count: Option<u64>, last: &str, message: &str) -> Value {
        json!({
            "metadata": {"namespace": "a", "name": format!("{name}.1")},
            "involvedObject": {"kind": "Pod", "name": name},
            "type": "Warning", "reason": reason, "message": message, "count": count,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": last, "eventTime": null,
        })
    }

    #[test]
    fn events_of_one_object_and_reason_are_one_row() {
        let mut groups = Groups::default();
        groups.add(&json!({"items": [
            event("web-1", "BackOff", Some(7), "2026-01-01T00:10:00Z", "older"),
            event("web-2", "Failed", None, "2026-01-01T00:05:00Z", "no image\n"),
            event("web-1", "BackOff", Some(5), "2026-01-01T00:50:00Z", "newer"),
            {"metadata": {"namespace": "b"}, "involvedObject": {"kind": "Node", "name": "n"}, "type": "Normal", "reason": "New",
             "eventTime": "2026-01-01T00:00:00.5Z", "series": {"count": 3, "lastObservedTime": "2026-01-01T00:59:00.123456Z"},
             "reportingComponent": "kubelet", "message": "m"},
        ]}));
        let found = groups.newest_first();
        assert_eq!(found.said().unwrap(), "4 events in 3 groups, 2 of warnings");
        let table = table(&found.groups, true, age::parse("2026-01-01T01:00:00Z").unwrap());
        let rows: Vec<String> = table.rows.iter().map(|row| row.cells[..5].join("|")).collect();
        assert_eq!(
            rows,
            [
                "60s (x3 over 60m)|Normal|New|node/n|m",
                "10m (x12 over 60m)|Warning|BackOff|pod/web-1|newer",
                "55m|Warning|Failed|pod/web-2|no image",
            ]
        );
        assert_eq!(table.rows[0].namespace.as_deref(), Some("b"));
        assert_eq!(table.rows[0].cells[7], "kubelet");
    }

    #[test]
    fn an_event_that_says_nothing_is_still_one() {
        let mut groups = Groups::default();
        groups.add(&json!({"items": [{}]}));
        groups.found.more = true;
        let found = groups.newest_first();
        assert!(found.said().unwrap().contains("there are more, unread"));
        let table = table(&found.groups, false, age::parse("2026-01-01T01:00:00Z").unwrap());
        assert_eq!(table.rows[0].cells[..4], ["", "", "", "/"]);
    }
}
