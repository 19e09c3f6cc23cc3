//! One object or a page of them in the form that the client asked for.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::cells::cells;
use super::pod_cells::row_conditions;
use super::reply::{Outcome, Refusal, Reply, bytes_reply, json_reply};
use super::request::{Call, Form};
use super::store::Page;
use super::types::ResourceType;

/// How the client wants it; 400 or 406 when that cannot be.
pub(super) fn form_of(call: &Call) -> Outcome<(Form, Include)> {
    let form = call.form().ok_or_else(|| match call.accepts_json() {
        true => Refusal::not_acceptable(),
        false => Refusal::no_representation(),
    })?;
    let include = match call.parameter("includeObject") {
        None | Some("Metadata") => Include::Metadata,
        Some("None") => Include::None,
        Some("Object") => Include::Object,
        Some(other) if form == Form::Table => {
            return Err(Refusal::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            )));
        }
        Some(_) => Include::Metadata,
    };
    Ok((form, include))
}

/// What each row of a Table carries besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    None,
    Metadata,
    Object,
}

/// A single object.
pub(super) fn object_reply(call: &Call, code: StatusCode, ty: &ResourceType, object: &Value) -> Outcome<Reply> {
    let (form, include) = form_of(call)?;
    let body = match form {
        Form::Plain => typed(ty, object),
        Form::Metadata => partial(object),
        Form::MetadataList => return Err(Refusal::not_a_list(&go_type(ty))),
        Form::Table => {
            let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            let mut table = table_head(ty, &metadata);
            table["rows"] = json!([row(ty, object, include)]);
            table
        }
    };
    Ok(json_reply(code, &body))
}

/// What the real server calls the type of a single object in an error.
fn go_type(ty: &ResourceType) -> String {
    let package = ty.group.split('.').next().unwrap_or_default();
    match (ty.custom, package) {
        (true, _) => "*unstructured.Unstructured".to_owned(),
        (false, "") => format!("*core.{}", ty.kind),
        (false, package) => format!("*{package}.{}", ty.kind),
    }
}

/// A page of a list.
pub(super) fn list_reply(call: &Call, ty: &ResourceType, page: &Page) -> Outcome<Reply> {
    let (form, include) = form_of(call)?;
    let mut metadata = json!({});
    // What nobody stores has no version.
    if page.revision > 0 {
        metadata["resourceVersion"] = page.revision.to_string().into();
    }
    if let Some(token) = &page.continue_token {
        metadata["continue"] = token.as_str().into();
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    let (mut head, list) = match form {
        Form::Plain => {
            let kind = format!("{}List", ty.kind);
            let head = json!({"kind": kind, "apiVersion": ty.api_version(), "metadata": metadata});
            (head, "items")
        }
        Form::Metadata | Form::MetadataList => {
            let kind = "PartialObjectMetadataList";
            let head = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
            (head, "items")
        }
        Form::Table => (table_head(ty, &metadata), "rows"),
    };
    let head = head.as_object_mut().expect("every head is an object");
    let item = |object: &Arc<Value>, out: &mut Vec<u8>| match form {
        // Lists of built-in kinds leave kind and version to the list; the items go out as they are stored.
        Form::Plain if !ty.custom => write(out, object),
        Form::Plain => write(out, &typed(ty, object)),
        Form::Metadata | Form::MetadataList => write(out, &partial(object)),
        Form::Table => write(out, &row(ty, object, include)),
    };
    Ok(assemble(head, list, &page.items, item))
}

/// Writes `{…head…, "<list>": […items…]}` without building the whole list as a value first.
fn assemble(
    head: &Map<String, Value>,
    list: &str,
    items: &[Arc<Value>],
    item: impl Fn(&Arc<Value>, &mut Vec<u8>),
) -> Reply {
    let mut out = Vec::with_capacity(256 + items.len() * 512);
    write(&mut out, head);
    let closing = out.pop();
    debug_assert_eq!(closing, Some(b'}'));
    out.extend_from_slice(format!(",\"{list}\":[").as_bytes());
    for (i, object) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        item(object, &mut out);
    }
    out.extend_from_slice(b"]}");
    bytes_reply(StatusCode::OK, "application/json", Bytes::from(out))
}

fn write(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(out, value).expect("JSON values serialize into memory");
}

/// The object with its kind and version.
pub(super) fn typed(ty: &ResourceType, object: &Value) -> Value {
    let mut object = object.clone();
    object["kind"] = ty.kind.as_str().into();
    object["apiVersion"] = ty.api_version().into();
    object
}

fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn table_head(ty: &ResourceType, metadata: &Value) -> Value {
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": ty.columns.definitions()})
}

fn row(ty: &ResourceType, object: &Value, include: Include) -> Value {
    let shown = match include {
        Include::None => Value::Null,
        Include::Metadata => partial(object),
        Include::Object => typed(ty, object),
    };
    let mut row = json!({"cells": cells(ty, object), "object": shown});
    if ty.plural == "pods"
        && let Some(conditions) = row_conditions(object)
    {
        row["conditions"] = conditions;
    }
    row
}
