//! Calls go where their target says, each with the credential that is for it.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};
use testenv::tap::digest;

use crate::lab::bench::{bad, good, names};
use crate::lab::scene::Scene;

/// Calls of each caller in the crowd.
const CALLS: usize = 20;
/// A tool and its arguments.
type Question = (&'static str, Value);
/// All that may be in a request to an API server beside impersonation: nothing of what a client sent.
const SENT: [&str; 8] = [
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-request-id",
];

/// Two realms' clusters and a workspace answer, and only with what is in them.
pub async fn calls_reach_two_realms_and_a_workspace(scene: &Scene) -> anyhow::Result<()> {
    let (alice, carol) = (scene.client("corp", "alice").await?, scene.client("acme", "carol").await?);
    let settings = |cluster: &str| json!({"cluster": cluster, "kind": "ConfigMap", "apiVersion": "v1", "namespace": "team-a", "name": "settings"});
    let blue = good(&alice, "resources_get", settings("corp-1")).await?;
    assert!(blue.text.contains("blue"), "corp-1: {}", blue.text);
    let green = good(&carol, "resources_get", settings("acme-1")).await?;
    assert!(green.text.contains("green"), "acme-1: {}", green.text);
    let dev = good(&alice, "resources_get", settings("dev")).await?;
    assert!(dev.text.contains("green"), "dev is acme-1's server: {}", dev.text);
    let address = format!("kcp-eu:{}", scene.world.logical_cluster("root:org:team-a"));
    let here = json!({"cluster": address, "kind": "configmap", "namespace": "default", "name": "here"});
    let here = good(&alice, "resources_get", here).await?;
    assert!(here.text.contains("team-a"), "{address}: {}", here.text);
    Ok(())
}

/// Three callers of two realms use one endpoint at once; no server sees a credential that is not for it.
pub async fn callers_of_two_realms_at_once_use_their_own_tokens_only(scene: &Scene) -> anyhow::Result<()> {
    let world = scene.world;
    let (team_a, team_b) = (world.logical_cluster("root:org:team-a"), world.logical_cluster("root:org:team-b"));
    let namespaces = |cluster: &str| ("namespaces_list", json!({"cluster": cluster}));
    let configmaps = |cluster: String, namespace: &str| {
        ("resources_list", json!({"cluster": cluster, "kind": "configmaps", "namespace": namespace}))
    };
    let alice = [namespaces("corp-1"), configmaps(format!("kcp-eu:{team_a}"), "default"), namespaces("dev")];
    let bob = [configmaps("corp-1".into(), "team-b"), configmaps(format!("kcp-eu:{team_b}"), "default")];
    let carol = [namespaces("acme-1"), namespaces("dev")];
    let crowd: [(_, _, &[Question]); 3] = [("corp", "alice", &alice), ("corp", "bob", &bob), ("acme", "carol", &carol)];
    let mut calls = Vec::new();
    for (realm, user, questions) in crowd {
        let client = scene.client(realm, user).await?;
        calls.push(async move {
            let one = |question: &Question| {
                let (tool, arguments) = question.clone();
                let client = &client;
                async move { good(client, tool, arguments).await }
            };
            try_join_all(questions.iter().cycle().take(CALLS).map(one)).await
        });
    }
    let answers = try_join_all(calls).await?;
    assert_eq!(answers.iter().map(Vec::len).sum::<usize>(), 3 * CALLS);

    let digests = |users: &[(&str, &str)]| -> BTreeSet<String> {
        users.iter().map(|(realm, user)| digest(&scene.token(realm, user))).collect()
    };
    let (alice, bob, carol) = (("corp", "alice"), ("corp", "bob"), ("acme", "carol"));
    assert_eq!(world.corp_1.tap.token_digests(), digests(&[alice, bob]), "corp-1 sees alice and bob");
    assert_eq!(world.kcp.tap.token_digests(), digests(&[alice, bob]), "kcp-eu sees alice and bob");
    assert_eq!(world.acme_1.tap.token_digests(), digests(&[carol]), "acme-1 sees carol");
    assert_eq!(world.dev.tap.token_digests(), BTreeSet::from([digest(world.gateway_token())]), "dev sees the gateway");
    every_request_has_one_credential(scene);

    let person = |user: &str, groups: &[&str]| {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        vec![("impersonate-user".to_owned(), values(&[user])), ("impersonate-group".to_owned(), values(groups))]
    };
    let people: BTreeSet<_> = world.dev.tap.requests().into_iter().map(|request| request.impersonation).collect();
    let expected = [person("corp:alice", &["corp:dev", "corp:ops"]), person("acme:carol", &["acme:dev"])];
    assert_eq!(people, BTreeSet::from(expected), "dev sees the two people of the template and nobody else");
    for site in [&world.corp_1, &world.acme_1, &world.kcp] {
        let impersonated = site.tap.requests().into_iter().find(|request| !request.impersonation.is_empty());
        assert!(impersonated.is_none(), "{} sees no impersonation: {impersonated:?}", site.name);
    }
    Ok(())
}

/// A client sends headers that would identify somebody, or pretend to: no server ever sees one.
pub async fn no_inbound_header_is_copied(scene: &Scene) -> anyhow::Result<()> {
    let evil = [
        ("x-evil", "1"),
        ("impersonate-user", "system:admin"),
        ("impersonate-group", "system:masters"),
        ("impersonate-extra-scopes", "all"),
        ("cookie", "session=1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-remote-user", "admin"),
        ("kubernetes-authorization", "Bearer stolen"),
        ("x-mcp-cluster", "acme-1"),
        ("proxy-authorization", "Basic c3RvbGVu"),
    ];
    for era in Era::BOTH {
        let token = scene.token("corp", "alice");
        let client = Client::http_with(scene.ferry.url(), Some(&token), era, &evil).await?;
        let answer = good(&client, "namespaces_list", json!({"cluster": "corp-1"})).await?;
        assert!(names(&answer.text).contains(&"team-a".to_owned()), "{}", answer.text);
        good(&client, "namespaces_list", json!({"cluster": "dev"})).await?;
    }
    every_request_has_one_credential(scene);
    let impersonation = ["impersonate-user", "impersonate-group"];
    for (site, more) in [(&scene.world.corp_1, &[][..]), (&scene.world.dev, &impersonation[..])] {
        for request in site.tap.requests() {
            let foreign: Vec<_> = request
                .header_names
                .iter()
                .filter(|name| !SENT.contains(&name.as_str()) && !more.contains(&name.as_str()))
                .collect();
            assert!(foreign.is_empty(), "{} {}: headers {foreign:?}", site.name, request.path);
        }
    }
    let users: BTreeSet<_> = scene
        .world
        .dev
        .tap
        .requests()
        .iter()
        .map(|request| request.impersonated("impersonate-user").join("|"))
        .collect();
    assert_eq!(users, BTreeSet::from(["corp:alice".to_owned()]));
    Ok(())
}

/// Where an API server takes a caller for somebody else than the configuration says, nothing is read, in any call.
pub async fn who_the_caller_is_there_is_checked_before_anything_is_read(scene: &Scene) -> anyhow::Result<()> {
    let world = scene.world;
    let text = world.config_text();
    let mut other = text.clone();
    for name in ["corp-1", "dev"] {
        let expected = format!("[clusters.{name}]\nexpect_username = \"{{realm}}:other-{{username}}\"\n");
        other = other.replacen(&format!("[clusters.{name}]\n"), &expected, 1);
    }
    assert_eq!(other.matches("expect_username").count(), 2, "{text}");
    let ferry = Ferry::start(Some(&world.config_of(&other)), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    scene.clear();
    for (site, cluster) in [(&world.corp_1, "corp-1"), (&world.dev, "dev")] {
        for tool in ["namespaces_list", "whoami"] {
            let refused = bad(&alice, tool, json!({"cluster": cluster})).await?;
            let code = refused.structured.map(|twin| twin["code"].clone());
            assert_eq!(code, Some(json!("identity_mismatch")), "{cluster}: {}", refused.text);
            assert!(refused.text.contains("\"corp:alice\""), "whom it takes her for: {}", refused.text);
        }
        let asked: BTreeSet<String> = site.tap.requests().into_iter().map(|request| request.path).collect();
        let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews".to_owned();
        assert_eq!(asked, BTreeSet::from([review]), "{cluster} is asked for nothing else");
    }
    Ok(())
}

fn every_request_has_one_credential(scene: &Scene) {
    for site in scene.world.sites() {
        for request in site.tap.requests() {
            let path = &request.path;
            assert_eq!(request.credentials.len(), 1, "{} {path}: {:?}", site.name, request.credentials);
            assert!(request.client_certificate.is_none(), "{} {path} has a client certificate", site.name);
        }
    }
}
