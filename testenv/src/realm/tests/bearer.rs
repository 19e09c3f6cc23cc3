//! Refusals and successes of the JWT authorization grant, as measured at a Keycloak.

use serde_json::json;

use super::pair::{Pair, claims, refused, token, words};
use crate::realm::{Algorithm, SigningKey, Style, TokenBuilder, uuid};

/// A good grant of alice that corp need not be asked for.
fn grant(pair: &Pair) -> TokenBuilder {
    pair.realms.token("corp", "alice", &pair.realms.issuer("plant"))
}

#[tokio::test]
async fn a_grant_becomes_a_token_of_the_linked_user() {
    let pair = Pair::start(Style::Keycloak).await;
    let answer = pair.leg_2(&pair.grant().await, &[("audience", "ignored"), ("resource", "too")]).await;
    let claims_of = claims(&token(&answer));
    assert_eq!(
        (&claims_of["iss"], &claims_of["aud"]),
        (&json!(pair.realms.issuer("plant")), &json!("kubernetes-plant-1"))
    );
    assert_eq!(claims_of["sub"], json!(pair.realms.user("plant", "alice-p").sub));
    assert_eq!((&claims_of["preferred_username"], &claims_of["groups"]), (&json!("alice-p"), &json!(["operators"])));
    assert!(claims_of["jti"].as_str().unwrap().starts_with("trrtag:") && claims_of.get("sid").is_none());
    assert_eq!(claims_of["exp"].as_i64().unwrap() - claims_of["iat"].as_i64().unwrap(), 300);
    assert_eq!(words(&answer.1["scope"]), ["email", "groups", "k8s-plant-1", "profile"]);
    assert!(answer.1.get("session_state").is_none() && answer.1.get("issued_token_type").is_none());

    let no_scope = token(&pair.leg_2(&pair.grant().await, &[("scope", "")]).await);
    assert!(claims(&no_scope).get("aud").is_none(), "a token without audience, as Keycloak's");
    let openid = pair.leg_2(&pair.grant().await, &[("scope", "openid k8s-plant-1")]).await;
    assert!(openid.1["id_token"].is_string());
    pair.realms.change_provider("plant", "corp", |provider| provider.limit_exp = true);
    let capped = claims(&token(&pair.leg_2(&grant(&pair).aged(0, 100).mint(), &[]).await));
    assert_eq!(capped["exp"].as_i64().unwrap() - capped["iat"].as_i64().unwrap(), 100);
}

#[tokio::test]
async fn audience_and_types_are_taken_as_keycloak_takes_them() {
    let pair = Pair::start(Style::Keycloak).await;
    let (issuer, endpoint) = (pair.realms.issuer("plant"), pair.realms.url("plant", crate::realm::Endpoint::Token));
    let good = grant(&pair);
    let taken = [
        good.clone().audiences(&[&issuer]),
        good.clone().audience(&endpoint),
        good.clone().header("typ", "logout+jwt").claim("typ", "ID"),
        good.clone().without_header("typ").without_claim("typ"),
        good.clone().aged(10, 86_400),
        good.clone().without_claim("iat").aged(0, 299),
    ];
    for (row, taken) in taken.into_iter().enumerate() {
        let answer = pair.leg_2(&taken.claim("jti", uuid()).mint(), &[]).await;
        assert_eq!(answer.0, 200, "row {row}: {}", answer.1);
    }
    pair.realms.change_client("plant", "fed-proxy", |client| {
        client.grant_audiences.insert("corp".into(), "my-aud".into());
    });
    assert_eq!(refused(&pair.leg_2(&good.mint(), &[]).await).2, "Invalid token audience");
    token(&pair.leg_2(&good.audience("my-aud").mint(), &[]).await);
}

