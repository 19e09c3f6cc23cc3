//! The catalog as a whole, arguments, and the tools that need no cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use serde_json::{Value, json};

mod wire;

use super::{Catalog, Cx, Entry, JsonObject, ListArguments, PROFILES, Run, TOOLSETS, TargetNeed, arguments};
use crate::model::{
    Access, Admission, Cluster, ClusterKey, ClusterKind, ClusterName, Endpoint, Failure, KeyHasher, PathTrust,
    Principal, Reach, RealmName, Tier, Way,
};
use crate::output::{Output, Page, Presentation, render};
use crate::policy::{Policy, Visible};

fn catalog() -> Catalog {
    Catalog::new(&[]).unwrap()
}

fn realm(name: &str) -> RealmName {
    RealmName::parse(name).unwrap()
}

fn principal(realm_name: &str, audiences: &[&str]) -> Principal {
    Principal {
        realm: realm(realm_name),
        iss: format!("https://{realm_name}.example"),
        sub: "42".into(),
        username: "alice".into(),
        groups: vec!["dev".into()],
        scopes: vec!["openid".into()],
        audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
        azp: None,
        expires: None,
        token_digest: [0; 32],
        admission: Admission::Full,
        roles: None,
        shared: false,
    }
}

fn cluster(name: &str, realms: &[&str], way: &Way, change: impl FnOnce(&mut Cluster)) -> Arc<Cluster> {
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

fn fleet() -> Vec<Arc<Cluster>> {
    vec![
        cluster("corp-1", &["corp"], &Way::Exchange, |cluster| {
            cluster.labels = [("region".into(), "fra".into())].into();
            cluster.tier = Tier::set("dev");
        }),
        cluster("kcp-eu", &["corp"], &Way::Chain { link: "corp-kcp".into() }, |cluster| {
            cluster.kind = ClusterKind::Kcp
        }),
        cluster("plant-1", &["plant"], &Way::Exchange, |cluster| {
            cluster.advertise = true;
            cluster.labels = [("region".into(), "hidden".into())].into();
            cluster.tier = Tier::set("hidden-tier");
        }),
        cluster("plant-2", &["plant"], &Way::Exchange, |_| {}),
    ]
}

fn cx(principal: Principal) -> Cx {
    let local = principal.is_local();
    Cx { principal: Arc::new(principal), presentation: Presentation::default(), page: Page::first(100), local }
}

fn query(name: &str, args: &Value, cx: &Cx, visible: &Visible) -> Result<Output, Failure> {
    let catalog = catalog();
    let Run::Query(tool) = &catalog.get(name).unwrap().run else { panic!("{name} is no query") };
    tool.query(cx, visible, args.as_object().unwrap().clone())
}

/// Runs a future that waits for nothing.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn ask(args: &Value, principal: Principal, clusters: &[Arc<Cluster>]) -> Result<String, Failure> {
    let visible = Policy::visible(&principal, clusters);
    let cx = cx(principal);
    query("clusters_list", args, &cx, &visible).map(|output| render(output, &cx.presentation, |_| None).unwrap().text)
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
                Run::Tool(_) => TargetNeed::One,
                Run::Query(_) => TargetNeed::None,
                Run::Either(_) => TargetNeed::Optional,
            };
            assert_eq!(spec.target, need, "{}", spec.name);
            assert_eq!(entry.schema["type"], "object");
            assert_eq!(entry.schema["additionalProperties"], false);
            let properties = entry.schema["properties"].as_object().unwrap();
            assert_eq!(properties.contains_key("cluster"), spec.target != TargetNeed::None);
            for added in ["limit", "continue", "columns", "format"] {
                assert_eq!(properties.contains_key(added), spec.list, "{} {added}", spec.name);
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
        "toolsets: there is no toolset \"nope\"; use some of core, config, fleet, extra, lean"
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

#[test]
fn clusters_list_shows_what_exists_for_the_caller() {
    insta::assert_snapshot!(ask(&json!({}), principal("corp", &["aud-corp-1"]), &fleet()).unwrap(), @"
    # default target: corp-1 (your token was issued for it)
    NAME	KIND	REALM	WAY	TIER	LABELS	MISSING
    corp-1	kubernetes	corp	exchange	dev	region=fra	
    kcp-eu	kcp	corp	chain	prod		
    plant-1		plant				ask the plant team for a link from corp
    ");
    assert_eq!(ask(&json!({}), principal("nobody", &[]), &fleet()[..2]).unwrap(), "no clusters");
}

#[test]
fn clusters_list_filters_without_telling_what_is_hidden() {
    let found = |args: Value| -> Vec<String> {
        let text = ask(&args, principal("corp", &[]), &fleet()).unwrap();
        let rows =
            text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("NAME") && *line != "no clusters");
        rows.map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    assert_eq!(found(json!({"clusters": "corp-1, plant-2"})), ["corp-1"]);
    assert_eq!(found(json!({"clusters": "*"})), ["corp-1", "kcp-eu", "plant-1"]);
    assert_eq!(found(json!({"clusters": "region=fra"})), ["corp-1"]);
    assert_eq!(found(json!({"clusters": "region in (fra,muc),!old"})), ["corp-1"]);
    assert_eq!(found(json!({"clusters": "region!=fra"})), ["kcp-eu"]);
    assert_eq!(found(json!({"clusters": "!region"})), ["kcp-eu"]);
    assert_eq!(found(json!({"realm": "plant"})), ["plant-1"]);
    assert_eq!(found(json!({"kind": "kcp"})), ["kcp-eu"]);
    assert_eq!(found(json!({"search": "FRA"})), ["corp-1"]);
    for oracle in [
        json!({"clusters": "region=hidden"}),
        json!({"tier": "hidden-tier"}),
        json!({"search": "hidden"}),
        json!({"clusters": "plant-2"}),
    ] {
        assert!(found(oracle.clone()).is_empty(), "{oracle}");
    }
    for bad in [
        json!({"clusters": "../x"}),
        json!({"clusters": "a=b=c"}),
        json!({"clusters": "a in b"}),
        json!({"kind": "eks"}),
        json!({"search": "x".repeat(300)}),
        json!({"cluster": "a"}),
    ] {
        assert!(ask(&bad, principal("corp", &[]), &fleet()).is_err(), "{bad}");
    }
}

#[test]
fn an_unbound_cluster_says_how_to_bind_it_and_is_no_default() {
    let clusters =
        [cluster("found", &["local"], &Way::Unbound, |_| {}), cluster("dev", &["local"], &Way::Local, |_| {})];
    let text = ask(&json!({}), principal("local", &[]), &clusters).unwrap();
    assert!(text.starts_with("# default target: dev (the only cluster you can reach)"), "{text}");
    assert!(text.contains("found\tkubernetes\tlocal\tnone\tprod\t\tnot bound: add a [[bind]] rule"), "{text}");
}

#[test]
fn contexts_show_servers_to_the_local_caller_only() {
    let clusters = [
        cluster("dev", &["local", "corp"], &Way::Local, |_| {}),
        cluster("prod", &["local", "corp"], &Way::Local, |cluster| cluster.current = true),
    ];
    let answer = |realm: &str| {
        let principal = principal(realm, &[]);
        let visible = Policy::visible(&principal, &clusters);
        let cx = cx(principal);
        let output = query("configuration_contexts_list", &json!({}), &cx, &visible).unwrap();
        render(output, &cx.presentation, |_| None).unwrap()
    };
    let local = answer("local");
    assert_eq!(
        local.text,
        "NAME\tSERVER\tDEFAULT\ndev\thttps://dev.example:6443\t\nprod\thttps://prod.example:6443\t*"
    );
    assert_eq!(
        local.structured.unwrap(),
        json!({"defaultContext": "prod", "contexts": [
            {"name": "dev", "server": "https://dev.example:6443", "default": false},
            {"name": "prod", "server": "https://prod.example:6443", "default": true},
        ]})
    );
    let remote = answer("corp");
    assert!(!format!("{remote:?}").contains("https://"), "{remote:?}");
}

fn shown(name: &str, args: &Value, principal: Principal, clusters: &[Arc<Cluster>]) -> String {
    let visible = Policy::visible(&principal, clusters);
    let cx = cx(principal);
    render(query(name, args, &cx, &visible).unwrap(), &cx.presentation, |_| None).unwrap().text
}

#[test]
fn targets_are_addresses_ready_to_copy() {
    let mut clusters = fleet();
    let entry = ["root:org", "root:other"].map(|path| crate::model::WorkspacePath::parse(path).unwrap());
    clusters.push(cluster("kcp-us", &["corp"], &Way::Exchange, |cluster| {
        (cluster.kind, cluster.entry) = (ClusterKind::Kcp, entry.to_vec());
    }));
    let text = shown("targets_list", &json!({}), principal("corp", &["aud-corp-1"]), &clusters);
    insta::assert_snapshot!(text, @"
    TARGET	DEFAULT
    corp-1	*
    kcp-eu:<workspace>	
    kcp-us:root:org	
    kcp-us:root:other	
    ");
}

#[test]
fn the_configuration_holds_no_credential_and_servers_for_the_local_caller_only() {
    let clusters = [
        cluster("dev", &["local", "corp"], &Way::Local, |_| {}),
        cluster("prod", &["local", "corp"], &Way::Local, |cluster| {
            cluster.current = true;
            cluster.namespace = Some("shop".into());
            cluster.endpoint.insecure = true;
        }),
    ];
    let whole = json!({"minified": false});
    let text = shown("configuration_view", &json!({}), principal("local", &[]), &clusters);
    insta::assert_snapshot!(text, @"
    # only the default target of 2 clusters: minified=false shows all
    apiVersion: v1
    clusters:
    - cluster:
        extensions:
        - extension:
            kind: kubernetes
            realm: local
            tier: prod
          name: kubeferry
        insecure-skip-tls-verify: true
        server: https://prod.example:6443
      name: prod
    contexts:
    - context:
        cluster: prod
        namespace: shop
        user: local
      name: prod
    current-context: prod
    kind: Config
    users: []
    ");
    let remote = shown("configuration_view", &whole, principal("corp", &[]), &clusters);
    insta::assert_snapshot!(remote, @r#"
    apiVersion: v1
    clusters:
    - cluster:
        extensions:
        - extension:
            kind: kubernetes
            realm: local
            tier: prod
          name: kubeferry
      name: dev
    - cluster:
        extensions:
        - extension:
            kind: kubernetes
            realm: local
            tier: prod
          name: kubeferry
      name: prod
    contexts:
    - context:
        cluster: dev
        user: local
      name: dev
    - context:
        cluster: prod
        user: local
      name: prod
    current-context: ""
    kind: Config
    users: []
    "#);
    assert!(!remote.contains("https://") && !remote.contains("shop"));
    let many: Vec<_> = (0..120).map(|at| cluster(&format!("c{at}"), &["corp"], &Way::Exchange, |_| {})).collect();
    let text = shown("configuration_view", &whole, principal("corp", &[]), &many);
    assert!(text.starts_with("# 100 of 120 clusters shown") && text.len() <= 27_500, "{} bytes", text.len());
}

#[test]
fn whoami_at_the_door_needs_no_cluster() {
    let principal = principal("corp", &["kubeferry"]);
    let visible = Policy::visible(&principal, &fleet());
    let cx = cx(principal);
    let catalog = catalog();
    let Run::Either(tool) = &catalog.get("whoami").unwrap().run else { panic!("whoami goes either way") };
    let output = now(tool.call(&cx, &visible, None, JsonObject::new())).unwrap();
    let answer = render(output, &cx.presentation, |_| None).unwrap();
    insta::assert_snapshot!(answer.text, @"
    realm: corp
    username: alice
    issuer: https://corp.example
    subject: 42
    groups: corp:dev
    scopes: openid
    audiences: kubeferry
    clusters by chain corp-kcp: kcp-eu
    clusters by exchange: corp-1
    ");
    assert_eq!(answer.structured.unwrap()["clusters"], json!({"chain corp-kcp": 1, "exchange": 1}));
    let wrong = now(tool.call(&cx, &visible, None, json!({"x": 1}).as_object().unwrap().clone())).unwrap_err();
    assert_eq!(wrong.to_string(), "there is no argument \"x\". This tool has none of its own");
}
