//! How long a kept token serves, and what a cluster's answer makes of it.

use serde_json::{Value, json};
use testenv::mcp::Client;
use testenv::poll;
use testenv::realm::GrantType;
use testenv::simulator::Fault;

use std::time::Duration;

use crate::lab::case::Case;
use crate::lab::crossing::{Fleet, fails, kept, lists};

/// A kept token ends this much before it would.
const MARGIN: u64 = 15;
/// What the way from a token's birth to the look at it may take on a busy machine, in seconds.
const ROOM: u64 = 30;

/// A token for corp-1 is kept, and for so many seconds at most.
async fn assert_kept(alice: &Client, at_most: u64, what: &str) -> anyhow::Result<()> {
    lists(alice, "corp-1").await?;
    let left = kept(alice, "corp-1").await?.unwrap_or_default();
    assert!(left <= at_most && left + ROOM >= at_most, "{what}: kept for {left} s of {at_most} s");
    Ok(())
}

/// Makes corp say a life that is none of its tokens'.
fn says(fleet: &Fleet<'_>, expires_in: Option<Value>) {
    fleet.crossing.realms.edit_answer("corp", GrantType::TokenExchange, None, move |answer, _| match &expires_in {
        Some(seconds) => answer["expires_in"] = seconds.clone(),
        None => drop(answer.as_object_mut().and_then(|answer| answer.remove("expires_in"))),
    });
}

/// Makes corp issue tokens that last so many seconds.
fn lasts(fleet: &Fleet<'_>, seconds: i64) {
    fleet
        .crossing
        .realms
        .change_client("corp", testenv::crossing::CLIENT, |client| client.token_lifetime = Some(seconds));
}

/// E06: both the issued token and the answer say an hour.
pub async fn e06_a_kept_token_ends_before_the_callers_own(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    lasts(&fleet, 3600);
    let own = fleet.crossing.realms.token("corp", "alice", testenv::world::RESOURCE);
    let own = own.audiences(&[testenv::world::RESOURCE, testenv::crossing::CLIENT]).aged(0, 120).mint();
    assert_kept(&fleet.client(&own).await?, 120 - MARGIN, "her token lasts 120 s").await?;
    assert_kept(&fleet.alice().await?, 300 - MARGIN, "her token lasts an hour").await
}

/// E07: the answer says an hour; then a token is seen to be replaced when its time is over.
pub async fn e07_a_kept_token_ends_before_it_is_over(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    lasts(&fleet, 60);
    says(&fleet, Some(json!(3600)));
    assert_kept(&fleet.alice().await?, 60 - MARGIN, "the token lasts 60 s").await?;

    lasts(&fleet, 18);
    let alice = fleet.alice().await?;
    fleet.crossing.clear();
    poll::until("a second token", Duration::from_secs(60), || async {
        lists(&alice, "corp-1").await.map_err(|error| format!("{error:#}"))?;
        if fleet.seen("corp-1").len() > 1 { Ok(()) } else { Err(format!("{} exchanges", fleet.exchanges())) }
    })
    .await?;
    // Another one is only had once the first is nearly over: 3 s, less a fifth of it.
    let asked = fleet.grants("corp", GrantType::TokenExchange);
    let apart = asked[1].at.duration_since(asked[0].at)?;
    assert!(apart > Duration::from_secs(1), "{apart:?}");
    Ok(())
}

