//! Reading and writing objects: the plain verbs of a resource.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::clock::now;
use super::kubelet::pod_log;
use super::rbac::Attributes;
use super::render::{list_reply, object_reply};
use super::reply::{Outcome, Refusal, Reply, json_reply};
use super::request::Call;
use super::selector::Selector;
use super::space::Space;
use super::types::ResourceType;

/// Answers a read: get or list.
pub(super) fn read(space: &Space, ty: &ResourceType, call: &Call, a: &Attributes) -> Outcome<Reply> {
    if a.verb == "watch" {
        return Err(Refusal::method_not_allowed());
    }
    if a.verb == "get" {
        let object = existing(space, ty, a)?;
        return object_reply(call, StatusCode::OK, ty, &object);
    }
    let selector = Selector::parse(ty, call.parameter("labelSelector"), call.parameter("fieldSelector"))?;
    let limit = match call.parameter("limit") {
        None => None,
        Some(text) => {
            let limit = text.parse::<usize>().map_err(|_| Refusal::not_a_number(text))?;
            Some(limit).filter(|limit| *limit > 0)
        }
    };
    let namespace = ty.namespaced.then_some(a.namespace.as_str());
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    let token = call.parameter("continue");
    let page = space.store.page(ty, namespace, &selector, limit, token)?;
    list_reply(call, ty, &page)
}

/// Answers for the log of a pod.
pub(super) fn log(space: &Space, ty: &ResourceType, call: &Call, a: &Attributes) -> Outcome<Reply> {
    pod_log(space, call, a, existing(space, ty, a))
}

/// Answers a write: create, update, delete, or a merge patch.
pub(super) fn write(space: &mut Space, ty: &ResourceType, call: &Call, a: &Attributes) -> Outcome<Reply> {
    match (&call.method, a.verb.as_str()) {
        (&Method::POST, _) if a.name.is_empty() => create(space, ty, call, a),
        (&Method::PUT, _) if !a.name.is_empty() => {
            let body = object_in(call, ty)?;
            update(space, ty, call, a, body)
        }
        (&Method::PATCH, _) if !a.name.is_empty() => patch(space, ty, call, a),
        (_, "delete") => delete(space, ty, call, a),
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn existing(space: &Space, ty: &ResourceType, a: &Attributes) -> Outcome<Arc<Value>> {
    let namespace = stored_namespace(ty, a);
    space.store.get(ty, namespace, &a.name).ok_or_else(|| Refusal::not_found(&ty.group, &ty.plural, &a.name))
}

/// A Namespace is asked for with its own name as the namespace, but lies in none.
fn stored_namespace<'a>(ty: &ResourceType, a: &'a Attributes) -> &'a str {
    if ty.namespaced { &a.namespace } else { "" }
}

fn create(space: &mut Space, ty: &ResourceType, call: &Call, a: &Attributes) -> Outcome<Reply> {
    let mut object = object_in(call, ty)?;
    let metadata = &mut object["metadata"];
    if metadata["name"].as_str().is_none_or(str::is_empty) {
        let Some(prefix) = metadata["generateName"].as_str() else {
            let what = "Required value: name or generateName is required";
            return Err(Refusal::invalid(&ty.group, &ty.kind, "", "metadata.name", what));
        };
        metadata["name"] = format!("{prefix}{}", random_suffix()).into();
    }
    if ty.namespaced {
        match metadata["namespace"].as_str() {
            Some(given) if given != a.namespace => {
                return Err(Refusal::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            _ => metadata["namespace"] = a.namespace.as_str().into(),
        }
        if !space.has_namespace(&a.namespace) {
            return Err(Refusal::not_found("", "namespaces", &a.namespace));
        }
    }
    let name = metadata["name"].as_str().unwrap_or_default().to_owned();
    if space.store.get(ty, stored_namespace(ty, a), &name).is_some() {
        return Err(Refusal::already_exists(&ty.group, &ty.plural, &name));
    }
    for field in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"] {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove(field);
        }
    }
    drop_status(ty, &mut object, None);
    space.complete(ty, &mut object);
    let object = store(space, ty, call, object);
    object_reply(call, StatusCode::CREATED, ty, &object)
}

