//! Across two realms of a real Keycloak to real API servers: what arrives there, who may what, and what people are told to do
//! themselves. One fleet for all of these; each has it for itself, because they change its realms.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::keycloak::Admin;
use testenv::keycloak::fleet::{Cluster, Fleet};
use testenv::mcp::{Called, Client, Era, raw};
use testenv::poll;
use testenv::tap;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

use crate::lab::bench::{good, names};

/// Time for one scenario, beside the start of the fleet.
const SCENARIO: Duration = Duration::from_secs(240);
/// A failed exchange is not tried again for some seconds, and a server's log may be behind.
const SOON: Duration = Duration::from_secs(30);
/// A token younger than a minute is not answered with a challenge.
const OLD: Duration = Duration::from_secs(90);

/// What a scenario gets: the fleet, the program, and what it was told.
pub(super) struct Scene {
    pub(super) fleet: &'static Fleet,
    pub(super) ferry: Ferry,
    pub(super) secrets: [std::path::PathBuf; 2],
}

/// Runs a scenario to its end with the fleet for itself. After one that failed there is no fleet for the others.
pub(super) fn play(scenario: impl for<'a> FnOnce(&'a Scene) -> LocalBoxFuture<'a, anyhow::Result<()>>) {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static FLEET: OnceCell<Result<Fleet, String>> = OnceCell::const_new();
    static TURN: Mutex<()> = Mutex::const_new(());
    static SPOILT: AtomicBool = AtomicBool::new(false);
    /// However a scenario ends before its end, a realm may be left as it broke it.
    struct Ended(bool);
    impl Drop for Ended {
        fn drop(&mut self) {
            SPOILT.fetch_or(!self.0, Ordering::Relaxed);
        }
    }
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime starts")).block_on(async {
        let _turn = TURN.lock().await;
        let spoilt = SPOILT.load(Ordering::Relaxed);
        assert!(!spoilt, "another scenario failed and may have left the realms broken: see there");
        let start = async || Fleet::start().await.map_err(|error| format!("{error:#}"));
        let fleet = FLEET.get_or_init(start).await;
        let fleet = fleet.as_ref().unwrap_or_else(|error| panic!("the fleet does not start: {error}"));
        let (config, secrets) = fleet.config().expect("the folder of the fleet can be written");
        let ferry = Ferry::start(Some(&config), &[("KUBEFERRY_LOG", "trace")]).await;
        let ferry = ferry.unwrap_or_else(|error| panic!("kubeferry does not start: {error:#}"));
        let scene = Scene { fleet, ferry, secrets };
        fleet.clear();
        let mut ended = Ended(false);
        let played = tokio::time::timeout(SCENARIO, scenario(&scene)).await;
        let log = scene.ferry.log();
        let tail = || crate::lab::scene::tail(&log);
        match played {
            Ok(Ok(())) => ended.0 = true,
            Ok(Err(error)) => panic!("{error:#}\n{}", tail()),
            Err(_elapsed) => panic!("the scenario did not end within {SCENARIO:?}\n{}", tail()),
        }
        for realm in ["corp", "plant"] {
            assert!(!log.contains(fleet.keycloak.client_secret(realm)), "our secret at {realm} is in the log");
        }
        assert!(!log.contains("eyJ"), "a token is in the log");
    });
}

impl Scene {
    pub(super) fn admin(&self) -> &Admin {
        self.fleet.keycloak.admin()
    }

    /// Signs in and connects.
    pub(super) async fn client(&self, user: &str) -> anyhow::Result<(Client, String)> {
        let token = self.fleet.sign_in(user).await?;
        Ok((Client::http(self.ferry.url(), Some(&token), Era::Modern).await?, token))
    }

    /// Calls until it succeeds: a failure is kept for some seconds.
    pub(super) async fn until_good(&self, client: &Client, cluster: &str) -> anyhow::Result<Called> {
        poll::until(&format!("{cluster} to answer"), SOON, || async {
            good(client, "namespaces_list", json!({"cluster": cluster})).await.map_err(|error| format!("{error:#}"))
        })
        .await
    }

