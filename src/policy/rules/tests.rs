use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Effect, Group, Pattern, Rule, RuleMatch};
use crate::model::{
    Access, Admission, Caller, Cluster, ClusterKey, ClusterKind, ClusterName, Endpoint, Failure, FailureKind,
    KeyHasher, PathTrust, Place, Principal, Reach, RealmName, SubjectToken, Target, Tier, ToolRef, Way, WorkspacePath,
};
use crate::policy::{Permit, Policy, PolicyConfig};
use Effect::{Allow, Deny};

const LIST: ToolRef = ToolRef { name: "resources_list", toolset: "core", access: Access::Read };
const LOG: ToolRef = ToolRef { name: "pods_log", toolset: "core", access: Access::Read };
const DELETE: ToolRef = ToolRef { name: "resources_delete", toolset: "core", access: Access::Delete };

fn caller(realm: &str, groups: &[&str], shared: bool) -> Caller {
    let principal = Principal {
        realm: RealmName::parse(realm).unwrap(),
        iss: format!("https://{realm}.example"),
        sub: "1".into(),
        username: "alice".into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        scopes: vec![],
        audiences: vec![],
        azp: None,
        issued: None,
        expires: Some(SystemTime::now() + Duration::from_secs(300)),
        token_digest: [1; 32],
        admission: Admission::Full,
        roles: None,
        shared,
    };
    Caller::new(Arc::new(principal), SubjectToken::none())
}

fn cluster(name: &str, change: impl FnOnce(&mut Cluster)) -> Arc<Cluster> {
    let realms = ["corp", "acme", "local"].map(|realm| RealmName::parse(realm).unwrap());
    let server = format!("https://{name}.example");
    let mut cluster = Cluster {
        name: ClusterName::parse(name).unwrap(),
        aliases: vec![],
        kind: ClusterKind::Kubernetes,
        endpoint: Endpoint { server, ca: None, tls_server_name: None, insecure: false },
        realm: None,
        audiences: vec![],
        strategy: "exchange",
        reach: Reach::by(realms, &Way::Exchange, ""),
        labels: BTreeMap::new(),
        tier: Tier::default(),
        source: "file".into(),
        advertise: false,
        entry: vec![],
        paths: PathTrust::Resolve,
        namespace: None,
        current: false,
        key: ClusterKey::from(KeyHasher::new("a cluster")),
    };
    change(&mut cluster);
    Arc::new(cluster)
}

fn kcp() -> Arc<Cluster> {
    cluster("kcp-eu", |cluster| cluster.kind = ClusterKind::Kcp)
}

fn at(cluster: &Arc<Cluster>, place: &str) -> Target {
    let place = if place.is_empty() { Place::Whole } else { Place::parse(place).unwrap() };
    Target { cluster: Arc::clone(cluster), place, defaulted: None }
}

fn some(patterns: &[&str]) -> Vec<Pattern> {
    patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect()
}

fn group(group: &str) -> Vec<Group> {
    vec![Group::parse(group).unwrap()]
}

fn with(change: impl FnOnce(&mut RuleMatch)) -> RuleMatch {
    let mut matches = RuleMatch::default();
    change(&mut matches);
    matches
}

fn any() -> RuleMatch {
    with(|m| m.cluster = some(&["*"]))
}

fn by(patterns: &[&str]) -> RuleMatch {
    with(|m| m.workspace = patterns.iter().map(|pattern| Pattern::workspace(pattern).unwrap()).collect())
}

/// The rules in their order, called `r0`, `r1`, …
fn policy(rules: impl IntoIterator<Item = (Effect, RuleMatch)>) -> Policy {
    let rule = |(index, (effect, matches)): (usize, (Effect, RuleMatch))| Rule {
        origin: format!("policy.rules[{index}]"),
        name: format!("r{index}"),
        matches,
        effect,
    };
    let rules = rules.into_iter().enumerate().map(rule).collect();
    Policy::new(PolicyConfig { rules, ..PolicyConfig::default() })
}

fn denied(rule: &str) -> String {
    format!("rule {rule} of the policy denies this")
}

fn unknown(rule: &str) -> String {
    format!("{}, because the path of this workspace is not known", denied(rule))
}

/// What becomes of a call: `allowed`, `asks` for the path, or what the refusal says.
fn said(decision: Result<Permit, Failure>) -> String {
    match decision {
        Ok(permit) if permit.asks_path() && permit.target().place.canonical().is_none() => "asks".to_owned(),
        Ok(_) => "allowed".to_owned(),
        Err(failure) => {
            assert_eq!((failure.kind, failure.code), (FailureKind::Denied, "policy"), "{failure}");
            failure.cause
        }
    }
}

