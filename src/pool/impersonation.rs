//! What it means when an API server does not let kubeferry's own credential act for a caller: which RBAC verb is missing,
//! in both kinds of impersonation. The plain one is the verb `impersonate`; the constrained one (KEP-5284, on by default
//! since Kubernetes 1.36) has `impersonate:user-info` for whom, and `impersonate-on:user-info:<verb>` for what.

use http::StatusCode;
use serde::Deserialize;

use super::credential::Acts;
use super::reply::clean;
use super::transport::Reply;
use crate::model::{Failure, FailureKind};

/// API group of everything that constrained impersonation names.
pub(super) const CONSTRAINED_GROUP: &str = "authentication.k8s.io";
/// The verb for whom one may act.
pub(super) const CONSTRAINED: &str = "impersonate:user-info";

#[derive(Deserialize)]
struct Status {
    message: String,
}

/// What the API server misses, in its own words.
#[derive(Debug, PartialEq, Eq)]
struct Missing<'a> {
    /// kubeferry's own user.
    user: &'a str,
    verb: &'a str,
    /// `groups "corp:dev"`, `pods`, or a path.
    on: String,
}

/// The failure, when `reply` says that kubeferry's own user may not act for somebody; `acts` is what the template
/// needs, empty where nobody is impersonated.
pub(super) fn refusal(reply: &Reply, acts: &[Acts]) -> Option<Failure> {
    if acts.is_empty() || reply.head.status != StatusCode::FORBIDDEN {
        return None;
    }
    let status: Status = serde_json::from_slice(&reply.body).ok()?;
    let Missing { user, verb, on } = missing(&status.message)?;
    let cause = format!(
        "kubeferry's own user \"{}\" may not act for you: it lacks the RBAC verb {} on {}",
        clean(user),
        clean(verb),
        clean(&on)
    );
    let plain = "clusters/impersonator.yaml";
    let hint = if verb == "impersonate" {
        format!("Ask the operator to grant it ({plain})")
    } else {
        let (constrained, whom) = ("clusters/impersonator-constrained.yaml", whom(acts));
        format!("Ask the operator to grant it ({constrained}), or plain impersonate on {whom} ({plain})")
    };
    Some(Failure::new(FailureKind::Credential, "cannot_impersonate", cause).hint(hint))
}

/// What the template names, as RBAC has it.
fn whom(acts: &[Acts]) -> String {
    let name = |act: &Acts| match &act.subresource {
        Some(below) => format!("{}/{below}", act.resource),
        None => act.resource.to_owned(),
    };
    acts.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Reads `<what> "<name>" is forbidden: User "<user>" cannot impersonate… resource "<what>" in API group …`.
fn missing(message: &str) -> Option<Missing<'_>> {
    let (before, said) = message.split_once("User \"")?;
    let (user, said) = said.split_once("\" cannot ")?;
    let (verb, said) = said.split_once(' ')?;
    if verb != "impersonate" && !verb.starts_with("impersonate:") && !verb.starts_with("impersonate-on:") {
        return None;
    }
    let quoted = |text: &'static str| said.strip_prefix(text)?.split_once('"').map(|(value, _)| value);
    let on = match (quoted("resource \""), quoted("path \"")) {
        (Some(resource), _) => match before.split_once('"').and_then(|(_, rest)| rest.split_once("\" is forbidden")) {
            Some((name, _)) if !verb.starts_with("impersonate-on:") => format!("{resource} \"{name}\""),
            Some(_) | None => resource.to_owned(),
        },
        (None, Some(path)) => path.to_owned(),
        (None, None) => return None,
    };
    Some(Missing { user, verb, on })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Acts, Missing, missing, refusal};
    use crate::pool::transport::Reply;

    const GATEWAY: &str = "system:serviceaccount:kubeferry:gateway";

    #[test]
    fn each_text_of_an_api_server_names_user_verb_and_thing() {
        let of = |verb, on: &str| Some(Missing { user: GATEWAY, verb, on: on.to_owned() });
        let texts = [
            (
                r#"users "corp:alice" is forbidden: User "system:serviceaccount:kubeferry:gateway" cannot impersonate resource "users" in API group "" at the cluster scope"#,
                of("impersonate", "users \"corp:alice\""),
            ),
            (
                r#"groups.authentication.k8s.io "corp:qa" is forbidden: User "system:serviceaccount:kubeferry:gateway" cannot impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster scope"#,
                of("impersonate:user-info", "groups \"corp:qa\""),
            ),
            (
                r#"pods "web-1" is forbidden: User "system:serviceaccount:kubeferry:gateway" cannot impersonate-on:user-info:get resource "pods/log" in API group "" in the namespace "shop""#,
                of("impersonate-on:user-info:get", "pods/log"),
            ),
            (
                r#"forbidden: User "system:serviceaccount:kubeferry:gateway" cannot impersonate-on:user-info:get path "/apis""#,
                of("impersonate-on:user-info:get", "/apis"),
            ),
            (r#"pods is forbidden: User "corp:alice" cannot list resource "pods" in API group """#, None),
            (r#"pods is forbidden: User "x" cannot impersonated resource "pods""#, None),
            ("cannot impersonate", None),
        ];
        for (text, wanted) in texts {
            assert_eq!(missing(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_failure_names_both_kinds() {
        let body = r#"{"kind":"Status","message":"pods is forbidden: User \"gw\" cannot impersonate-on:user-info:list resource \"pods\" in API group \"\""}"#;
        let reply = |status: u16| {
            let (head, ()) = http::Response::builder().status(status).body(()).unwrap().into_parts();
            Reply { head, body: Bytes::from_static(body.as_bytes()) }
        };
        let users = [Acts { group: "", resource: "users", subresource: None }];
        let failure = refusal(&reply(403), &users).unwrap();
        assert_eq!(failure.code, "cannot_impersonate");
        let said = "own user \"gw\" may not act for you: it lacks the RBAC verb impersonate-on:user-info:list on pods";
        assert!(failure.cause.ends_with(said), "{failure}");
        let hint = failure.hint.unwrap();
        assert!(
            hint.contains("clusters/impersonator-constrained.yaml") && hint.contains("impersonate on users"),
            "{hint}"
        );
        assert!(refusal(&reply(403), &[]).is_none(), "nobody is impersonated there");
        assert!(refusal(&reply(401), &users).is_none());
    }
}
