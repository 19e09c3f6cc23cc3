//! What the fields of a kind mean, by the server's own OpenAPI documents.

use serde_json::{Value, json};

use crate::lab::bench::{bad, good, with_extra};
use crate::lab::scene::Scene;

/// A kind, a field of it, all fields below it, and a field that is not there; on a cluster and in a workspace.
pub async fn fields_of_a_kind_are_explained(scene: &Scene) -> anyhow::Result<()> {
    let (_ferry, alice) = with_extra(scene).await?;
    let at = |cluster: &str, mut question: Value| {
        question["cluster"] = cluster.into();
        question
    };
    let deployment = good(&alice, "resources_explain", at("corp-1", json!({"kind": "deploy"}))).await?.text;
    assert!(deployment.starts_with("Deployment apps/v1 <"), "{deployment}");
    assert!(deployment.contains("\nspec <"), "{deployment}");
    let spec = at("corp-1", json!({"kind": "Deployment", "field": "spec.template.spec"}));
    let spec = good(&alice, "resources_explain", spec).await?.text;
    assert!(spec.starts_with("Deployment apps/v1 spec.template.spec <PodSpec>"), "{spec}");
    let containers = spec.lines().find(|line| line.starts_with("containers <")).unwrap_or_default();
    assert!(containers.starts_with("containers <[]Container> required"), "{spec}");
    let image = at("corp-1", json!({"kind": "Pod", "apiVersion": "v1", "field": "spec.containers[*].image"}));
    let image = good(&alice, "resources_explain", image).await?.text;
    assert!(image.starts_with("Pod v1 spec.containers.image <string>"), "{image}");
    let tree = at("corp-1", json!({"kind": "ConfigMap", "recursive": true}));
    let tree = good(&alice, "resources_explain", tree).await?.text;
    assert!(tree.contains("\ndata <map[string]string>") && tree.contains("\n  name <string>"), "{tree}");
    let wrong = at("corp-1", json!({"kind": "Deployment", "field": "spec.replcas"}));
    let wrong = bad(&alice, "resources_explain", wrong).await?.text;
    assert!(wrong.contains("spec has no field") && wrong.contains("replicas"), "{wrong}");

    let workspace = "kcp-eu:root:org:team-a";
    let here = at(workspace, json!({"kind": "ConfigMap", "field": "data"}));
    let here = good(&alice, "resources_explain", here).await?.text;
    assert!(here.starts_with("ConfigMap v1 data <map[string]string>"), "{here}");
    let bound = at(workspace, json!({"kind": "apibindings", "field": "spec.reference.export"}));
    let bound = good(&alice, "resources_explain", bound).await?.text;
    assert!(bound.starts_with("APIBinding apis.kcp.io/") && bound.contains("\nname <string> required"), "{bound}");
    let pods = bad(&alice, "resources_explain", at(workspace, json!({"kind": "Pod"}))).await?.text;
    assert!(pods.contains("this workspace does not serve"), "{pods}");
    Ok(())
}
