//! What a request would do, read from its method and URL alone: a pure function. The send site holds the result against
//! the permit's limits, whatever built the request.
//!
//! The rules are those of the API server's own `RequestInfo`, but stricter: a path with an empty segment, `.`, `..`, `%`
//! or anything but printable ASCII is refused (a folder of a node's logs may end with a slash), and so is every path that is not known to be a resource or a harmless
//! document.

use http::Method;
use url::form_urlencoded;

use crate::model::Access;
use crate::policy::{Operation, Refusal};

/// Reads `method` and `target` (path and query relative to the cluster or workspace, as `/api/v1/pods?limit=1`).
///
/// # Errors
/// When the request is of a kind that is never sent.
pub fn classify(method: &Method, target: &str) -> Result<Operation, Refusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let never = || Refusal::Never { what: format!("{method} {}", crate::model::names::quote(path)) };
    let plain = |c: u8| c.is_ascii_graphic() && c != b'#';
    let segments = segments(unslashed(path)).filter(|_| query.bytes().all(plain)).ok_or_else(never)?;
    let resource = match segments.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => Some(("", *version, rest)),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => Some((*group, *version, rest)),
        _ => None,
    };
    match resource {
        Some((group, _, rest)) => resource_operation(method, group, rest, query).ok_or_else(never),
        None if method == Method::GET && is_document(&segments) => Ok(document()),
        None => Err(never()),
    }
}

/// A path of a kubelet's logs without the slash at its end: a folder of them is the one thing that is asked for with it.
fn unslashed(path: &str) -> &str {
    let bare = path.strip_suffix('/').unwrap_or(path);
    let node = bare.strip_prefix("/api/v1/nodes/").and_then(|rest| rest.split_once('/'));
    match node {
        Some((_, below)) if below == "proxy/logs" || below.starts_with("proxy/logs/") => bare,
        Some(_) | None => path,
    }
}

/// The segments of an absolute path, or `None` when one could be read in two ways.
fn segments(path: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let plain = |segment: &&str| {
        !matches!(*segment, "" | "." | "..")
            && segment.bytes().all(|c| c.is_ascii_graphic() && !matches!(c, b'%' | b'\\' | b'#' | b';'))
    };
    segments.iter().all(plain).then_some(segments)
}

/// Discovery, versions, health and OpenAPI v3 (v2 costs the server too much and is never asked for).
fn is_document(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["api" | "apis" | "version" | "healthz" | "readyz" | "livez"]
            | ["api", _]
            | ["apis", _]
            | ["apis", _, _]
            | ["openapi", "v3"]
            | ["openapi", "v3", "api", _]
            | ["openapi", "v3", "apis", _]
            | ["openapi", "v3", "apis", _, _]
    )
}

fn document() -> Operation {
    Operation {
        verb: "get",
        access: Some(Access::Read),
        group: None,
        resource: String::new(),
        subresource: None,
        namespace: None,
        name: None,
        dry_run: false,
        watch: false,
        cluster_scoped: true,
    }
}

fn resource_operation(method: &Method, group: &str, rest: &[&str], query: &str) -> Option<Operation> {
    let (namespace, resource, name, subpath): (_, _, _, &[&str]) = match rest {
        // `watch` and `proxy` as a first segment are the long-deprecated spellings of verbs.
        ["watch" | "proxy", ..] => return None,
        ["namespaces"] => (None, "namespaces", None, &[]),
        ["namespaces", name] => (Some(*name), "namespaces", Some(*name), &[]),
        ["namespaces", name, sub @ ("status" | "finalize")] => {
            (Some(*name), "namespaces", Some(*name), std::slice::from_ref(sub))
        }
        ["namespaces", namespace, resource] => (Some(*namespace), *resource, None, &[]),
        ["namespaces", namespace, resource, name, sub @ ..] => (Some(*namespace), *resource, Some(*name), sub),
        [resource] => (None, *resource, None, &[]),
        [resource, name, sub @ ..] => (None, *resource, Some(*name), sub),
        [] => return None,
    };
    let subresource = subpath.first().copied();
    if subpath.len() > 1 && subresource != Some("proxy") {
        return None;
    }
    let Query { watch, dry_run } = read_query(query)?;
    let verb = verb(method, name.is_some(), watch)?;
    // A DELETE takes its options from its body where it has one, and a GET has none: there the query promises nothing.
    let dry_run = dry_run && matches!(verb, "create" | "update" | "patch");
    let subject = Subject { group, resource, name, subpath };
    Some(Operation {
        verb,
        access: access(verb, &subject),
        group: Some(group.to_owned()),
        resource: resource.to_owned(),
        subresource: subresource.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        dry_run,
        watch,
        cluster_scoped: false,
    })
}

