//! `auth_explain`: the way to one cluster in words. Nothing is sent to a realm or a cluster, and no secret is in it.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{in_words, listed, text};
use crate::model::{Access, Failure, Principal, Target};
use crate::output::{Body, Output};
use crate::pool::credential::{Expectation, Step};
use crate::pool::{Keeping, Route};
use crate::tools::{Cx, Look, Spec, TargetNeed};

/// `auth_explain`.
pub(super) struct AuthExplain;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {}

impl Look for AuthExplain {
    const SPEC: Spec = Spec {
        name: "auth_explain",
        title: "Auth: explain",
        description: "How you get to a cluster, and as whom",
        toolset: "fleet",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: false,
    };
    type Args = Args;

    fn look(&self, cx: &Cx, target: &Target, route: &Route, _args: Args) -> Result<Output, Failure> {
        Ok(explain(&cx.principal, target, route, SystemTime::now()))
    }
}

fn explain(principal: &Principal, target: &Target, route: &Route, now: SystemTime) -> Output {
    let address = target.address().to_string();
    let left = principal.expires.map(|at| at.duration_since(now).unwrap_or_default());
    let mut lines = vec![
        ("target".to_owned(), address.clone()),
        ("you are".to_owned(), format!("{} of realm {}", principal.username, principal.realm)),
        ("issuer".to_owned(), principal.iss.clone()),
        ("subject".to_owned(), principal.sub.clone()),
        ("your token".to_owned(), left.map_or_else(String::new, |left| format!("ends in {}", in_words(left)))),
        ("strategy".to_owned(), route.strategy.to_owned()),
    ];
    for (at, step) in (1..).zip(&route.steps) {
        lines.push((format!("step {at}"), in_one_line(step)));
        lines.push(("  checked".to_owned(), step.checked.join("; ")));
        lines.push(("  kept".to_owned(), step.kept.unwrap_or_default().to_owned()));
    }
    if !route.closed {
        lines.extend(as_whom(route.expected.as_ref(), &address));
        lines.push(("kept".to_owned(), keeping(route.keeping)));
    }
    let mut output = Output::new(Body::Text(text(lines.iter().map(|(name, value)| (name.as_str(), value.as_str())))));
    output.structured = Some(json!({
        "target": address,
        "issuer": principal.iss,
        "subject": principal.sub,
        "username": principal.username,
        "tokenEndsInSeconds": left.map(|left| left.as_secs()),
        "strategy": route.strategy,
        "steps": route.steps.iter().map(structured).collect::<Vec<_>>(),
        "expectedUsername": route.expected.as_ref().and_then(|expected| expected.username.clone()),
        "expectedGroups": route.expected.as_ref().and_then(|expected| expected.groups.clone()),
        "keptForSeconds": route.keeping.and_then(|keeping| keeping.left).map(|left| left.as_secs()),
    }));
    output
}

fn in_one_line(step: &Step) -> String {
    let at = match &step.realm {
        Some(realm) => format!("realm {realm}: "),
        None if step.at_cluster => "cluster: ".to_owned(),
        None => String::new(),
    };
    let mut line = format!("{at}{}", step.does);
    for (word, value) in
        [(", as client ", &step.client), (", for audience ", &step.audience), (", scope ", &step.scope)]
    {
        if let Some(value) = value {
            line.push_str(word);
            line.push_str(value);
        }
    }
    line
}

/// Whom RBAC sees.
fn as_whom(expected: Option<&Expectation>, address: &str) -> Vec<(String, String)> {
    let unknown = format!("not known here: whoami with cluster = {address} asks the API server");
    let username = expected.and_then(|expected| expected.username.clone());
    let proved = |name: String| format!("{name} (SelfSubjectReview must say so before anything else is sent)");
    let mut lines = vec![("RBAC user".to_owned(), username.clone().map_or_else(|| unknown.clone(), proved))];
    match expected.and_then(|expected| expected.groups.as_ref()) {
        Some(groups) if groups.is_empty() => lines.push(("RBAC groups".to_owned(), "none of yours".to_owned())),
        Some(groups) => lines.push(("RBAC groups".to_owned(), listed(groups.iter().cloned()))),
        None if username.is_some() => lines.push(("RBAC groups".to_owned(), unknown)),
        None => {}
    }
    lines
}

