//! `kubeferry doctor` on realms that trust each other, and on ones that do not yet: without a person and without a person's
//! token.

use std::collections::BTreeMap;

use serde_json::Value;
use testenv::crossing::{CLIENT, Crossing};
use testenv::ferry;
use testenv::realm::{Endpoint, Fault, GrantType, Style};

use crate::lab::scene::Scene;

/// Findings by what they are about.
type Found = BTreeMap<String, Vec<Value>>;

async fn doctor(crossing: &Crossing) -> anyhow::Result<(i32, Found)> {
    doctor_with(crossing, &crossing.config_text()).await
}

async fn doctor_with(crossing: &Crossing, config: &str) -> anyhow::Result<(i32, Found)> {
    let text = config.replacen("[server]\n", "[server]\nlisten = \"127.0.0.1:0\"\n", 1);
    let config = crossing.config_of(&text).display().to_string();
    let ran = ferry::run(&["doctor", "--json", "--config", &config], &[], None).await?;
    for secret in ["corp.secret", "lake.secret"] {
        let secret = std::fs::read_to_string(crossing.folder().join(secret))?;
        assert!(!ran.stdout.contains(secret.trim()) && !ran.stderr.contains(secret.trim()), "{ran:?}");
    }
    assert!(!ran.stdout.contains("eyJ"), "no token: {}", ran.stdout);
    let mut by = Found::new();
    for one in serde_json::from_str::<Vec<Value>>(&ran.stdout)? {
        by.entry(one["about"].as_str().unwrap_or_default().to_owned()).or_default().push(one);
    }
    Ok((ran.code, by))
}

/// True when something of this level about `about` says all of `words`.
fn says(found: &Found, about: &str, level: &str, words: &[&str]) -> bool {
    found.get(about).is_some_and(|all| {
        all.iter().any(|one| {
            let text =
                format!("{} {}", one["said"].as_str().unwrap_or_default(), one["fix"].as_str().unwrap_or_default());
            one["level"] == level && words.iter().all(|word| text.contains(word))
        })
    })
}

/// Where all is set up, both clients, both links and everybody's access are fine; nothing of a person was asked for, and
/// clusters got no credential.
pub async fn links_that_work_are_fine_without_a_person(_scene: &Scene) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    let (code, found) = doctor(&crossing).await?;
    assert_eq!(code, 0, "{found:#?}");
    assert!(says(&found, "client corp", "ok", &[CLIENT, "may exchange tokens"]), "{found:#?}");
    for (link, target) in [("link corp-to-plant", "plant"), ("link corp-to-lake", "lake")] {
        let words = [&format!("realm {target} takes grants of realm corp")[..]];
        assert!(says(&found, link, "ok", &words), "{link}: {found:#?}");
    }
    let aud = "whether the tokens that people of realm corp sign in with name our client";
    assert!(says(&found, "client corp", "ok", &["first tried by a person's call", aud]), "{found:#?}");
    let later = ["first tried by a person's call", "account is linked", "the scope and audience of leg 2", aud];
    assert!(says(&found, "link corp-to-plant", "ok", &later), "{found:#?}");
    let issuer = crossing.realms.issuer("plant");
    let name = format!("{issuer}#<sub>");
    let access = ["callers of corp by chain corp-to-plant", "callers of acme not", "[realms.acme.client]", &name];
    assert!(says(&found, "access plant-1", "ok", &access), "{found:#?}");
    for site in &crossing.sites {
        let requests = site.tap.requests();
        assert!(requests.iter().all(|request| request.credentials.is_empty()), "{}: {requests:?}", site.name);
    }
    Ok(())
}

/// What is wrong at a realm has its code and its fix; once the fix is done, doctor is content.
pub async fn what_is_missing_at_a_realm_is_named_and_mended(_scene: &Scene) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    let realms = &crossing.realms;
    let secret = std::fs::read_to_string(crossing.folder().join("corp.secret"))?;
    realms.set_secret("corp", CLIENT, "another");
    let (code, found) = doctor(&crossing).await?;
    assert_eq!(code, 1, "{found:#?}");
    assert!(says(&found, "client corp", "failed", &["client_refused", "check id, auth"]), "{found:#?}");
    realms.set_secret("corp", CLIENT, secret.trim_end_matches('\n'));

    realms.change_client("corp", CLIENT, |client| client.exchange = false);
    let (_, found) = doctor(&crossing).await?;
    let words = ["exchange_disabled", "switch on Standard token exchange"];
    assert!(says(&found, "client corp", "failed", &words), "{found:#?}");
    assert!(says(&found, "link corp-to-plant", "failed", &words), "{found:#?}");
    realms.change_client("corp", CLIENT, |client| client.exchange = true);

    realms.change_client("plant", CLIENT, |client| client.jwt_grant = Some(Vec::new()));
    realms.change_provider("lake", "corp", |provider| provider.enabled = false);
    let (_, found) = doctor(&crossing).await?;
    let allow = ["trust_missing", "allow the identity provider of issuer"];
    assert!(says(&found, "link corp-to-plant", "failed", &allow), "{found:#?}");
    let create = ["trust_missing", "create an identity provider for issuer", "enable it"];
    assert!(says(&found, "link corp-to-lake", "failed", &create), "{found:#?}");
    realms.change_client("plant", CLIENT, |client| client.jwt_grant = None);
    realms.change_provider("lake", "corp", |provider| provider.enabled = true);
    let (_, found) = doctor(&crossing).await?;
    let switch = ["grant_disabled", "switch on the JWT authorization grant"];
    assert!(says(&found, "link corp-to-plant", "failed", &switch), "{found:#?}");
    assert!(found["link corp-to-lake"].iter().all(|one| one["level"] == "ok"), "{found:#?}");
    realms.change_client("plant", CLIENT, |client| client.jwt_grant = Some(vec!["corp".to_owned()]));

    realms.set_clock("corp", 5);
    let (_, found) = doctor(&crossing).await?;
    assert!(says(&found, "client corp", "warning", &["ahead of ours", "NTP"]), "{found:#?}");
    assert!(
        says(&found, "link corp-to-plant", "failed", &["clock_skew", "set the clocks of both realms"]),
        "{found:#?}"
    );
    realms.set_clock("corp", 0);

    let (code, found) = doctor(&crossing).await?;
    assert_eq!(code, 0, "{found:#?}");
    Ok(())
}