/// Subresources that are data.
const DATA: [&str; 7] = ["approval", "binding", "finalize", "log", "resize", "scale", "status"];

struct Query {
    watch: bool,
    dry_run: bool,
}

/// A repeated `dryRun`, or one with another value than `All`, is not a preview to everybody: refused.
fn read_query(query: &str) -> Option<Query> {
    let mut read = Query { watch: false, dry_run: false };
    let mut dry_runs = 0;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match key.as_ref() {
            "watch" => read.watch |= !matches!(value.as_ref(), "0" | "false"),
            "dryRun" if value == "All" => dry_runs += 1,
            "dryRun" => return None,
            _ => {}
        }
    }
    read.dry_run = dry_runs == 1;
    (dry_runs <= 1).then_some(read)
}

fn verb(method: &Method, named: bool, watch: bool) -> Option<&'static str> {
    Some(match (method.as_str(), named) {
        ("GET" | "HEAD", _) if watch => "watch",
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return None,
    })
}

/// The classes of access that `verb` on a kind is of, for a question about it; `*` is of all. `None` is never sent.
pub(super) fn classes(
    verb: &str,
    group: &str,
    resource: &str,
    subresource: Option<&str>,
    name: Option<&str>,
) -> Vec<Option<Access>> {
    if verb == "*" {
        return [Access::Read, Access::Write, Access::Delete, Access::Exec].map(Some).into();
    }
    let subpath: Vec<&str> = subresource.into_iter().collect();
    vec![access(verb, &Subject { group, resource, name, subpath: &subpath })]
}

struct Subject<'a> {
    group: &'a str,
    resource: &'a str,
    name: Option<&'a str>,
    subpath: &'a [&'a str],
}

