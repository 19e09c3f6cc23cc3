//! One person, an empty home and one kubeconfig of two contexts, one of them dead: no configuration at all.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use testenv::ferry::{self, Ferry};
use testenv::mcp::{Client, Era, raw};
use testenv::process::port;

use crate::lab::bench::{KubeContext, bad, good, home, names};
use crate::lab::scene::Scene;

/// Within this a dead cluster is explained: nobody listens there, so no timeout is waited for.
const EXPLAINED: Duration = Duration::from_secs(10);

/// A home with contexts `live` (corp-1, current) and `dead`.
fn two_contexts(scene: &Scene) -> anyhow::Result<TempDir> {
    let tap = &scene.world.corp_1.tap;
    let token = scene.world.token_for("corp", "alice", &["corp-1"]);
    scene.remember(&token);
    let dead = format!("https://127.0.0.1:{}", port::free()?);
    let context = |name, server| KubeContext { name, server, ca_pem: tap.ca_pem(), token: &token };
    home(&[context("live", &tap.url()), context("dead", &dead)])
}

/// Over stdio, as an assistant starts it.
pub async fn stdio_lists_the_live_context_and_explains_the_dead_one(scene: &Scene) -> anyhow::Result<()> {
    let home = two_contexts(scene)?;
    let home = home.path().display().to_string();
    for era in Era::BOTH {
        let client = Client::stdio(&["stdio"], &[("HOME", &home)], era).await?;
        one_answers_one_is_explained(&client).await?;
        scene.assert_no_secret(&client.close().await?);
    }
    Ok(())
}

/// Over HTTP, with the token that it keeps in the state folder.
pub async fn serve_lists_the_live_context_and_explains_the_dead_one(scene: &Scene) -> anyhow::Result<()> {
    let folder = two_contexts(scene)?;
    let home = folder.path().display().to_string();
    let local = Ferry::start(None, &[("HOME", &home), ("KUBEFERRY_LOG", "debug")]).await?;
    let file = folder.path().join(".local/state/kubeferry/local-token");
    assert!(local.printed().contains(&file.display().to_string()), "it says where the token is: {}", local.printed());
    assert!(local.printed().contains(local.url()), "and how to connect: {}", local.printed());
    let mode = std::fs::metadata(&file)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only this person can read the token");
    let token = std::fs::read_to_string(&file)?.trim().to_owned();
    scene.remember(&token);

    for wrong in [None, Some("wrong"), Some("")] {
        let reply = raw::tools_call(local.url(), wrong, "namespaces_list", json!({})).await?;
        assert_eq!(reply.status, 401, "{wrong:?}: {}", reply.text);
        let challenge = reply.header("www-authenticate");
        assert!(!challenge.contains("resource_metadata"), "there is no realm to sign in at: {challenge}");
    }
    let metadata = raw::get(&format!("{}/.well-known/oauth-protected-resource", local.base()), &[]).await?;
    assert_eq!(metadata.status, 404, "{}", metadata.text);

    for era in Era::BOTH {
        let client = Client::http(local.url(), Some(&token), era).await?;
        one_answers_one_is_explained(&client).await?;
    }
    let status = local.stop().await;
    assert!(status.success(), "SIGTERM ends it well: {status}");
    scene.assert_no_secret(&local.log());

    let again = Ferry::start(None, &[("HOME", &home)]).await?;
    let client = Client::http(again.url(), Some(&token), Era::Modern).await?;
    good(&client, "namespaces_list", json!({})).await?;
    Ok(())
}

/// From the command line.
pub async fn call_lists_the_live_context_and_explains_the_dead_one(scene: &Scene) -> anyhow::Result<()> {
    let home = two_contexts(scene)?;
    let home = home.path().display().to_string();
    let env = [("HOME", home.as_str())];
    for args in [
        &["call", "namespaces_list"][..],
        &["call", "namespaces_list", "cluster=live"],
        &["call", "namespaces_list", "context=live"],
    ] {
        let ran = ferry::run(args, &env, None).await?;
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
        assert!(names(&ran.stdout).contains(&"team-a".to_owned()), "{args:?}: {}", ran.stdout);
        assert_eq!(ran.stderr, "", "{args:?}: nothing to say beside the answer");
    }
    let started = Instant::now();
    let ran = ferry::run(&["call", "namespaces_list", "cluster=dead"], &env, None).await?;
    assert!(started.elapsed() < EXPLAINED, "it took {:?}", started.elapsed());
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    let reasons: Vec<&str> = ran.stderr.lines().filter(|line| !line.starts_with('{')).collect();
    assert!(matches!(reasons.as_slice(), [one] if explains(one)), "one line that explains: {}", ran.stderr);
    let config = std::path::Path::new(&home).join(".kube/config").display().to_string();
    let ran = ferry::run(&["call", "namespaces_list"], &[("KUBECONFIG", &config)], None).await?;
    assert!(ran.code == 0 && ran.stdout.contains("team-a"), "KUBECONFIG: {ran:?}");
    Ok(())
}

/// A line that names the cluster and says that nothing answers there.
fn explains(line: &str) -> bool {
    line.starts_with("dead: ") && line.contains("onnect")
}

async fn one_answers_one_is_explained(client: &Client) -> anyhow::Result<()> {
    let listed = good(client, "namespaces_list", json!({"cluster": "live"})).await?;
    assert!(names(&listed.text).contains(&"team-a".to_owned()), "{}", listed.text);
    let contexts = good(client, "configuration_contexts_list", json!({})).await?;
    assert_eq!(names(&contexts.text), ["dead", "live"], "{}", contexts.text);

    let started = Instant::now();
    let dead = async {
        let failed = bad(client, "namespaces_list", json!({"cluster": "dead"})).await?;
        anyhow::ensure!(started.elapsed() < EXPLAINED, "the dead cluster took {:?}", started.elapsed());
        anyhow::Ok(failed)
    };
    let live = async {
        let listed = good(client, "namespaces_list", json!({"context": "live"})).await?;
        anyhow::ensure!(started.elapsed() < Duration::from_secs(3), "the live cluster took {:?}", started.elapsed());
        anyhow::Ok(listed)
    };
    let (dead, _) = futures::try_join!(dead, live)?;
    assert!(explains(&dead.text), "the dead cluster is named and explained: {}", dead.text);
    assert_eq!(dead.structured.map(|twin| twin["kind"].clone()), Some(json!("unreachable")));

    // Without a target the kubeconfig's current-context counts, and the answer says so.
    let defaulted = good(client, "namespaces_list", json!({})).await?;
    let note = defaulted.text.lines().next().unwrap_or_default();
    assert!(note.starts_with('#') && note.contains("live"), "a defaulted target is said: {}", defaulted.text);
    let whoami = good(client, "whoami", json!({})).await?;
    assert!(whoami.text.contains("local"), "{}", whoami.text);
    Ok(())
}
