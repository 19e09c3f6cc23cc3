//! The tools that need no cluster: what exists for a caller, and under which name it goes there.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use serde_json::{Value, json};

use super::super::{Cx, JsonObject, Run};
use super::{catalog, cluster, cx, principal};
use crate::model::{Cluster, ClusterKind, Failure, Principal, Tier, Way};
use crate::output::{Output, render};
use crate::policy::{Policy, Visible};

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

#[test]
fn clusters_list_shows_what_exists_for_the_caller() {
    insta::assert_snapshot!(ask(&json!({}), principal("corp", &["aud-corp-1"]), &fleet()).unwrap(), @"
    # default target: corp-1 (your token was issued for it)
    NAME	KIND	REALM	WAY	TIER	LABELS	MISSING
    corp-1	kubernetes	corp	exchange	dev	region=fra	
    kcp-eu	kcp	corp	chain	prod		
    plant-1		plant				ask the plant team for a link from corp
    # next: kcp_workspace_tree cluster=kcp-eu:root
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
