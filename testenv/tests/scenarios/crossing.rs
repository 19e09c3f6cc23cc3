//! Tokens that cross realms: exchanged at the caller's own, or carried to another as a grant.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use serde_json::json;
use testenv::crossing::{CLIENT, Crossing, PLACES, Place};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era, raw};
use testenv::realm::{AuthMethod, GrantType, Realms, Style};
use testenv::tap::digest;
use testenv::world::RESOURCE;

use crate::lab::bench::{bad, good, names};
use crate::lab::scene::Scene;

/// alice reads all six clusters; each sees one token of hers that no other sees, made with the fewest requests.
pub async fn each_cluster_gets_a_token_of_its_own(scene: &Scene) -> anyhow::Result<()> {
    for style in [Style::Keycloak, Style::Rfc] {
        let crossing = Crossing::start_in(style).await?;
        let ferry = Ferry::start(Some(&crossing.config()), &[("KUBEFERRY_LOG", "trace")]).await?;
        let inbound = crossing.token("corp", "alice");
        scene.remember(&inbound);
        let client = Client::http(ferry.url(), Some(&inbound), Era::Modern).await?;
        crossing.clear();
        try_join_all(PLACES.iter().map(async |place| namespaces(&client, place).await)).await?;
        assert_pairwise_different(&crossing, &digest(&inbound));
        assert_fewest_requests(&crossing.realms, &digest(&inbound));

        // What was minted serves again.
        crossing.clear();
        try_join_all(PLACES.iter().map(async |place| namespaces(&client, place).await)).await?;
        let asked: usize =
            ["corp", "plant", "lake", "acme"].iter().map(|realm| crossing.realms.grants(realm).len()).sum();
        assert_eq!(asked, 0, "{style:?}: no token was asked for again");
        scene.assert_no_secret(&ferry.log());
    }
    Ok(())
}

/// Whoever signed out must sign in again: an older token is sent back to its realm by a 401. A young one is not, as its client
/// would sign in for ever; nor is anybody where no status can change. What the answer says is done, and the call works.
pub async fn who_signed_out_is_asked_to_sign_in_again(scene: &Scene) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    let text = crossing.config_text().replacen("[server]\n", "[server]\nlegacy_sessions = true\n", 1);
    let [ferry, with_sessions] = [
        Ferry::start(Some(&crossing.config()), &[("KUBEFERRY_LOG", "trace")]).await?,
        Ferry::start(Some(&crossing.config_of(&text)), &[("KUBEFERRY_LOG", "trace")]).await?,
    ];
    let corp = || crossing.realms.token("corp", "alice", RESOURCE).audiences(&[RESOURCE, CLIENT]);
    let [young, older] = [corp().mint(), corp().aged(61, 3600).mint()];
    [&young, &older].into_iter().for_each(|token| scene.remember(token));
    let in_a_session = Client::http(with_sessions.url(), Some(&older), Era::Legacy).await?;
    crossing.realms.log_out("corp", "alice");
    crossing.clear();

    let question = json!({"cluster": "plant-1"});
    let reply = raw::tools_call(ferry.url(), Some(&older), "namespaces_list", question.clone()).await?;
    assert_eq!(reply.status, 401, "{}", reply.text);
    let challenge = reply.header("www-authenticate");
    assert!(challenge.contains("invalid_token") && challenge.contains("resource_metadata"), "{challenge}");
    scene.assert_no_secret(&format!("{challenge}{}", reply.text));

    let with_young = Client::http(ferry.url(), Some(&young), Era::Modern).await?;
    for (client, says) in [(&with_young, "Ask the operator"), (&in_a_session, "Sign in again")] {
        let refused = bad(client, "namespaces_list", question.clone()).await?;
        let code = refused.structured.map(|twin| twin["code"].clone());
        assert_eq!(code, Some(json!("sign_in_again")), "{}", refused.text);
        assert!(refused.text.contains(says), "{}", refused.text);
        good(client, "clusters_list", json!({})).await?;
    }
    assert!(PLACES.iter().all(|place| crossing.tap(place.name).connections() == 0), "no cluster heard of it");

    let again = crossing.token("corp", "alice");
    scene.remember(&again);
    let plant = PLACES.iter().find(|place| place.name == "plant-1").expect("plant-1 is a place");
    namespaces(&Client::http(ferry.url(), Some(&again), Era::Modern).await?, plant).await?;
    scene.assert_no_secret(&format!("{}{}", ferry.log(), with_sessions.log()));
    Ok(())
}

async fn namespaces(client: &Client, place: &Place) -> anyhow::Result<()> {
    let answer = good(client, "namespaces_list", json!({"cluster": place.address()})).await?;
    anyhow::ensure!(names(&answer.text).iter().any(|name| name == "default"), "{}: {}", place.name, answer.text);
    Ok(())
}

fn assert_pairwise_different(crossing: &Crossing, inbound: &str) {
    let mut seen = BTreeSet::new();
    for place in &PLACES {
        let tokens = crossing.tap(place.name).token_digests();
        assert_eq!(tokens.len(), 1, "{} sees one token", place.name);
        assert!(!tokens.contains(inbound), "{} sees the caller's own token", place.name);
        let issued = crossing.realms.grants(place.realm);
        let of_realm = issued.iter().filter_map(|grant| grant.token.as_ref()).any(|token| tokens.contains(token));
        assert!(of_realm, "{} sees a token that realm {} issued", place.name, place.realm);
        seen.extend(tokens);
    }
    assert_eq!(seen.len(), PLACES.len(), "no two clusters see the same token");
}

/// One request for an exchange, one at each realm for a chain; each as this fleet's client of that realm.
fn assert_fewest_requests(realms: &Realms, inbound: &str) {
    let corp = realms.grants("corp");
    assert_eq!(corp.len(), PLACES.len(), "{corp:?}");
    for leg in &corp {
        assert_eq!((leg.grant, leg.method), (Some(GrantType::TokenExchange), Some(AuthMethod::Basic)), "{leg:?}");
        assert_eq!((leg.status, leg.client.as_deref()), (200, Some(CLIENT)), "{leg:?}");
        assert_eq!((leg.audiences.len(), leg.subject.as_deref()), (1, Some(inbound)), "{leg:?}");
    }
    let given: BTreeSet<_> = corp.iter().filter_map(|leg| leg.token.clone()).collect();
    for (realm, clusters, method) in [("plant", 2, AuthMethod::Assertion), ("lake", 1, AuthMethod::Post)] {
        let second = realms.grants(realm);
        assert_eq!(second.len(), clusters, "{second:?}");
        for leg in &second {
            assert_eq!((leg.grant, leg.method), (Some(GrantType::JwtBearer), Some(method)), "{leg:?}");
            assert_eq!((leg.status, leg.client.as_deref()), (200, Some(CLIENT)), "{leg:?}");
            assert!(leg.subject.as_ref().is_some_and(|subject| given.contains(subject)), "a grant of corp: {leg:?}");
        }
    }
    assert!(realms.grants("acme").is_empty());
}
