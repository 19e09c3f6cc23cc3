//! A standalone kcp shard: many workspaces below `/clusters/<ref>`, and the order in which a shard decides.
//!
//! First syntax (400), then the path (404, or on to a mount), and only then authentication (401) and access
//! (403). A single segment is a logical cluster name and is never resolved: unknown ones are 403.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::header::{HeaderValue, LOCATION};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::authn::token_digest;
use super::front_proxy;
use super::mount::Forwarder;
use super::rbac::{Rule, User};
use super::reply::{Outcome, Refusal, Reply, bytes_reply, page_not_found, text_reply};
use super::request::Call;
use super::serve::{is_health, serve, version};
use super::server::{Peer, Trace};
use super::space::{Cluster, Scope};
use super::state::State;
use super::types::Types;

mod changes;

pub(super) const TENANCY: &str = "tenancy.kcp.io";
const WORKSPACE_VERSION: &str = "tenancy.kcp.io/v1alpha1";

/// All logical clusters of a kcp.
pub(super) struct World {
    /// `https://host:port`, the beginning of every workspace URL.
    base: String,
    types: Arc<Types>,
    clusters: RwLock<BTreeMap<String, Scope>>,
    made: AtomicU64,
    forwarder: Forwarder,
    /// A front-proxy stands before the shard.
    proxied: bool,
}

/// Where a reference leads when not to a logical cluster.
pub(super) enum Elsewhere {
    /// A workspace that is mounted from this URL.
    Mount(String),
    /// A mount whose target is not ready.
    NotReady,
    UnknownPath,
    UnknownName,
    BadSyntax,
}

impl World {
    /// A kcp with the workspace `root`, which everybody who is authenticated may enter and look around in.
    pub(super) fn new(base: &str, proxied: bool) -> anyhow::Result<Self> {
        let world = Self {
            base: base.to_owned(),
            types: Arc::new(Types::kcp()),
            clusters: RwLock::default(),
            made: AtomicU64::new(0),
            forwarder: Forwarder::new()?,
            proxied,
        };
        let root = world.add_cluster("root", "root", None);
        let everybody = || Rule::group("system:authenticated");
        let look = everybody().verbs(&["get", "list", "watch"]).resources(&["workspaces", "logicalclusters"]);
        root.allow(everybody().access()).allow(look);
        Ok(world)
    }

    /// Whether a front-proxy stands before the shard.
    pub(super) const fn is_proxied(&self) -> bool {
        self.proxied
    }

    /// The workspace at `path`; it and its parents are made when they are not there.
    pub(super) fn ensure(&self, path: &str) -> Scope {
        let mut segments = path.split(':');
        assert_eq!(segments.next(), Some("root"), "a workspace path starts with root");
        let mut here = self.cluster("root").expect("root is made first");
        for segment in segments {
            assert!(is_segment(segment), "{segment:?} is no workspace name");
            if workspace(&here, segment).is_none() {
                here.put(json!({"apiVersion": WORKSPACE_VERSION, "kind": "Workspace", "metadata": {"name": segment},
                    "spec": {"type": {"name": "universal", "path": "root"}}}));
                self.adopt(&here, segment, None);
            }
            here = match self.child(&here, segment) {
                Ok(child) => child,
                Err(_) => panic!("{path} leads through a mount"),
            };
        }
        here
    }

    /// Makes a Workspace at `path` that is mounted from `url`. An empty `url` is a mount without a target yet.
    pub(super) fn mount(&self, path: &str, url: &str) {
        let (parent, name) = path.rsplit_once(':').expect("a mount lies in a workspace");
        let phase = if url.is_empty() { "Unavailable" } else { "Ready" };
        let reference = json!({"apiVersion": "mounts.lab.example/v1", "kind": "KubeCluster", "name": name});
        let mut object = json!({"apiVersion": WORKSPACE_VERSION, "kind": "Workspace", "metadata": {"name": name},
            "spec": {"mount": {"ref": reference}}, "status": {"phase": phase}});
        if !url.is_empty() {
            object["spec"]["URL"] = url.into();
        }
        self.ensure(parent).put(object);
    }

