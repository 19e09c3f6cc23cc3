//! Writes, impersonation and reviews, against a kube-apiserver.

use http::Method;
use serde_json::{Value, json};

use super::{Side, levelled};
use crate::simulator::samples;

/// Who, method, path, headers and body.
type Write<'a> = (&'a str, Method, &'a str, &'a [(&'a str, &'a str)], Option<Value>);

/// Writes, impersonation and reviews.
pub(super) async fn writes(real: &Side, simulated: &Side) -> Vec<String> {
    let path = "/api/v1/namespaces/dev/configmaps";
    let map = |name: &str| samples::config_map("dev", name, &[("k", "v")]);
    let stale = {
        let mut stale = map("a");
        stale["metadata"]["resourceVersion"] = json!("1");
        stale
    };
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let access = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let asked = |verb: &str| {
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "resource": "configmaps", "namespace": "dev"}}})
    };
    let as_carol: &[(&str, &str)] = &[("impersonate-user", "carol"), ("impersonate-group", "ops")];
    let as_root: &[(&str, &str)] = &[("impersonate-user", "x"), ("impersonate-extra-scope", "y")];
    let as_account: &[(&str, &str)] = &[("impersonate-user", "system:serviceaccount:dev:robot")];
    let in_a_group: &[(&str, &str)] = &[("impersonate-group", "ops")];
    let nobodys: &[(&str, &str)] = &[];
    let object = format!("{path}/new");
    let dry = format!("{path}?dryRun=All");
    let probes: Vec<Write<'_>> = vec![
        ("admin", Method::POST, &dry, nobodys, Some(map("dry"))),
        ("admin", Method::POST, path, nobodys, Some(map("a"))),
        ("bob", Method::POST, path, nobodys, Some(map("x"))),
        ("admin", Method::POST, path, nobodys, Some(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}))),
        (
            "admin",
            Method::POST,
            "/api/v1/namespaces/none/configmaps",
            nobodys,
            Some(samples::config_map("none", "x", &[])),
        ),
        ("admin", Method::POST, "/api/v1/configmaps", nobodys, Some(map("x"))),
        ("admin", Method::PUT, "/api/v1/namespaces/dev/configmaps/a", nobodys, Some(stale)),
        ("admin", Method::PUT, "/api/v1/namespaces/dev/configmaps/none", nobodys, Some(map("none"))),
        ("admin", Method::POST, path, nobodys, Some(map("new"))),
        ("admin", Method::DELETE, &object, nobodys, None),
        ("admin", Method::DELETE, &object, nobodys, None),
        ("bob", Method::POST, reviews, nobodys, Some(review.clone())),
        ("admin", Method::POST, reviews, as_carol, Some(review.clone())),
        ("bob", Method::GET, path, as_carol, None),
        ("bob", Method::GET, path, as_root, None),
        ("bob", Method::GET, "/version", as_root, None),
        ("bob", Method::GET, path, as_account, None),
        ("admin", Method::GET, path, in_a_group, None),
        ("bob", Method::POST, access, nobodys, Some(asked("list"))),
        ("bob", Method::POST, access, nobodys, Some(asked("delete"))),
    ];
    let mut differences = Vec::new();
    for (who, method, path, headers, body) in probes {
        let mut answers = Vec::new();
        for side in [real, simulated] {
            let client = side.client(who);
            let answer = client.send(method.clone(), path, headers, body.clone()).await;
            answers.push(levelled(&answer, &client.base));
        }
        if answers[0] != answers[1] {
            differences.push(format!(
                "{who} {method} {path} {headers:?}\n  real      {}\n  simulated {}",
                answers[0], answers[1]
            ));
        }
    }
    differences
}
