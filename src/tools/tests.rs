//! The catalog as a whole, and arguments.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

mod fleet;
mod follow;
mod nodes;
mod top;
mod wire;

use super::{Catalog, Cx, Entry, JsonObject, ListArguments, PROFILES, Run, TOOLSETS, TargetNeed, arguments};
use crate::model::{
    Access, Admission, Cluster, ClusterKey, ClusterKind, ClusterName, Endpoint, Failure, KeyHasher, PathTrust,
    Principal, Reach, RealmName, Tier, Way,
};
use crate::output::{Page, Presentation, Progress};

fn catalog() -> Catalog {
    Catalog::new(&[]).unwrap()
}

pub(crate) fn realm(name: &str) -> RealmName {
    RealmName::parse(name).unwrap()
}

pub(crate) fn principal(realm_name: &str, audiences: &[&str]) -> Principal {
    Principal {
        realm: realm(realm_name),
        iss: format!("https://{realm_name}.example"),
        sub: "42".into(),
        username: "alice".into(),
        groups: vec!["dev".into()],
        scopes: vec!["openid".into()],
        audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
        azp: None,
        issued: None,
        expires: None,
        token_digest: [0; 32],
        admission: Admission::Full,
        roles: None,
        shared: false,
    }
}

pub(crate) fn cluster(name: &str, realms: &[&str], way: &Way, change: impl FnOnce(&mut Cluster)) -> Arc<Cluster> {
    let mut cluster = Cluster {
        name: ClusterName::parse(name).unwrap(),
        aliases: vec![],
        kind: ClusterKind::Kubernetes,
        endpoint: Endpoint {
            server: format!("https://{name}.example:6443"),
            ca: None,
            tls_server_name: None,
            insecure: false,
        },
        realm: realms.first().map(|name| realm(name)),
        audiences: vec![format!("aud-{name}")],
        strategy: way.word(),
        reach: Reach::by(realms.iter().map(|name| realm(name)), way, "ask the plant team for a link from corp"),
        labels: BTreeMap::new(),
        tier: Tier::default(),
        source: "file".into(),
        advertise: false,
        entry: vec![],
        paths: PathTrust::Resolve,
        namespace: None,
        current: false,
        key: ClusterKey::from(KeyHasher::new("cluster").field("name", name)),
    };
    change(&mut cluster);
    Arc::new(cluster)
}

pub(crate) fn cx(principal: Principal) -> Cx {
    let local = principal.is_local();
    Cx {
        principal: Arc::new(principal),
        presentation: Presentation::default(),
        page: Page::first(100),
        local,
        progress: Progress::default(),
    }
}

fn described(entry: &Entry) -> Value {
    let spec = entry.spec;
    json!({
        "name": spec.name,
        "title": spec.title,
        "description": spec.description,
        "inputSchema": &*entry.schema,
        "annotations": {
            "readOnlyHint": spec.read_only(),
            "destructiveHint": spec.destructive(),
            "idempotentHint": spec.idempotent,
            "openWorldHint": spec.open_world,
        },
    })
}

