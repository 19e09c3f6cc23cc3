//! Token exchange at one realm: what is asked, and what becomes of a realm that does not want or is not there.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use serde_json::json;
use testenv::crossing::{CLIENT, Crossing};
use testenv::mcp::raw;
use testenv::poll;
use testenv::realm::{Fault, GrantType, Style};
use testenv::tap::{Tap, digest};
use testenv::world::RESOURCE;

use crate::lab::case::Case;
use crate::lab::crossing::Fleet;
use crate::lab::exchanges::{Exchanges, decoded};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// How long a failure is given to all who ask.
const KEPT: Duration = Duration::from_secs(5);

/// C01.
pub async fn c01_an_exchange_asks_for_what_the_cluster_needs_and_nothing_else(case: &Case) -> anyhow::Result<()> {
    for style in [Style::Keycloak, Style::Rfc] {
        let corp = Exchanges::start_in(case, style).await?;
        let token = corp.fleet.token("alice");
        let client = corp.fleet.client(&token).await?;
        corp.clear();
        corp.serves(&client, "corp-1").await?;
        let exchanged = corp.exchanged();
        let [one] = exchanged.as_slice() else { anyhow::bail!("{style:?}: one exchange, not {}", exchanged.len()) };
        let mut sent: Vec<(&str, &str)> =
            one.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // Keycloak gives nothing else and is not asked for a type.
        sent.retain(|(name, _)| *name != "requested_token_type" || style == Style::Keycloak);
        let expected = [
            ("audience", "kubernetes-corp-1"),
            ("grant_type", GrantType::TokenExchange.name()),
            ("scope", "k8s-corp-1"),
            ("subject_token", token.as_str()),
            ("subject_token_type", ACCESS_TOKEN),
        ];
        assert_eq!(sent, expected, "{style:?}");
        let requested = one.form.get("requested_token_type").map(String::as_str);
        assert_eq!(requested, (style == Style::Rfc).then_some(ACCESS_TOKEN), "{style:?}");
        let [_, claims] = decoded(one.answer["access_token"].as_str().unwrap_or_default())?;
        assert_eq!(claims["aud"], "kubernetes-corp-1", "{style:?}");
        assert_eq!(claims["sub"], corp.fleet.crossing.realms.user("corp", "alice").sub.as_str(), "{style:?}");
        assert!(!corp.fleet.crossing.tap("corp-1").token_digests().contains(&digest(&token)), "{style:?}");
    }
    Ok(())
}

/// C08: what is more than was asked for is in the answer's `scope`.
pub async fn c08_a_wider_scope_is_refused_where_no_profile_expects_it(case: &Case) -> anyhow::Result<()> {
    let corp = Exchanges::start_in(case, Style::Rfc).await?;
    corp.answers(None, |answer, _| answer["scope"] = json!("k8s-corp-1 admin"));
    let refused = corp.refused("corp-1", "scope_wider").await?;
    assert!(refused.text.contains("\"admin\""), "{}", refused.text);
    corp.answers(None, |answer, _| answer["scope"] = json!(""));
    corp.works("corp-1").await?;

    let keycloak = Exchanges::start(case).await?;
    keycloak.works("corp-1").await?;
    assert!(
        keycloak.fleet.ferry.log().contains("brought the further scope"),
        "what its default scopes add is in the log"
    );
    Ok(())
}

