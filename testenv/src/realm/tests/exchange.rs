//! Refusals and successes of the exchange, as measured at a Keycloak.

use std::time::Duration;

use serde_json::json;

use super::pair::{ACCESS_TOKEN, Pair, claims, refused, token, words};
use super::part;
use crate::realm::{AuthMethod, Client, Fault, GrantType, Scope, SigningKey, Style};
use crate::tap::digest;

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

#[tokio::test]
async fn a_token_is_exchanged_for_one_audience() {
    let pair = Pair::start(Style::Keycloak).await;
    let inbound = pair.inbound();
    let grant = pair.leg_1(&inbound, &[("resource", "https://x.example"), ("actor_token", "x")]).await;
    let (now, was) = (claims(&token(&grant)), claims(&inbound));
    assert_eq!(part(&token(&grant), 0), json!({"alg": "RS256", "typ": "JWT", "kid": pair.corp_key().kid()}));
    assert_eq!((&now["aud"], &now["azp"]), (&json!(pair.realms.issuer("plant")), &json!("fed-proxy")));
    assert_eq!((&now["iss"], &now["sub"], &now["sid"]), (&was["iss"], &was["sub"], &was["sid"]));
    assert_eq!(now["exp"].as_i64().unwrap() - now["iat"].as_i64().unwrap(), 240);
    assert!(now["jti"].as_str().unwrap().starts_with("ntrtte:") && now.get("act").is_none());
    assert_eq!(words(&grant.1["scope"]), ["access-plant", "email", "groups", "profile"]);
    assert_eq!(
        (&grant.1["issued_token_type"], &grant.1["token_type"], &grant.1["expires_in"]),
        (&json!(ACCESS_TOKEN), &json!("Bearer"), &json!(240))
    );
    assert_eq!(grant.1["session_state"], now["sid"]);
    assert!(grant.1.get("refresh_token").is_none());

    let same = [("audience", "kubernetes-corp-1"), ("scope", "k8s-corp-1")];
    assert_eq!(claims(&token(&pair.leg_1(&inbound, &same).await))["aud"], "kubernetes-corp-1");
    let nothing = [("audience", ""), ("scope", "")];
    assert!(claims(&token(&pair.leg_1(&inbound, &nothing).await)).get("aud").is_none());
    // A grant was issued to this client, which may exchange it again though it is for another audience.
    token(&pair.leg_1(&token(&grant), &same).await);
}

