//! Tokens that take two steps: a grant of the caller's realm for another, and that realm's token for the grant. What works,
//! and what becomes of a realm that is slow, forgetful or set up otherwise.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::json;
use testenv::crossing::{CLIENT, Crossing, PLACES};
use testenv::mcp::raw;
use testenv::realm::{Client as RealmClient, Fault, GrantRequest, GrantType, User};
use testenv::tap::digest;
use testenv::world::RESOURCE;

use crate::lab::bench::good;
use crate::lab::case::Case;
use crate::lab::crossing::{Fleet, fails, in_table, kept, lists};

const REALMS: [&str; 4] = ["corp", "plant", "lake", "acme"];

/// The time between the first and the last of these.
fn spread(grants: &[GrantRequest]) -> Duration {
    let times = || grants.iter().map(|seen| seen.at);
    let (first, last) = (times().min(), times().max());
    first.zip(last).and_then(|(first, last)| last.duration_since(first).ok()).unwrap_or_default()
}

/// H01: each realm takes 3 s for each answer, so that requests one after the other would be seen.
pub async fn h01_five_clusters_and_a_kcp_at_once_get_a_token_each(case: &Case) -> anyhow::Result<()> {
    const SLOW: Duration = Duration::from_secs(3);
    let fleet = Fleet::start(case).await?;
    let token = fleet.token("alice");
    let alice = fleet.client(&token).await?;
    for realm in REALMS {
        for grant in [GrantType::TokenExchange, GrantType::JwtBearer] {
            fleet.crossing.realms.fault_grant(realm, grant, Fault::Delay(SLOW), None);
        }
    }
    try_join_all(PLACES.iter().map(|place| lists(&alice, place.address()))).await?;

    let corp = fleet.crossing.realms.grants("corp");
    let mut audiences: Vec<String> = corp.iter().flat_map(|seen| seen.audiences.clone()).collect();
    audiences.sort();
    let issuer = |realm| fleet.crossing.realms.issuer(realm);
    let own =
        PLACES.iter().map(|place| if place.link.is_some() { issuer(place.realm) } else { place.audience.to_owned() });
    let mut wanted: Vec<String> = own.collect();
    wanted.sort();
    assert_eq!(audiences, wanted, "one request for each cluster: a grant serves once");
    assert!(corp.iter().all(|seen| seen.subject == Some(digest(&token))), "{corp:?}");
    assert!(spread(&corp) < SLOW, "all at once: {:?}", spread(&corp));
    let given: BTreeSet<_> = corp.iter().filter_map(|seen| seen.token.clone()).collect();
    let mut shown = BTreeSet::new();
    for (realm, clusters) in [("plant", 2), ("lake", 1), ("acme", 0)] {
        let second = fleet.crossing.realms.grants(realm);
        assert_eq!(second.len(), clusters, "{realm}: {second:?}");
        assert!(spread(&second) < SLOW, "{realm}: all at once: {:?}", spread(&second));
        shown.extend(second.into_iter().filter_map(|seen| seen.subject));
    }
    assert!(shown.len() == 3 && shown.is_subset(&given), "each grant of corp is shown once: {shown:?}, {given:?}");

    let mut all = BTreeSet::new();
    for place in &PLACES {
        let seen = fleet.seen(place.name);
        assert_eq!(seen.len(), 1, "{} sees one token", place.name);
        let mut issued = fleet.crossing.realms.grants(place.realm).into_iter().filter_map(|grant| grant.token);
        assert!(issued.any(|token| seen.contains(&token)), "{} sees a token of realm {}", place.name, place.realm);
        all.extend(seen);
    }
    assert_eq!(all.len(), PLACES.len(), "no two clusters see the same token");
    assert!(!all.contains(&digest(&token)) && all.is_disjoint(&shown), "neither hers, nor a grant");
    Ok(())
}

/// H06: the answer to leg 2 is lost, when the grant is spent; and a realm that gives two grants the same id.
pub async fn h06_a_grant_is_never_shown_twice(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let realms = &fleet.crossing.realms;
    realms.fault_grant("plant", GrantType::JwtBearer, Fault::Reset, Some(1));
    lists(&fleet.alice().await?, "plant-1").await?;
    let shown = fleet.grants("plant", GrantType::JwtBearer);
    let different: BTreeSet<_> = shown.iter().filter_map(|seen| seen.subject.clone()).collect();
    assert_eq!((shown.len(), different.len()), (2, 2), "the second attempt has a grant of its own: {shown:?}");
    assert_eq!(fleet.exchanges(), 2, "which began at leg 1");

    fleet.crossing.clear();
    realms.edit_token("corp", GrantType::TokenExchange, None, |token| token.claim("jti", "always-the-same"));
    lists(&fleet.alice().await?, "plant-1").await?;
    fleet.crossing.tap("plant-1").clear();
    let said = fails(&fleet.alice().await?, "plant-1", "grant_replayed").await?;
    assert!(said.contains("leg 2") && said.contains("Token reuse detected"), "{said}");
    assert_eq!((fleet.exchanges(), fleet.shown("plant")), (2, 2), "what was refused is not tried again");
    fleet.assert_untouched("plant-1", "the grant was refused");
    Ok(())
}