fn update(space: &mut Space, ty: &ResourceType, call: &Call, a: &Attributes, mut new: Value) -> Outcome<Reply> {
    let old = existing(space, ty, a)?;
    let version = &new["metadata"]["resourceVersion"];
    if version.is_string() && *version != old["metadata"]["resourceVersion"] {
        return Err(Refusal::conflict(&ty.group, &ty.plural, &a.name));
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation"] {
        if let Some(kept) = old["metadata"].get(field) {
            new["metadata"][field] = kept.clone();
        }
    }
    drop_status(ty, &mut new, Some(&old["status"]));
    space.complete(ty, &mut new);
    if new == *old {
        return object_reply(call, StatusCode::OK, ty, &old);
    }
    if let Some(generation) = old["metadata"]["generation"].as_u64()
        && new["spec"] != old["spec"]
    {
        new["metadata"]["generation"] = (generation + 1).into();
    }
    let object = store(space, ty, call, new);
    object_reply(call, StatusCode::OK, ty, &object)
}

/// A status that is a subresource is not written with its object; a new pod is Pending. Nodes may bring theirs.
fn drop_status(ty: &ResourceType, object: &mut Value, kept: Option<&Value>) {
    if !ty.subresources.iter().any(|sub| sub.name == "status") || ty.kind == "Node" {
        return;
    }
    object["status"] = match kept {
        Some(status) => status.clone(),
        None if ty.group.is_empty() && ty.plural == "pods" => json!({"phase": "Pending"}),
        None => Value::Null,
    };
}

fn patch(space: &mut Space, ty: &ResourceType, call: &Call, a: &Attributes) -> Outcome<Reply> {
    let kind = call.headers.get(http::header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "application/merge-patch+json") {
        return Err(Refusal::unsupported_media_type("application/merge-patch+json"));
    }
    let patch: Value = serde_json::from_slice(&call.body)
        .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
    let mut object = existing(space, ty, a)?.as_ref().clone();
    merge(&mut object, &patch);
    strip_type(&mut object);
    update(space, ty, call, a, object)
}

/// RFC 7396.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Some(fields) = target.as_object_mut() {
                fields.remove(key);
            }
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn delete(space: &mut Space, ty: &ResourceType, call: &Call, a: &Attributes) -> Outcome<Reply> {
    let object = existing(space, ty, a)?;
    if !call.dry_run() {
        space.store.remove(ty, stored_namespace(ty, a), &a.name);
        if ty.group.is_empty() && ty.plural == "pods" {
            space.kubelets.forget(&a.namespace, Some(&a.name));
        }
        if ty.group.is_empty() && ty.plural == "namespaces" {
            space.store.empty_namespace(&a.name);
            space.kubelets.forget(&a.name, None);
        }
    }
    // Kinds that end gracefully answer with the object that is going, the others with a Status.
    if ty.group.is_empty() && matches!(ty.plural.as_str(), "pods" | "namespaces") {
        let mut going = object.as_ref().clone();
        going["metadata"]["deletionTimestamp"] = now().into();
        if ty.plural == "namespaces" {
            going["status"]["phase"] = "Terminating".into();
        }
        return object_reply(call, StatusCode::OK, ty, &going);
    }
    let mut details = json!({"name": a.name, "kind": ty.plural, "uid": object["metadata"]["uid"]});
    if !ty.group.is_empty() {
        details["group"] = ty.group.as_str().into();
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    Ok(json_reply(StatusCode::OK, &status))
}

fn store(space: &mut Space, ty: &ResourceType, call: &Call, object: Value) -> Arc<Value> {
    if call.dry_run() { Arc::new(object) } else { space.store.put(ty, object) }
}

/// The object in the body, without kind and version, which must fit the path.
fn object_in(call: &Call, ty: &ResourceType) -> Outcome<Value> {
    let mut object: Value = serde_json::from_slice(&call.body)
        .map_err(|error| Refusal::bad_request(format!("couldn't get version/kind; json parse error: {error}")))?;
    if !object.is_object() {
        return Err(Refusal::bad_request("the body is not an object"));
    }
    let given = object["apiVersion"].as_str().unwrap_or_default();
    if given != ty.api_version() {
        return Err(Refusal::bad_request(format!(
            "the API version in the data ({given}) does not match the expected API version ({})",
            ty.api_version()
        )));
    }
    if object["kind"] != *ty.kind {
        return Err(Refusal::bad_request(format!(
            "no kind {} is registered for version {given:?} at this path",
            object["kind"]
        )));
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    strip_type(&mut object);
    Ok(object)
}

/// Objects are stored without kind and version, which depend on how they are asked for.
pub(super) fn strip_type(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
}

fn random_suffix() -> String {
    super::space::random_bytes::<5>()
        .iter()
        .map(|byte| b"bcdfghjklmnpqrstvwxz2456789"[usize::from(*byte) % 27] as char)
        .collect()
}
