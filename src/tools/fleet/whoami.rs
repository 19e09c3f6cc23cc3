//! `whoami`: who the caller is at the door, and who an API server takes the caller for.

use std::collections::BTreeMap;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{in_words, listed, text};
use crate::model::{Access, Admission, Failure, Principal, UserInfo, Way};
use crate::output::{Body, Output};
use crate::policy::Visible;
use crate::pool::ClusterClient;
use crate::tools::{Cx, Either, Spec, TargetNeed};

/// `whoami`.
pub(super) struct Whoami;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {}

impl Either for Whoami {
    const SPEC: Spec = Spec {
        name: "whoami",
        title: "Who am I",
        description: "Who you are; with cluster: who you are there",
        toolset: "fleet",
        access: Access::Read,
        target: TargetNeed::Optional,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(
        &self,
        cx: &Cx,
        visible: &Visible,
        client: Option<&ClusterClient>,
        _args: Args,
    ) -> Result<Output, Failure> {
        let Some(client) = client else { return Ok(at_the_door(&cx.principal, visible, SystemTime::now())) };
        let user = client.whoami().await.map_err(|failure| failure.doing("asking who you are"))?;
        let target = client.target();
        let seen = visible.iter().find(|seen| seen.cluster.name == target.cluster.name);
        let way = seen.and_then(|seen| seen.way.as_ref());
        Ok(at_a_cluster(&target.address().to_string(), &user, way))
    }
}

fn at_a_cluster(target: &str, user: &UserInfo, way: Option<&Way>) -> Output {
    let extra = user.extra.iter().map(|(key, values)| format!("{key}={}", values.join("|")));
    let lines = [
        ("target", target.to_owned()),
        ("way", way.map_or_else(String::new, describe)),
        ("username", user.username.clone()),
        ("uid", user.uid.clone()),
        ("groups", listed(user.groups.iter().cloned())),
        ("extra", listed(extra)),
    ];
    let mut output = Output::new(Body::Text(text(lines.iter().map(|(name, value)| (*name, value.as_str())))));
    output.structured = Some(json!({
        "target": target,
        "way": way.map(Way::word),
        "username": user.username,
        "uid": user.uid,
        "groups": user.groups,
        "extra": user.extra,
    }));
    if way == Some(&Way::Shared) {
        output.notes.push("shared identity: every caller of this cluster is this user".into());
    }
    output
}

fn at_the_door(principal: &Principal, visible: &Visible, now: SystemTime) -> Output {
    let mut reachable: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for seen in visible.reachable() {
        if let Some(way) = &seen.way {
            reachable.entry(describe(way)).or_default().push(seen.cluster.name.to_string());
        }
    }
    let groups: Vec<String> = principal.groups.iter().map(|group| format!("{}:{group}", principal.realm)).collect();
    let left = principal.expires.map(|at| at.duration_since(now).unwrap_or_default());
    let mut lines = vec![
        ("realm", principal.realm.to_string()),
        ("username", principal.username.clone()),
        ("issuer", principal.iss.clone()),
        ("subject", principal.sub.clone()),
        ("groups", listed(groups.iter().cloned())),
        ("scopes", listed(principal.scopes.iter().cloned())),
        ("audiences", listed(principal.audiences.iter().cloned())),
        ("token", left.map_or_else(String::new, |left| format!("expires in {}", in_words(left)))),
        ("accepted for", accepted(principal.admission).to_owned()),
    ];
    let ways: Vec<String> = reachable.keys().map(|way| format!("clusters by {way}")).collect();
    lines.extend(ways.iter().map(String::as_str).zip(reachable.values().map(|names| listed(names.iter().cloned()))));
    if reachable.is_empty() {
        lines.push(("clusters", "none that you can reach".into()));
    }
    let mut output = Output::new(Body::Text(text(lines.iter().map(|(name, value)| (*name, value.as_str())))));
    let counts: BTreeMap<&String, usize> = reachable.iter().map(|(way, names)| (way, names.len())).collect();
    output.structured = Some(json!({
        "realm": principal.realm.as_str(),
        "issuer": principal.iss,
        "subject": principal.sub,
        "username": principal.username,
        "groups": groups,
        "scopes": principal.scopes,
        "audiences": principal.audiences,
        "expiresInSeconds": left.map_or(Value::Null, |left| left.as_secs().into()),
        "clusters": counts,
    }));
    if principal.shared {
        output.notes.push("shared identity: several people may stand behind it".into());
    }
    output
}

fn describe(way: &Way) -> String {
    match way {
        Way::Chain { link } => format!("chain {link}"),
        Way::Passthrough { .. } | Way::Exchange | Way::Impersonate | Way::Local | Way::Shared | Way::Unbound => {
            way.word().to_owned()
        }
    }
}

fn accepted(admission: Admission) -> &'static str {
    match admission {
        Admission::Full => "",
        Admission::PassthroughOnly => "passthrough clusters that its audience names only",
        Admission::IdToken => "passthrough and impersonate only, as it is an ID token",
    }
}

#[cfg(test)]
mod tests {
    use super::at_a_cluster;
    use crate::model::{UserInfo, Way};
    use crate::output::{Presentation, render};

    #[test]
    fn a_cluster_says_who_it_takes_the_caller_for() {
        let user = UserInfo {
            username: "plant:alice".into(),
            uid: String::new(),
            groups: vec!["plant:ops".into(), "system:authenticated".into()],
            extra: [("a".to_owned(), vec!["1".to_owned(), "2".to_owned()])].into(),
        };
        let output = at_a_cluster("kcp-eu:root:org", &user, Some(&Way::Shared));
        let answer = render(output, &Presentation::default(), |_| None).unwrap();
        insta::assert_snapshot!(answer.text, @"
        # shared identity: every caller of this cluster is this user
        target: kcp-eu:root:org
        way: shared
        username: plant:alice
        groups: plant:ops, system:authenticated
        extra: a=1|2
        ");
        assert_eq!(answer.structured.unwrap()["extra"]["a"][1], "2");
    }
}
