//! What the simulator sends: JSON answers, and the `Status` bodies of a real API server, word by word.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::rbac::Attributes;

/// A complete answer.
pub(super) type Reply = Response<Bytes>;

/// An answer, or the `Status` that takes its place.
pub(super) type Outcome<T> = Result<T, Box<Refusal>>;

/// A `Status` of kind Failure.
#[derive(Debug)]
pub(super) struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Option<Value>,
    continue_token: Option<String>,
}

impl Refusal {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { code, reason, message: message.into(), details: None, continue_token: None })
    }

    fn about(mut self: Box<Self>, group: &str, resource: &str, name: &str) -> Box<Self> {
        let mut details = serde_json::Map::new();
        for (key, value) in [("name", name), ("group", group), ("kind", resource)] {
            if !value.is_empty() {
                details.insert(key.into(), value.into());
            }
        }
        self.details = Some(Value::Object(details));
        self
    }

    /// 401, the same for every cause.
    pub(super) fn unauthorized() -> Box<Self> {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 403 in the words of the authorization filter; `reason` is what kcp appends.
    pub(super) fn forbidden(user: &str, attributes: &Attributes, reason: &str) -> Box<Self> {
        let a = attributes;
        let mut cause = if a.resource.is_empty() {
            format!("User {user:?} cannot {} path {:?}", a.verb, a.path)
        } else {
            let resource = a.resource_and_subresource();
            let place = if a.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", a.namespace)
            };
            format!("User {user:?} cannot {} resource {resource:?} in API group {:?} {place}", a.verb, a.group)
        };
        cause = cause.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        if !reason.is_empty() {
            cause = format!("{cause}: {reason}");
        }
        let qualified = qualified(&a.resource, &a.group);
        let message = match (qualified.is_empty(), a.name.is_empty()) {
            (true, _) => format!("forbidden: {cause}"),
            (false, true) => format!("{qualified} is forbidden: {cause}"),
            (false, false) => format!("{qualified} {:?} is forbidden: {cause}", a.name),
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(&a.group, &a.resource, &a.name)
    }

    /// 404 for an object.
    pub(super) fn not_found(group: &str, resource: &str, name: &str) -> Box<Self> {
        let message = format!("{} {name:?} not found", qualified(resource, group));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(group, resource, name)
    }

    /// 404 for a resource that a known group does not serve.
    pub(super) fn no_such_resource() -> Box<Self> {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about("", "", "")
    }

    /// 405, for what the real server does and this one does not, or neither does.
    pub(super) fn method_not_allowed() -> Box<Self> {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).about("", "", "")
    }

    /// 400.
    pub(super) fn bad_request(message: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 400 for a query parameter that is no integer.
    pub(super) fn not_a_number(text: &str) -> Box<Self> {
        Self::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
    }

    /// 406, listing what would have been acceptable.
    pub(super) fn not_acceptable() -> Box<Self> {
        let message = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 406 when no clause of `Accept` names a media type that resources have at all.
    pub(super) fn no_representation() -> Box<Self> {
        let message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
            application/vnd.kubernetes.protobuf, application/json;stream=watch, \
            application/vnd.kubernetes.protobuf;stream=watch";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message).about("", "", "")
    }

    /// 406 for a list form asked of a single object.
    pub(super) fn not_a_list(kind: &str) -> Box<Self> {
        let message =
            format!("you requested PartialObjectMetadataList, but the requested object is not a list ({kind})");
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 409 on creating what exists.
    pub(super) fn already_exists(group: &str, resource: &str, name: &str) -> Box<Self> {
        let message = format!("{} {name:?} already exists", qualified(resource, group));
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(group, resource, name)
    }

    /// 409 on writing over a newer version.
    pub(super) fn conflict(group: &str, resource: &str, name: &str) -> Box<Self> {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: the object has been modified; please apply your changes to the latest version and try again",
            qualified(resource, group)
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(group, resource, name)
    }

    /// 422 for one field.
    pub(super) fn invalid(group: &str, kind: &str, name: &str, field: &str, what: &str) -> Box<Self> {
        Self::invalid_for("FieldValueRequired", (group, kind, name), field, what)
    }

    /// 422 for one field, with the reason of its cause; `about` is group, kind and name.
    pub(super) fn invalid_for(reason: &str, about: (&str, &str, &str), field: &str, what: &str) -> Box<Self> {
        let (group, kind, name) = about;
        let message = format!("{} {name:?} is invalid: {field}: {what}", qualified(kind, group));
        let mut refusal = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(group, kind, name);
        if let Some(Value::Object(details)) = &mut refusal.details {
            details.insert("causes".into(), json!([{"reason": reason, "message": what, "field": field}]));
        }
        refusal
    }

    /// 410 with the token that continues inconsistently, as the real server offers.
    pub(super) fn expired(continue_token: String) -> Box<Self> {
        let message = "The provided continue parameter is too old to display a consistent list result. \
            You can start a new list without the continue parameter, or use the continue token in this \
            response to retrieve the remainder of the results. Continuing with the provided token results \
            in an inconsistent list - objects that were created, modified, or deleted between the time the \
            first chunk was returned and now may show up in the list.";
        let mut refusal = Self::new(StatusCode::GONE, "Expired", message);
        refusal.continue_token = Some(continue_token);
        refusal
    }

    /// 413 for a body above the limit.
    pub(super) fn too_large(limit: usize) -> Box<Self> {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 415 for a patch or body type that this server does not read.
    pub(super) fn unsupported_media_type(accepted: &str) -> Box<Self> {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 429 as a kcp answers the first read of a custom resource; carries `Retry-After: 1`.
    pub(super) fn reinitializing() -> Box<Self> {
        let message = "storage is (re)initializing";
        let mut refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
        refusal.details = Some(json!({"retryAfterSeconds": 1}));
        refusal
    }

    /// 403 of kcp's own impersonation filter.
    pub(super) fn impersonation_not_allowed() -> Box<Self> {
        let message = "impersonation is not allowed for the requestor";
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// True for 403.
    pub(super) fn is_forbidden(&self) -> bool {
        self.code == StatusCode::FORBIDDEN
    }

    /// The answer as it goes over the wire.
    pub(super) fn into_reply(self) -> Reply {
        let mut metadata = json!({});
        if let Some(token) = self.continue_token {
            metadata["continue"] = token.into();
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        });
        if let Some(details) = self.details {
            status["details"] = details;
        }
        let mut reply = json_reply(self.code, &status);
        if self.code == StatusCode::TOO_MANY_REQUESTS {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        reply
    }
}

/// `resource.group`, or just the resource in the core group.
pub(super) fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

/// `body` as JSON.
pub(super) fn json_reply(code: StatusCode, body: &impl Serialize) -> Reply {
    let bytes = serde_json::to_vec(body).expect("JSON values and derived types serialize");
    bytes_reply(code, "application/json", bytes.into())
}

/// `body` as plain text, the way Go's `http.Error` writes it.
pub(super) fn text_reply(code: StatusCode, body: &str) -> Reply {
    bytes_reply(code, "text/plain; charset=utf-8", Bytes::from(body.to_owned()))
}

/// `body` as it is.
pub(super) fn bytes_reply(code: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = code;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    reply
}

/// What a path gets that no handler knows.
pub(super) fn page_not_found() -> Reply {
    text_reply(StatusCode::NOT_FOUND, "404 page not found\n")
}