    /// Gives the Workspace `name` in `parent` its logical cluster. A mount gets none. `owner` becomes its administrator.
    pub(super) fn adopt(&self, parent: &Scope, name: &str, owner: Option<&User>) {
        let Some(mut object) = workspace(parent, name) else {
            return;
        };
        if !object["spec"]["mount"].is_null() || object["spec"]["cluster"].is_string() {
            return;
        }
        let path = format!("{}:{name}", parent.path());
        let cluster = self.new_name(&path);
        object["apiVersion"] = WORKSPACE_VERSION.into();
        object["kind"] = "Workspace".into();
        object["spec"]["cluster"] = cluster.as_str().into();
        object["spec"]["URL"] = format!("{}/clusters/{path}", self.base).into();
        if object["spec"]["type"].is_null() {
            object["spec"]["type"] = json!({"name": "universal", "path": "root"});
        }
        object["status"] = json!({"phase": "Ready", "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "WorkspaceInitialized", "status": "True"}]});
        let own = json!({"apiVersion": WORKSPACE_VERSION, "resource": "workspaces",
            "cluster": parent.name(), "name": name, "uid": object["metadata"]["uid"]});
        let child = self.add_cluster(&cluster, &path, Some(own));
        if let Some(owner) = owner {
            child.allow(Rule::user(&owner.name).everything());
        }
        parent.put(object);
    }

    /// Drops the logical clusters that no Workspace leads to any more.
    pub(super) fn forget_orphans(&self) {
        let mut reached = vec!["root".to_owned()];
        let mut next = 0;
        while let Some(name) = reached.get(next).cloned() {
            next += 1;
            let Some(scope) = self.cluster(&name) else {
                continue;
            };
            reached.extend(children(&scope));
        }
        reached.sort_unstable();
        let mut clusters = self.clusters.write().unwrap_or_else(PoisonError::into_inner);
        clusters.retain(|name, _| reached.binary_search(name).is_ok());
    }

    fn cluster(&self, name: &str) -> Option<Scope> {
        let clusters = self.clusters.read().unwrap_or_else(PoisonError::into_inner);
        clusters.get(name).cloned()
    }

    fn add_cluster(&self, name: &str, path: &str, owner: Option<Value>) -> Scope {
        let cluster = Cluster { name: name.to_owned(), path: path.to_owned() };
        let scope = Scope::new(Some(cluster), Arc::clone(&self.types));
        let mut object = json!({"apiVersion": "core.kcp.io/v1alpha1", "kind": "LogicalCluster",
            "metadata": {"name": "cluster", "annotations": {
                "kcp.io/path": path, "internal.tenancy.kcp.io/type": "root:universal"}},
            "spec": {}, "status": {"phase": "Ready", "URL": format!("{}/clusters/{name}", self.base)}});
        if let Some(owner) = owner {
            object["spec"]["owner"] = owner;
        }
        scope.put(object);
        let mut clusters = self.clusters.write().unwrap_or_else(PoisonError::into_inner);
        clusters.insert(name.to_owned(), scope.clone());
        scope
    }

    /// 16 characters of `[0-9a-z]`; never the same again, also for a path that is made a second time.
    fn new_name(&self, path: &str) -> String {
        let count = self.made.fetch_add(1, Ordering::Relaxed);
        let digest = token_digest(&format!("{path}#{count}"));
        let digits = digest.as_bytes().chunks(2).take(16).map(|pair| {
            let value = pair.iter().fold(0, |sum, digit| sum * 16 + char::from(*digit).to_digit(16).unwrap_or(0));
            char::from_digit(value % 36, 36).expect("a value below 36 is a digit")
        });
        digits.collect()
    }

    fn resolve(&self, reference: &str) -> Result<Scope, Elsewhere> {
        if reference.is_empty() || reference == "*" || reference.starts_with("system:") {
            return Err(Elsewhere::UnknownName);
        }
        let segments: Vec<&str> = reference.split(':').collect();
        if !segments.iter().all(|segment| is_segment(segment)) {
            return Err(Elsewhere::BadSyntax);
        }
        let unknown = match segments.len() {
            1 => Elsewhere::UnknownName,
            _ => Elsewhere::UnknownPath,
        };
        let mut here = self.cluster(segments[0]).ok_or(unknown)?;
        for segment in &segments[1..] {
            // A mount ends the walk, also for deeper references: the rest of the path is dropped.
            here = self.child(&here, segment)?;
        }
        Ok(here)
    }

    fn child(&self, parent: &Scope, name: &str) -> Result<Scope, Elsewhere> {
        let object = workspace(parent, name).ok_or(Elsewhere::UnknownPath)?;
        let spec = &object["spec"];
        if !spec["mount"].is_null() {
            return Err(match (spec["URL"].as_str(), object["status"]["phase"].as_str()) {
                (None | Some(""), _) => Elsewhere::UnknownPath,
                (Some(url), Some("Ready")) => Elsewhere::Mount(url.to_owned()),
                (Some(_), _) => Elsewhere::NotReady,
            });
        }
        let cluster = spec["cluster"].as_str().and_then(|name| self.cluster(name));
        cluster.ok_or(Elsewhere::UnknownPath)
    }
}

/// Answers one request to a kcp.
pub(super) async fn answer(
    state: &State,
    world: &World,
    mut call: Call,
    peer: &Peer,
    trace: &mut Trace,
) -> Outcome<Reply> {
    let Some(below) = call.path.strip_prefix("/clusters/") else {
        if world.proxied {
            return Ok(front_proxy::outside(&call.path));
        }
        return outside(state, &call, peer, trace).await;
    };
    let whole = call.path.clone();
    let (reference, rest) = below.split_once('/').unwrap_or((below, ""));
    let (reference, rest) = (reference.to_owned(), format!("/{rest}"));
    call.path = rest;
    match world.resolve(&reference) {
        Ok(scope) => match cleaned(&call.path) {
            Some(elsewhere) => Ok(redirect(&elsewhere)),
            None => serve(state, &scope, &call, peer, trace).await,
        },
        Err(elsewhere) if world.proxied => {
            front_proxy::elsewhere(&elsewhere, &call.method.as_str().to_lowercase(), &whole)
        }
        Err(Elsewhere::Mount(url)) => {
            trace.forwarded = true;
            Ok(world.forwarder.forward(&url, &call).await)
        }
        Err(Elsewhere::NotReady) => Ok(front_proxy::not_available()),
        Err(Elsewhere::BadSyntax) => {
            Err(Refusal::bad_request(format!("invalid cluster: {reference:?} does not match the regex")))
        }
        Err(Elsewhere::UnknownPath) => Err(Refusal::not_found(TENANCY, "workspaces", &reference)),
        Err(Elsewhere::UnknownName) => {
            let user = state.authenticate(&call, peer, trace).await?;
            let attributes = call.attributes();
            Err(Refusal::forbidden(&user.name, &attributes, "access denied"))
        }
    }
}

/// Paths without `/clusters`: health for everybody, `/version` for masters, nothing else.
async fn outside(state: &State, call: &Call, peer: &Peer, trace: &mut Trace) -> Outcome<Reply> {
    let user = state.authenticate(call, peer, trace).await?;
    if is_health(&call.path) {
        return Ok(text_reply(StatusCode::OK, "ok"));
    }
    if !user.is_master() {
        return Err(Refusal::forbidden(&user.name, &call.attributes(), "access denied"));
    }
    match (&call.method, call.path.as_str()) {
        (&Method::GET, "/version") => Ok(version(true)),
        _ => Ok(page_not_found()),
    }
}

/// The path without `.` and `..`, when it has any: Go's router redirects such requests before anything else looks at them.
fn cleaned(path: &str) -> Option<String> {
    if !path.split('/').any(|part| matches!(part, "." | "..")) {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

fn redirect(path: &str) -> Reply {
    let link = path.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
    let body = format!("<a href=\"{link}\">Temporary Redirect</a>.\n\n");
    let mut reply = bytes_reply(StatusCode::TEMPORARY_REDIRECT, "text/html; charset=utf-8", body.into());
    if let Ok(location) = HeaderValue::from_str(path) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

fn workspace(parent: &Scope, name: &str) -> Option<Value> {
    parent.get(WORKSPACE_VERSION, "Workspace", "", name)
}

/// The logical cluster names of the workspaces in `scope`.
fn children(scope: &Scope) -> Vec<String> {
    let space = scope.read();
    let Some(ty) = space.types.find_kind(WORKSPACE_VERSION, "Workspace") else {
        return Vec::new();
    };
    let all = super::selector::Selector::default();
    let page = space.store.page(&ty, None, &all, None, None);
    let items = page.map(|page| page.items).unwrap_or_default();
    items.iter().filter_map(|object| object["spec"]["cluster"].as_str()).map(str::to_owned).collect()
}

/// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`
fn is_segment(segment: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&segment.len())
        && segment.chars().all(|c| inner(c) || c == '-')
        && segment.starts_with(inner)
        && segment.ends_with(inner)
}