#[tokio::test]
async fn each_refusal_has_keycloak_s_text_and_burns_nothing_before_the_id() {
    let pair = Pair::start(Style::Keycloak).await;
    let good = grant(&pair);
    let key = SigningKey::generate(Algorithm::Rs256);
    let slash = format!("{}/", pair.realms.issuer("plant"));
    let rows = [
        (String::new(), "Missing parameter:assertion"),
        ("x.y.z".to_owned(), "The provided assertion is not a valid JWT"),
        (good.clone().without_claim("iss").mint(), "Missing claim: iss"),
        (good.clone().without_claim("sub").mint(), "Missing claim: sub"),
        (good.clone().claim("iss", "https://x.example").mint(), "No Identity Provider for provided issuer"),
        (good.clone().signature(vec![1; 256]).mint(), "Invalid signature"),
        (good.clone().key(key.clone()).mint(), "Invalid signature"),
        (good.clone().signed_by(key, Algorithm::Rs256).mint(), "Invalid signature"),
        (good.clone().unsigned("none").mint(), "Invalid signature algorithm"),
        (good.clone().audience(&slash).mint(), "Invalid token audience"),
        (good.clone().without_claim("aud").mint(), "Invalid token audience"),
        (good.clone().audiences(&[&pair.realms.issuer("plant"), "x"]).mint(), "Multiple audiences not allowed"),
        (good.clone().audiences(&["y", "x"]).mint(), "Invalid token audience"),
        (good.clone().without_claim("exp").mint(), "Token exp claim is required"),
        (good.clone().aged(100, 99).mint(), "Token is not active"),
        (good.clone().claim("nbf", i64::MAX / 2).mint(), "Token is not active"),
        (good.clone().aged(-3, 300).mint(), "Token was issued in the future"),
        (good.clone().aged(302, 900).mint(), "Token was issued too far in the past to be used now"),
        (
            good.clone().aged(0, 400).without_claim("iat").mint(),
            "Token expiration is too far in the future and iat claim not present in token",
        ),
        (good.clone().without_claim("jti").mint(), "Token jti claim is required"),
    ];
    for (assertion, text) in rows {
        assert_eq!(refused(&pair.leg_2(&assertion, &[]).await), (400, "invalid_grant", text));
    }
    pair.realms.change_provider("plant", "corp", |provider| provider.validate_signature = false);
    let forged = good.clone().claim("sub", "nobody").signature(vec![1; 256]).mint();
    assert_eq!(refused(&pair.leg_2(&forged, &[]).await), (400, "invalid_grant", "User not found"));
    pair.realms.change_provider("plant", "corp", |provider| provider.validate_signature = true);
    let good = good.claim("jti", uuid());
    let assertion = good.mint();
    let wrong = pair.leg_2(&assertion, &[("client_secret", "wrong")]).await;
    assert_eq!(refused(&wrong), (401, "unauthorized_client", "Invalid client or Invalid client credentials"));
    for off in [0, 1, 2, 3] {
        pair.realms.change_provider("plant", "corp", |provider| {
            (provider.enabled, provider.grant_enabled) = (off != 0, off != 1);
        });
        pair.realms.change_client("plant", "fed-proxy", |client| {
            client.jwt_grant = [Some(vec!["corp".into()]), Some(vec!["corp".into()]), Some(vec![]), None][off].clone();
        });
        let text = [
            "No Identity Provider for provided issuer",
            "No Identity Provider for provided issuer",
            "Identity Provider is not allowed for the client",
            "JWT Authorization Grant is not supported for the requested client",
        ][off];
        assert_eq!(refused(&pair.leg_2(&assertion, &[]).await), (400, "invalid_grant", text));
    }
    pair.realms.change_client("plant", "fed-proxy", |client| client.jwt_grant = Some(vec!["corp".into()]));
    token(&pair.leg_2(&assertion, &[]).await);
}

#[tokio::test]
async fn a_grant_is_burnt_before_the_user_and_the_scope_are_looked_at() {
    let pair = Pair::start(Style::Keycloak).await;
    let realms = &pair.realms;
    let reused = (400, "invalid_grant", "Token reuse detected");
    let used = pair.grant().await;
    token(&pair.leg_2(&used, &[]).await);
    assert_eq!(refused(&pair.leg_2(&used, &[]).await), reused);
    let scoped = pair.grant().await;
    let answer = pair.leg_2(&scoped, &[("scope", "no-such")]).await;
    assert_eq!(refused(&answer), (400, "invalid_scope", "Invalid scopes: no-such"));
    assert_eq!(refused(&pair.leg_2(&scoped, &[]).await), reused);
    let states: [(&dyn Fn(bool), &str); 3] = [
        (&|on| realms.enable_user("plant", "alice-p", !on), "User is not enabled"),
        (&|on| realms.change_user("plant", "alice-p", |user| user.action_pending = on), "Account is not fully set up"),
        (
            &|on| match on {
                true => realms.unlink("plant", "alice-p", "corp"),
                false => realms.link("plant", "alice-p", "corp", &realms.user("corp", "alice").sub),
            },
            "User not found",
        ),
    ];
    for (set, text) in states {
        let grant = pair.grant().await;
        set(true);
        assert_eq!(refused(&pair.leg_2(&grant, &[]).await), (400, "invalid_grant", text));
        set(false);
        assert_eq!(refused(&pair.leg_2(&grant, &[]).await), reused, "after {text}");
    }
    token(&pair.leg_2(&pair.grant().await, &[]).await);
}

#[tokio::test]
async fn clocks_of_two_realms_differ() {
    let pair = Pair::start(Style::Keycloak).await;
    pair.realms.set_clock("corp", 5);
    let ahead = pair.grant().await;
    assert_eq!(refused(&pair.leg_2(&ahead, &[]).await).2, "Token was issued in the future");
    pair.realms.change_provider("plant", "corp", |provider| provider.clock_skew = 30);
    token(&pair.leg_2(&ahead, &[]).await);
    pair.realms.set_clock("corp", 0);
    pair.realms.set_clock("plant", 302);
    let long = grant(&pair).aged(0, 900).mint();
    assert_eq!(refused(&pair.leg_2(&long, &[]).await).2, "Token was issued too far in the past to be used now");
    assert_eq!(refused(&pair.leg_2(&pair.grant().await, &[]).await).2, "Token is not active");
}

#[tokio::test]
async fn an_issuer_elsewhere_comes_with_its_keys() {
    let pair = Pair::start(Style::Keycloak).await;
    let key = SigningKey::generate(Algorithm::Es256);
    pair.realms.add_provider(
        "plant",
        crate::realm::Provider {
            keys: Some(vec![key.jwk()]),
            ..crate::realm::Provider::new("far", "https://far.example")
        },
    );
    pair.realms.link("plant", "alice-p", "far", "someone");
    pair.realms.change_client("plant", "fed-proxy", |client| client.jwt_grant = Some(vec!["far".into()]));
    let grant = TokenBuilder::new("https://far.example", key, "someone", 60).audience(&pair.realms.issuer("plant"));
    assert_eq!(claims(&token(&pair.leg_2(&grant.mint(), &[]).await))["preferred_username"], "alice-p");
}
