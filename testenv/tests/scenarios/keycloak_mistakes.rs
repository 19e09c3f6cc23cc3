//! Mistakes in the realms of a real Keycloak and in our configuration: each has its code and its fix, and the fix mends it.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::keycloak::FERRY_CLIENT;
use testenv::mcp::{Client, Era};

use super::keycloak::{Scene, play, refused};
use crate::lab::bench::names;

/// One object of a realm, what is broken in it, and what is then said.
struct Break {
    path: String,
    /// The broken value and where it is.
    pointer: &'static str,
    broken: Value,
    cluster: &'static str,
    code: &'static str,
    /// What the fix says to look at.
    fix: &'static str,
}

/// Each mistake in a realm has its code and its fix; the fix mends it.
#[test]
#[ignore = "needs real control planes: scripts/test"]
fn each_mistake_in_a_realm_is_mended_by_its_fix() {
    play(|scene| {
        Box::pin(async move {
            let admin = scene.admin();
            let [corp, plant] = [admin.client("corp", FERRY_CLIENT).await?, admin.client("plant", FERRY_CLIENT).await?];
            let audience = admin.client("corp", "kubernetes-corp-1").await?;
            let broken = |path: &str, pointer, broken, cluster, code, fix| Break {
                path: path.to_owned(),
                pointer,
                broken,
                cluster,
                code,
                fix,
            };
            let idp = "/plant/identity-provider/instances/corp";
            let strange = format!("{}/protocol/openid-connect/certs", scene.fleet.keycloak.issuer("plant"));
            let alice = admin.user("plant", "alice").await?;
            let switch = "/attributes/standard.token.exchange.enabled";
            let grant = "/attributes/oauth2.jwt.authorization.grant.enabled";
            let allowed = "/attributes/oauth2.jwt.authorization.grant.idp";
            for mistake in [
                broken(&corp, switch, json!("false"), "corp-1", "exchange_disabled", "Standard token exchange"),
                broken(&corp, switch, json!("false"), "plant-1", "exchange_disabled", "Standard token exchange"),
                broken(&audience, "/enabled", json!(false), "corp-1", "audience_unknown", "kubernetes-corp-1"),
                broken(&plant, grant, json!("false"), "plant-1", "grant_disabled", "JWT authorization grant"),
                broken(&plant, allowed, json!("another"), "plant-1", "trust_missing", "identity provider"),
                broken(idp, "/enabled", json!(false), "plant-1", "trust_missing", "enable it"),
                broken(idp, "/config/jwksUrl", json!(strange), "plant-1", "grant_signature", "current keys (JWKS URL)"),
                // Both realms have one clock: what it is compared with is shifted instead.
                broken(
                    idp,
                    "/config/jwtAuthorizationGrantAllowedClockSkew",
                    json!("-60"),
                    "plant-1",
                    "clock_skew",
                    "allow a clock skew",
                ),
                broken(&alice, "/enabled", json!(false), "plant-1", "subject_disabled", "enable the account"),
                broken(
                    &alice,
                    "/requiredActions",
                    json!(["UPDATE_PASSWORD"]),
                    "plant-1",
                    "subject_incomplete",
                    "required actions",
                ),
            ] {
                followed(scene, &mistake).await.with_context(|| format!("{} {}", mistake.pointer, mistake.code))?;
            }
            Ok(())
        })
    });
}

/// Breaks, calls, mends as the fix says, and calls again.
async fn followed(scene: &Scene, mistake: &Break) -> anyhow::Result<()> {
    let admin = scene.admin();
    let before = admin.get(&mistake.path).await?;
    let mut after = before.clone();
    let (inside, key) = mistake.pointer.rsplit_once('/').context("a pointer names a member")?;
    let place = after.pointer_mut(inside).with_context(|| format!("no {inside} in {before}"))?;
    // The config of an identity provider does not name what is as it starts with.
    place[key] = mistake.broken.clone();
    admin.put(&mistake.path, &after).await?;
    let outcome = async {
        let (alice, _) = scene.client("alice").await?;
        let text = refused(&alice, mistake.cluster, mistake.code).await?;
        ensure!(text.contains(mistake.fix), "the fix speaks of {}: {text}", mistake.fix);
        anyhow::Ok(alice)
    };
    let outcome = outcome.await;
    admin.put(&mistake.path, &before).await?;
    let listed = scene.until_good(&outcome?, mistake.cluster).await?;
    ensure!(!names(&listed.text).is_empty(), "{}", listed.text);
    Ok(())
}