fn keeping(keeping: Option<Keeping>) -> String {
    let Some(Keeping { longest, left }) = keeping else { return String::new() };
    let rule = match longest {
        Duration::ZERO => "a new token serves one call, because yours is about to end".to_owned(),
        longest => format!("a new token serves your calls to this cluster for {} at most", in_words(longest)),
    };
    match left {
        Some(left) => format!("{rule}; one is kept now, for {} more", in_words(left)),
        None => format!("{rule}; none is kept now, so the next call obtains one"),
    }
}

fn structured(step: &Step) -> Value {
    json!({
        "realm": step.realm.as_ref().map(|realm| realm.as_str()),
        "does": step.does,
        "client": step.client,
        "audience": step.audience,
        "scope": step.scope,
        "checked": step.checked,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::explain;
    use crate::model::{Place, Target, Way};
    use crate::output::{Presentation, render};
    use crate::pool::credential::{Expectation, Step};
    use crate::pool::{Keeping, Route};
    use crate::tools::tests::{cluster, principal, realm};

    fn text(route: &Route) -> String {
        let now = SystemTime::now();
        let mut alice = principal("corp", &["kubeferry"]);
        alice.expires = Some(now + Duration::from_secs(240));
        let cluster = cluster("plant-1", &["corp"], &Way::Chain { link: "l".into() }, |_| {});
        let target = Target { cluster, place: Place::Whole, defaulted: None };
        render(explain(&alice, &target, route, now), &Presentation::default(), |_| None).unwrap().text
    }

    #[test]
    fn the_way_is_told_in_words() {
        let asks = Step {
            realm: Some(realm("corp")),
            does: "token exchange".into(),
            client: Some("kubeferry (private_key_jwt)".into()),
            audience: Some("https://plant".into()),
            scope: Some("access-plant".into()),
            checked: vec!["the issuer is https://corp.example".into(), "the subject is yours".into()],
            ..Step::default()
        };
        let sent = Step { at_cluster: true, does: "the issued token goes".into(), ..Step::default() };
        let expected = Expectation { username: Some("plant:alice".into()), ..Expectation::default() };
        let keeping = Keeping { longest: Duration::from_secs(225), left: Some(Duration::from_secs(60)) };
        let chain = Route {
            strategy: "chain",
            steps: vec![asks, sent],
            expected: Some(expected),
            closed: false,
            keeping: Some(keeping),
        };
        insta::assert_snapshot!(text(&chain), @"
        target: plant-1
        you are: alice of realm corp
        issuer: https://corp.example
        subject: 42
        your token: ends in 4 min
        strategy: chain
        step 1: realm corp: token exchange, as client kubeferry (private_key_jwt), for audience https://plant, scope access-plant
          checked: the issuer is https://corp.example; the subject is yours
        step 2: cluster: the issued token goes
        RBAC user: plant:alice (SelfSubjectReview must say so before anything else is sent)
        RBAC groups: not known here: whoami with cluster = plant-1 asks the API server
        kept: a new token serves your calls to this cluster for 3 min at most; one is kept now, for 60 s more
        ");
        let other = Route { expected: None, keeping: Some(Keeping { longest: Duration::ZERO, left: None }), ..chain };
        let said = text(&other);
        assert!(said.contains("RBAC user: not known here: whoami with cluster = plant-1 asks"), "{said}");
        assert!(said.contains("serves one call") && said.contains("none is kept now"), "{said}");
        let end = Step { does: "then the call ends: the name is refused".into(), ..Step::default() };
        let closed =
            text(&Route { strategy: "impersonate", steps: vec![end], expected: None, closed: true, keeping: None });
        assert!(closed.ends_with("strategy: impersonate\nstep 1: then the call ends: the name is refused"), "{closed}");
    }
}
