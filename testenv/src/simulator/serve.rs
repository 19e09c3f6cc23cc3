//! The way of one request through one place: authenticate, impersonate, authorize, route.

use http::{Method, StatusCode};
use serde_json::json;

use super::impersonate;
use super::metrics::METRICS;
use super::rbac::{Attributes, User};
use super::reply::{Outcome, Refusal, Reply, json_reply, page_not_found, text_reply};
use super::request::Call;
use super::server::{Peer, Trace};
use super::space::{Scope, Space};
use super::state::State;
use super::types::ResourceType;
use super::{discovery, kcp, kubelet, metrics, objects, render, reviews};

/// Answers a request to `scope`.
pub(super) async fn serve(state: &State, scope: &Scope, call: &Call, peer: &Peer, trace: &mut Trace) -> Outcome<Reply> {
    let requestor = state.authenticate(call, peer, trace).await?;
    let attributes = call.attributes();
    let user = {
        let space = scope.read();
        // A kcp answers health to everybody whose token is valid, and to those without one.
        if space.cluster.is_some() && is_health(&call.path) {
            return Ok(text_reply(StatusCode::OK, "ok"));
        }
        let user = acting_user(&space, call, requestor, &attributes)?;
        trace.user = Some(user.name.clone());
        if !space.allows(&user, &attributes) {
            return Err(Refusal::forbidden(&user.name, &attributes, space.denial()));
        }
        user
    };
    if attributes.resource.is_empty() {
        return no_resource(state, scope, call);
    }
    resource(state, scope, call, &attributes, &user)
}

/// True for the three health paths.
pub(super) fn is_health(path: &str) -> bool {
    matches!(path.trim_end_matches('/'), "/healthz" | "/livez" | "/readyz")
}

/// What `/version` says.
pub(super) fn version(is_kcp: bool) -> Reply {
    let (minor, version) = match is_kcp {
        true => ("35", "v1.35.1+kcp-v0.31.2-simulator"),
        false => ("37", "v1.37.0+simulator"),
    };
    let body = json!({"major": "1", "minor": minor, "gitVersion": version, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc", "platform": "linux/amd64"});
    json_reply(StatusCode::OK, &body)
}

fn acting_user(space: &Space, call: &Call, requestor: User, attributes: &Attributes) -> Outcome<User> {
    let impersonates = !impersonate::headers_of(&call.headers).is_empty();
    let kcp = space.cluster.as_ref().filter(|_| impersonates && !requestor.is_master());
    if kcp.is_some() && impersonate::wants_privileged_group(&call.headers) {
        return Err(Refusal::impersonation_not_allowed());
    }
    let may = |user: &User, a: &Attributes| space.allows(user, a);
    let name = requestor.name.clone();
    let outcome = impersonate::apply(&call.headers, requestor, may, space.denial());
    let mut user = match outcome {
        // kcp 0.31 is built on an API server without constrained impersonation.
        Err(refusal) if refusal.is_forbidden() && space.cluster.is_none() => {
            return Err(space.first_impersonation_refusal(&name, call, attributes).unwrap_or(refusal));
        }
        outcome => outcome?,
    };
    if impersonates {
        space.remember_impersonator(&name);
    }
    if let Some(cluster) = kcp {
        let scopes = vec![format!("cluster:{}", cluster.name)];
        user.extra.insert("authentication.kcp.io/scopes".into(), scopes);
    }
    Ok(user)
}

fn no_resource(state: &State, scope: &Scope, call: &Call) -> Outcome<Reply> {
    if !matches!(call.method, Method::GET | Method::HEAD) {
        return Err(Refusal::method_not_allowed());
    }
    if is_health(&call.path) {
        return Ok(text_reply(StatusCode::OK, "ok"));
    }
    let space = scope.read();
    let is_kcp = space.cluster.is_some();
    let parts: Vec<&str> = call.path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Ok(version(is_kcp)),
        ["openapi", "v3", rest @ ..] => Ok(space.types.documents().serve(call, rest, is_kcp)),
        ["api" | "apis", ..] => discovery::serve(call, &space.types, &parts, state.address(), !is_kcp),
        _ => Ok(page_not_found()),
    }
}

fn resource(state: &State, scope: &Scope, call: &Call, a: &Attributes, user: &User) -> Outcome<Reply> {
    if scope.read().types.is_down(&a.group, &a.version) {
        return Ok(metrics::down());
    }
    let found = scope.read().types.find(&a.group, &a.version, &a.resource);
    let Some(ty) = found else {
        // Built-in groups answer with a Status, everything else falls through to the plain text.
        let space = scope.read();
        return match space.types.has_built_in_group(&a.group) {
            true => Err(Refusal::no_such_resource()),
            false => Ok(page_not_found()),
        };
    };
    check_place(&ty, a)?;
    if reviews::is_review(&a.group) {
        return reviews::serve(&scope.read(), call, a, user);
    }
    if matches!(call.method, Method::GET | Method::HEAD) {
        if state.reinitializes() && scope.write().is_first_read(&ty) {
            return Err(Refusal::reinitializing());
        }
        return match a.subresource.as_str() {
            "log" => objects::log(&scope.read(), &ty, call, a),
            "proxy" => kubelet::node_proxy(&scope.read(), call, a),
            _ if ty.group == METRICS => metrics::read(&scope.read(), &ty, call, a),
            _ => objects::read(&scope.read(), &ty, call, a),
        };
    }
    if ty.group == METRICS || a.subresource == "proxy" {
        return Err(Refusal::method_not_allowed());
    }
    render::form_of(call)?;
    let reply = objects::write(&mut scope.write(), &ty, call, a)?;
    if ty.group == kcp::TENANCY && ty.plural == "workspaces" && !call.dry_run() {
        state.follow_workspace(scope, a, user, &reply);
    }
    Ok(reply)
}

/// Refuses paths that no route matches: a namespace around a cluster-scoped resource, a name without its namespace,
/// and subresources. Only `status`, `log` and the `proxy` of nodes are there, to be read.
fn check_place(ty: &ResourceType, a: &Attributes) -> Outcome<()> {
    let inside = !a.namespace.is_empty() && ty.plural != "namespaces";
    if !ty.namespaced && inside || ty.namespaced && !inside && !a.name.is_empty() && a.verb == "get" {
        return Err(Refusal::no_such_resource());
    }
    if ty.namespaced && !inside && !matches!(a.verb.as_str(), "list" | "watch" | "get") {
        return Err(Refusal::method_not_allowed());
    }
    match (a.subresource.as_str(), a.verb.as_str()) {
        ("", _) => Ok(()),
        (wanted @ ("status" | "log" | "proxy"), "get") if ty.subresources.iter().any(|sub| sub.name == wanted) => {
            Ok(())
        }
        _ => Err(Refusal::no_such_resource()),
    }
}