/// A rule that denies, a call that it is about, and one that it is not about.
#[test]
fn conditions_are_about_caller_tool_and_cluster() {
    let prod = &cluster("prod-1", |_| {});
    let dev = &cluster("dev-1", |cluster| {
        cluster.tier = Tier::set("dev");
        cluster.labels = BTreeMap::from([("region".to_owned(), "fra-3".to_owned())]);
    });
    let region = BTreeMap::from([("region".to_owned(), Pattern::parse("fra*").unwrap())]);
    let corp = || caller("corp", &["dev", "a:b"], false);
    let oncall = || caller("corp", &["oncall"], false);
    let acme = || caller("acme", &["oncall", "dev"], false);
    let local = || caller("local", &[], false);
    let stranger = || caller("local", &[], true);
    type Made = (Caller, ToolRef, Target);
    let list = |caller: Caller, cluster: &Arc<Cluster>| -> Made { (caller, LIST, at(cluster, "")) };
    let rows: Vec<(&str, RuleMatch, Made, Made)> = vec![
        ("realm", with(|m| m.realm = some(&["corp"])), list(corp(), dev), list(acme(), dev)),
        ("realm*", with(|m| m.realm = some(&["ac*"])), list(acme(), dev), list(corp(), dev)),
        ("local", with(|m| m.realm = some(&["local"])), list(local(), dev), list(corp(), dev)),
        ("shared", with(|m| m.realm = some(&["local"])), list(stranger(), dev), list(acme(), dev)),
        ("cluster", with(|m| m.cluster = some(&["prod-1"])), list(corp(), prod), list(corp(), dev)),
        ("cluster*", with(|m| m.cluster = some(&["x", "dev-*"])), list(corp(), dev), list(corp(), prod)),
        ("tier unset", with(|m| m.tier = some(&["prod"])), list(corp(), prod), list(corp(), dev)),
        ("labels", with(|m| m.labels = region), list(corp(), dev), list(corp(), prod)),
        ("tool", with(|m| m.tool = some(&["pods_*"])), (corp(), LOG, at(dev, "")), list(corp(), dev)),
        ("access", with(|m| m.access = vec![Access::Delete]), (corp(), DELETE, at(dev, "")), list(corp(), dev)),
        // A group of another realm with the same name is another group.
        ("groups", with(|m| m.groups = group("corp:oncall")), list(oncall(), dev), list(acme(), dev)),
        ("a:b", with(|m| m.groups = group("corp:a:b")), list(corp(), dev), list(oncall(), dev)),
        ("not_groups", with(|m| m.not_groups = group("corp:oncall")), list(corp(), dev), list(oncall(), dev)),
        ("not of corp", with(|m| m.not_groups = group("corp:oncall")), list(acme(), dev), list(oncall(), dev)),
        (
            "all of them",
            with(|m| (m.tier, m.not_groups) = (some(&["prod"]), group("corp:oncall"))),
            list(corp(), prod),
            list(corp(), dev),
        ),
        // Of a cluster that is no kcp, no condition on workspaces holds.
        ("workspace", by(&["*"]), (corp(), LIST, at(&kcp(), "root:a")), list(corp(), prod)),
    ];
    for (what, matches, about, other) in rows {
        let policy = policy([(Deny, matches)]);
        let decide = |(caller, tool, target): Made| said(policy.authorize(caller, tool, target));
        assert_eq!(decide(about), denied("r0"), "{what}");
        assert_eq!(decide(other), "allowed", "{what}: another call");
    }
}

