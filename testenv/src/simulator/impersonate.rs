//! `Impersonate-*` headers, after the filter of the real server.

use http::HeaderMap;

use super::rbac::{Attributes, User};
use super::reply::{Outcome, Refusal};
use super::request::percent_decode;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// The headers of an impersonation, for the request log: lower-case name and value, in the order received.
pub(super) fn headers_of(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("impersonate-"))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str().to_owned(), value.into_owned())
        })
        .collect()
}

/// The user that the request is to be made as: `requestor`, or the one it may impersonate.
///
/// `allowed` answers whether the requestor may do something; each name, group, uid and extra is asked for by itself.
pub(super) fn apply(
    headers: &HeaderMap,
    requestor: User,
    allowed: impl Fn(&User, &Attributes) -> bool,
    denial: &str,
) -> Outcome<User> {
    let wanted = Wanted::read(headers);
    let Some(name) = wanted.name.clone() else {
        if wanted.uid.is_some() || !wanted.groups.is_empty() || !wanted.extra.is_empty() {
            return Err(Refusal::bad_request(format!(
                "requested {} without impersonating a user name",
                wanted.as_go()
            )));
        }
        return Ok(requestor);
    };
    for attributes in wanted.questions(&name) {
        if !allowed(&requestor, &attributes) {
            return Err(Refusal::forbidden(&requestor.name, &attributes, denial));
        }
    }
    let mut groups = wanted.groups;
    if groups.is_empty()
        && let Some((namespace, _)) = service_account(&name)
    {
        groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
    }
    let decided = ["system:authenticated", "system:unauthenticated"];
    if name == "system:anonymous" {
        if !groups.iter().any(|group| group == decided[1]) {
            groups.push(decided[1].into());
        }
    } else if !groups.iter().any(|group| decided.contains(&group.as_str())) {
        groups.push(decided[0].into());
    }
    let mut user = User { name, uid: wanted.uid, groups, ..User::default() };
    for (key, value) in wanted.extra {
        user.extra.entry(key).or_default().push(value);
    }
    Ok(user)
}

/// The mode of constrained impersonation that the real server tries before the plain one: its refusal is the one that
/// a requestor gets who has never impersonated anybody.
pub(super) fn constrained_mode(headers: &HeaderMap) -> Option<&'static str> {
    let wanted = Wanted::read(headers);
    let name = wanted.name.as_deref()?;
    let name_only = wanted.uid.is_none() && wanted.groups.is_empty() && wanted.extra.is_empty();
    if name.starts_with("system:node:") {
        name_only.then_some("arbitrary-node")
    } else if service_account(name).is_some() {
        name_only.then_some("serviceaccount")
    } else {
        Some("user-info")
    }
}

/// True for the groups that a kcp lets nobody but a master impersonate.
pub(super) fn wants_privileged_group(headers: &HeaderMap) -> bool {
    let privileged = ["system:masters", "system:kcp:admin"];
    headers.get_all(GROUP).iter().any(|group| privileged.iter().any(|name| group == name))
}

#[derive(Default)]
struct Wanted {
    name: Option<String>,
    groups: Vec<String>,
    uid: Option<String>,
    extra: Vec<(String, String)>,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Self {
        let mut wanted = Self::default();
        for (name, value) in headers_of(headers) {
            match name.as_str() {
                USER => wanted.name = wanted.name.or(Some(value)),
                UID => wanted.uid = wanted.uid.or(Some(value)),
                GROUP => wanted.groups.push(value),
                other => {
                    if let Some(key) = other.strip_prefix(EXTRA) {
                        let key = percent_decode(key).unwrap_or_else(|| key.to_owned());
                        wanted.extra.push((key, value));
                    }
                }
            }
        }
        wanted.uid = wanted.uid.filter(|uid| !uid.is_empty());
        wanted.name = wanted.name.filter(|name| !name.is_empty());
        wanted
    }