/// C10: each said as OAuth has it, by corp's token endpoint.
pub async fn c10_a_refusal_says_what_to_mend_and_is_not_repeated(case: &Case) -> anyhow::Result<()> {
    let corp = Exchanges::start(case).await?;
    let unavailable = "Requested audience not available: kubernetes-corp-1";
    let outside = "Client is not within the token audience";
    for (status, error, description, code, fix) in [
        (400, "invalid_target", "", "audience_unavailable", "allow our client the audience kubernetes-corp-1"),
        (400, "invalid_request", unavailable, "audience_unavailable", "the optional scope k8s-corp-1"),
        (400, "invalid_request", "something else", "exchange_refused", "ask who runs realm corp"),
        (400, "invalid_scope", "", "scope_not_allowed", "the optional scope k8s-corp-1"),
        (401, "invalid_client", "", "client_refused", "check id, auth and the secret"),
        (403, "access_denied", outside, "requester_not_in_audience", "add an audience mapper for our client"),
    ] {
        let client = corp.fleet.alice().await?;
        corp.clear();
        let body = json!({"error": error, "error_description": description}).to_string();
        let fault = Fault::text(status, "application/json", &body);
        corp.fleet.crossing.realms.fault_grant("corp", GrantType::TokenExchange, fault, None);
        let began = Instant::now();
        let refused = corp.refuses(&client, "corp-1", code).await?;
        assert!(refused.text.contains("the token exchange at realm corp"), "the step: {}", refused.text);
        assert!(refused.text.contains(error) && refused.text.contains(fix), "{}", refused.text);
        assert_eq!(corp.fleet.exchanges(), 1, "{code}: not repeated");
        let again = corp.refuses(&client, "corp-1", code).await?;
        assert_eq!(again.text, refused.text, "the same for all who ask");
        let kept = began.elapsed().as_secs() / KEPT.as_secs();
        assert!(corp.fleet.exchanges() as u64 <= 1 + kept, "{code}: {} requests", corp.fleet.exchanges());
    }

    // A mended realm is asked again within seconds, by the same caller with the same token.
    let client = corp.fleet.alice().await?;
    let refusal = Fault::text(400, "application/json", r#"{"error":"invalid_target"}"#);
    corp.fleet.crossing.realms.fault_grant("corp", GrantType::TokenExchange, refusal, Some(1));
    corp.refuses(&client, "corp-1", "audience_unavailable").await?;
    corp.clear();
    poll::until("the refusal to be forgotten", 4 * KEPT, || async {
        corp.serves(&client, "corp-1").await.map_err(|error| format!("{error:#}"))
    })
    .await
}

/// C11.
pub async fn c11_a_realm_that_is_away_is_asked_twice_at_most(case: &Case) -> anyhow::Result<()> {
    let corp = Exchanges::start(case).await?;
    let exchange = GrantType::TokenExchange;
    for (what, fault, requests) in [
        ("500", Fault::Status(500), 1),
        ("502", Fault::Status(502), 1),
        ("503", Fault::Status(503), 2),
        ("reset", Fault::Reset, 2),
        ("silence", Fault::Hang, 2),
    ] {
        corp.clear();
        corp.fleet.crossing.realms.fault_grant("corp", exchange, fault, None);
        let began = Instant::now();
        let refused = corp.refused("corp-1", "realm_unavailable").await?;
        assert!(refused.text.contains("the token exchange"), "{what} names the step: {}", refused.text);
        assert_eq!(corp.fleet.exchanges(), requests, "{what}");
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: 5 s for each: {:?}", began.elapsed());
    }
    for fault in [Fault::Status(503), Fault::Reset] {
        corp.clear();
        corp.fleet.crossing.realms.fault_grant("corp", exchange, fault, Some(1));
        corp.works("corp-1").await?;
        assert_eq!(corp.fleet.exchanges(), 2, "the second attempt has it");
    }
    a_realm_without_an_answer_is_left_alone(&corp).await
}

/// The breaker: two requests of the first call and one of the second open it.
async fn a_realm_without_an_answer_is_left_alone(corp: &Exchanges<'_>) -> anyhow::Result<()> {
    /// The breaker lets one try after 5 to 6 s, and a failure is kept for 5 s.
    const BACK: Duration = Duration::from_secs(30);
    corp.clear();
    corp.fleet.crossing.realms.fault_grant("corp", GrantType::TokenExchange, Fault::Hang, None);
    for _ in 0..2 {
        corp.refused("corp-1", "realm_unavailable").await?;
    }
    assert_eq!(corp.fleet.exchanges(), 3, "the second call is not repeated");
    let began = Instant::now();
    let refused = corp.refused("corp-2", "realm_unavailable").await?;
    assert!(began.elapsed() < Duration::from_secs(3), "others do not wait: {:?}", began.elapsed());
    let after = refused.structured.and_then(|twin| twin["retry_after_ms"].as_u64());
    assert!(after.is_some_and(|after| (1..=6000).contains(&after)), "{after:?}");
    assert_eq!(corp.fleet.exchanges(), 3, "nor do they ask");
    corp.clear();
    poll::until("corp to be asked again", BACK, || async {
        corp.works("corp-1").await.map_err(|error| error.to_string())
    })
    .await
}

/// C12.
pub async fn c12_a_realm_that_says_when_is_believed(case: &Case) -> anyhow::Result<()> {
    for status in [429, 503] {
        let corp = Exchanges::start(case).await?;
        corp.clear();
        let fault = Fault::come_back(status, 40);
        corp.fleet.crossing.realms.fault_grant("corp", GrantType::TokenExchange, fault, None);
        let refused = corp.refused("corp-1", "realm_unavailable").await?;
        assert!(refused.text.contains("retry after 40000 ms"), "when: {}", refused.text);
        assert_eq!(refused.structured.map(|twin| twin["retry_after_ms"].clone()), Some(json!(40_000)));
        assert_eq!(corp.fleet.exchanges(), 1, "{status}: it is not asked again before");
        corp.fleet.crossing.realms.heal("corp");
        let other = corp.refused("corp-2", "realm_unavailable").await?;
        let after = other.structured.and_then(|twin| twin["retry_after_ms"].as_u64());
        assert!(after.is_some_and(|after| (1..40_000).contains(&after)), "{status}: {after:?}");
        assert_eq!(corp.fleet.exchanges(), 1, "{status}: nor for others");
    }
    let corp = Exchanges::start(case).await?;
    corp.clear();
    corp.fleet.crossing.realms.fault_grant("corp", GrantType::TokenExchange, Fault::come_back(503, 1), Some(1));
    let began = Instant::now();
    corp.works("corp-1").await?;
    assert!(began.elapsed() >= Duration::from_secs(1), "a second is waited for: {:?}", began.elapsed());
    assert_eq!(corp.fleet.exchanges(), 2);
    Ok(())
}

/// C14: the statuses that make a client send form and secret again.
pub async fn c14_a_redirect_is_refused_and_nothing_goes_there(case: &Case) -> anyhow::Result<()> {
    let corp = Exchanges::start(case).await?;
    let attacker = Tap::sink("attacker", 200).await?;
    for status in [301, 302, 307, 308] {
        corp.clear();
        let headers = vec![("location".to_owned(), format!("{}/token", attacker.url()))];
        let fault = Fault::Raw { status, headers, body: Bytes::new() };
        corp.fleet.crossing.realms.fault_grant("corp", GrantType::TokenExchange, fault, None);
        let refused = corp.refused("corp-1", "realm_redirects").await?;
        assert!(!refused.text.contains(&attacker.url()), "where to is not shown: {}", refused.text);
        assert_eq!(corp.fleet.exchanges(), 1, "{status}");
    }
    assert!(attacker.connections() == 0 && attacker.requests().is_empty(), "{:?}", attacker.requests());
    Ok(())
}

/// C22: with a token that was issued ten minutes ago.
pub async fn c22_a_token_that_is_nearly_over_is_sent_back_to_its_realm(case: &Case) -> anyhow::Result<()> {
    let corp = Exchanges::start(case).await?;
    let token = |left: i64| {
        let token = corp.fleet.crossing.realms.token("corp", "alice", RESOURCE);
        let token = token.audiences(&[RESOURCE, CLIENT]).aged(600, 600 + left).mint();
        case.remember(&token);
        token
    };
    corp.clear();
    let question = json!({"cluster": "corp-1"});
    let reply = raw::tools_call(corp.fleet.ferry.url(), Some(&token(5)), "namespaces_list", question.clone()).await?;
    assert_eq!(reply.status, 401, "{}", reply.text);
    let challenge = reply.header("www-authenticate");
    assert!(challenge.contains("invalid_token") && challenge.contains("ends within seconds"), "{challenge}");
    assert_eq!(corp.fleet.exchanges(), 0, "nothing is exchanged");
    corp.untouched()?;
    let reply = raw::tools_call(corp.fleet.ferry.url(), Some(&token(300)), "namespaces_list", question).await?;
    assert!(reply.status == 200 && reply.text.contains("default"), "{}", reply.text);
    Ok(())
}

/// I15.
pub async fn i15_what_goes_wrong_at_an_exchange_names_the_step_and_a_thousand_share_one(
    case: &Case,
) -> anyhow::Result<()> {
    let corp = Exchanges::start(case).await?;
    let drip = Fault::Drip(Duration::from_millis(100));
    let refusal = |status, body: &str| Fault::text(status, "application/json", body);
    for (what, fault, code) in [
        ("slow", drip, "realm_unavailable"),
        ("400", refusal(400, r#"{"error":"invalid_request"}"#), "exchange_refused"),
        ("200 with an error", refusal(200, r#"{"error":"invalid_request"}"#), "unusable_answer"),
    ] {
        corp.clear();
        corp.fleet.crossing.realms.fault_grant("corp", GrantType::TokenExchange, fault, None);
        let refused = corp.refused("corp-1", code).await?;
        assert!(refused.text.contains("the token exchange"), "{what}: {}", refused.text);
    }
    corp.clear();
    corp.tokens(|token| token.audience("kubernetes-corp-2"));
    let refused = corp.refused("corp-1", "token_audience").await?;
    assert!(refused.text.contains("the token exchange at realm corp"), "{}", refused.text);

    corp.clear();
    let client = corp.fleet.alice().await?;
    corp.fleet.crossing.realms.down().await;
    let refused = corp.refuses(&client, "corp-1", "realm_unavailable").await?;
    assert!(refused.text.contains("the token exchange"), "down: {}", refused.text);
    corp.fleet.crossing.realms.up().await?;

    corp.clear();
    corp.answers(None, |answer, _| answer["expires_in"] = json!(0));
    corp.works("corp-1").await?;
    a_thousand_share_one(case).await
}

async fn a_thousand_share_one(case: &Case) -> anyhow::Result<()> {
    const CALLS: usize = 1000;
    let fleet = Fleet::logging(case, Crossing::start().await?, "info", |text| {
        format!("{text}\n[limits]\ncaller_in_flight = 2000\ncaller_burst = 2000\ncluster_in_flight = 2000\n")
    });
    let corp = Exchanges::of(case, fleet.await?)?;
    // The connection to the realm is there: what a thousand calls take of a busy machine must not be the exchange's deadline.
    corp.works("corp-2").await?;
    let client = corp.fleet.alice().await?;
    corp.clear();
    let slow = Fault::Delay(Duration::from_millis(500));
    corp.fleet.crossing.realms.fault_grant("corp", GrantType::TokenExchange, slow, None);
    let calls = (0..CALLS).map(|_| client.call("namespaces_list", json!({"cluster": "corp-1"})));
    for called in try_join_all(calls).await? {
        anyhow::ensure!(!called.is_error, "{}", called.text);
    }
    assert_eq!(corp.fleet.exchanges(), 1, "one exchange for all");
    assert_eq!(corp.fleet.crossing.tap("corp-1").token_digests().len(), 1, "and one token");
    Ok(())
}
