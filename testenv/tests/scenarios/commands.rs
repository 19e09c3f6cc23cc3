//! What an operator tries first, from the command line, with realms configured.

use testenv::ferry;

use crate::lab::bench::{names, secret_file};
use crate::lab::scene::Scene;

/// `tools`, `call whoami` and a list, as the person of the token.
pub async fn whoami_tools_and_call_take_a_token_file(scene: &Scene) -> anyhow::Result<()> {
    let (folder, config) = (tempfile::tempdir()?, scene.world.config().display().to_string());
    let file = secret_file(folder.path(), "token", &scene.token("corp", "alice"))?.display().to_string();
    let who = ["--config", &config, "--token-file", &file];

    let ran = ferry::run(&[&["tools"], &who[..]].concat(), &[], None).await?;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let listed: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(listed.contains(&"namespaces_list") && listed.contains(&"whoami"), "{}", ran.stdout);
    let ran = ferry::run(&[&["tools", "--json"], &who[..]].concat(), &[], None).await?;
    let tools: serde_json::Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(tools.as_array().map(Vec::len), Some(listed.len()));

    let ran = ferry::run(&[&["call"], &who[..], &["whoami"]].concat(), &[], None).await?;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("alice") && ran.stdout.contains("corp"), "{}", ran.stdout);
    scene.assert_no_secret(&ran.stdout);
    for (cluster, username) in [("corp-1", "corp:alice"), ("dev", "corp:alice")] {
        let at = format!("cluster={cluster}");
        let ran = ferry::run(&[&["call"], &who[..], &["whoami", &at]].concat(), &[], None).await?;
        assert!(ran.code == 0 && ran.stdout.contains(username), "{cluster} takes alice for {username}: {ran:?}");
    }
    let ran = ferry::run(&[&["call"], &who[..], &["namespaces_list", "cluster=corp-1", "limit=3"]].concat(), &[], None)
        .await?;
    assert_eq!(names(&ran.stdout).len(), 3, "three names: {ran:?}");
    let env = [("KUBEFERRY_CONFIG", config.as_str()), ("KUBEFERRY_TOKEN_FILE", &file)];
    let ran = ferry::run(&["call", "clusters_list"], &env, None).await?;
    assert_eq!(names(&ran.stdout), ["corp-1", "dev", "kcp-eu"], "{ran:?}");
    Ok(())
}

/// Without a token, or with one that is not accepted, nothing is asked of any cluster.
pub async fn realms_need_a_token_file_that_is_accepted(scene: &Scene) -> anyhow::Result<()> {
    let (folder, config) = (tempfile::tempdir()?, scene.world.config().display().to_string());
    let expired = scene.world.realms.token("corp", "alice", testenv::world::RESOURCE).aged(7200, 3600).mint();
    scene.remember(&expired);
    let expired = secret_file(folder.path(), "expired", &expired)?.display().to_string();
    let garbage = secret_file(folder.path(), "garbage", "not a token")?.display().to_string();
    let who = ["--config", config.as_str()];
    for (more, says) in [
        (&[][..], "--token-file"),
        (&["--token-file", "/nonexistent/token"], "/nonexistent/token"),
        (&["--token-file", &expired], "expired"),
        (&["--token-file", &garbage], "token"),
    ] {
        for command in [&["call", "namespaces_list", "cluster=corp-1"][..], &["tools"], &["stdio"]] {
            let ran = ferry::run(&[command, &who[..], more].concat(), &[], None).await?;
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{command:?} {more:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(says), "{command:?} {more:?} says {says}: {}", ran.stderr);
            scene.assert_no_secret(&ran.stderr);
        }
    }
    scene.assert_untouched("no accepted token");
    Ok(())
}
