//! `can_i`: what the API server would allow, asked in the caller's own name, and what kubeferry's policy says to it.

use anyhow::Context as _;
use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Called, Client, Era};
use testenv::tap::Tap;

use crate::lab::bench::{bad, good};
use crate::lab::scene::Scene;

fn at(cluster: &str, mut question: Value) -> Value {
    question["cluster"] = cluster.into();
    question
}

/// Asks, and holds the first line of the answer and its twin against `expected`.
async fn asked(client: &Client, question: Value, expected: &str) -> anyhow::Result<Called> {
    let answer = good(client, "can_i", question.clone()).await?;
    let line = answer.text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    assert_eq!(line, expected, "{question}: {}", answer.text);
    let twin = answer.structured.as_ref().with_context(|| format!("{question}: no twin"))?;
    assert_eq!(twin["allowed"], expected.starts_with("yes"), "{question}: {twin}");
    Ok(answer)
}

fn reviews(tap: &Tap) -> Vec<String> {
    let requests = tap.requests();
    requests.iter().map(|request| request.path.clone()).filter(|path| path.contains("selfsubject")).collect()
}

/// Verbs on kinds, subresources, single objects and paths; each of two people hears of their own permissions.
pub async fn a_wish_is_answered_by_the_cluster(scene: &Scene) -> anyhow::Result<()> {
    let (alice, bob) = (scene.client("corp", "alice").await?, scene.client("corp", "bob").await?);
    for (question, expected) in [
        (json!({"verb": "get", "kind": "Pod"}), "yes: alice of realm corp may get pods in all namespaces"),
        (
            json!({"verb": "list", "kind": "deploy", "namespace": "team-a"}),
            "yes: alice of realm corp may list deployments.apps in namespace team-a",
        ),
        (
            json!({"verb": "get", "kind": "po", "subresource": "log", "name": "web-1", "namespace": "team-a"}),
            "yes: alice of realm corp may get pods/log web-1 in namespace team-a",
        ),
        (
            json!({"verb": "delete", "kind": "pods", "namespace": "team-a"}),
            "no: alice of realm corp may not delete pods in namespace team-a",
        ),
        (json!({"verb": "*", "kind": "nodes"}), "no: alice of realm corp may not * nodes"),
        (json!({"verb": "get", "kind": "/version"}), "yes: alice of realm corp may get /version"),
        (json!({"verb": "get", "kind": "/nowhere"}), "no: alice of realm corp may not get /nowhere"),
    ] {
        asked(&alice, at("corp-1", question), expected).await?;
    }
    for (namespace, expected) in [
        ("team-b", "yes: bob of realm corp may list configmaps in namespace team-b"),
        ("team-a", "no: bob of realm corp may not list configmaps in namespace team-a"),
    ] {
        let question = json!({"verb": "list", "kind": "cm", "namespace": namespace});
        asked(&bob, at("corp-1", question), expected).await?;
    }
    let ignored = json!({"verb": "get", "kind": "nodes", "namespace": "team-a"});
    let ignored = asked(&alice, at("corp-1", ignored), "yes: alice of realm corp may get nodes").await?;
    assert!(ignored.text.contains("# nodes are in no namespace: namespace was ignored"), "{}", ignored.text);
    let unserved = json!({"verb": "get", "kind": "sprockets.lab.example", "namespace": "team-a"});
    let says = "yes: alice of realm corp may get sprockets.lab.example in namespace team-a";
    let unserved = asked(&alice, at("corp-1", unserved), says).await?;
    assert!(unserved.text.contains("# not served here: sprockets.lab.example;"), "{}", unserved.text);

    scene.clear();
    let again = json!({"verb": "get", "kind": "pods", "namespace": "team-a"});
    asked(&alice, at("corp-1", again), "yes: alice of realm corp may get pods in namespace team-a").await?;
    assert_eq!(scene.world.corp_1.tap.requests().len(), 1, "one request");
    assert_eq!(reviews(&scene.world.corp_1.tap), ["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"]);
    Ok(())
}

