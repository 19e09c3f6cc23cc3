//! Grants that are not what was asked for, tokens of somebody else, and realms that refuse: what is said, and that nothing
//! goes any further.

use serde_json::json;
use testenv::crossing::{CLIENT, Crossing};
use testenv::realm::{GrantType, Style, TokenBuilder};

use crate::lab::case::Case;
use crate::lab::crossing::{Fleet, fails, lists};

/// Seconds since 1970, so many from now.
fn in_seconds(seconds: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or_default() + seconds
}

/// The next grant that corp gives is edited; then the call fails with `code` and plant hears nothing of it.
async fn refused(
    fleet: &Fleet<'_>,
    what: &str,
    code: &str,
    edit: impl Fn(TokenBuilder) -> TokenBuilder + Send + Sync + 'static,
) -> anyhow::Result<String> {
    fleet.crossing.clear();
    fleet.crossing.realms.edit_token("corp", GrantType::TokenExchange, Some(1), edit);
    let said = fails(&fleet.alice().await?, "plant-1", code).await?;
    assert!(said.contains("leg 1") && said.contains("realm corp"), "{what}: {said}");
    assert_eq!((fleet.exchanges(), fleet.shown("plant")), (1, 0), "{what}: it ends there");
    fleet.assert_untouched("plant-1", what);
    Ok(said)
}

/// H02.
pub async fn h02_a_grant_is_for_the_other_realm_alone(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let [plant, lake] = ["plant", "lake"].map(|realm| fleet.crossing.realms.issuer(realm));
    let other = lake.clone();
    refused(&fleet, "for lake", "token_audience", move |token| token.audience(&other)).await?;
    let both = [plant.clone(), lake];
    refused(&fleet, "for both", "token_audience", move |token| token.audiences(&both.each_ref().map(String::as_str)))
        .await?;
    let twice = plant.clone();
    refused(&fleet, "for plant twice", "grant_audience", move |token| token.audiences(&[&twice, &twice])).await?;
    refused(&fleet, "for nobody", "token_audience", |token| token.without_claim("aud")).await?;

    fleet
        .crossing
        .realms
        .edit_token("corp", GrantType::TokenExchange, Some(1), move |token| token.audiences(&[&plant]));
    lists(&fleet.alice().await?, "plant-1").await?;
    Ok(())
}

/// H03.
pub async fn h03_a_grant_is_of_the_caller_and_does_not_last(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let acme = fleet.crossing.realms.issuer("acme");
    refused(&fleet, "of acme", "token_issuer", move |token| token.claim("iss", acme.clone())).await?;
    refused(&fleet, "without issuer", "token_issuer", |token| token.without_claim("iss")).await?;
    refused(&fleet, "without subject", "token_subject", |token| token.without_claim("sub")).await?;
    let bob = fleet.crossing.realms.user("corp", "bob").sub;
    refused(&fleet, "of bob", "token_subject", move |token| token.claim("sub", bob.clone())).await?;
    refused(&fleet, "without end", "token_lifetime", |token| token.without_claim("exp")).await?;
    refused(&fleet, "over", "token_lifetime", |token| token.claim("exp", in_seconds(-1))).await?;
    let said = refused(&fleet, "of an hour", "grant_lifetime", |token| token.claim("exp", in_seconds(3600))).await?;
    assert!(said.contains("longer than 30 minutes"), "{said}");

    let long = |token: TokenBuilder| token.claim("exp", in_seconds(25 * 60));
    fleet.crossing.realms.edit_token("corp", GrantType::TokenExchange, Some(1), long);
    lists(&fleet.alice().await?, "plant-1").await?;
    Ok(())
}

/// H04: a realm that honours `requested_token_type`, but says of the grant what a Keycloak says.
pub async fn h04_a_bearer_grant_needs_the_profile_keycloak(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::of(case, Crossing::start_in(Style::Rfc).await?, |text| text).await?;
    fleet.crossing.realms.edit_answer("corp", GrantType::TokenExchange, None, |answer, _| {
        answer["token_type"] = json!("Bearer");
        answer["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:access_token");
    });
    let said = fails(&fleet.alice().await?, "plant-1", "unusable_answer").await?;
    assert!(said.contains("profile = \"keycloak\""), "{said}");
    assert_eq!((fleet.exchanges(), fleet.shown("plant")), (1, 0));
    fleet.assert_untouched("plant-1", "the grant could not be used");

    // What it says is done; a realm of that profile is not asked for a type.
    fleet.reload(|text| text.replace("profile = \"rfc\"", "profile = \"keycloak\"")).await?;
    lists(&fleet.alice().await?, "plant-1").await?;
    Ok(())
}

