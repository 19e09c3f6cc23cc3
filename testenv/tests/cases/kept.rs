//! Tokens that are kept: whose they are, who shares one, and what a changed configuration makes of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use serde_json::json;
use testenv::crossing::Crossing;
use testenv::mcp::raw;
use testenv::poll;
use testenv::realm::{Fault, GrantType};
use testenv::tap::digest;

use crate::lab::case::Case;
use crate::lab::crossing::{Fleet, fails, in_table, kept, lists};
use crate::lab::unit;

/// E01: the realm is slow, so that all of them come before its answer.
pub async fn e01_a_hundred_calls_at_once_make_one_exchange(case: &Case) -> anyhow::Result<()> {
    const CALLS: usize = 100;
    let limits = "\n[limits]\ncaller_in_flight = 200\ncaller_burst = 1000\ncaller_calls_per_second = 1000\n";
    let fleet = Fleet::of(case, Crossing::start().await?, |text| format!("{text}{limits}")).await?;
    let (alice, bob) = (fleet.alice().await?, fleet.client(&fleet.token("bob")).await?);
    for (grant, realm) in [(GrantType::TokenExchange, "corp"), (GrantType::JwtBearer, "plant")] {
        fleet.crossing.realms.fault_grant(realm, grant, Fault::Delay(Duration::from_secs(2)), None);
    }
    try_join_all((0..CALLS).map(|_| lists(&alice, "corp-1"))).await?;
    assert_eq!((fleet.exchanges(), fleet.seen("corp-1").len()), (1, 1));
    try_join_all((0..CALLS).map(|_| lists(&alice, "plant-1"))).await?;
    assert_eq!((fleet.exchanges(), fleet.shown("plant"), fleet.seen("plant-1").len()), (2, 1, 1));
    // Others do not share it.
    fails(&bob, "corp-1", "forbidden").await?;
    assert_eq!((fleet.exchanges(), fleet.seen("corp-1").len()), (3, 2));
    Ok(())
}

/// E02: one cluster takes callers of one realm, so the same subject of two realms meets at no entry of the configuration (H12);
/// that the cache would tell them apart is shown where it can be asked alone.
pub async fn e02_the_same_subject_of_two_issuers_shares_nothing(case: &Case) -> anyhow::Result<()> {
    unit::passes("pool::credential::keep::tests::e02_to_e05_only_equal_authority_shares").await?;
    let fleet = Fleet::start(case).await?;
    let sub = fleet.crossing.realms.user("corp", "alice").sub;
    fleet.crossing.realms.change_user("acme", "carol", |carol| carol.sub.clone_from(&sub));
    lists(&fleet.alice().await?, "corp-1").await?;
    let before = fleet.seen("corp-1");
    let carol = fleet.client(&fleet.crossing.token("acme", "carol")).await?;
    fails(&carol, "corp-1", "unknown_target").await?;
    assert_eq!((fleet.exchanges(), fleet.seen("corp-1")), (1, before), "what alice has is no way in for carol");
    Ok(())
}

/// E03: corp-2 takes what corp-1 takes.
pub async fn e03_clusters_with_the_same_audience_share_nothing(case: &Case) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    let first = crossing.simulator("corp-1");
    let address = first.url().trim_start_matches("https://").to_owned();
    crossing.tap("corp-2").retarget(&address, first.ca_pem(), None);
    let fleet = Fleet::of(case, crossing, |text| {
        let text = in_table(&text, "clusters.corp-2", "\"kubernetes-corp-2\"", "\"kubernetes-corp-1\"");
        in_table(&text, "clusters.corp-2", "\"k8s-corp-2\"", "\"k8s-corp-1\"")
    })
    .await?;
    let alice = fleet.alice().await?;
    for _ in 0..2 {
        try_join_all(["corp-1", "corp-2"].map(|cluster| lists(&alice, cluster))).await?;
    }
    let asked = fleet.grants("corp", GrantType::TokenExchange);
    assert_eq!(asked.len(), 2, "one for each: {asked:?}");
    assert!(asked.iter().all(|seen| seen.audiences == ["kubernetes-corp-1"]), "{asked:?}");
    let (one, two) = (fleet.seen("corp-1"), fleet.seen("corp-2"));
    assert!(one.len() == 1 && two.len() == 1 && one.is_disjoint(&two), "no token goes to both");
    Ok(())
}