/// Without a verb: a narrow table of what is allowed, with one request.
pub async fn all_that_is_allowed_is_a_narrow_table(scene: &Scene) -> anyhow::Result<()> {
    let bob = scene.client("corp", "bob").await?;
    let rows =
        |text: &str| -> Vec<String> { text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect() };
    let mine = good(&bob, "can_i", at("corp-1", json!({"namespace": "team-b"}))).await?.text;
    assert_eq!(rows(&mine).first().map(String::as_str), Some("VERBS\tRESOURCES\tNAMES"), "{mine}");
    assert!(rows(&mine).contains(&"get list watch\t*.*\t".to_owned()), "{mine}");
    assert!(mine.contains("bob of realm corp may do in namespace team-b"), "{mine}");
    assert!(rows(&mine).iter().any(|row| row.starts_with("get\t/") || row.contains("\t/api ")), "paths too: {mine}");
    scene.clear();
    let other = good(&bob, "can_i", at("corp-1", json!({}))).await?.text;
    assert!(other.contains("# namespace default, as none was given"), "{other}");
    assert!(!rows(&other).iter().any(|row| row.contains("*.*")), "nothing there: {other}");
    assert_eq!(scene.world.corp_1.tap.requests().len(), 1, "one request");
    let wrong = bad(&bob, "can_i", at("corp-1", json!({"kind": "pods"}))).await?;
    assert!(wrong.text.contains("need a verb"), "{}", wrong.text);
    Ok(())
}