/// H05: bob has no account at plant; then he has.
pub async fn h05_who_is_not_linked_is_told_how_to_be(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let sub = fleet.crossing.realms.user("corp", "bob").sub;
    let bob = fleet.client(&fleet.token("bob")).await?;
    let said = fails(&bob, "plant-1", "subject_not_linked").await?;
    for words in ["leg 2", "realm plant", "User not found", "link your account to corp", "federated-identity", &sub] {
        assert!(said.contains(words), "{words}: {said}");
    }
    fleet.assert_untouched("plant-1", "bob is not linked");

    fleet.crossing.realms.link("plant", "alice-p", "corp", &sub);
    lists(&fleet.client(&fleet.token("bob")).await?, "plant-1").await?;
    Ok(())
}

/// H08: each switch at plant that a chain needs is off once, and then on again as the answer says.
pub async fn h08_what_is_switched_off_at_the_other_realm_is_named(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let realms = &fleet.crossing.realms;
    let provider = |enabled, grant| {
        realms.change_provider("plant", "corp", move |corp| (corp.enabled, corp.grant_enabled) = (enabled, grant));
    };
    let client = |allowed: Option<&[&str]>| {
        let allowed = allowed.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
        realms.change_client("plant", CLIENT, move |client| client.jwt_grant = allowed);
    };
    let everything = || {
        provider(true, true);
        client(Some(&["corp"]));
    };
    let cases: [(&str, &dyn Fn(), &str, &str); 4] = [
        ("the provider", &|| provider(false, true), "trust_missing", "create an identity provider for issuer"),
        ("its grants", &|| provider(true, false), "trust_missing", "switch on its JWT authorization grant"),
        ("for our client", &|| client(Some(&[])), "trust_missing", "allow the identity provider of issuer"),
        (
            "our client's grants",
            &|| client(None),
            "grant_disabled",
            "switch on the JWT authorization grant at our client",
        ),
    ];
    for (what, switch_off, code, fix) in cases {
        fleet.crossing.clear();
        switch_off();
        let said = fails(&fleet.alice().await?, "plant-1", code).await?;
        assert!(said.contains(fix) && said.contains("realm plant"), "{what}: {said}");
        assert_eq!((fleet.exchanges(), fleet.shown("plant")), (1, 1), "{what}: it is not tried again");
        fleet.assert_untouched("plant-1", what);
        everything();
        lists(&fleet.alice().await?, "plant-1").await?;
    }
    Ok(())
}

/// H09.
pub async fn h09_a_token_of_somebody_else_is_not_used(case: &Case) -> anyhow::Result<()> {
    let fleet = Fleet::start(case).await?;
    let realms = &fleet.crossing.realms;
    // Who alice is at plant is known from here on.
    lists(&fleet.alice().await?, "plant-1").await?;
    let next = async |code: &str, edit: Box<dyn Fn(TokenBuilder) -> TokenBuilder + Send + Sync>| {
        fleet.crossing.clear();
        realms.edit_token("plant", GrantType::JwtBearer, Some(1), edit);
        let said = fails(&fleet.alice().await?, "plant-1", code).await?;
        assert!(said.contains("leg 2") && said.contains("realm plant"), "{said}");
        fleet.assert_untouched("plant-1", code);
        anyhow::Ok(said)
    };
    let corp = realms.issuer("corp");
    next("token_issuer", Box::new(move |token| token.claim("iss", corp.clone()))).await?;
    next("token_subject", Box::new(|token| token.without_claim("sub"))).await?;
    next("token_audience", Box::new(|token| token.audience("kubernetes-plant-2"))).await?;
    next("token_audience", Box::new(|token| token.without_claim("aud"))).await?;
    let said = next("subject_changed", Box::new(|token| token.claim("sub", "somebody-else"))).await?;
    assert!(said.contains("another account for you than before"), "{said}");

    lists(&fleet.alice().await?, "plant-1").await?;
    Ok(())
}
