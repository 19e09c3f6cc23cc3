//! Discovery: plain everywhere, aggregated v2 on a Kubernetes server (and on `/api` of a kcp).

use http::StatusCode;
use http::header::{CACHE_CONTROL, ETAG, HeaderValue, VARY};
use serde_json::{Value, json};

use super::authn::token_digest;
use super::metrics;
use super::reply::{Outcome, Refusal, Reply, bytes_reply, json_reply, page_not_found};
use super::request::Call;
use super::types::{ResourceType, Types, group_version};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Answers a discovery path, given as its parts. `aggregated_groups` is false on a kcp, whose `/apis` knows plain only.
pub(super) fn serve(
    call: &Call,
    types: &Types,
    parts: &[&str],
    address: &str,
    aggregated_groups: bool,
) -> Outcome<Reply> {
    match parts {
        ["api"] => {
            let wants = call.wants_aggregated().ok_or_else(Refusal::not_acceptable)?;
            if wants {
                // Bound resources of the core group are missing here on a real kcp; so are they on this one.
                let versions = vec![version(types, "", "v1", !aggregated_groups)];
                return Ok(aggregated(&[json!({"metadata": {}, "versions": versions})]));
            }
            let body = json!({"kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]});
            Ok(json_reply(StatusCode::OK, &body))
        }
        ["apis"] if aggregated_groups && call.wants_aggregated() == Some(true) => {
            let group = |(group, versions): (&str, Vec<&str>)| {
                let versions = versions.iter().map(|v| version(types, group, v, false));
                json!({"metadata": {"name": group}, "versions": versions.collect::<Vec<_>>()})
            };
            let groups: Vec<Value> = types.groups().into_iter().map(group).collect();
            Ok(aggregated(&groups))
        }
        ["apis"] => {
            plain_is_accepted(call)?;
            let groups: Vec<Value> =
                types.groups().iter().map(|(group, versions)| api_group(group, versions)).collect();
            let body = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups});
            Ok(json_reply(StatusCode::OK, &body))
        }
        ["apis", group, version] if types.is_down(group, version) => Ok(metrics::down()),
        ["apis", wanted] => {
            let groups = types.groups();
            let Some((group, versions)) = groups.iter().find(|(group, _)| group == wanted) else {
                return Ok(page_not_found());
            };
            let mut body = api_group(group, versions);
            body["kind"] = "APIGroup".into();
            body["apiVersion"] = "v1".into();
            Ok(json_reply(StatusCode::OK, &body))
        }
        ["api", version] => resource_list(call, types, "", version),
        // A kcp cannot know every group of every workspace, and lists nothing for one it does not.
        ["apis", group, version] if !aggregated_groups && types.of(group, version).is_empty() => {
            let body = json!({"kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": group_version(group, version), "resources": []});
            Ok(json_reply(StatusCode::OK, &body))
        }
        ["apis", group, version] => resource_list(call, types, group, version),
        _ => Ok(page_not_found()),
    }
}

fn plain_is_accepted(call: &Call) -> Outcome<()> {
    // With both forms in `Accept`, a server without the aggregated one takes the plain one.
    match call.form() {
        Some(_) => Ok(()),
        None => Err(Refusal::not_acceptable()),
    }
}

fn api_group(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> =
        versions.iter().map(|v| json!({"groupVersion": group_version(group, v), "version": v})).collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions[0]})
}

fn resource_list(call: &Call, types: &Types, group: &str, version: &str) -> Outcome<Reply> {
    plain_is_accepted(call)?;
    let of = types.of(group, version);
    if of.is_empty() {
        // A built-in group answers for versions that it does not have; nobody answers for other groups.
        return match types.has_built_in_group(group) {
            true => Err(Refusal::no_such_resource()),
            false => Ok(page_not_found()),
        };
    }
    let resources: Vec<Value> = of.into_iter().flat_map(plain).collect();
    let body = json!({"kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version(group, version), "resources": resources});
    Ok(json_reply(StatusCode::OK, &body))
}

fn plain(ty: &ResourceType) -> Vec<Value> {
    let mut own = json!({"name": ty.plural, "singularName": ty.singular, "namespaced": ty.namespaced,
        "kind": ty.kind, "verbs": ty.verbs});
    if !ty.short_names.is_empty() {
        own["shortNames"] = json!(ty.short_names);
    }
    if !ty.categories.is_empty() {
        own["categories"] = json!(ty.categories);
    }
    let mut all = vec![own];
    for sub in &ty.subresources {
        let (group, version, kind) = &sub.response;
        let mut entry = json!({"name": format!("{}/{}", ty.plural, sub.name), "singularName": "",
            "namespaced": ty.namespaced, "kind": kind, "verbs": sub.verbs});
        if !version.is_empty() {
            entry["group"] = json!(group);
            entry["version"] = json!(version);
        }
        all.push(entry);
    }
    all
}

fn version(types: &Types, group: &str, version: &str, built_in_only: bool) -> Value {
    let of = types.of(group, version).into_iter();
    let resources: Vec<Value> = of.filter(|ty| !(built_in_only && ty.custom)).map(aggregated_resource).collect();
    if types.is_down(group, version) {
        return json!({"version": version, "freshness": "Stale"});
    }
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn aggregated_resource(ty: &ResourceType) -> Value {
    // Built-in kinds leave group and version empty, CRDs fill them in.
    let own_kind = |kind: &str| match ty.custom {
        true => json!({"group": ty.group, "version": ty.version, "kind": kind}),
        false => json!({"group": "", "version": "", "kind": kind}),
    };
    let scope = if ty.namespaced { "Namespaced" } else { "Cluster" };
    let mut entry = json!({"resource": ty.plural, "responseKind": own_kind(&ty.kind), "scope": scope,
        "singularResource": ty.singular, "verbs": ty.verbs});
    if !ty.short_names.is_empty() {
        entry["shortNames"] = json!(ty.short_names);
    }
    if !ty.categories.is_empty() {
        entry["categories"] = json!(ty.categories);
    }
    let subresources: Vec<Value> = ty
        .subresources
        .iter()
        .map(|sub| {
            let (group, version, kind) = &sub.response;
            let response = match version.is_empty() {
                true => own_kind(kind),
                false => json!({"group": group, "version": version, "kind": kind}),
            };
            json!({"subresource": sub.name, "responseKind": response, "verbs": sub.verbs})
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = json!(subresources);
    }
    entry
}

fn aggregated(items: &[Value]) -> Reply {
    let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items});
    let body = body.to_string();
    let etag = format!("\"{}\"", token_digest(&body).to_uppercase());
    let mut reply = bytes_reply(StatusCode::OK, AGGREGATED, body.into());
    let headers = reply.headers_mut();
    let etag = HeaderValue::from_str(&etag).expect("hex digits make a header value");
    headers.insert(ETAG, etag);
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    reply
}