#[test]
fn the_catalog_is_sound() {
    let mut names = Vec::new();
    let mut offered = Vec::new();
    for toolset in TOOLSETS {
        for entry in (toolset.entries)() {
            let spec = entry.spec;
            assert_eq!(spec.toolset, toolset.name, "{}", spec.name);
            let well_formed = spec.name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_') && spec.name.len() <= 64;
            assert!(well_formed && (spec.name.contains('_') || spec.name == "whoami"), "{}", spec.name);
            assert!(!spec.title.is_empty() && !spec.description.is_empty() && !spec.description.ends_with('.'));
            assert_eq!(spec.read_only(), spec.access == Access::Read);
            assert!(!spec.read_only() || (spec.idempotent && !spec.destructive()), "{}", spec.name);
            let need = match &entry.run {
                Run::Tool(_) if spec.toolset == "kcp" => TargetNeed::Workspace,
                Run::Tool(_) | Run::Look(_) => TargetNeed::One,
                Run::Query(_) => TargetNeed::None,
                Run::Either(_) => TargetNeed::Optional,
            };
            assert_eq!(spec.target, need, "{}", spec.name);
            assert_eq!(entry.schema["type"], "object");
            assert_eq!(entry.schema["additionalProperties"], false);
            let properties = entry.schema["properties"].as_object().unwrap();
            assert_eq!(properties.contains_key("cluster"), spec.target != TargetNeed::None);
            for added in ["limit", "continue", "columns", "format"] {
                // A kubelet's stats are no list, and may be wanted as they are.
                let own = (spec.name, added) == ("nodes_stats_summary", "format");
                assert_eq!(properties.contains_key(added), spec.list || own, "{} {added}", spec.name);
            }
            names.push(spec.name);
            offered.extend(toolset.default.then_some(spec.name));
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "names are unique");
    offered.sort_unstable();
    assert_eq!(catalog().iter().map(|entry| entry.spec.name).collect::<Vec<_>>(), offered);
    assert!(catalog().get("nope").is_none());
}

#[test]
fn unknown_toolsets_are_all_named() {
    let problems = Catalog::new(&["core".into(), "nope".into(), "x".into()]).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert_eq!(
        problems[0].to_string(),
        "toolsets: there is no toolset \"nope\"; use some of core, config, fleet, kcp, extra, lean"
    );
    assert_eq!(Catalog::new(&["config".into()]).unwrap().iter().count(), 3);
}

#[test]
fn a_profile_offers_its_tools_out_of_their_toolsets_alone_or_beside_a_toolset() {
    for profile in PROFILES {
        let catalog = Catalog::new(&[profile.name.into()]).unwrap();
        let offered: Vec<&str> = catalog.iter().map(|entry| entry.spec.name).collect();
        assert_eq!(offered, profile.tools, "all of them are there, and listed by name");
        assert!(TOOLSETS.iter().all(|toolset| toolset.name != profile.name));
        assert!(catalog.iter().all(|entry| entry.spec.read_only()), "{}", profile.name);
    }
    let both = Catalog::new(&["lean".into(), "config".into()]).unwrap();
    assert!(both.get("configuration_view").is_some() && both.get("resources_list").is_some());
    assert_eq!(both.get("resources_list").unwrap().spec.toolset, "core");
    assert!(both.get("pods_list").is_none());
}

#[test]
fn the_catalog_is_what_clients_see_and_short() {
    let tools: Vec<Value> = catalog().iter().map(described).collect();
    let lines: Vec<String> = tools.iter().map(Value::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_extra_tools_are_what_clients_see_and_short() {
    let extra = Catalog::new(&["extra".into()]).unwrap();
    let lines: Vec<String> = extra.iter().map(|entry| described(entry).to_string()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn wrong_arguments_are_named_in_one_line() {
    let schema =
        json!({"properties": {"kind": {"type": "string"}, "namespace": {"type": "string"}}, "required": ["kind"]});
    let read = |args: Value| -> Result<BTreeMap<String, String>, Failure> {
        arguments::read(args.as_object().unwrap().clone(), schema.as_object().unwrap())
    };
    let failed = |args: Value| read(args).unwrap_err().to_string();
    assert_eq!(failed(json!({})), "missing argument: kind");
    assert_eq!(failed(json!({"kind": null})), "missing argument: kind");
    assert_eq!(failed(json!({"kind": 3})), "argument kind must be of type string, not number");
    assert_eq!(
        failed(json!({"kind": "Pod", "namespce": "a"})),
        "there is no argument \"namespce\". Did you mean namespace?"
    );
    assert_eq!(
        failed(json!({"kind": "Pod", "zzzzz": 1})),
        "there is no argument \"zzzzz\". Arguments are kind, namespace"
    );
    assert!(read(json!({"kind": "Pod", "namespace": null})).is_ok());
}

#[test]
fn list_arguments_are_taken_off_and_bounded() {
    let take = |args: Value| {
        let mut args: JsonObject = args.as_object().unwrap().clone();
        ListArguments::take(&mut args).map(|list| (list, args.len()))
    };
    let (list, left) =
        take(json!({"limit": 7, "continue": "h", "columns": "name, ready", "format": "wide", "kind": "Pod"})).unwrap();
    assert_eq!((list.rows(), left, list.columns.as_slice()), (7, 1, &["name".to_owned(), "ready".to_owned()][..]));
    assert!(!list.presentation().free && take(json!({"kind": "Pod"})).unwrap().0.presentation().free);
    assert!(!take(json!({"format": "table"})).unwrap().0.presentation().free);
    assert_eq!(take(json!({"format": "json"})).unwrap().0.rows(), 20);
    assert_eq!(take(json!({})).unwrap().0.first_page(), Page::first(100));
    assert_eq!(take(json!({"limit": 500})).unwrap().0.presentation().budget, crate::output::Budget::CEILING);
    for bad in [
        json!({"limit": 0}),
        json!({"limit": 501}),
        json!({"limit": -1}),
        json!({"limit": "5"}),
        json!({"format": "xml"}),
        json!({"format": 1}),
        json!({"columns": [1]}),
        json!({"columns": "NAME,IMAGE:.spec.containers["}),
        json!({"columns": "READY,IMAGE:.spec.image"}),
        json!({"columns": {}}),
        json!({"continue": "x".repeat(513)}),
    ] {
        assert!(take(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn selectors_kinds_and_namespaces_are_checked_before_any_request() {
    let label = |text: &str| arguments::label_selector(Some(text.into()));
    let field = |text: &str| arguments::field_selector(Some(text.into()));
    for good in ["app=web", "tier in (a,b),!old", "app.kubernetes.io/name!=x"] {
        assert_eq!(label(good).unwrap().unwrap(), good);
    }
    for good in ["status.phase=Running", "metadata.name!=x,spec.nodeName==n-1"] {
        assert_eq!(field(good).unwrap().unwrap(), good);
    }
    for bad in ["a=b&limit=1", "a\n", "a?b", "a%20b", &"a".repeat(1025)] {
        assert!(label(bad).is_err() && field(bad).is_err(), "{bad:?}");
    }
    assert!(field("phase").is_err() && field("=x").is_err() && field("a=b,,c=d").is_err());
    assert_eq!(label("  ").unwrap(), None);
    for (kind, version) in [("Pod", None), ("deployments.apps", Some("apps/v1")), ("po", Some("v1"))] {
        assert!(arguments::kind(kind, version).is_ok(), "{kind}");
    }
    for (kind, version) in [
        ("pods/log", None),
        ("../x", None),
        ("", None),
        ("Pod", Some("/v1")),
        ("Pod", Some("a/b/c")),
        ("Pod", Some("")),
        ("Pod", Some("v1?")),
    ] {
        assert!(arguments::kind(kind, version).is_err(), "{kind} {version:?}");
    }
    assert!(arguments::namespace(Some("a/b".into())).is_err());
    assert_eq!(arguments::namespace(Some(String::new())).unwrap(), None);
}