#[tokio::test]
async fn scopes_bring_audiences_and_audience_filters_them() {
    let pair = Pair::start(Style::Keycloak).await;
    let (inbound, plant) = (pair.inbound(), pair.realms.issuer("plant"));
    let both = ("scope", "access-plant k8s-corp-1");
    let all = claims(&token(&pair.leg_1(&inbound, &[("audience", ""), both]).await));
    let mut audiences: Vec<_> = all["aud"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    audiences.sort_unstable();
    assert_eq!(audiences, [plant.as_str(), "kubernetes-corp-1"]);
    assert_eq!(claims(&token(&pair.leg_1(&inbound, &[both]).await))["aud"], json!(plant));
    let twice = [("audience", plant.as_str()), ("audience", "kubernetes-corp-1"), both];
    assert_eq!(claims(&token(&pair.leg_1(&inbound, &twice).await))["aud"].as_array().unwrap().len(), 2);
    let one_is_missing = [twice[0], twice[1], ("scope", "access-plant")];
    let answer = pair.leg_1(&inbound, &one_is_missing).await;
    assert_eq!(refused(&answer).2, "Requested audience not available: kubernetes-corp-1");

    pair.realms.add_scope("corp", Scope::new("roles", &["account"]));
    pair.realms.change_client("corp", "fed-proxy", |client| client.default_scopes.push("roles".into()));
    let unfiltered = claims(&token(&pair.leg_1(&inbound, &[("audience", "")]).await));
    assert_eq!(unfiltered["aud"].as_array().unwrap().len(), 2);
    assert_eq!(claims(&token(&pair.leg_1(&inbound, &[]).await))["aud"], json!(plant));
}

#[tokio::test]
async fn each_refusal_has_keycloak_s_status_error_and_text() {
    let pair = Pair::start(Style::Keycloak).await;
    let plant = pair.realms.issuer("plant");
    let good = || pair.realms.token("corp", "alice", "fed-proxy");
    let id_token = good().claim("typ", "ID").mint();
    let foreign = pair.realms.mint("plant", "alice-p", "fed-proxy");
    let old = good().aged(400, 300).mint();
    let forged = good().signature(vec![7; 256]).mint();
    let other = pair.realms.mint("corp", "alice", "https://ferry.test/mcp");
    pair.realms.register("corp", Client { enabled: false, ..Client::public("off", &[]) });
    pair.realms.register("corp", Client::public("open", &["x"]).exchanges(&[]));
    let inbound = good().mint();
    let types = ["id_token", "jwt", "id-jag", "saml2", "refresh_token"];
    let types = types.map(|kind| format!("urn:ietf:params:oauth:token-type:{kind}"));
    let not_available = format!("Requested audience not available: {plant}");
    let access_only = (400, "invalid_request", "Parameter 'subject_token' supports access tokens only");
    let mut rows = vec![
        (vec![("subject_token", other.as_str())], (403, "access_denied", "Client is not within the token audience")),
        (vec![("audience", "nobody")], (400, "invalid_client", "Audience not found")),
        (vec![("audience", "off")], (400, "invalid_client", "Client disabled")),
        (vec![("scope", "k8s-corp-1")], (400, "invalid_request", not_available.as_str())),
        (vec![("scope", "no-such-scope")], (400, "invalid_scope", "Invalid scopes: no-such-scope")),
        (
            vec![("client_id", "open"), ("client_secret", "")],
            (400, "invalid_request", "Standard token exchange is not enabled for the requested client"),
        ),
        (vec![("subject_token_type", &types[0])], access_only),
        (vec![("subject_token_type", &types[1])], access_only),
        (
            vec![("subject_token", "")],
            (400, "invalid_request", "Parameter 'subject_token' required for standard token exchange"),
        ),
        (
            vec![("subject_token_type", "")],
            (400, "invalid_request", "Parameter 'subject_token_type' required for standard token exchange"),
        ),
        (
            vec![("client_secret", "wrong")],
            (401, "unauthorized_client", "Invalid client or Invalid client credentials"),
        ),
        (vec![("client_secret", "")], (401, "unauthorized_client", "Invalid client or Invalid client credentials")),
        (vec![("client_id", "")], (401, "invalid_client", "Invalid client or Invalid client credentials")),
        (vec![("client_id", "nobody")], (401, "invalid_client", "Invalid client or Invalid client credentials")),
        (vec![("client_id", "off")], (401, "invalid_client", "Invalid client or Invalid client credentials")),
        (vec![("grant_type", "magic")], (400, "unsupported_grant_type", "Unsupported grant_type")),
    ];
    for token in [id_token.as_str(), &foreign, &old, &forged, "x.y.z"] {
        rows.push((vec![("subject_token", token)], (400, "invalid_request", "Invalid token")));
    }
    for kind in &types[1..] {
        rows.push((vec![("requested_token_type", kind)], (400, "invalid_request", "requested_token_type unsupported")));
    }
    for (changes, expected) in rows {
        assert_eq!(refused(&pair.leg_1(&inbound, &changes).await), expected, "{changes:?}");
    }
    let id = pair.leg_1(&inbound, &[("requested_token_type", &types[0])]).await;
    assert_eq!((&id.1["token_type"], &claims(&token(&id))["aud"]), (&json!("N_A"), &json!("fed-proxy")));
    pair.realms.change_client("corp", "fed-proxy", |client| client.exchange = false);
    let text = "Standard token exchange is not enabled for the requested client";
    assert_eq!(refused(&pair.leg_1("x.y.z", &[]).await).2, text);
}

#[tokio::test]
async fn a_subject_that_ended_is_an_invalid_token() {
    let pair = Pair::start(Style::Keycloak).await;
    let invalid = (400, "invalid_request", "Invalid token");
    let (first, second) = (pair.inbound(), pair.inbound());
    pair.realms.revoke("corp", &first);
    assert_eq!(refused(&pair.leg_1(&first, &[]).await), invalid);
    let grant = token(&pair.leg_1(&second, &[]).await);
    pair.realms.log_out("corp", "alice");
    assert_eq!(refused(&pair.leg_1(&second, &[]).await), invalid);
    assert_eq!(refused(&pair.leg_1(&grant, &[]).await), invalid, "what was exchanged is of the same session");
    let third = pair.inbound();
    token(&pair.leg_1(&third, &[]).await);
    pair.realms.enable_user("corp", "alice", false);
    assert_eq!(refused(&pair.leg_1(&third, &[]).await), invalid);
    pair.realms.enable_user("corp", "alice", true);
    token(&pair.leg_1(&third, &[]).await);
    pair.realms.set_clock("corp", 301);
    assert_eq!(refused(&pair.leg_1(&third, &[]).await), invalid, "expired by the clock of the realm");
    let issued = |token: &str| claims(token)["iat"].as_i64().unwrap();
    assert!(issued(&pair.inbound()) - issued(&third) >= 301);
}

#[tokio::test]
async fn the_style_of_the_rfcs_gives_a_grant_of_its_own_type() {
    let pair = Pair::start(Style::Rfc).await;
    let inbound = pair.inbound();
    let grant = pair.leg_1(&inbound, &[("requested_token_type", JWT)]).await;
    assert_eq!((&grant.1["issued_token_type"], &grant.1["token_type"]), (&json!(JWT), &json!("N_A")));
    assert_eq!(grant.1["scope"], "access-plant", "no scope that was not asked for");
    let jwt = token(&grant);
    assert_eq!(part(&jwt, 0)["typ"], "authorization-grant+jwt");
    assert!(claims(&jwt).get("typ").is_none());
    assert_eq!(claims(&jwt)["aud"], json!(pair.realms.issuer("plant")));
    token(&pair.leg_2(&jwt, &[]).await);
    let many = [("requested_token_type", JWT), ("audience", ""), ("scope", "access-plant k8s-corp-1")];
    assert_eq!(refused(&pair.leg_1(&inbound, &many).await).1, "invalid_target");
    let access = pair.leg_1(&inbound, &[("requested_token_type", ACCESS_TOKEN)]).await;
    assert_eq!((&access.1["issued_token_type"], &access.1["token_type"]), (&json!(ACCESS_TOKEN), &json!("Bearer")));
}

#[tokio::test]
async fn the_next_answers_differ_as_told_and_the_log_holds_digests_only() {
    let pair = Pair::start(Style::Keycloak).await;
    let (inbound, exchange) = (pair.inbound(), GrantType::TokenExchange);
    pair.realms.edit_token("corp", exchange, Some(1), |token| token.claim("aud", json!(["a", "b"])));
    pair.realms.edit_answer("corp", exchange, Some(2), |answer, form| {
        answer["access_token"] = form["subject_token"].clone().into();
        answer["refresh_token"] = "r".into();
    });
    let same = pair.leg_1(&inbound, &[]).await;
    assert_eq!((token(&same), &same.1["refresh_token"]), (inbound.clone(), &json!("r")));
    assert_eq!(refused(&pair.leg_1("x.y.z", &[]).await).2, "Invalid token", "a refusal uses up no edit");
    assert_eq!(token(&pair.leg_1(&inbound, &[]).await), inbound);
    let good = token(&pair.leg_1(&inbound, &[]).await);
    assert_eq!(claims(&good)["aud"], json!(pair.realms.issuer("plant")));

    pair.realms.fault_grant("corp", exchange, Fault::come_back(503, 1), Some(1));
    pair.realms.fault_grant("corp", GrantType::JwtBearer, Fault::Status(500), None);
    let url = pair.realms.url("corp", crate::realm::Endpoint::Token);
    let form = [("grant_type", exchange.name())];
    let busy = pair.http.post(&url).form(&form).send().await.unwrap();
    assert_eq!((busy.status().as_u16(), busy.headers()["retry-after"].as_bytes()), (503, b"1".as_slice()));
    assert_eq!(busy.text().await.unwrap(), "Bootstrap in progress. Retry in 1 seconds.");
    pair.realms.fault_grant("corp", exchange, Fault::Hang, Some(1));
    let hung = pair.http.post(&url).form(&form).timeout(Duration::from_millis(200)).send().await;
    assert!(hung.unwrap_err().is_timeout());
    pair.realms.heal("corp");

    let log = pair.realms.grants("corp");
    assert_eq!(log.iter().map(|seen| seen.status).collect::<Vec<_>>(), [200, 400, 200, 200, 503, 401]);
    let last = &log[3];
    assert_eq!(
        (last.grant, last.method, last.client.as_deref()),
        (Some(exchange), Some(AuthMethod::Post), Some("fed-proxy"))
    );
    assert_eq!((&last.audiences, last.scope.as_deref()), (&vec![pair.realms.issuer("plant")], Some("access-plant")));
    assert_eq!((&last.subject, &last.token), (&Some(digest(&inbound)), &Some(digest(&good))));
    assert_eq!(last.jti.as_deref(), claims(&good)["jti"].as_str());
    assert_eq!(
        (log[1].error.as_deref(), log[1].description.as_deref()),
        (Some("invalid_request"), Some("Invalid token"))
    );
    let text = format!("{log:?}");
    assert!(!text.contains(&inbound) && !text.contains(&good) && !text.contains("s3cret"));
    pair.realms.clear();
    assert!(pair.realms.grants("corp").is_empty());
}

#[tokio::test]
async fn keys_of_the_realm_rotate_under_its_subjects() {
    let pair = Pair::start(Style::Keycloak).await;
    let inbound = pair.inbound();
    pair.realms.rotate("corp", true);
    token(&pair.leg_1(&inbound, &[]).await);
    pair.realms.set_keys("corp", vec![SigningKey::generate(crate::realm::Algorithm::Es256)]);
    assert_eq!(refused(&pair.leg_1(&inbound, &[]).await).2, "Invalid token");
}