/// E04: the same person, signed in again with less.
pub async fn e04_a_new_token_gets_a_new_exchange(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let first = fleet.token("alice");
    let realms = &fleet.crossing.realms;
    let less = realms.token("corp", "alice", testenv::world::RESOURCE);
    let less = less.audiences(&[testenv::world::RESOURCE, testenv::crossing::CLIENT]).claim("scope", "openid");
    let less = less.claim("groups", json!([])).mint();
    for token in [&first, &less, &first] {
        let client = fleet.client(token).await?;
        lists(&client, "corp-1").await?;
        lists(&client, "plant-1").await?;
    }
    let asked = fleet.grants("corp", GrantType::TokenExchange);
    for token in [&first, &less] {
        let own = asked.iter().filter(|seen| seen.subject == Some(digest(token))).count();
        assert_eq!(own, 2, "one exchange and one grant for each token: {asked:?}");
    }
    assert_eq!((asked.len(), fleet.seen("corp-1").len(), fleet.seen("plant-1").len()), (4, 2, 2));
    Ok(())
}

/// E05.
pub async fn e05_fields_of_a_key_cannot_run_into_each_other(_case: &Case) -> anyhow::Result<()> {
    unit::passes("pool::credential::keep::tests::e02_to_e05_only_equal_authority_shares").await
}

/// E11: the first call hangs up while the realm says nothing, and the second waits for the same exchange.
pub async fn e11_a_follower_takes_over_from_who_goes_away(case: &Case) -> anyhow::Result<()> {
    /// A request that nobody gave up would be repeated after this.
    const GIVEN_UP: Duration = Duration::from_secs(5);
    let fleet = Fleet::start(case).await?;
    let token = fleet.token("alice");
    fleet.crossing.realms.fault_grant("corp", GrantType::TokenExchange, Fault::Hang, Some(1));
    let question = || raw::tools_call(fleet.ferry.url(), Some(&token), "namespaces_list", json!({"cluster": "corp-1"}));
    let waiting = async |calls: usize| {
        poll::until(&format!("{calls} calls to wait"), Duration::from_secs(10), || async {
            let decided = fleet.ferry.log().lines().filter(|line| line.contains("\"decided\"")).count();
            let asked = fleet.exchanges();
            if (decided, asked) == (calls, 1) { Ok(()) } else { Err(format!("{decided} calls, {asked} exchanges")) }
        })
        .await
    };
    let leader = async {
        tokio::select! {
            answered = question() => anyhow::bail!("nobody can have answered: {answered:?}"),
            // What is dropped then hangs up.
            both = waiting(2) => both,
        }
    };
    let follower = async {
        waiting(1).await?;
        question().await
    };
    let ((), answered) = futures::try_join!(leader, follower)?;
    let answer = answered.json()?;
    assert!(answer["result"]["isError"] != true && answered.text.contains("kube-system"), "{}", answered.text);
    let asked = fleet.grants("corp", GrantType::TokenExchange);
    assert_eq!((asked.len(), fleet.seen("corp-1").len()), (2, 1), "one for who left, one for who stayed");
    let apart = asked[1].at.duration_since(asked[0].at)?;
    assert!(apart < GIVEN_UP, "at once, not when the first would have ended: {apart:?}");
    Ok(())
}

