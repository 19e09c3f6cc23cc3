//! Rows of table B at the layer of key sets, and the life of verified tokens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::mint::Signer;
use super::{Door, MINUTE, algorithms, ask, claims};
use crate::auth::{Authenticator, Keys};
use crate::realm::Algorithm;

fn token(signer: &Signer, sub: usize) -> String {
    signer.sign(&signer.header(), &claims(&json!({"sub": format!("user-{sub}")})).to_string())
}

/// Lets a background fetch end.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test(start_paused = true)]
async fn b01_rotation_costs_one_fetch_and_no_caller() {
    let door = Door::new();
    let open = Arc::new(door.open());
    ask(&open, &token(&door.corp, 0)).await.unwrap();
    assert_eq!(door.source("corp").fetches(), 1);
    let next = Signer::p256("corp-2");
    door.source("corp").publish(Some(vec![door.corp.jwk(), next.jwk()]));
    let calls = (0..200).map(|n| {
        let (open, token) = (Arc::clone(&open), token(&next, n));
        tokio::spawn(async move { ask(&open, &token).await.is_ok() })
    });
    assert!(futures::future::join_all(calls).await.into_iter().all(|ok| ok.unwrap()));
    assert_eq!(door.source("corp").fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn b01_a_cancelled_caller_does_not_end_the_fetch() {
    let door = Door::new();
    let open = Arc::new(door.open());
    let first = tokio::time::timeout(Duration::from_millis(5), ask(&open, &token(&door.corp, 0))).await;
    assert!(first.is_err(), "cancelled while the keys are being read");
    ask(&open, &token(&door.corp, 1)).await.unwrap();
    assert_eq!(door.source("corp").fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn b02_random_kids_cost_one_fetch_in_30_s() {
    let door = Door::new();
    let open = door.open();
    for n in 0..1000 {
        let header = format!(r#"{{"alg":"ES256","kid":"random-{n}"}}"#);
        let error = ask(&open, &door.corp.sign(&header, &claims(&json!({})).to_string())).await.unwrap_err();
        assert_eq!(error.status(), 401);
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    assert!(
        door.source("corp").fetches() <= 2,
        "the first load and one for the unknown kids: {}",
        door.source("corp").fetches()
    );
    tokio::time::advance(MINUTE).await;
    ask(&open, &token(&Signer::p256("other"), 0)).await.unwrap_err();
    assert_eq!(door.source("corp").fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn b03_withdrawn_keys_end() {
    let door = Door::new();
    let open = door.open();
    let next = Signer::p256("corp-2");
    ask(&open, &token(&door.corp, 0)).await.unwrap();
    door.source("corp").publish(Some(vec![next.jwk()]));
    // Renewed in the background: this call does not wait and still sees the old key, the next one does not.
    tokio::time::advance(11 * MINUTE).await;
    ask(&open, &token(&door.corp, 1)).await.unwrap();
    settle().await;
    assert_eq!(ask(&open, &token(&door.corp, 2)).await.unwrap_err().status(), 401);
    ask(&open, &token(&next, 3)).await.unwrap();
    // After a long idle time not even one call sees the old key.
    door.source("corp").publish(Some(vec![door.corp.jwk()]));
    tokio::time::advance(40 * MINUTE).await;
    assert_eq!(ask(&open, &token(&next, 4)).await.unwrap_err().status(), 401);
}

#[tokio::test(start_paused = true)]
async fn b05_old_keys_are_kept_for_an_hour() {
    let door = Door::new();
    let open = door.open();
    ask(&open, &token(&door.corp, 0)).await.unwrap();
    door.source("corp").publish(None);
    for minutes in [11, 20, 20] {
        tokio::time::advance(minutes * MINUTE).await;
        ask(&open, &token(&door.corp, minutes as usize)).await.unwrap();
        settle().await;
    }
    let status = open.realm_status().remove(0);
    assert!(!status.ok && status.detail.contains("older keys"), "{}", status.detail);
    tokio::time::advance(10 * MINUTE).await;
    let error = ask(&open, &token(&door.corp, 4)).await.unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(error.retry_after().is_some() && open.challenge(None, &error).is_none());
    door.source("corp").publish(Some(vec![door.corp.jwk()]));
    tokio::time::advance(Duration::from_secs(6)).await;
    ask(&open, &token(&door.corp, 5)).await.unwrap();
    assert!(open.realm_status().remove(0).ok);
}

#[tokio::test]
async fn b06_unusable_keys_are_ignored() {
    let good = Signer::rsa("k");
    let with = |change: fn(&mut crate::realm::RawJwk)| {
        let mut jwk = good.jwk();
        change(&mut jwk);
        jwk
    };
    for bad in [
        with(|jwk| jwk.usage = Some("enc".to_owned())),
        with(|jwk| jwk.alg = Some("ES256".to_owned())),
        with(|jwk| jwk.alg = Some("RSA-OAEP".to_owned())),
        with(|jwk| jwk.alg = Some("HS256".to_owned())),
        with(|jwk| jwk.key_ops = Some(vec!["encrypt".to_owned()])),
        with(|jwk| jwk.kty = "oct".to_owned()),
        with(|jwk| jwk.kty = "EC".to_owned()),
        with(|jwk| jwk.n = jwk.n.as_ref().map(|n| n.chars().take(172).collect())),
        with(|jwk| jwk.n = None),
        with(|jwk| jwk.e = Some("!".to_owned())),
    ] {
        let door = Door::new().corp(algorithms(&Algorithm::ALL));
        door.source("corp").publish(Some(vec![bad.clone()]));
        let error = ask(&door.open(), &token(&good, 0)).await.unwrap_err();
        assert_eq!(error.status(), 503, "a realm with no usable key: {bad:?}");
        door.source("corp").publish(Some(vec![bad, door.corp.jwk()]));
        assert_eq!(ask(&door.open(), &token(&good, 0)).await.unwrap_err().status(), 401);
        door.source("corp").publish(Some(vec![good.jwk()]));
        door.accepts(&token(&good, 0)).await;
    }
}

#[tokio::test]
async fn b06_the_number_of_keys_is_bounded() {
    let door = Door::new();
    let many = (0..64).map(|n| Signer::p256(&format!("k{n}")).jwk()).chain([door.corp.jwk()]).collect();
    door.source("corp").publish(Some(many));
    door.refuses(&token(&door.corp, 0)).await;
}

#[tokio::test(start_paused = true)]
async fn b09_a_realm_that_comes_up_late() {
    let door = Door::new();
    door.source("corp").publish(None);
    let open = door.open();
    assert_eq!(door.source("corp").fetches(), 0, "nothing is asked at start");
    assert!(open.realm_status().remove(0).ok);
    for _ in 0..50 {
        assert_eq!(ask(&open, &token(&door.corp, 0)).await.unwrap_err().status(), 503);
    }
    assert_eq!(door.source("corp").fetches(), 1, "not one fetch for each call");
    door.source("corp").publish(Some(vec![door.corp.jwk()]));
    tokio::time::advance(Duration::from_secs(6)).await;
    ask(&open, &token(&door.corp, 0)).await.unwrap();
}

#[tokio::test]
async fn keys_survive_a_reload_that_leaves_the_realm_alone() {
    let door = Door::new();
    let keys = door.keys();
    let first = Authenticator::new(door.config.clone(), Arc::clone(&keys)).unwrap();
    ask(&first, &token(&door.corp, 0)).await.unwrap();
    let mut config = door.config.clone();
    config.generation = 2;
    config.realms[0].allowed_clients = vec!["desktop".to_owned()];
    let second = Authenticator::new(config.clone(), Arc::clone(&keys)).unwrap();
    ask(&second, &token(&door.corp, 0)).await.unwrap();
    assert_eq!(door.source("corp").fetches(), 1);
    config.realms[0].ca = Some(Arc::from(b"pem".as_slice()));
    let third = Authenticator::new(config, keys).unwrap();
    ask(&third, &token(&door.corp, 0)).await.unwrap();
    assert_eq!(door.source("corp").fetches(), 2, "another CA is another place to read keys from");
}

#[tokio::test]
async fn verified_tokens_are_kept_until_they_expire_or_are_forgotten() {
    let door = Door::new();
    let open = door.open();
    let token = token(&door.corp, 0);
    let caller = ask(&open, &token).await.unwrap();
    let digest = caller.principal().token_digest;
    let again = ask(&open, &token).await.unwrap();
    assert!(Arc::ptr_eq(caller.principal(), again.principal()));
    open.forget(&digest);
    let fresh = ask(&open, &token).await.unwrap();
    assert!(!Arc::ptr_eq(caller.principal(), fresh.principal()));

    let verified = &open.verified;
    let now = std::time::SystemTime::now();
    assert!(verified.get(&digest, now + Duration::from_secs(200)).is_some());
    assert!(verified.get(&digest, now + Duration::from_secs(301)).is_none(), "five minutes at most");
    assert!(verified.get(&digest, now - MINUTE).is_none(), "a clock that went back");
    let short = door.token(&json!({"exp": super::now() + 60}));
    let digest = ask(&open, &short).await.unwrap().principal().token_digest;
    assert!(verified.get(&digest, now + Duration::from_secs(80)).is_some());
    assert!(verified.get(&digest, now + Duration::from_secs(95)).is_none(), "exp and leeway are looked at on each hit");
}

#[test]
fn verified_tokens_are_bounded() {
    use crate::auth::local::LocalMode;
    use crate::auth::verified::Verified;
    let verified = Verified::new(1);
    let caller = LocalMode::Stdio.caller().unwrap();
    for n in 0u32..40_000 {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        verified.put(digest, &caller, std::time::SystemTime::now());
    }
    assert!(verified.len() <= 2 * 8192);
}

#[test]
fn mistakes_are_reported_together() {
    let mut door = Door::new();
    door.config.realms[0].algorithms.clear();
    door.config.realms[1].issuer.clear();
    door.config.home.push(super::name("nowhere"));
    let problems = Authenticator::new(door.config.clone(), door.keys()).unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["realms.corp.algorithms", "realms.plant.issuer", "server.home_realms"]);

    let mut door = Door::new();
    door.config.realms[0].issuer = "http://kc.corp.example".to_owned();
    door.config.realms[1].issuer = "http://kc.corp.example".to_owned();
    let problems = Authenticator::new(door.config.clone(), Arc::new(Keys::new())).unwrap_err();
    assert!(problems.iter().all(|problem| problem.what.contains("must be https")), "{problems:?}");
    let same = Authenticator::new(door.config.clone(), door.keys()).unwrap_err();
    assert!(same[0].what.contains("two home realms"));
}