/// H07: for lake, a grant has ended long ago, or is of the future; for plant, what our client has signed.
pub async fn h07_clocks_that_differ_are_said_so(case: &Case) -> anyhow::Result<()> {
    const AHEAD: (i64, &str) = (360, "Token is not active");
    const BEHIND: (i64, &str) = (-360, "Token was issued in the future");
    let fleet = Fleet::start(case).await?;
    for (realm, cluster, fix) in [
        ("lake", "lake-1", "set the clocks of both realms"),
        ("plant", "plant-1", "set the clocks of realm plant and of the machine that asks it"),
    ] {
        for (ahead, words) in [AHEAD, BEHIND] {
            fleet.crossing.clear();
            fleet.crossing.realms.set_clock(realm, ahead);
            let said = fails(&fleet.alice().await?, cluster, "clock_skew").await?;
            assert!(said.contains("leg 2") && said.contains(words) && said.contains(fix), "{said}");
            assert_eq!((fleet.exchanges(), fleet.shown(realm)), (2, 2), "a second or two are waited for, once");
            fleet.assert_untouched(cluster, "its realm refused");
        }
        fleet.crossing.realms.set_clock(realm, 0);
        lists(&fleet.alice().await?, cluster).await?;
    }
    Ok(())
}

/// H10.
pub async fn h10_a_silent_realm_costs_its_own_clusters_only(case: &Case) -> anyhow::Result<()> {
    /// The time of a call, and room.
    const DEADLINE: Duration = Duration::from_secs(40);
    let fleet = Fleet::start(case).await?;
    fleet.crossing.realms.fault_grant("plant", GrantType::JwtBearer, Fault::Hang, None);
    let alice = fleet.alice().await?;
    let began = Instant::now();
    let others = async {
        try_join_all(["corp-1", "corp-2", "lake-1", "kcp-eu:root"].map(|cluster| lists(&alice, cluster))).await?;
        anyhow::Ok(began.elapsed())
    };
    let (of_others, ..) = futures::try_join!(
        others,
        fails(&alice, "plant-1", "realm_unavailable"),
        fails(&alice, "plant-2", "realm_unavailable"),
    )?;
    let of_all = began.elapsed();
    assert!(of_others < of_all, "others do not wait for plant: {of_others:?} of {of_all:?}");
    assert!(of_all < DEADLINE, "{of_all:?}");
    assert_eq!(fleet.shown("plant"), 4, "once more for each, with another grant");
    for cluster in ["plant-1", "plant-2"] {
        fleet.assert_untouched(cluster, "its realm said nothing");
    }
    Ok(())
}

/// H11.
pub async fn h11_a_refresh_token_is_dropped(case: &Case) -> anyhow::Result<()> {
    const REFRESH: &str = "a-refresh-token-that-nobody-asked-for";
    let fleet = Fleet::start(case).await?;
    case.remember(REFRESH);
    fleet.crossing.realms.edit_answer("plant", GrantType::JwtBearer, None, |answer, _| {
        answer["refresh_token"] = json!(REFRESH);
        answer["refresh_expires_in"] = json!(1800);
    });
    let alice = fleet.alice().await?;
    let answer = lists(&alice, "plant-1").await?;
    let told = good(&alice, "auth_explain", json!({"cluster": "plant-1"})).await?;
    assert!(![answer.text, told.text].concat().contains(REFRESH));
    let issued: BTreeSet<_> =
        fleet.grants("plant", GrantType::JwtBearer).into_iter().filter_map(|seen| seen.token).collect();
    assert_eq!(fleet.seen("plant-1"), issued, "the cluster sees the access token alone");
    let asked = fleet.crossing.realms.grants("plant");
    assert!(asked.iter().all(|seen| seen.grant == Some(GrantType::JwtBearer)), "it is not used: {asked:?}");
    Ok(())
}

