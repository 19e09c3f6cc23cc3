use std::path::PathBuf;

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use crate::model::{ClusterKind, ClusterName, Endpoint, PathTrust, Tier};

use super::super::bind::{BindMatch, BindRule};
use super::super::entry::{ClusterSettings, Entry, LocalContext};
use super::super::source::Discovered;
use super::{Merged, Store};

fn endpoint(server: &str) -> Endpoint {
    Endpoint { server: server.to_owned(), ca: None, tls_server_name: None, insecure: false }
}

fn found(source: &str, foreign: &str, server: &str) -> Discovered {
    Discovered {
        source: source.to_owned(),
        foreign: foreign.to_owned(),
        slug: ClusterName::slug(foreign),
        endpoint: endpoint(server),
        kind: ClusterKind::Kubernetes,
        entry: Vec::new(),
        namespace: Some("web".to_owned()),
        current: true,
        local: Some(LocalContext { files: vec![PathBuf::from("/k")], context: foreign.to_owned() }),
    }
}

fn own(name: &str) -> Entry {
    Entry {
        name: ClusterName::parse(name).unwrap(),
        aliases: Vec::new(),
        origin: Some(format!("clusters.{name}")),
        source: "file".to_owned(),
        kind: ClusterKind::Kubernetes,
        endpoint: endpoint("https://own:6443"),
        settings: ClusterSettings { strategy: "exchange".to_owned(), ..ClusterSettings::default() },
        labels: Default::default(),
        tier: Tier::default(),
        advertise: false,
        entry: Vec::new(),
        paths: PathTrust::Resolve,
        namespace: None,
        current: false,
    }
}

fn rule(matches: BindMatch, strategy: &str) -> BindRule {
    BindRule {
        origin: "bind[0]".to_owned(),
        matches,
        follow_changes: false,
        settings: ClusterSettings { strategy: strategy.to_owned(), ..ClusterSettings::default() },
        labels: Default::default(),
        tier: Tier::set("dev"),
        advertise: false,
        paths: PathTrust::Resolve,
    }
}

fn named(name: &str) -> BindMatch {
    BindMatch { name: Some(name.to_owned()), ..BindMatch::default() }
}

fn names(merged: &Merged) -> Vec<&str> {
    merged.entries.iter().map(|entry| entry.name.as_str()).collect()
}

#[test]
fn naming_and_collisions() {
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str]);
    let table: [Case<'_>; 5] = [
        (&["a"], &[("s", "b")], &["a", "b"], &[]),
        (&["prod"], &[("s", "prod")], &["prod", "prod@s"], &[]),
        (&[], &[("s", "prod"), ("t", "Prod")], &["prod@s", "prod@t"], &["prod"]),
        (&["prod"], &[("s", "prod"), ("t", "prod")], &["prod", "prod@s", "prod@t"], &[]),
        (&[], &[("s", "prod"), ("s", "PROD")], &["prod-e3c83459@s", "prod-6754af96@s"], &["prod"]),
    ];
    for (index, (mine, theirs, want, ambiguous)) in table.into_iter().enumerate() {
        let mine: Vec<Entry> = mine.iter().map(|name| own(name)).collect();
        let theirs: Vec<Discovered> = theirs.iter().map(|(source, name)| found(source, name, "https://h")).collect();
        let merged = Store::default().merge(&mine, &theirs, &[], false);
        assert_eq!(names(&merged), want, "{index}");
        assert_eq!(merged.ambiguous.keys().map(String::as_str).collect::<Vec<_>>(), ambiguous, "{index}");
    }
}