/// Rules about workspaces, a target, and what becomes of the call at hop 4: without what the pool finds.
#[test]
fn a_path_from_root_is_decided_on_at_once() {
    let (name, org_b) = ("2gr4s8eyy3n1rqtl", &["root:org:b*"][..]);
    let of = |patterns: &[&str], of: &str| RuleMatch { groups: group(of), ..by(patterns) };
    type Rules = Vec<(Effect, RuleMatch)>;
    let rows: Vec<(Rules, &str, String)> = vec![
        (vec![(Deny, by(org_b))], "root:org:b", denied("r0")),
        (vec![(Deny, by(org_b))], "root:org:b:kid", denied("r0")),
        (vec![(Deny, by(org_b))], "root:org:a", "allowed".into()),
        (vec![(Deny, by(&["root:org:*"]))], "root:org", "allowed".into()),
        (vec![(Deny, by(&["root:org", "root:org:*"]))], "root:org", denied("r0")),
        (vec![(Deny, by(&["root:org"]))], "root:org:a", "allowed".into()),
        (vec![(Deny, by(&["root"]))], "root", denied("r0")),
        (vec![(Allow, by(&["root:org:a"])), (Deny, any())], "root:org:a", "allowed".into()),
        (vec![(Allow, by(&["root:org:a"])), (Deny, any())], "root:org:b", denied("r1")),
        (vec![(Deny, by(org_b))], name, "asks".into()),
        (vec![(Deny, by(org_b))], "2gr4s8eyy3n1rqtl:kid", "asks".into()),
        // Where every rule that is left says the same, nobody needs the path.
        (vec![(Allow, by(&["root:org:a"]))], name, "allowed".into()),
        (vec![(Deny, by(&["root:org:a"])), (Deny, any())], name, denied("r0")),
        (vec![(Allow, any()), (Deny, by(&["root:org:a"]))], name, "allowed".into()),
        // The other conditions apply as usual.
        (vec![(Deny, of(org_b, "corp:dev"))], name, "asks".into()),
        (vec![(Deny, of(org_b, "corp:other"))], name, "allowed".into()),
        (vec![(Deny, of(org_b, "corp:other"))], "root:org:b", "allowed".into()),
        (vec![(Allow, of(&["*"], "corp:other")), (Deny, any())], "root:org:b", denied("r1")),
    ];
    for (rules, place, expected) in rows {
        let decision = policy(rules.clone()).authorize(caller("corp", &["dev"], false), LIST, at(&kcp(), place));
        assert_eq!(said(decision), expected, "{rules:?} at {place}");
    }
}

/// What the pool found then: a path, or none.
#[test]
fn a_workspace_whose_path_is_unknown_is_denied_and_not_allowed() {
    let deny = || vec![(Deny, by(&["root:org:b*"]))];
    let allow = || vec![(Allow, by(&["root:org:a"])), (Deny, any())];
    let in_group = || vec![(Allow, RuleMatch { groups: group("corp:dev"), ..by(&["*"]) }), (Deny, any())];
    for (rules, path, expected) in [
        (deny(), Some("root:org:b"), denied("r0")),
        (deny(), Some("root:org:b:kid"), denied("r0")),
        (deny(), Some("root:org:a"), "allowed".into()),
        (deny(), None, unknown("r0")),
        // What does not begin at root is no canonical path.
        (deny(), Some("2gr4s8eyy3n1rqtl:kid"), unknown("r0")),
        (allow(), Some("root:org:a"), "allowed".into()),
        (allow(), Some("root:org:b"), denied("r1")),
        (allow(), None, unknown("r1")),
        (in_group(), Some("root:org:b"), "allowed".into()),
        (in_group(), None, unknown("r1")),
    ] {
        let target = at(&kcp(), "2gr4s8eyy3n1rqtl");
        let permit = policy(rules.clone()).authorize(caller("corp", &["dev"], false), LIST, target).unwrap();
        assert!(permit.asks_path(), "{rules:?}");
        let path = path.map(|path| WorkspacePath::parse(path).unwrap());
        let entered = permit.enter(path.as_ref()).map(|()| "allowed".to_owned());
        assert_eq!(entered.unwrap_or_else(|failure| failure.cause), expected, "{rules:?} in {path:?}");
    }
}

/// The permit of one workspace serves others of the kcp, as a walk over a tree has them: each is asked for.
#[test]
fn a_permit_for_one_workspace_is_asked_again_for_another() {
    let policy = policy([(Deny, by(&["root:org:b*"]))]);
    let permit = policy.authorize(caller("corp", &[], false), LIST, at(&kcp(), "root:org")).unwrap();
    assert!(permit.asks_path());
    let enter = |path: &str| permit.enter(Some(&WorkspacePath::parse(path).unwrap()));
    assert!(enter("root:org:a").is_ok());
    assert!(enter("root:org:b").is_err() && enter("root:org:b:kid").is_err());
    assert!(permit.enter(None).is_err());
    let other = super::tests::policy([(Deny, by(&["root:org:c*"]))]);
    let other = other.authorize(caller("corp", &[], false), LIST, at(&kcp(), "root:org")).unwrap();
    assert!(permit.standing().is_some() && permit.standing() != other.standing(), "they share no view");
}