    /// As Go prints a `user.DefaultInfo` with `%#v`.
    fn as_go(&self) -> String {
        let quoted = |values: &[String]| {
            let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            format!("[]string{{{}}}", values.join(", "))
        };
        let groups = match self.groups.as_slice() {
            [] => "[]string(nil)".to_owned(),
            groups => quoted(groups),
        };
        let extra: Vec<String> =
            self.extra.iter().map(|(key, value)| format!("{key:?}:{}", quoted(std::slice::from_ref(value)))).collect();
        let extra = match extra.as_slice() {
            [] => "map[string][]string(nil)".to_owned(),
            extra => format!("map[string][]string{{{}}}", extra.join(", ")),
        };
        let uid = self.uid.as_deref().unwrap_or_default();
        format!("&user.DefaultInfo{{Name:\"\", UID:{uid:?}, Groups:{groups}, Extra:{extra}}}")
    }

    /// What the requestor must be allowed, in the order in which the real server asks.
    fn questions(&self, name: &str) -> Vec<Attributes> {
        let ask = |group: &str, resource: &str, subresource: &str, name: &str| Attributes {
            verb: "impersonate".into(),
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            ..Attributes::default()
        };
        let mut questions = Vec::new();
        match service_account(name) {
            Some((namespace, account)) => {
                questions.push(Attributes { namespace: namespace.into(), ..ask("", "serviceaccounts", "", account) })
            }
            None => questions.push(ask("", "users", "", name)),
        }
        let own = "authentication.k8s.io";
        questions.extend(self.uid.iter().map(|uid| ask(own, "uids", "", uid)));
        questions.extend(self.groups.iter().map(|group| ask("", "groups", "", group)));
        for (key, value) in &self.extra {
            questions.push(ask(own, "userextras", key, value));
        }
        questions
    }
}

fn service_account(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("system:serviceaccount:")?.split_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::rbac::{Rule, allowed};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    fn gateway() -> User {
        User { name: "gateway".into(), groups: vec!["system:authenticated".into()], ..User::default() }
    }

    fn as_gateway(rules: &[Rule], pairs: &[(&'static str, &str)]) -> Outcome<User> {
        apply(&headers(pairs), gateway(), |u, a| allowed(rules, u, a), "")
    }

    #[test]
    fn the_impersonated_user_has_the_given_groups_and_is_authenticated() {
        let rules = [Rule::user("gateway").verbs(&["impersonate"]).resources(&["*"])];
        let user = as_gateway(
            &rules,
            &[
                (USER, "corp:bob"),
                (GROUP, "corp:dev"),
                (GROUP, "corp:ops"),
                (UID, "u1"),
                ("impersonate-extra-lab.example%2fscope", "a"),
            ],
        )
        .unwrap();
        assert_eq!(user.name, "corp:bob");
        assert_eq!(user.groups, ["corp:dev", "corp:ops", "system:authenticated"]);
        assert_eq!(user.uid.as_deref(), Some("u1"));
        assert_eq!(user.extra["lab.example/scope"], ["a"]);
    }

    #[test]
    fn what_may_not_be_impersonated_is_named() {
        let rules = [Rule::user("gateway").verbs(&["impersonate"]).resources(&["users"])];
        let message = |pairs: &[(&'static str, &str)]| {
            let reply = as_gateway(&rules, pairs).unwrap_err().into_reply();
            let body: serde_json::Value = serde_json::from_slice(reply.body()).unwrap();
            (reply.status().as_u16(), body["message"].as_str().unwrap().to_owned())
        };
        assert_eq!(
            message(&[(USER, "bob"), (GROUP, "system:masters")]),
            (403, "groups \"system:masters\" is forbidden: User \"gateway\" cannot impersonate resource \"groups\" in API group \"\" at the cluster scope".into())
        );
        assert_eq!(
            message(&[(GROUP, "dev"), (UID, "u")]),
            (400, "requested &user.DefaultInfo{Name:\"\", UID:\"u\", Groups:[]string{\"dev\"}, Extra:map[string][]string(nil)} without impersonating a user name".into())
        );
        assert_eq!(as_gateway(&rules, &[]).unwrap(), gateway());
    }
}
