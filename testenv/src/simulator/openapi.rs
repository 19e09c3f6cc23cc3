//! OpenAPI v3: an index, and a document for each group and version that has a schema.
//!
//! The schemas of built-in kinds are those of kube-apiserver 1.37 (`testenv/data/openapi/schemas.json`, compared with a
//! real one by the twin test); custom kinds have what their type says. Paths are there with the kinds they serve and
//! nothing else, and kinds without a schema are left out.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, VARY,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use super::reply::{Reply, bytes_reply, text_reply};
use super::request::Call;
use super::types::{ResourceType, Types, group_version};

/// By the name of the component.
static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let text = include_str!("../../data/openapi/schemas.json");
    serde_json::from_str(text).expect("the schemas of this repository are JSON")
});
const GVK: &str = "x-kubernetes-group-version-kind";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The documents of one server or workspace, by what comes after `/openapi/v3/`.
#[derive(Clone, Debug)]
pub(super) struct Documents {
    all: BTreeMap<String, Document>,
}

#[derive(Clone, Debug)]
struct Document {
    body: Bytes,
    /// SHA-512 of the body in upper-case hex.
    hash: String,
}

impl Documents {
    pub(super) fn of(types: &Types) -> Arc<Self> {
        let groups = types.groups();
        let named = groups.iter().flat_map(|(group, versions)| versions.iter().map(move |version| (*group, *version)));
        let all = [("", "v1")].into_iter().chain(named).filter_map(|(group, version)| {
            let document = document(&types.of(group, version))?;
            Some((format!("{}/{}", root(group), group_version(group, version)), Document::new(&document)))
        });
        Arc::new(Self { all: all.collect() })
    }

    /// Answers for what comes after `/openapi/v3`, given as its parts. Addresses do not name the workspace in a kcp either:
    /// they are no use there as they stand.
    pub(super) fn serve(&self, call: &Call, parts: &[&str], is_kcp: bool) -> Reply {
        if parts.is_empty() {
            let url = |(path, document): (&String, &Document)| {
                let url = format!("/openapi/v3/{path}?hash={}", document.hash);
                (path.clone(), json!({"serverRelativeURL": url}))
            };
            let paths: Map<String, Value> = self.all.iter().map(url).collect();
            let index = json!({"paths": paths});
            // The aggregator in front of a Kubernetes API server writes the index anew each time, and does not say what it is.
            return match is_kcp {
                true => {
                    let mut reply = Document::new(&index).reply(call);
                    reply.headers_mut().remove(VARY);
                    reply
                }
                false => text_reply(StatusCode::OK, &index.to_string()),
            };
        }
        let path = parts.join("/");
        let Some(document) = self.all.get(&path) else {
            return empty(StatusCode::NOT_FOUND);
        };
        if !accepts_json(call) {
            return empty(StatusCode::NOT_ACCEPTABLE);
        }
        match call.parameter("hash") {
            None => document.reply(call),
            Some(hash) if hash == document.hash => {
                let mut reply = document.reply(call);
                insert(&mut reply, CACHE_CONTROL, "public, immutable");
                let next_year = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(365 * 24);
                insert(&mut reply, EXPIRES, &next_year.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string());
                reply
            }
            Some(_) => {
                let to = format!("/openapi/v3/{path}?hash={}", document.hash);
                let body = format!("<a href=\"{to}\">Moved Permanently</a>.\n\n");
                let mut reply = bytes_reply(StatusCode::MOVED_PERMANENTLY, "application/json", body.into());
                insert(&mut reply, LOCATION, &to);
                insert(&mut reply, ETAG, &format!("\"{}\"", document.hash));
                insert(&mut reply, VARY, "Accept");
                reply
            }
        }
    }
}

impl Document {
    fn new(document: &Value) -> Self {
        let body = document.to_string();
        let hash = Sha512::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect();
        Self { body: body.into(), hash }
    }

    fn reply(&self, call: &Call) -> Reply {
        let etag = format!("\"{}\"", self.hash);
        let known = call.headers.get(IF_NONE_MATCH).is_some_and(|known| known == etag.as_str());
        let mut reply = match known {
            true => bytes_reply(StatusCode::NOT_MODIFIED, "application/json", Bytes::new()),
            false => bytes_reply(StatusCode::OK, "application/json", self.body.clone()),
        };
        insert(&mut reply, ETAG, &etag);
        insert(&mut reply, VARY, "Accept");
        reply
    }
}

/// An answer without a body, and without a word on what that would be.
fn empty(code: StatusCode) -> Reply {
    let mut reply = bytes_reply(code, "text/plain", Bytes::new());
    reply.headers_mut().remove(CONTENT_TYPE);
    reply
}

