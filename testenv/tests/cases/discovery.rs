//! What a cluster serves changes, or cannot be read whole.

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use serde_json::json;
use testenv::mcp::{Client, Era};
use testenv::poll::pause;
use testenv::simulator::{Fault, ResourceType};
use testenv::world::RESOURCE;

use crate::lab::bench::{bad, good, names};
use crate::lab::case::Case;

/// A caller's view is looked at again at most this often.
const LOOKED_AT_AGAIN: Duration = Duration::from_secs(5);

/// R20: a kind that is installed after discovery was read.
pub async fn r20_a_new_kind_is_found_with_one_more_look(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    let ferry = case.ferry(&case.cluster("odd", simulator.url(), simulator.ca_pem())?).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let question = json!({"cluster": "odd", "kind": "gadgets", "namespace": "default"});
    let failed = bad(&client, "resources_list", question.clone()).await?;
    assert_eq!(failed.structured.unwrap_or_default()["code"], "kind_not_served", "{}", failed.text);
    simulator.cluster().register(ResourceType::custom("example.io", "v1", "Gadget", "gadgets"));
    pause(LOOKED_AT_AGAIN + Duration::from_secs(1)).await;
    simulator.clear_requests();
    try_join_all((0..8).map(|_| good(&client, "resources_list", question.clone()))).await?;
    let asked: Vec<String> = simulator.requests().into_iter().map(|request| request.target).collect();
    let looks = |path: &str| asked.iter().filter(|target| *target == path).count();
    assert_eq!((looks("/api"), looks("/apis")), (1, 1), "one look for all: {asked:?}");
    assert_eq!(asked.len(), 2 + 8, "{asked:?}");
    Ok(())
}

/// R21: the metrics API is registered, and the server behind it does not answer; as an API server shows it.
pub async fn r21_a_group_that_does_not_answer_is_named_and_others_work(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    let groups = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": [
        {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "freshness": "Current", "resources": [{
            "resource": "deployments", "responseKind": {"group": "", "version": "", "kind": "Deployment"},
            "scope": "Namespaced", "singularResource": "deployment", "verbs": ["get", "list"], "shortNames": ["deploy"]}]}]},
        {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]},
    ]});
    let body = Bytes::from(groups.to_string());
    let content_type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    simulator.inject("/apis", Fault::Garbage { content_type, body }, Some(1));
    let ferry = case.ferry(&case.cluster("odd", simulator.url(), simulator.ca_pem())?).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let failed = bad(&client, "resources_list", json!({"cluster": "odd", "kind": "nodes.metrics.k8s.io"})).await?;
    assert!(failed.text.contains("metrics.k8s.io/v1beta1 does not answer"), "the group is named: {}", failed.text);
    let listed =
        good(&client, "resources_list", json!({"cluster": "odd", "kind": "deploy", "namespace": "default"})).await;
    listed?;
    let listed = good(&client, "namespaces_list", json!({"cluster": "odd"})).await?;
    assert!(names(&listed.text).contains(&"default".to_owned()), "{}", listed.text);
    // Back again, it is found by whoever looks.
    simulator.heal();
    let token = case.token_for("corp", "alice", &[RESOURCE, "corp-1"]);
    let fresh = Client::http(ferry.url(), Some(&token), Era::Modern).await?;
    let failed = bad(&fresh, "resources_list", json!({"cluster": "odd", "kind": "nosuchthings"})).await?;
    assert!(!failed.text.contains("does not answer"), "{}", failed.text);
    Ok(())
}