    /// What kubeferry logged of the tokens that it got: their ids.
    fn issued(&self) -> BTreeSet<String> {
        let log = self.ferry.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ids = lines.filter_map(|line| Some(line["jti"].as_str()?.to_owned()));
        ids.collect()
    }

    /// The audit events of a request that kubeferry made there for this user.
    async fn audited(&self, cluster: &Cluster, user: &str, path: &str) -> anyhow::Result<Vec<Value>> {
        poll::until(&format!("{user} in the audit log of {}", cluster.name), SOON, || async {
            let events = cluster.server.audit_events().map_err(|error| format!("{error:#}"))?;
            let seen = |event: &Value| {
                event["user"]["username"] == user
                    && event["requestURI"].as_str().is_some_and(|uri| uri.split('?').next() == Some(path))
            };
            let found: Vec<Value> = events.into_iter().filter(seen).collect();
            if found.is_empty() { Err(format!("no request of {path}")) } else { Ok(found) }
        })
        .await
    }
}

/// The ids of the credential that a server saw.
fn credential_ids(event: &Value) -> Vec<&str> {
    let ids = event["user"]["extra"]["authentication.kubernetes.io/credential-id"].as_array();
    ids.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A user of corp is, at the API server of plant, the linked user of plant; each token goes to its own server only.
#[test]
#[ignore = "needs real control planes: scripts/test"]
fn a_user_of_corp_is_the_linked_user_at_plant() {
    play(|scene| {
        Box::pin(async move {
            let Fleet { corp_1, plant_1, .. } = scene.fleet;
            let (alice, inbound) = scene.client("alice").await?;
            let listed = good(&alice, "namespaces_list", json!({"cluster": "plant-1"})).await?;
            assert!(names(&listed.text).contains(&"line".to_owned()), "{}", listed.text);
            let settings = json!({"cluster": "plant-1", "kind": "ConfigMap", "namespace": "line"});
            good(&alice, "resources_list", settings).await?;
            let secrets = json!({"cluster": "plant-1", "kind": "Secret", "namespace": "line"});
            let refused = alice.call("resources_list", secrets).await?;
            assert!(refused.is_error && refused.text.contains("plant:alice"), "RBAC decides: {}", refused.text);
            let listed = good(&alice, "namespaces_list", json!({"cluster": "corp-1"})).await?;
            assert!(names(&listed.text).contains(&"office".to_owned()), "{}", listed.text);

            let issued = scene.issued();
            for (cluster, user, groups) in [
                (corp_1, "corp:alice", &["corp:dev", "corp:ops"][..]),
                (plant_1, "plant:alice", &["plant:operators"][..]),
            ] {
                // The fleet itself looked as alice once, with a token of its own.
                let events = scene.audited(cluster, user, "/api/v1/namespaces").await?;
                let ours = events.iter().find(|event| {
                    let ids = credential_ids(event);
                    ids.len() == 1 && ids[0].strip_prefix("JTI=").is_some_and(|id| issued.contains(id))
                });
                let ours = ours.with_context(|| format!("{}: {events:?} are none of {issued:?}", cluster.name))?;
                let seen: Vec<&str> =
                    ours["user"]["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                for group in groups {
                    assert!(seen.contains(group), "{}: {seen:?}", cluster.name);
                }
            }

            let [at_corp, at_plant] = [corp_1, plant_1].map(|cluster| cluster.tap.token_digests());
            assert!(at_corp.len() == 1 && at_plant.len() == 1, "one token each: {at_corp:?} {at_plant:?}");
            assert!(at_corp.is_disjoint(&at_plant), "a token reached two servers");
            let inbound = tap::digest(&inbound);
            assert!(!at_corp.contains(&inbound) && !at_plant.contains(&inbound), "the caller's own token left");
            Ok(())
        })
    });
}

/// Who is not linked is told how to be, and then served.
#[test]
#[ignore = "needs real control planes: scripts/test"]
fn who_is_not_linked_follows_the_fix() {
    play(|scene| {
        Box::pin(async move {
            let (bob, _) = scene.client("bob").await?;
            let refused = refused(&bob, "plant-1", "subject_not_linked").await?;
            assert!(scene.fleet.plant_1.tap.token_digests().is_empty(), "nothing was asked in his name");
            // As printed: the path below the realm, with its placeholders, and the whole body.
            ensure!(refused.contains("in realm plant, link your account to corp"), "{refused}");
            let request = refused.split_once("POST ").and_then(|(_, request)| request.split_once(' '));
            let (path, body) = request.with_context(|| format!("a path and a body: {refused}"))?;
            let user = scene.admin().user("plant", "bob").await?;
            let id = user.rsplit('/').next().unwrap_or_default();
            let path = format!("/plant/{}", path.replace("<id>", id).replace("<alias>", "corp"));
            let body: Value = serde_json::from_str(body).with_context(|| format!("the body is JSON: {body}"))?;
            scene.admin().post(&path, &body).await?;
            let listed = scene.until_good(&bob, "plant-1").await;
            scene.admin().delete(&path).await?;
            assert!(names(&listed?.text).contains(&"line".to_owned()));
            scene.audited(&scene.fleet.plant_1, "plant:bob", "/api/v1/namespaces").await?;
            Ok(())
        })
    });
}

/// Calls what must fail with that code; answers the text.
pub(super) async fn refused(client: &Client, cluster: &str, code: &str) -> anyhow::Result<String> {
    let called = client.call("namespaces_list", json!({"cluster": cluster})).await?;
    let twin = called.structured.unwrap_or_default();
    ensure!(called.is_error && twin["code"] == code, "{cluster} was to refuse with {code}: {twin} {}", called.text);
    Ok(called.text)
}

/// Who signed out, or whose account is switched off, signs in again: an HTTP 401 that clients understand, once the token is
/// old enough for a new one to help.
#[test]
#[ignore = "needs real control planes: scripts/test"]
fn who_signed_out_is_told_to_sign_in_again() {
    play(|scene| {
        Box::pin(async move {
            let admin = scene.admin();
            let user = admin.user("corp", "alice").await?;
            let call = async |token: &str, cluster: &str| {
                raw::tools_call(scene.ferry.url(), Some(token), "namespaces_list", json!({"cluster": cluster})).await
            };
            let challenged = |reply: &raw::Reply| {
                let challenge = reply.header("www-authenticate");
                reply.status == 401 && challenge.contains("invalid_token") && challenge.contains("resource_metadata")
            };
            let [first, second] = [scene.fleet.sign_in("alice").await?, scene.fleet.sign_in("alice").await?];
            admin.post(&format!("{user}/logout"), &json!({})).await?;
            let reply = call(&first, "corp-1").await?;
            ensure!(reply.status == 200 && reply.text.contains("sign_in_again"), "a new token: {}", reply.text);
            poll::until("a token to be old enough", OLD, || async {
                let reply = call(&first, "corp-1").await.map_err(|error| format!("{error:#}"))?;
                if challenged(&reply) {
                    return Ok(());
                }
                poll::pause(Duration::from_secs(2)).await;
                Err(format!("{} {:?} {}", reply.status, reply.headers, reply.text))
            })
            .await?;
            let reply = call(&second, "plant-1").await?;
            ensure!(challenged(&reply), "leg 1 as well: {} {}", reply.status, reply.text);

            let again = scene.fleet.sign_in("alice").await?;
            for cluster in ["corp-1", "plant-1"] {
                let reply = call(&again, cluster).await?;
                ensure!(reply.status == 200 && !reply.text.contains("\"isError\":true"), "{}", reply.text);
            }
            let other = scene.fleet.sign_in("alice").await?;
            admin.change(&user, |user| user["enabled"] = false.into()).await?;
            let reply = call(&other, "corp-1").await;
            admin.change(&user, |user| user["enabled"] = true.into()).await?;
            let text = reply?.text;
            ensure!(text.contains("sign_in_again"), "a person who is switched off: {text}");
            Ok(())
        })
    });
}
