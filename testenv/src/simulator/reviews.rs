//! Questions about oneself: SelfSubjectReview, SelfSubjectAccessReview, SelfSubjectRulesReview.

use http::StatusCode;
use serde_json::{Value, json};

use super::clock::now;
use super::rbac::{Attributes, User};
use super::reply::{Outcome, Refusal, Reply, json_reply};
use super::request::Call;
use super::space::Space;

/// True for a resource that is no object but a question.
pub(super) fn is_review(group: &str) -> bool {
    matches!(group, "authentication.k8s.io" | "authorization.k8s.io")
}

/// Answers a review; the caller is authorized to ask.
pub(super) fn serve(space: &Space, call: &Call, a: &Attributes, user: &User) -> Outcome<Reply> {
    if call.method != http::Method::POST || !a.name.is_empty() {
        return Err(Refusal::method_not_allowed());
    }
    let body: Value = serde_json::from_slice(&call.body)
        .map_err(|error| Refusal::bad_request(format!("json parse error: {error}")))?;
    let mut metadata = json!({});
    let (kind, rest) = match a.resource.as_str() {
        "selfsubjectreviews" => {
            metadata["creationTimestamp"] = now().into();
            let status = json!({"status": {"userInfo": user_info(user)}});
            ("SelfSubjectReview", status)
        }
        "selfsubjectaccessreviews" => {
            let asked = asked(&body["spec"])?;
            let status = json!({"spec": body["spec"], "status": {"allowed": space.allows(user, &asked)}});
            ("SelfSubjectAccessReview", status)
        }
        "selfsubjectrulesreviews" => {
            let namespace = body["spec"]["namespace"].as_str().unwrap_or_default();
            if namespace.is_empty() {
                return Err(Refusal::bad_request("no namespace on request"));
            }
            let status = space.rules_status(user, namespace);
            ("SelfSubjectRulesReview", json!({"spec": {}, "status": status}))
        }
        _ => return Err(Refusal::no_such_resource()),
    };
    let mut answer = json!({"kind": kind, "apiVersion": format!("{}/v1", a.group),
        "metadata": metadata});
    for field in ["spec", "status"] {
        if let Some(value) = rest.get(field) {
            answer[field] = value.clone();
        }
    }
    Ok(json_reply(StatusCode::CREATED, &answer))
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if let Some(uid) = &user.uid {
        info["uid"] = uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// The attributes in the spec of an access review.
fn asked(spec: &Value) -> Outcome<Attributes> {
    let one = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_object(), path.is_object()) {
        (true, false) => Ok(Attributes {
            verb: one(resource, "verb"),
            group: one(resource, "group"),
            version: one(resource, "version"),
            resource: one(resource, "resource"),
            subresource: one(resource, "subresource"),
            namespace: one(resource, "namespace"),
            name: one(resource, "name"),
            path: String::new(),
        }),
        (false, true) => Ok(Attributes { verb: one(path, "verb"), path: one(path, "path"), ..Attributes::default() }),
        _ => Err(Refusal::invalid(
            "authorization.k8s.io",
            "SelfSubjectAccessReview",
            "",
            "spec.resourceAttributes",
            "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
    }
}