fn insert(reply: &mut Reply, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("paths, hashes and dates are printable");
    reply.headers_mut().insert(name, value);
}

fn accepts_json(call: &Call) -> bool {
    let accept = call.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    let mut types = accept.split(',').filter_map(|clause| clause.split(';').next());
    types.any(|kind| matches!(kind.trim(), "" | "*/*" | "application/*" | "application/json"))
}

const fn root(group: &str) -> &'static str {
    if group.is_empty() { "api" } else { "apis" }
}

/// The document of the types of one group and version; nothing when none has a schema.
fn document(types: &[&ResourceType]) -> Option<Value> {
    let (mut schemas, mut paths) = (Map::new(), Map::new());
    let mut custom = false;
    for ty in types {
        let Some((name, schema)) = schema_of(ty) else {
            continue;
        };
        add_referenced(&schema, &mut schemas);
        schemas.insert(name, schema);
        paths.extend(paths_of(ty));
        custom |= ty.custom;
    }
    let info = match custom {
        true => json!({"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}),
        false => json!({"title": "Kubernetes", "version": "unversioned"}),
    };
    let document = json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}});
    (!schemas_are_empty(&document)).then_some(document)
}

fn schemas_are_empty(document: &Value) -> bool {
    document["components"]["schemas"].as_object().is_none_or(Map::is_empty)
}

/// The component of a type: its name and what it says.
fn schema_of(ty: &ResourceType) -> Option<(String, Value)> {
    if ty.custom {
        return Some((component_of(ty), custom_schema(ty)));
    }
    let own = gvk(ty);
    let is_own = |schema: &Value| schema[GVK].as_array().is_some_and(|all| all.len() == 1 && all[0] == own);
    let (name, schema) = SCHEMAS.iter().find(|(_, schema)| is_own(schema))?;
    Some((name.clone(), schema.clone()))
}

fn gvk(ty: &ResourceType) -> Value {
    json!({"group": ty.group, "version": ty.version, "kind": ty.kind})
}

/// `example.lab.v1.Widget` for a Widget of `lab.example/v1`.
fn component_of(ty: &ResourceType) -> String {
    let domain: Vec<&str> = ty.group.rsplit('.').collect();
    format!("{}.{}.{}", domain.join("."), ty.version, ty.kind)
}

/// The schema of a CRD as it is published, with what every object has.
fn custom_schema(ty: &ResourceType) -> Value {
    let anything = || {
        json!({"type": "object", "properties": {"spec": {"type": "object",
        "x-kubernetes-preserve-unknown-fields": true}, "status": {"type": "object",
        "x-kubernetes-preserve-unknown-fields": true}}})
    };
    let mut schema = ty.schema.as_ref().map_or_else(anything, |schema| schema.as_ref().clone());
    for field in ["apiVersion", "kind"] {
        // The same words as in every built-in kind.
        schema["properties"][field] = SCHEMAS["io.k8s.api.core.v1.ConfigMap"]["properties"][field].clone();
    }
    let reference = format!("#/components/schemas/{OBJECT_META}");
    schema["properties"]["metadata"] = json!({"allOf": [{"$ref": reference}],
        "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"});
    schema[GVK] = json!([gvk(ty)]);
    schema
}

/// Adds all that `schema` leads to.
fn add_referenced(schema: &Value, into: &mut Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            let name =
                fields.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/components/schemas/"));
            if let Some((name, target)) = name.and_then(|name| SCHEMAS.get_key_value(name))
                && !into.contains_key(name)
            {
                into.insert(name.clone(), target.clone());
                add_referenced(target, into);
            }
            fields.values().for_each(|value| add_referenced(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| add_referenced(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Where the objects of a type are, and of what kind they are.
fn paths_of(ty: &ResourceType) -> Vec<(String, Value)> {
    let base = format!("/{}/{}", root(&ty.group), ty.api_version());
    let operation = |action: &str| json!({"get": {"x-kubernetes-action": action, GVK: gvk(ty)}});
    if !ty.verbs.iter().any(|verb| verb == "list") {
        return vec![(format!("{base}/{}", ty.plural), json!({"post": {"x-kubernetes-action": "post", GVK: gvk(ty)}}))];
    }
    let all = format!("{base}/{}", ty.plural);
    let place = if ty.namespaced { format!("{base}/namespaces/{{namespace}}/{}", ty.plural) } else { all.clone() };
    let mut paths = vec![(format!("{place}/{{name}}"), operation("get")), (place, operation("list"))];
    if ty.namespaced {
        paths.push((all, operation("list")));
    }
    paths
}

/// What the built-in kinds of the lab say of themselves, for the twin test.
#[cfg(test)]
pub(super) fn built_in_schemas() -> &'static BTreeMap<String, Value> {
    &SCHEMAS
}