/// E08.
pub async fn e08_a_life_that_makes_no_sense_serves_once(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    lasts(&fleet, 3600);
    for wrong in [json!(0), json!(-5), json!("300"), json!(2.5), json!(true)] {
        fleet.crossing.clear();
        says(&fleet, Some(wrong.clone()));
        let alice = fleet.alice().await?;
        for calls in 1..=2 {
            lists(&alice, "corp-1").await?;
            assert_eq!((fleet.exchanges(), fleet.seen("corp-1").len()), (calls, calls), "{wrong}: one for each call");
        }
        assert_eq!(kept(&alice, "corp-1").await?, None, "{wrong}: none is kept");
    }
    for sane in [None, Some(json!(u64::MAX)), Some(json!(10_000_000_000_u64))] {
        says(&fleet, sane.clone());
        assert_kept(&fleet.alice().await?, 300 - MARGIN, &format!("{sane:?}")).await?;
    }
    // Of the answer and the token, what ends first counts.
    says(&fleet, Some(json!(60)));
    assert_kept(&fleet.alice().await?, 60 - MARGIN, "the answer says 60 s").await?;
    says(&fleet, Some(json!(MARGIN)));
    let alice = fleet.alice().await?;
    lists(&alice, "corp-1").await?;
    assert_eq!(kept(&alice, "corp-1").await?, None, "nothing is left of it");
    Ok(())
}

/// The requests for namespaces that a cluster has seen: what each was shown, and how it was answered.
fn shown(fleet: &Fleet<'_>, cluster: &str) -> Vec<(Option<String>, Option<u16>)> {
    let requests = fleet.crossing.tap(cluster).requests().into_iter();
    let namespaces = requests.filter(|seen| seen.path.starts_with("/api/v1/namespaces"));
    namespaces.map(|seen| (seen.authorization, seen.status)).collect()
}

/// E09: once, and then always.
pub async fn e09_a_token_that_a_cluster_refuses_is_replaced_once(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let unauthorized = Fault::Status { code: 401, retry_after: None };
    for (cluster, realm) in [("corp-1", "corp"), ("plant-1", "plant")] {
        let alice = fleet.alice().await?;
        let simulator = fleet.crossing.simulator(cluster);
        lists(&alice, cluster).await?;
        fleet.crossing.clear();
        simulator.inject("/api/v1/namespaces", unauthorized.clone(), Some(1));
        lists(&alice, cluster).await?;
        let seen = shown(&fleet, cluster);
        let answers: Vec<_> = seen.iter().map(|(_, status)| *status).collect();
        assert_eq!(answers, [Some(401), Some(200)], "{cluster}: sent once more");
        assert_ne!(seen[0].0, seen[1].0, "{cluster}: with another token");
        assert_eq!(fleet.crossing.realms.grants(realm).len(), 1, "{cluster}: for which the realm was asked once");
        lists(&alice, cluster).await?;
        assert_eq!(shown(&fleet, cluster)[2].0, seen[1].0, "{cluster}: which is kept");

        let again = fleet.alice().await?;
        lists(&again, cluster).await?;
        fleet.crossing.clear();
        simulator.inject("/api/v1/namespaces", unauthorized.clone(), None);
        fails(&again, cluster, "cluster_rejected_credential").await?;
        let seen = shown(&fleet, cluster);
        assert!(seen.len() == 2 && seen[0].0 != seen[1].0, "{cluster}: a second 401 is said: {seen:?}");
        let asked = fleet.crossing.realms.grants(realm).len();
        fails(&again, cluster, "cluster_rejected_credential").await?;
        assert_eq!(fleet.crossing.realms.grants(realm).len(), asked, "{cluster}: the realm is not asked for each call");
        simulator.heal();
        lists(&again, cluster).await?;
    }
    Ok(())
}

/// E10: bob may not list namespaces.
pub async fn e10_what_is_forbidden_is_not_tried_with_another_token(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let bob = fleet.client(&fleet.token("bob")).await?;
    for calls in 1..=2 {
        fails(&bob, "corp-1", "forbidden").await?;
        let seen = shown(&fleet, "corp-1");
        assert!(seen.len() == calls && seen.iter().all(|(_, status)| *status == Some(403)), "{seen:?}");
        assert_eq!((fleet.exchanges(), fleet.seen("corp-1").len()), (1, 1), "the token is kept");
    }
    assert!(kept(&bob, "corp-1").await?.is_some());
    Ok(())
}
