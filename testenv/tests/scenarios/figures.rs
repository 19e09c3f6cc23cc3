//! What a warm call costs the servers.

use serde_json::json;
use testenv::tap::Tap;

use crate::lab::bench::{good, names};
use crate::lab::scene::Scene;

/// One small call to a warm cluster is one request on a connection that is there.
pub async fn a_warm_call_is_one_request(scene: &Scene) -> anyhow::Result<()> {
    let client = scene.client("corp", "alice").await?;
    let question = json!({"cluster": "corp-1"});
    good(&client, "namespaces_list", question.clone()).await?;
    for _ in 0..3 {
        scene.clear();
        let listed = good(&client, "namespaces_list", question.clone()).await?;
        assert!(names(&listed.text).contains(&"team-a".to_owned()), "{}", listed.text);
        assert_costs(&scene.world.corp_1.tap, 1);
    }
    scene.clear();
    let get = json!({"cluster": "corp-1", "kind": "configmap", "namespace": "team-a", "name": "settings"});
    good(&client, "resources_get", get).await?;
    assert_costs(&scene.world.corp_1.tap, 1);
    Ok(())
}

/// A second caller is a header, not a connection.
pub async fn a_new_caller_on_a_warm_cluster_opens_no_connection(scene: &Scene) -> anyhow::Result<()> {
    let (alice, bob) = (scene.client("corp", "alice").await?, scene.client("corp", "bob").await?);
    good(&alice, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    scene.clear();
    let question = json!({"cluster": "corp-1", "kind": "configmaps", "namespace": "team-b"});
    good(&bob, "resources_list", question.clone()).await?;
    let tap = &scene.world.corp_1.tap;
    assert_eq!(tap.connections(), 0, "bob's first call opens no connection");
    assert!(tap.requests().len() <= 3, "discovery of his own and the list: {:?}", paths(tap));
    scene.clear();
    good(&bob, "resources_list", question).await?;
    assert_costs(tap, 1);
    Ok(())
}

/// The path of a workspace is resolved once.
pub async fn a_warm_call_to_a_workspace_by_path_is_one_request(scene: &Scene) -> anyhow::Result<()> {
    let client = scene.client("corp", "alice").await?;
    let question = json!({"cluster": "kcp-eu:root:org:team-a", "kind": "configmaps", "namespace": "default"});
    good(&client, "resources_list", question.clone()).await?;
    scene.clear();
    let listed = good(&client, "resources_list", question).await?;
    assert!(names(&listed.text).contains(&"here".to_owned()), "{}", listed.text);
    assert_costs(&scene.world.kcp.tap, 1);
    Ok(())
}

/// Who an impersonated caller is there is looked at once.
pub async fn an_impersonated_caller_is_checked_once(scene: &Scene) -> anyhow::Result<()> {
    let reviews = |tap: &Tap| tap.requests().iter().filter(|one| one.path.contains("selfsubjectreviews")).count();
    let tap = &scene.world.dev.tap;
    for (realm, user) in [("corp", "alice"), ("acme", "carol")] {
        let client = scene.client(realm, user).await?;
        scene.clear();
        good(&client, "namespaces_list", json!({"cluster": "dev"})).await?;
        assert_eq!(reviews(tap), 1, "{user}'s first call: {:?}", paths(tap));
        scene.clear();
        good(&client, "namespaces_list", json!({"cluster": "dev"})).await?;
        assert_costs(tap, 1);
    }
    Ok(())
}

fn assert_costs(tap: &Tap, requests: usize) {
    let seen = paths(tap);
    assert_eq!((seen.len(), tap.connections()), (requests, 0), "requests and new connections of a warm call: {seen:?}");
}

fn paths(tap: &Tap) -> Vec<String> {
    tap.requests().into_iter().map(|request| format!("{} {}", request.method, request.path)).collect()
}
