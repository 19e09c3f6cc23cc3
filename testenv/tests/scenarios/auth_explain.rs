//! The way to a cluster in words: told, and not taken.

use serde_json::{Value, json};
use testenv::crossing::{CLIENT, Crossing};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era, raw};
use testenv::realm::Endpoint;

use crate::lab::bench::{bad, good};
use crate::lab::scene::Scene;

/// Every strategy of the world, a workspace, and a cluster that the caller does not see.
pub async fn the_way_is_told_and_not_taken(scene: &Scene) -> anyhow::Result<()> {
    let (alice, carol) = (scene.client("corp", "alice").await?, scene.client("acme", "carol").await?);
    let explain =
        async |client: &Client, cluster: &str| good(client, "auth_explain", json!({"cluster": cluster})).await;
    let own = explain(&alice, "corp-1").await?;
    for said in [
        "target: corp-1",
        "you are: alice of realm corp",
        "your token: ends in ",
        "strategy: passthrough",
        "step 1: cluster: your own token goes as it is",
        "RBAC user: not known here: whoami with cluster = corp-1",
    ] {
        assert!(own.text.contains(said), "{said}: {}", own.text);
    }
    let acting = explain(&alice, "dev").await?;
    for said in
        ["strategy: impersonate", "Impersonate-User: corp:alice", "RBAC user: corp:alice (", "corp:dev, corp:ops"]
    {
        assert!(acting.text.contains(said), "{said}: {}", acting.text);
    }
    let told = acting.structured.clone().unwrap_or_default();
    assert_eq!((&told["strategy"], &told["expectedUsername"]), (&json!("impersonate"), &json!("corp:alice")), "{told}");
    let workspace = explain(&alice, "kcp-eu:root:org:team-a").await?;
    assert!(workspace.text.starts_with("target: kcp-eu:root:org:team-a\n"), "{}", workspace.text);
    // What carol may not see is not there.
    let forbidden = bad(&carol, "auth_explain", json!({"cluster": "corp-1"})).await?;
    let unknown = bad(&carol, "auth_explain", json!({"cluster": "corp-7"})).await?;
    assert_eq!(forbidden.text, unknown.text.replace("corp-7", "corp-1"));
    scene.assert_untouched("the way was explained");
    for text in [&own.text, &acting.text, &workspace.text] {
        scene.assert_no_secret(text);
        assert!(!text.contains(scene.world.gateway_token()), "{text}");
        assert!(scene.world.sites().iter().all(|site| !text.contains(&site.tap.url())), "no server is told: {text}");
    }
    Ok(())
}

/// Looking is decided on and counted like any other use of the cluster, and a way that ends before the cluster is told up to
/// its end.
pub async fn a_look_is_a_use_and_a_closed_way_is_told(scene: &Scene) -> anyhow::Result<()> {
    let text = scene.world.config_text();
    let refused = text.replace("user = \"{realm}:{username}\"", "user = \"system:{realm}:{username}\"");
    anyhow::ensure!(text != refused, "the world impersonates: {text}");
    let ferry = Ferry::start(Some(&scene.world.config_of(&refused)), &[]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    let told = good(&alice, "auth_explain", json!({"cluster": "dev"})).await?.text;
    assert!(
        told.contains("strategy: impersonate") && told.contains("then the call ends: the template makes"),
        "{told}"
    );
    assert!(!told.contains("RBAC user"), "nobody is seen there: {told}");
    bad(&alice, "namespaces_list", json!({"cluster": "dev"})).await?;
    good(&alice, "auth_explain", json!({"cluster": "corp-1"})).await?;
    let metrics = raw::get(&format!("{}/metrics", ferry.base()), &[]).await?.text;
    let allowed = metrics.lines().find(|line| line.starts_with("kubeferry_decisions_total{outcome=\"allowed\"}"));
    assert!(allowed.is_some_and(|line| line.ends_with(" 3")), "{allowed:?}: {metrics}");
    scene.assert_untouched("two ways were told, and one was closed");
    Ok(())
}

/// Legs, clients, audiences and scopes of a way across realms; whether a token is kept; the missing step of a cluster that is
/// only advertised.
pub async fn a_way_across_realms_is_told_in_words(_scene: &Scene) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    let table = "[clusters.plant-2]\n";
    let config = crossing.config_text().replace(table, &format!("{table}advertise = true\n"));
    let ferry = Ferry::start(Some(&crossing.config_of(&config)), &[]).await?;
    let token = crossing.token("corp", "alice");
    let alice = Client::http(ferry.url(), Some(&token), Era::Modern).await?;
    let question = json!({"cluster": "plant-1"});
    let told = good(&alice, "auth_explain", question.clone()).await?;
    let plant = crossing.realms.issuer("plant");
    for said in [
        "strategy: chain".to_owned(),
        "step 1: realm corp: token exchange (RFC 8693)".to_owned(),
        format!("as client {CLIENT} (client_secret_basic), for audience {plant}, scope access-plant"),
        "step 2: realm plant: that grant, once, for a token (jwt-bearer, RFC 7523)".to_owned(),
        format!("as client {CLIENT} (private_key_jwt), scope k8s-plant-1"),
        "the audience is kubernetes-plant-1 and no other".to_owned(),
        "step 3: cluster: the issued token goes".to_owned(),
        "none is kept now".to_owned(),
    ] {
        assert!(told.text.contains(&said), "{said}: {}", told.text);
    }
    for realm in ["corp", "plant"] {
        assert_eq!(crossing.realms.fetches(realm, Endpoint::Token), 0, "nothing is sent to {realm}");
    }
    assert!(crossing.sites.iter().all(|site| site.tap.connections() == 0), "and nothing to a cluster");
    let steps = told.structured.as_ref().and_then(|told| told["steps"].as_array().cloned()).unwrap_or_default();
    let realms: Vec<&Value> = steps.iter().map(|step| &step["realm"]).collect();
    assert_eq!(realms, [&json!("corp"), &json!("plant"), &Value::Null]);
    good(&alice, "namespaces_list", question.clone()).await?;
    let kept = good(&alice, "auth_explain", question).await?;
    assert!(kept.text.contains("one is kept now, for "), "{}", kept.text);
    let same = good(&alice, "auth_explain", json!({"cluster": "corp-1"})).await?;
    assert!(
        same.text.contains("strategy: exchange") && same.text.contains("for audience kubernetes-corp-1"),
        "{}",
        same.text
    );
    for text in [told.text, kept.text, same.text] {
        assert!(!text.contains("eyJ"), "no token: {text}");
    }

    let carol = Client::http(ferry.url(), Some(&crossing.token("acme", "carol")), Era::Modern).await?;
    let missing = bad(&carol, "auth_explain", json!({"cluster": "plant-2"})).await?;
    assert!(missing.text.contains("you cannot reach cluster plant-2. sign in at realm corp"), "{}", missing.text);
    let forbidden = bad(&carol, "auth_explain", json!({"cluster": "plant-1"})).await?;
    let unknown = bad(&carol, "auth_explain", json!({"cluster": "plant-7"})).await?;
    assert_eq!(forbidden.text, unknown.text.replace("plant-7", "plant-1"));
    Ok(())
}