/// E12: the realm refuses after a while, so that all calls have come by then.
pub async fn e12_a_refusal_is_shared_and_soon_forgotten(case: &Case) -> anyhow::Result<()> {
    const KEPT: Duration = Duration::from_secs(5);
    let fleet = Fleet::start(case).await?;
    let realms = &fleet.crossing.realms;
    let slow = Fault::Delay(Duration::from_secs(2));
    realms.fault_grant("corp", GrantType::TokenExchange, slow, Some(1));
    realms.change_client("corp", testenv::crossing::CLIENT, |client| client.exchange = false);
    let alice = fleet.alice().await?;
    let asked = Instant::now();
    let all = join_all((0..15).map(|_| fails(&alice, "corp-1", "exchange_disabled"))).await;
    let all: BTreeSet<String> = all.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(all.len(), 1, "everybody hears the same: {all:?}");
    assert!(fleet.exchanges() == 1 || asked.elapsed() > KEPT, "{} exchanges", fleet.exchanges());
    realms.change_client("corp", testenv::crossing::CLIENT, |client| client.exchange = true);
    let mended = Instant::now();
    poll::until("the refusal to be forgotten", Duration::from_secs(30), || async {
        lists(&alice, "corp-1").await.map(drop).map_err(|error| format!("{error:#}"))
    })
    .await?;
    assert!(mended.elapsed() < KEPT + Duration::from_secs(10), "it is kept for 5 s at most: {:?}", mended.elapsed());
    assert_eq!(fleet.seen("corp-1").len(), 1);
    Ok(())
}

/// E13: an audience more, another way of our client to show who it is, and another strategy; each time, an exchange that is
/// under way at that moment comes to nothing.
pub async fn e13_a_reload_leaves_nothing_of_before(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let realms = &fleet.crossing.realms;
    let own = realms.token("corp", "alice", testenv::world::RESOURCE);
    let audiences = [testenv::world::RESOURCE, testenv::crossing::CLIENT, "kubernetes-corp-1"];
    let own = own.audiences(&audiences).mint();
    let alice = fleet.client(&own).await?;
    lists(&alice, "corp-1").await?;
    let first = fleet.crossing.config_text();
    let more = in_table(&first, "clusters.corp-1", "[\"kubernetes-corp-1\"]", "[\"kubernetes-corp-1\", \"further\"]");
    let post = in_table(&first, "realms.corp.client", "client_secret_basic", "client_secret_post");
    let passthrough = "strategy = \"passthrough\"\ni_accept_token_passthrough = true";
    let passthrough = in_table(&first, "clusters.corp-1", "strategy = \"exchange\"", passthrough);
    // The last one is the first again: what was obtained under it is not found.
    for (what, text) in [("an audience", more), ("our client", post), ("the strategy", passthrough), ("back", first)] {
        let before = fleet.seen("corp-1");
        fleet.crossing.clear();
        fleet.reload(|_| text).await.map_err(|error| error.context(what))?;
        assert_eq!(kept(&alice, "corp-1").await?, None, "{what}: nothing is kept");
        lists(&alice, "corp-1").await?;
        let seen = fleet.seen("corp-1");
        assert!(seen.len() == 1 && seen.is_disjoint(&before), "{what}: no token of before");
        if what == "the strategy" {
            assert_eq!((fleet.exchanges(), seen), (0, BTreeSet::from([digest(&own)])), "{what}");
        } else {
            assert_eq!(fleet.exchanges(), 1, "{what}");
        }
    }
    Ok(())
}

/// E15.
pub async fn e15_the_cache_is_bounded(_case: &Case) -> anyhow::Result<()> {
    unit::passes("pool::credential::keep::tests::e15_the_cache_is_bounded_by_bytes").await
}

/// E16.
pub async fn e16_a_clock_that_jumps_back_lengthens_nothing(_case: &Case) -> anyhow::Result<()> {
    unit::passes("pool::credential::keep::tests::e16_a_clock_that_jumps_back_makes_no_credential_last_longer").await
}