/// H12: carol of acme has the subject that alice has at corp, and a link of her own; both go to one API server.
pub async fn h12_the_same_subject_of_two_realms_is_two_people(case: &Case) -> anyhow::Result<()> {
    const SECRET: &str = "acme-s3cret";
    let crossing = Crossing::start().await?;
    let realms = &crossing.realms;
    let sub = realms.user("corp", "alice").sub;
    realms.change_user("acme", "carol", |carol| carol.sub.clone_from(&sub));
    realms.register("acme", RealmClient::confidential(CLIENT, SECRET, &[]).exchanges(&[]).token_lifetime(240));
    realms.connect("acme", "plant", CLIENT);
    realms.change_client("plant", CLIENT, |client| {
        client.jwt_grant.as_mut().expect("it takes grants").push("acme".into())
    });
    realms.add_user("plant", User::new("carol-p", &["visitors"]));
    realms.link("plant", "carol-p", "acme", &sub);
    crossing.write("acme.secret", SECRET);
    let plant = realms.issuer("plant");
    let fleet = Fleet::of(case, crossing, |text| {
        let begins = text.find("[clusters.plant-1]").expect("there is plant-1");
        let ends = text[begins..].find("\n[").map_or(text.len(), |at| begins + at);
        let second =
            text[begins..ends].replacen("plant-1]", "plant-acme]", 1).replacen("corp-to-plant", "acme-to-plant", 1);
        format!(
            "{text}\n{second}\n[realms.acme.client]\nid = \"{CLIENT}\"\nauth = \"client_secret_basic\"\n\
             secret_file = \"acme.secret\"\n\n[links.acme-to-plant]\nfrom = \"acme\"\nto = \"plant\"\n\
             request = {{ audience = \"{plant}\", scope = \"access-plant\" }}\n"
        )
    })
    .await?;
    let alice = fleet.alice().await?;
    let carol = fleet.client(&fleet.crossing.token("acme", "carol")).await?;
    for _ in 0..2 {
        for (client, cluster, name) in [(&alice, "plant-1", "plant:alice-p"), (&carol, "plant-acme", "plant:carol-p")] {
            let told = good(client, "whoami", json!({"cluster": cluster})).await?;
            assert!(told.text.contains(name), "{cluster}: {}", told.text);
        }
    }
    let corp = fleet.exchanges();
    let acme = fleet.grants("acme", GrantType::TokenExchange).len();
    assert_eq!((corp, acme, fleet.shown("plant")), (1, 1, 2), "each asks once, at their own realm");
    assert_eq!(fleet.seen("plant-1").len(), 2, "with a token each");
    fails(&carol, "plant-1", "unknown_target").await?;
    fails(&alice, "plant-acme", "unknown_target").await?;
    Ok(())
}

/// H13.
pub async fn h13_a_token_of_the_other_realm_opens_no_door(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let realms = &fleet.crossing.realms;
    let strange = realms.token("plant", "alice-p", RESOURCE).audiences(&[RESOURCE, CLIENT]).mint();
    case.remember(&strange);
    let reply =
        raw::tools_call(fleet.ferry.url(), Some(&strange), "namespaces_list", json!({"cluster": "plant-1"})).await?;
    assert_eq!(reply.status, 401, "{}", reply.text);
    assert!(reply.header("www-authenticate").contains("resource_metadata"), "{:?}", reply.headers);
    let asked: usize = REALMS.iter().map(|realm| realms.grants(realm).len()).sum();
    assert_eq!(asked, 0, "no realm is asked for anything");
    PLACES.iter().for_each(|place| fleet.assert_untouched(place.name, "a strange token"));
    Ok(())
}

/// H14: the link to plant asks for grants for lake.
pub async fn h14_a_grant_for_another_realm_is_refused_there(case: &Case) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    let [plant, lake] = ["plant", "lake"].map(|realm| crossing.realms.issuer(realm));
    let fleet = Fleet::of(case, crossing, |text| {
        let text = in_table(&text, "links.corp-to-plant", &plant, &lake);
        in_table(&text, "links.corp-to-plant", "access-plant", "access-lake")
    })
    .await?;
    let alice = fleet.alice().await?;
    let said = fails(&alice, "plant-1", "grant_audience").await?;
    assert!(said.contains("Invalid token audience") && said.contains("must equal the issuer of realm plant"), "{said}");
    assert_eq!(kept(&alice, "plant-1").await?, None, "nothing is kept");
    assert_eq!((fleet.exchanges(), fleet.shown("plant"), fleet.shown("lake")), (1, 1, 0));
    fleet.assert_untouched("plant-1", "the grant was refused");
    Ok(())
}