/// The class of access, or `None` for what is never sent.
fn access(verb: &str, subject: &Subject<'_>) -> Option<Access> {
    let Subject { group, resource, name, subpath } = subject;
    let reads = matches!(verb, "get" | "list" | "watch");
    match (*group, *resource, *subpath) {
        ("", "serviceaccounts", ["token", ..]) => None,
        // `nodes_log` and `nodes_stats_summary` read fixed paths of the kubelet. `scheme:name:port` is another server.
        ("", "nodes", ["proxy", "logs", ..] | ["proxy", "stats", "summary"])
            if reads && name.is_some_and(|name| !name.contains(':')) =>
        {
            Some(Access::Read)
        }
        ("", "pods", ["eviction"]) => Some(Access::Delete),
        // What is not known to be data may be a session: `exec`, `attach`, `portforward`, `proxy`, `console`, …
        (_, _, [subresource, ..]) if !DATA.contains(subresource) => Some(Access::Exec),
        // kcp creates the home workspace on GET and HEAD alike.
        ("tenancy.kcp.io", "workspaces", _) if *name == Some("~") => Some(Access::Write),
        ("authentication.k8s.io", "selfsubjectreviews", [])
        | ("authorization.k8s.io", "selfsubjectaccessreviews" | "selfsubjectrulesreviews", [])
            if verb == "create" =>
        {
            Some(Access::Read)
        }
        _ if reads => Some(Access::Read),
        _ if matches!(verb, "delete" | "deletecollection") => Some(Access::Delete),
        _ => Some(Access::Write),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{classes, classify};
    use crate::model::Access;

    /// method, target → verb group/resource[/subresource] ns=… name=… class
    fn line(method: &str, target: &str) -> String {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let Ok(op) = classify(&method, target) else { return "never".into() };
        let mut line = format!("{} {}/{}", op.verb, op.group.as_deref().unwrap_or("-"), op.resource);
        for (tag, value) in [("/", &op.subresource), (" ns=", &op.namespace), (" name=", &op.name)] {
            if let Some(value) = value {
                line += &format!("{tag}{value}");
            }
        }
        line += op.access.map_or(" never", |access| match access {
            Access::Read => " read",
            Access::Write => " write",
            Access::Delete => " delete",
            Access::Exec => " exec",
        });
        if op.dry_run {
            line += " dry-run";
        }
        line
    }

    #[test]
    fn a_question_is_of_the_class_of_what_it_is_about() {
        let class = |verb, resource, sub| classes(verb, "", resource, sub, None);
        assert_eq!(class("get", "pods", Some("log")), [Some(Access::Read)]);
        assert_eq!(class("get", "pods", Some("exec")), [Some(Access::Exec)]);
        assert_eq!(class("deletecollection", "pods", None), [Some(Access::Delete)]);
        assert_eq!(class("escalate", "roles", None), [Some(Access::Write)]);
        assert_eq!(class("create", "serviceaccounts", Some("token")), [None]);
        assert_eq!(class("*", "pods", None).len(), 4);
    }

    #[test]
    fn the_table() {
        let table = [
            ("GET", "/api/v1/pods", "list /pods read"),
            ("GET", "/api/v1/pods?watch=true", "watch /pods read"),
            ("GET", "/api/v1/pods?watch=1&limit=5", "watch /pods read"),
            ("GET", "/api/v1/namespaces", "list /namespaces read"),
            ("GET", "/api/v1/namespaces/a", "get /namespaces ns=a name=a read"),
            ("GET", "/api/v1/namespaces/a/status", "get /namespaces/status ns=a name=a read"),
            ("GET", "/api/v1/namespaces/a/pods", "list /pods ns=a read"),
            ("GET", "/api/v1/namespaces/a/pods/p", "get /pods ns=a name=p read"),
            ("GET", "/api/v1/namespaces/a/pods/p/log?tailLines=5", "get /pods/log ns=a name=p read"),
            ("GET", "/api/v1/namespaces/a/pods/p/exec?command=id", "get /pods/exec ns=a name=p exec"),
            ("POST", "/api/v1/namespaces/a/pods/p/exec", "create /pods/exec ns=a name=p exec"),
            ("POST", "/api/v1/namespaces/a/pods/p/attach", "create /pods/attach ns=a name=p exec"),
            ("GET", "/api/v1/namespaces/a/pods/p/portforward", "get /pods/portforward ns=a name=p exec"),
            ("GET", "/api/v1/namespaces/a/services/s/proxy/x/y", "get /services/proxy ns=a name=s exec"),
            (
                "PATCH",
                "/api/v1/namespaces/a/pods/p/ephemeralcontainers",
                "patch /pods/ephemeralcontainers ns=a name=p exec",
            ),
            ("POST", "/api/v1/namespaces/a/pods/p/eviction", "create /pods/eviction ns=a name=p delete"),
            ("POST", "/api/v1/namespaces/a/serviceaccounts/s/token", "create /serviceaccounts/token ns=a name=s never"),
            ("GET", "/api/v1/nodes/n/proxy/logs/kubelet", "get /nodes/proxy name=n read"),
            ("GET", "/api/v1/nodes/n/proxy/logs/?query=kubelet", "get /nodes/proxy name=n read"),
            ("GET", "/api/v1/nodes/n/proxy/logs/containers/", "get /nodes/proxy name=n read"),
            ("GET", "/api/v1/nodes/n/proxy/logs//", "never"),
            ("GET", "/api/v1/nodes/n/proxy/logs/../run/", "never"),
            ("GET", "/api/v1/nodes/n/proxy/stats/summary/", "never"),
            ("GET", "/api/v1/nodes/n/proxy/", "never"),
            ("GET", "/api/v1/nodes/proxy/logs/", "never"),
            ("GET", "/api/v1/nodes/n/proxy/stats/summary", "get /nodes/proxy name=n read"),
            ("GET", "/api/v1/nodes/n/proxy/stats/other", "get /nodes/proxy name=n exec"),
            ("GET", "/api/v1/nodes/n:9100/proxy/logs/x", "get /nodes/proxy name=n:9100 exec"),
            (
                "GET",
                "/apis/subresources.kubevirt.io/v1/namespaces/a/virtualmachineinstances/v/console",
                "get subresources.kubevirt.io/virtualmachineinstances/console ns=a name=v exec",
            ),
            ("GET", "/apis/apps/v1/namespaces/a/deployments/d/scale", "get apps/deployments/scale ns=a name=d read"),
            (
                "GET",
                "/apis/tenancy.kcp.io/v1alpha1/workspaces/~?dryRun=All",
                "get tenancy.kcp.io/workspaces name=~ write",
            ),
            ("DELETE", "/api/v1/namespaces/a/pods/p?dryRun=All", "delete /pods ns=a name=p delete"),
            ("POST", "/api/v1/namespaces/a/pods?x=#&dryRun=All", "never"),
            ("POST", "/api/v1/nodes/n/proxy/logs/x", "create /nodes/proxy name=n exec"),
            ("GET", "/api/v1/nodes/n/proxy/run/a/b", "get /nodes/proxy name=n exec"),
            ("POST", "/api/v1/namespaces/a/pods", "create /pods ns=a write"),
            ("POST", "/api/v1/namespaces/a/pods?dryRun=All", "create /pods ns=a write dry-run"),
            ("POST", "/api/v1/namespaces/a/pods?dryRun=All&dryRun=All", "never"),
            ("POST", "/api/v1/namespaces/a/pods?dryRun=None", "never"),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/d?fieldManager=kubeferry",
                "patch apps/deployments ns=a name=d write",
            ),
            (
                "PUT",
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                "update apps/deployments/scale ns=a name=d write",
            ),
            ("DELETE", "/apis/apps/v1/namespaces/a/deployments/d", "delete apps/deployments ns=a name=d delete"),
            ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection apps/deployments ns=a delete"),
            (
                "POST",
                "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                "create authentication.k8s.io/selfsubjectreviews read",
            ),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                "create authorization.k8s.io/selfsubjectaccessreviews read",
            ),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                "create authorization.k8s.io/subjectaccessreviews write",
            ),
            ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", "create authentication.k8s.io/tokenreviews write"),
            ("GET", "/apis/tenancy.kcp.io/v1alpha1/workspaces/~", "get tenancy.kcp.io/workspaces name=~ write"),
            ("HEAD", "/apis/tenancy.kcp.io/v1alpha1/workspaces/~", "get tenancy.kcp.io/workspaces name=~ write"),
            ("GET", "/apis/tenancy.kcp.io/v1alpha1/workspaces/team", "get tenancy.kcp.io/workspaces name=team read"),
            ("GET", "/apis", "get -/ read"),
            ("GET", "/api/v1", "get -/ read"),
            ("GET", "/apis/apps/v1", "get -/ read"),
            ("GET", "/version", "get -/ read"),
            ("GET", "/openapi/v3/apis/apps/v1?hash=x", "get -/ read"),
            ("GET", "/openapi/v2", "never"),
            ("POST", "/version", "never"),
            ("GET", "/metrics", "never"),
            ("GET", "/debug/pprof", "never"),
            ("GET", "/logs/x", "never"),
            ("GET", "/clusters/root/api/v1/pods", "never"),
            ("GET", "/api/v1/watch/pods", "never"),
            ("GET", "/api/v1/proxy/nodes/n", "never"),
            ("GET", "/api/v1/namespaces/../../../clusters/root/api/v1/secrets", "never"),
            ("GET", "/api/v1/namespaces/a%2fb", "never"),
            ("GET", "/api/v1//pods", "never"),
            ("GET", "api/v1/pods", "never"),
            ("GET", "/api/v1/pods/", "never"),
            ("GET", "/api/v1/namespaces/a/pods/p/log/extra", "never"),
            ("PUT", "/api/v1/namespaces/a/pods", "never"),
            ("CONNECT", "/api/v1/pods", "never"),
            ("OPTIONS", "/api/v1/pods", "never"),
        ];
        for (method, target, expected) in table {
            assert_eq!(line(method, target), expected, "{method} {target}");
        }
    }

    proptest! {
        /// No GET is ever taken for a weaker class than the same path's subresource has, and nothing panics.
        #[test]
        fn anything_may_be_asked(target in any::<String>(), sub in "(exec|attach|portforward|proxy)") {
            drop(classify(&Method::GET, &target));
            let operation = classify(&Method::GET, &format!("/api/v1/namespaces/a/pods/p/{sub}?x={}", target.len())).unwrap();
            prop_assert!(operation.access == Some(Access::Exec));
        }
    }
}
