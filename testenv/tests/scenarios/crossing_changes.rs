//! Tokens that cross realms, while something changes: who is linked, and how the program is told to reach a cluster.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use testenv::crossing::{CLIENT, Crossing};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};
use testenv::poll;
use testenv::realm::{Fault, GrantType, User};
use testenv::simulator::Rule;
use testenv::tap::digest;
use testenv::world::RESOURCE;

use crate::lab::bench::{bad, good, names};
use crate::lab::crossing::in_table;
use crate::lab::scene::{Scene, tail};

/// What something that follows at once takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// carol's realm has no link: for her, plant-1 does not exist. bob's has one, and he has no account at its other end: he is told
/// what is missing, that is done as it is written, and he gets in.
pub async fn without_a_link_there_is_no_cluster_and_with_one_there_is(scene: &Scene) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    let ferry = Ferry::start(Some(&crossing.config()), &[("KUBEFERRY_LOG", "trace")]).await?;
    let client = async |realm: &str, user: &str| {
        let token = crossing.token(realm, user);
        scene.remember(&token);
        Client::http(ferry.url(), Some(&token), Era::Modern).await
    };
    let (carol, bob) = (client("acme", "carol").await?, client("corp", "bob").await?);
    for tool in ["namespaces_list", "pods_list", "whoami", "auth_explain"] {
        let hidden = bad(&carol, tool, json!({"cluster": "plant-1"})).await?;
        let unknown = bad(&carol, tool, json!({"cluster": "plant-7"})).await?;
        assert_eq!(hidden.text, unknown.text.replace("plant-7", "plant-1"), "{tool}");
        let twins = [hidden, unknown].map(|answer| answer.structured.unwrap_or_default().to_string());
        assert_eq!(twins[0], twins[1].replace("plant-7", "plant-1"), "{tool}");
    }
    let listed = good(&carol, "targets_list", json!({})).await?;
    assert!(!listed.text.contains("plant"), "{}", listed.text);
    for site in &crossing.sites {
        assert_eq!((site.tap.connections(), site.tap.requests().len()), (0, 0), "{} heard of carol", site.name);
    }
    for realm in ["corp", "plant", "lake", "acme"] {
        assert!(crossing.realms.grants(realm).is_empty(), "{realm} was asked for something");
    }

    let question = json!({"cluster": "plant-1"});
    let refused = client_says(&bob, &question).await?;
    assert!(refused.contains("leg 2 (jwt-bearer) at realm plant"), "{refused}");
    assert_eq!(crossing.tap("plant-1").connections(), 0, "plant-1 heard of bob");
    let fix =
        refused.split_once("in realm plant, link your account to corp: POST users/<id>/federated-identity/<alias> ");
    let fix = fix.with_context(|| format!("no fix: {refused}"))?.1;
    let body = fix.split_inclusive('}').next().unwrap_or_default();
    let body: serde_json::Value = serde_json::from_str(body).with_context(|| refused.clone())?;
    let sub = body["userId"].as_str().context("the fix names the subject")?;
    crossing.realms.add_user("plant", User::new("bob-p", &["visitors"]));
    crossing.simulator("plant-1").cluster().allow(Rule::user("plant:bob-p").reads_everything());
    crossing.realms.link("plant", "bob-p", "corp", sub);
    // A refusal is kept for 5 s.
    let listed = poll::until("bob to get in", SOON, || async {
        good(&bob, "namespaces_list", question.clone()).await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    assert!(names(&listed.text).iter().any(|name| name == "default"), "{}", listed.text);
    let own = good(&bob, "whoami", question).await?;
    assert!(own.text.contains("plant:bob-p"), "{}", own.text);
    scene.assert_no_secret(&ferry.log());
    Ok(())
}

/// What is said to somebody who is not linked.
async fn client_says(client: &Client, question: &serde_json::Value) -> anyhow::Result<String> {
    let refused = client.call("namespaces_list", question.clone()).await?;
    let code = refused.structured.map(|twin| twin["code"].clone());
    anyhow::ensure!(refused.is_error && code == Some(json!("subject_not_linked")), "{}", refused.text);
    Ok(refused.text)
}

/// An audience changes, and a strategy. Each time something was kept, and something is obtained at that moment: the realm answers
/// only when the reload is over. Neither is seen at the cluster afterwards.
pub async fn what_an_earlier_configuration_obtained_is_dropped(scene: &Scene) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    let config = crossing.config();
    let ferry = Ferry::start(Some(&config), &[("KUBEFERRY_LOG", "trace")]).await?;
    let sign_in = || {
        // So that corp-1 takes her own token too.
        let token = crossing.realms.token("corp", "alice", RESOURCE);
        let token = token.audiences(&[RESOURCE, CLIENT, "kubernetes-corp-1"]).mint();
        scene.remember(&token);
        token
    };
    let first = crossing.config_text();
    let audience =
        in_table(&first, "clusters.plant-1", "[\"kubernetes-plant-1\"]", "[\"kubernetes-plant-1\", \"further\"]");
    let passthrough = "strategy = \"passthrough\"\ni_accept_token_passthrough = true";
    let strategy = in_table(&audience, "clusters.corp-1", "strategy = \"exchange\"", passthrough);
    for (cluster, realm, grant, text) in
        [("plant-1", "plant", GrantType::JwtBearer, audience), ("corp-1", "corp", GrantType::TokenExchange, strategy)]
    {
        let question = json!({"cluster": cluster});
        let (kept, late) = (sign_in(), sign_in());
        let with_kept = Client::http(ferry.url(), Some(&kept), Era::Modern).await?;
        let with_late = Client::http(ferry.url(), Some(&late), Era::Modern).await?;
        good(&with_kept, "namespaces_list", question.clone()).await?;
        let before = crossing.tap(cluster).token_digests();
        assert_eq!(before.len(), 1, "{cluster}");
        crossing.clear();

        let ended = AtomicBool::new(false);
        let in_flight = async {
            let refused = with_late.call("namespaces_list", question.clone()).await;
            ended.store(true, Ordering::Relaxed);
            let refused = refused?;
            let code = refused.structured.map(|twin| twin["code"].clone());
            anyhow::ensure!(code == Some(json!("configuration_changed")), "{cluster}: {}", refused.text);
            Ok(())
        };
        let reloads = || ferry.log().lines().filter(|line| line.contains(r#""message":"reloaded"#)).count();
        let change = async {
            let asked = || crossing.realms.grants(realm).iter().filter(|seen| seen.grant == Some(grant)).count();
            poll::until("the realm to be asked", SOON, || async {
                if asked() > 0 { Ok(()) } else { Err("it is not".to_owned()) }
            })
            .await?;
            // The first request is given up after 5 s, the second is answered late.
            crossing.realms.fault_grant(realm, grant, Fault::Delay(Duration::from_secs(4)), Some(1));
            let done = reloads();
            std::fs::write(config.with_extension("new"), &text)?;
            std::fs::rename(config.with_extension("new"), &config)?;
            ferry.signal("HUP").await?;
            poll::until("the reload", SOON, || async {
                if reloads() > done { Ok(()) } else { Err(tail(&ferry.log())) }
            })
            .await?;
            anyhow::ensure!(!ended.load(Ordering::Relaxed), "the realm answered before the reload was over");
            Ok(())
        };
        crossing.realms.fault_grant(realm, grant, Fault::Hang, Some(1));
        futures::try_join!(in_flight, change)?;
        let issued: BTreeSet<String> =
            crossing.realms.grants(realm).into_iter().filter_map(|seen| seen.token).collect();
        assert_eq!(issued.len(), 2, "{cluster}: the realm did answer");
        assert_eq!(crossing.tap(cluster).requests().len(), 0, "{cluster}: nothing was sent with it");

        for (client, own) in [(&with_kept, &kept), (&with_late, &late)] {
            good(client, "namespaces_list", question.clone()).await?;
            let seen = crossing.tap(cluster).token_digests();
            assert!(seen.is_disjoint(&before) && seen.is_disjoint(&issued), "{cluster}: a token of before");
            assert_eq!(seen.contains(&digest(own)), cluster == "corp-1", "{cluster}: its new strategy");
        }
        assert_eq!(crossing.tap(cluster).token_digests().len(), 2, "{cluster}: one for each");
    }
    scene.assert_no_secret(&ferry.log());
    Ok(())
}