/// A realm that takes grants of anybody's making is the worst of all mistakes, and is never taken for a missing link.
pub async fn a_realm_that_checks_no_signature_fails(_scene: &Scene) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    crossing.realms.change_provider("plant", "corp", |provider| provider.validate_signature = false);
    let (code, found) = doctor(&crossing).await?;
    assert_eq!(code, 1, "{found:#?}");
    let issuer = crossing.realms.issuer("corp");
    let words = ["realm plant does not check signatures of grants", "set validateSignature", &issuer];
    assert!(says(&found, "link corp-to-plant", "failed", &words), "{found:#?}");
    let link = serde_json::to_string(&found["link corp-to-plant"])?;
    assert!(!link.contains("link your account") && !link.contains("subject_not_linked"), "{link}");
    assert!(found["link corp-to-lake"].iter().all(|one| one["level"] == "ok"), "{found:#?}");
    Ok(())
}

/// Our client without a service account, as `realm setup` makes it: trust is tried all the same, audience and scope are
/// only compared with what the realm publishes. A realm that does not answer is no such client.
pub async fn without_a_service_account_less_is_tried(_scene: &Scene) -> anyhow::Result<()> {
    const NONE: &str = "our client at realm corp has no service account";
    let crossing = Crossing::start().await?;
    let realms = &crossing.realms;
    realms.change_client("corp", CLIENT, |client| client.service_account = false);
    let (code, found) = doctor(&crossing).await?;
    assert_eq!(code, 0, "{found:#?}");
    for about in ["client corp", "link corp-to-plant", "link corp-to-lake"] {
        assert!(says(&found, about, "ok", &[NONE, "first tried by a person's call"]), "{about}: {found:#?}");
    }
    assert!(says(&found, "client corp", "ok", &["may exchange tokens"]), "{found:#?}");
    assert!(says(&found, "link corp-to-plant", "ok", &["realm plant takes grants of realm corp"]), "{found:#?}");

    let wrong = crossing.config_text().replace("access-lake", "access-nowhere");
    let (code, found) = doctor_with(&crossing, &wrong).await?;
    assert_eq!(code, 0, "what is only published is no proof: {found:#?}");
    let words = ["realm corp does not publish the scope", "access-nowhere", "optional scope of our client"];
    assert!(says(&found, "link corp-to-lake", "warning", &words), "{found:#?}");

    realms.fault_grant("corp", GrantType::ClientCredentials, Fault::Status(503), None);
    let (code, found) = doctor(&crossing).await?;
    assert_eq!(code, 1, "{found:#?}");
    for about in ["client corp", "link corp-to-plant"] {
        assert!(says(&found, about, "failed", &["service account", "realm_unavailable", "503"]), "{about}: {found:#?}");
        assert!(!says(&found, about, "ok", &[NONE]), "{about}: {found:#?}");
    }
    Ok(())
}

/// A scope that no realm has is met by a try, or by what the realm publishes; of a realm of another profile only that is
/// known.
pub async fn what_realms_publish_is_compared(_scene: &Scene) -> anyhow::Result<()> {
    let crossing = Crossing::start().await?;
    let wrong = crossing.config_text().replace("access-lake", "access-nowhere").replace("k8s-plant-1", "k8s-none");
    let (code, found) = doctor_with(&crossing, &wrong).await?;
    assert_eq!(code, 1, "{found:#?}");
    let words = ["scope_not_allowed", "give our client the optional scope access-nowhere"];
    assert!(says(&found, "link corp-to-lake", "failed", &words), "tried as our service account: {found:#?}");
    let words = ["realm plant does not publish the scope", "k8s-none", "kubernetes-plant-1"];
    assert!(says(&found, "link corp-to-plant", "warning", &words), "{found:#?}");

    let rfc = Crossing::start_in(Style::Rfc).await?;
    let (code, found) = doctor(&rfc).await?;
    assert_eq!(code, 0, "{found:#?}");
    for about in ["client corp", "link corp-to-plant", "link corp-to-lake"] {
        assert!(says(&found, about, "ok", &["only a hint"]), "{about}: {found:#?}");
    }
    assert_eq!(rfc.realms.fetches("corp", Endpoint::Token), 0, "nothing is tried");
    Ok(())
}