#[test]
fn an_unbound_cluster_has_no_strategy_and_in_local_mode_its_own_user() {
    let theirs = [found("s", "Dev_1", "https://h"), found("s", "plain", "http://127.0.0.1:8001")];
    let far = Store::default().merge(&[], &theirs, &[], false);
    assert_eq!(names(&far), ["dev-1"]);
    let entry = far.entries.first().unwrap();
    assert_eq!((entry.settings.strategy.as_str(), &entry.settings.local, entry.current), ("none", &None, false));
    assert_eq!(
        (entry.aliases.clone(), entry.namespace.clone(), entry.origin.clone()),
        (vec!["Dev_1".to_owned()], None, None)
    );
    let near = Store::default().merge(&[], &theirs, &[], true);
    assert_eq!(names(&near), ["dev-1", "plain"]);
    let entry = near.entries.first().unwrap();
    assert_eq!(
        (entry.settings.strategy.as_str(), entry.current, entry.namespace.as_deref()),
        ("local", true, Some("web"))
    );
    assert_eq!(entry.settings.local, Some(LocalContext { files: vec!["/k".into()], context: "Dev_1".to_owned() }));
}

#[test]
fn the_first_matching_rule_binds_by_parsed_host_and_port() {
    let rules = [
        rule(
            BindMatch {
                host: Some("127.0.0.1".to_owned()),
                port: Some(6443),
                source: Some("s".to_owned()),
                ..named("kind-*")
            },
            "impersonate",
        ),
        rule(BindMatch { path: Some("/x".to_owned()), ..BindMatch::default() }, "static"),
        rule(BindMatch::default(), "passthrough"),
    ];
    let strategy = |one: Discovered| {
        let merged = Store::default().merge(&[], &[one], &rules, false);
        merged.entries.first().unwrap().settings.strategy.clone()
    };
    assert_eq!(strategy(found("s", "kind-a", "https://127.0.0.1:6443")), "impersonate");
    assert_eq!(strategy(found("t", "kind-a", "https://127.0.0.1:6443")), "none");
    assert_eq!(strategy(found("s", "kind-a", "https://127.0.0.1:6444")), "none");
    assert_eq!(strategy(found("s", "kind-a", "https://127.0.0.1:6443@evil.example")), "none");
    assert_eq!(strategy(found("s", "kind-a", "https://evil.example/127.0.0.1:6443")), "none");
    assert_eq!(strategy(found("s", "other", "https://evil.example/x")), "static");
    let mut insecure = found("s", "kind-a", "https://127.0.0.1:6443");
    insecure.endpoint.insecure = true;
    assert_eq!(strategy(insecure), "none");
}

#[test]
fn a_changed_server_or_ca_unbinds() {
    let rules = [rule(named("a"), "impersonate")];
    let mut store = Store::default();
    let mut bound = |rules: &[BindRule], one: &Discovered| {
        let merged = store.merge(&[], std::slice::from_ref(one), rules, false);
        assert_eq!(merged.notes.is_empty(), merged.entries.first().unwrap().origin.is_some());
        merged.entries.first().unwrap().settings.strategy == "impersonate"
    };
    let first = found("s", "a", "https://h");
    let mut changed = first.clone();
    changed.endpoint.ca = Some(b"other".to_vec().into());
    assert!(bound(&rules, &first) && bound(&rules, &first));
    assert!(!bound(&rules, &changed));
    assert!(!bound(&rules, &found("s", "a", "https://i")));
    assert!(bound(&rules, &first));
    let mut following = rules.to_vec();
    following.first_mut().unwrap().follow_changes = true;
    assert!(bound(&following, &changed) && bound(&following, &first) && bound(&following, &changed));
}

proptest! {
    /// Names are unique, own ones are kept, and nothing that collides has the short name.
    #[test]
    fn names_are_unique(
        mine in proptest::collection::btree_set("[ab]", 0..3),
        theirs in proptest::collection::btree_set(("[st]", "[abAB_]{1,2}"), 0..12),
    ) {
        let own: Vec<Entry> = mine.iter().map(|name| own(name)).collect();
        let theirs: Vec<Discovered> = theirs.iter().map(|(source, name)| found(source, name, "https://h")).collect();
        let merged = Store::default().merge(&own, &theirs, &[], false);
        let mut seen: Vec<&str> = names(&merged);
        prop_assert_eq!(seen.len(), own.len() + theirs.len());
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), own.len() + theirs.len());
        for short in merged.ambiguous.keys() {
            prop_assert!(!seen.contains(&short.as_str()));
        }
    }
}