/// What the policy keeps out of bounds is not asked for, whatever the cluster would say.
pub async fn a_question_does_not_lift_the_policy(scene: &Scene) -> anyhow::Result<()> {
    let policy = "[policy]\ndenied = [{ group = \"\", resource = \"secrets\", access = [\"read\"] }]\n\
                  namespaces = { deny = [\"team-b\"] }\n";
    let ferry = Ferry::start(Some(&scene.world.config_with(policy)), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    good(&alice, "namespaces_list", at("corp-1", json!({}))).await?;
    asked(
        &alice,
        at("corp-1", json!({"verb": "get", "kind": "pods", "namespace": "team-a"})),
        "yes: alice of realm corp may get pods in namespace team-a",
    )
    .await?;
    scene.clear();
    for (question, why) in [
        (json!({"verb": "get", "kind": "secret", "namespace": "team-a"}), "secrets are out of bounds here"),
        (json!({"verb": "*", "kind": "secrets", "namespace": "team-a"}), "secrets are out of bounds here"),
        (json!({"verb": "list", "kind": "pods", "namespace": "team-b"}), "namespace team-b is out of bounds here"),
        (json!({"verb": "list", "kind": "pods"}), "some namespaces are out of bounds here"),
        (json!({"verb": "get", "kind": "namespaces", "name": "team-b"}), "namespace team-b is out of bounds here"),
        (
            json!({"verb": "create", "kind": "serviceaccounts/token", "namespace": "team-a"}),
            "create serviceaccounts/token in namespace team-a is never sent",
        ),
        (json!({"namespace": "team-b"}), "namespace team-b is out of bounds here"),
    ] {
        let answer = good(&alice, "can_i", at("corp-1", question.clone())).await?;
        assert!(answer.text.starts_with("no: kubeferry's policy"), "{question}: {}", answer.text);
        assert!(answer.text.contains(why), "{question}: {}", answer.text);
        let decided = answer.structured.map(|twin| (twin["allowed"].clone(), twin["decidedBy"].clone()));
        assert_eq!(decided, Some((json!(false), json!("policy"))), "{question}");
    }
    assert_eq!(reviews(&scene.world.corp_1.tap), [""; 0], "the cluster is not asked");
    let written = json!({"verb": "create", "kind": "secrets", "namespace": "team-a"});
    asked(&alice, at("corp-1", written), "no: alice of realm corp may not create secrets in namespace team-a").await?;
    let all = good(&alice, "can_i", at("corp-1", json!({"namespace": "team-a"}))).await?.text;
    assert!(all.contains("# out of bounds by kubeferry's policy all the same: secrets (read)"), "{all}");
    Ok(())
}

/// A rule is about tools: where one may deny some of them, a yes of the cluster is not all there is to say.
pub async fn a_yes_says_that_a_rule_may_deny(scene: &Scene) -> anyhow::Result<()> {
    let rules = "[[policy.rules]]\nname = \"no-logs\"\nmatch = { tool = \"pods_log\", cluster = \"corp-1\" }\neffect = \"deny\"\n";
    let ferry = Ferry::start(Some(&scene.world.config_with(rules)), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    let get = json!({"verb": "get", "kind": "pods", "namespace": "team-a"});
    for question in [get, json!({"namespace": "team-a"})] {
        let answer = good(&alice, "can_i", at("corp-1", question.clone())).await?;
        let told = answer.text.contains("rules of kubeferry's policy deny you some tools here");
        assert!(told, "{question}: {}", answer.text);
    }
    let elsewhere = json!({"verb": "get", "kind": "configmaps", "namespace": "default"});
    let answer = good(&alice, "can_i", at("kcp-eu:root:org:team-a", elsewhere)).await?;
    assert!(answer.text.starts_with("yes: ") && !answer.text.contains("rules of kubeferry"), "{}", answer.text);
    Ok(())
}

/// In a workspace of a kcp whoever may enter may ask; of others nothing is said.
pub async fn who_may_enter_a_workspace_may_ask_there(scene: &Scene) -> anyhow::Result<()> {
    let (alice, bob) = (scene.client("corp", "alice").await?, scene.client("corp", "bob").await?);
    let delete = json!({"verb": "delete", "kind": "configmaps", "namespace": "default"});
    let says = "yes: alice of realm corp may delete configmaps in namespace default";
    let answer = asked(&alice, at("kcp-eu:root:org:team-a", delete), says).await?;
    assert!(answer.text.contains("kubeferry's own policy and tools may allow less"), "{}", answer.text);
    let pods = json!({"verb": "get", "kind": "pods", "namespace": "default"});
    let says = "yes: alice of realm corp may get pods in namespace default";
    let answer = asked(&alice, at("kcp-eu:root:org:team-a", pods), says).await?;
    assert!(answer.text.contains("# not served here: pods;"), "{}", answer.text);

    let mine = format!("kcp-eu:{}", scene.world.logical_cluster("root:org:team-b"));
    for (verb, expected) in [
        ("get", "yes: bob of realm corp may get configmaps in namespace default"),
        ("create", "no: bob of realm corp may not create configmaps in namespace default"),
    ] {
        let question = json!({"verb": verb, "kind": "configmaps", "namespace": "default"});
        asked(&bob, at(&mine, question), expected).await?;
    }
    asked(&bob, at(&mine, json!({"verb": "access", "kind": "/"})), "yes: bob of realm corp may access /").await?;
    let rules = good(&bob, "can_i", at(&mine, json!({"namespace": "default"}))).await?.text;
    assert!(rules.contains("get list watch\tconfigmaps.*\t"), "{rules}");
    assert!(rules.lines().any(|row| row.starts_with("access\t/")), "{rules}");

    let closed = format!("kcp-eu:{}", scene.world.logical_cluster("root:org:team-a"));
    for question in
        [json!({}), json!({"verb": "get", "kind": "configmaps"}), json!({"verb": "get", "kind": "/version"})]
    {
        let refused = bad(&bob, "can_i", at(&closed, question.clone())).await?;
        let says = "this workspace is not there, or you have no access to it";
        assert!(refused.text.contains(says), "{question}: {}", refused.text);
    }
    Ok(())
}