/// An entry that is called an ordinary cluster, and is a workspace by its address, is one whose path is not known.
#[test]
fn a_workspace_by_its_address_is_one() {
    let policy = policy([(Deny, by(&["root:org:b"]))]);
    for (server, expected) in
        [("https://kcp.example:6443/clusters/root:org:b", "asks"), ("https://h.example/k8s/clusters/c-1", "allowed")]
    {
        let cluster = cluster("c", |cluster| cluster.endpoint.server = server.into());
        assert_eq!(said(policy.authorize(caller("corp", &[], false), LIST, at(&cluster, ""))), expected, "{server}");
    }
}

#[test]
fn hard_limits_come_first_and_only_the_person_here_is_told_where_a_rule_stands() {
    let allow = Rule { origin: "policy.rules[0]".into(), name: "r0".into(), matches: any(), effect: Allow };
    let limited = Policy::new(PolicyConfig { read_only: true, rules: vec![allow], ..PolicyConfig::default() });
    let dev = cluster("dev-1", |_| {});
    let refused = limited.authorize(caller("corp", &[], false), DELETE, at(&dev, "")).unwrap_err();
    assert_eq!(refused.code, "unknown_tool");
    let denies = policy([(Deny, any())]);
    let beyond = cluster("dev-2", |cluster| cluster.reach = Reach::nobody("a step"));
    let refused = denies.authorize(caller("corp", &[], false), LIST, at(&beyond, "")).unwrap_err();
    assert_eq!(refused.code, "unknown_target", "a rule does not tell of what does not exist for the caller");
    for (realm, shared, told) in [("local", false, true), ("local", true, false), ("corp", false, false)] {
        let refused = denies.authorize(caller(realm, &[], shared), LIST, at(&dev, "")).unwrap_err().to_string();
        assert_eq!(refused.contains("policy.rules[0]"), told, "{refused}");
    }
}

#[test]
fn patterns_have_one_star_at_the_end() {
    for bad in ["", "a*b", "**", "*a"] {
        assert!(Pattern::parse(bad).is_err(), "{bad:?}");
    }
    for good in ["*", "root", "root*", "root:org", "root:org:*", "root:org:team-*", "root:org:t*"] {
        assert!(Pattern::workspace(good).is_ok(), "{good}");
    }
    // A logical cluster name is no path, and what nothing can fit would deny nothing.
    for bad in
        ["2gr4s8eyy3n1rqtl", "org:team", "user:alice", "roo*", "rootx", "root:", "root:Org", "root::*", "root:a b*"]
    {
        assert!(Pattern::workspace(bad).is_err(), "{bad}");
    }
    for bad in ["oncall", ":oncall", "corp:", "corp:on*", "Corp:x"] {
        assert!(Group::parse(bad).is_err(), "{bad}");
    }
}

/// A tool that says what is allowed elsewhere says that a rule may deny it.
#[test]
fn what_rules_may_deny_to_other_tools() {
    let logs = || with(|m| m.tool = some(&["pods_log"]));
    let writes = || with(|m| m.access = vec![Access::Write]);
    let reads = || with(|m| m.access = vec![Access::Read]);
    let others = || with(|m| m.groups = group("corp:ops"));
    for (rules, in_a, in_b, any_access) in [
        (vec![], false, false, false),
        (vec![(Deny, logs())], true, true, true),
        (vec![(Deny, writes())], false, false, true),
        (vec![(Deny, others())], false, false, false),
        (vec![(Allow, any()), (Deny, logs())], false, false, false),
        (vec![(Allow, reads()), (Deny, with(|m| m.tool = some(&["pods_*"])))], false, false, true),
        (vec![(Allow, by(&["root:org:a"])), (Deny, logs())], false, true, false),
        (vec![(Deny, by(&["root:org:b"]))], false, true, false),
    ] {
        let rules = policy(rules);
        let permit = rules.authorize(caller("corp", &["dev"], false), LIST, at(&kcp(), "root:org")).unwrap();
        let at = |path: &str, access| permit.rules_may_deny(Some(&WorkspacePath::parse(path).unwrap()), access);
        assert_eq!(at("root:org:a", Some(Access::Read)), in_a, "{rules:?}");
        assert_eq!(at("root:org:b", Some(Access::Read)), in_b, "{rules:?}");
        assert_eq!(at("root:org:a", None), any_access, "{rules:?}");
    }
}