/// A scope that our client lacks, or that brings no audience.
#[test]
#[ignore = "needs real control planes: scripts/test"]
fn a_scope_without_its_audience_is_mended_by_its_fix() {
    play(|scene| {
        Box::pin(async move {
            let admin = scene.admin();
            let client = admin.client("corp", FERRY_CLIENT).await?;
            let scope = admin.scope("corp", "k8s-corp-1").await?;
            let id = scope.rsplit('/').next().unwrap_or_default();
            let assigned = format!("{client}/optional-client-scopes/{id}");

            admin.delete(&assigned).await?;
            let outcome = async {
                let (alice, _) = scene.client("alice").await?;
                let text = refused(&alice, "corp-1", "scope_not_allowed").await?;
                ensure!(text.contains("optional scope k8s-corp-1"), "{text}");
                anyhow::Ok(alice)
            };
            let outcome = outcome.await;
            admin.put(&assigned, &json!({})).await?;
            scene.until_good(&outcome?, "corp-1").await?;

            let mappers = format!("{scope}/protocol-mappers/models");
            let kept = admin.get(&mappers).await?;
            let mapper = kept[0].clone();
            admin.delete(&format!("{mappers}/{}", mapper["id"].as_str().unwrap_or_default())).await?;
            let outcome = async {
                let (alice, _) = scene.client("alice").await?;
                let text = refused(&alice, "corp-1", "audience_unavailable").await?;
                ensure!(text.contains("audience mapper to kubernetes-corp-1"), "{text}");
                anyhow::Ok(alice)
            };
            let outcome = outcome.await;
            admin.post(&mappers, &mapper).await?;
            scene.until_good(&outcome?, "corp-1").await?;
            Ok(())
        })
    });
}

/// A token that is not for our client too is refused; with the mapper and a new token it works.
#[test]
#[ignore = "needs real control planes: scripts/test"]
fn a_token_that_is_not_for_our_client_is_mended_by_its_fix() {
    play(|scene| {
        Box::pin(async move {
            let admin = scene.admin();
            let mappers = format!("{}/protocol-mappers/models", admin.scope("corp", "mcp-resource").await?);
            let kept = admin.get(&mappers).await?;
            let mapper = kept.as_array().into_iter().flatten().find(|mapper| mapper["name"] == "exchange");
            let mapper = mapper.with_context(|| format!("no mapper for our client in {kept}"))?;
            admin.delete(&format!("{mappers}/{}", mapper["id"].as_str().unwrap_or_default())).await?;
            let outcome = async {
                let (alice, _) = scene.client("alice").await?;
                for cluster in ["corp-1", "plant-1"] {
                    let text = refused(&alice, cluster, "requester_not_in_audience").await?;
                    let fix = "add an audience mapper for our client to a scope of the client that people sign in with";
                    ensure!(text.contains("in realm corp") && text.contains(fix), "{text}");
                    ensure!(text.contains("then sign in again"), "{text}");
                }
                anyhow::Ok(())
            };
            let outcome = outcome.await;
            admin.post(&mappers, mapper).await?;
            outcome?;
            let (again, _) = scene.client("alice").await?;
            for cluster in ["corp-1", "plant-1"] {
                scene.until_good(&again, cluster).await?;
            }
            Ok(())
        })
    });
}

/// A link asks for grants that are for somebody else: once its audience is the issuer of the other realm, as the fix says,
/// and the file is read again, calls work.
#[test]
#[ignore = "needs real control planes: scripts/test"]
fn a_grant_for_another_audience_is_mended_by_its_fix() {
    play(|scene| {
        Box::pin(async move {
            let (config, _) = scene.fleet.config()?;
            let right = std::fs::read_to_string(&config)?;
            let issuer = scene.fleet.keycloak.issuer("plant");
            let request = format!("{{ audience = \"{issuer}\", scope = \"access-plant\" }}");
            let wrong = right.replace(&request, "{ audience = \"kubernetes-corp-1\", scope = \"k8s-corp-1\" }");
            ensure!(wrong != right, "the link has {request}: {right}");
            std::fs::write(&config, wrong)?;
            let ferry = Ferry::start(Some(&config), &[("KUBEFERRY_LOG", "trace")]).await?;
            let token = scene.fleet.sign_in("alice").await?;
            let alice = Client::http(ferry.url(), Some(&token), Era::Modern).await?;
            let text = refused(&alice, "plant-1", "grant_audience").await?;
            let fix = "request.audience of the link must equal the issuer of realm plant, exactly";
            ensure!(text.contains(fix), "{text}");
            std::fs::write(&config, right)?;
            ferry.signal("HUP").await?;
            scene.until_good(&alice, "plant-1").await?;
            ensure!(!ferry.log().contains("eyJ"), "a token is in the log");
            Ok(())
        })
    });
}

/// Our own secret is wrong at either realm: once the file holds the right one, calls work, without a restart.
#[test]
#[ignore = "needs real control planes: scripts/test"]
fn a_wrong_secret_is_mended_by_writing_the_file() {
    play(|scene| {
        Box::pin(async move {
            for (realm, file) in ["corp", "plant"].into_iter().zip(&scene.secrets) {
                let right = std::fs::read_to_string(file)?;
                std::fs::write(file, "wrong")?;
                let (alice, _) = scene.client("alice").await?;
                let text = refused(&alice, "plant-1", "client_refused").await?;
                ensure!(text.contains(&format!("our client at realm {realm}")), "{text}");
                std::fs::write(file, right)?;
                scene.until_good(&alice, "plant-1").await?;
            }
            Ok(())
        })
    });
}
