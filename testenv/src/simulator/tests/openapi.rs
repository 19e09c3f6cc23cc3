//! OpenAPI v3 as a client that explains kinds reads it.

use serde_json::json;

use super::Client;
use super::kubernetes::start;
use crate::simulator::{Rule, SimConfig, Simulator};

#[tokio::test]
async fn the_index_leads_to_documents_that_never_change() {
    let simulator = start().await;
    let bob = Client::new(&simulator, "bob-token");
    let index = bob.get("/openapi/v3").await;
    let paths = index.json["paths"].as_object().unwrap();
    let known: Vec<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(known, ["api/v1", "apis/apps/v1", "apis/lab.example/v1", "apis/rbac.authorization.k8s.io/v1"]);
    let url = paths["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = bob.get(url).await;
    assert_eq!((document.status, document.headers["cache-control"].to_str().unwrap()), (200, "public, immutable"));
    let schemas = &document.json["components"]["schemas"];
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(deployment["x-kubernetes-group-version-kind"][0]["kind"], "Deployment");
    assert!(schemas["io.k8s.api.core.v1.Container"]["properties"]["image"]["description"].is_string());
    let plain = bob.get("/openapi/v3/apis/apps/v1").await;
    assert_eq!(plain.text, document.text);
    let etag = plain.headers["etag"].to_str().unwrap().to_owned();
    let known = [("if-none-match", etag.as_str())];
    let again = bob.send(http::Method::GET, "/openapi/v3/apis/apps/v1", &known, None).await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    let old = bob.get("/openapi/v3/apis/apps/v1?hash=OLD").await;
    assert_eq!((old.status, old.headers["location"].to_str().unwrap()), (301, url));
    assert_eq!(Client::new(&simulator, None).get("/openapi/v3").await.status, 403);
}

#[tokio::test]
async fn a_custom_kind_is_described_by_its_schema() {
    let simulator = start().await;
    let bob = Client::new(&simulator, "bob-token");
    let document = bob.get("/openapi/v3/apis/lab.example/v1").await.json;
    let widget = &document["components"]["schemas"]["example.lab.v1.Widget"];
    assert_eq!(widget["properties"]["spec"]["properties"]["size"]["type"], "integer");
    assert_eq!(
        widget["x-kubernetes-group-version-kind"],
        json!([{"group": "lab.example", "version": "v1", "kind": "Widget"}])
    );
    let list = &document["paths"]["/apis/lab.example/v1/namespaces/{namespace}/widgets"]["get"];
    assert_eq!(list["x-kubernetes-action"], "list");
}

#[tokio::test]
async fn a_workspace_describes_what_it_has() {
    let config = SimConfig::kcp().token("bob-token", "bob", &[]);
    let simulator = Simulator::start(config).await.unwrap();
    let (with, without) = (simulator.workspace("root:org:with"), simulator.workspace("root:org:without"));
    for workspace in [&with, &without] {
        workspace.allow(Rule::user("bob").access());
    }
    with.register(crate::simulator::samples::widget_type());
    let bob = Client::new(&simulator, "bob-token");
    let document = bob.get("/clusters/root:org:with/openapi/v3/api/v1").await.json;
    let schemas = &document["components"]["schemas"];
    assert!(schemas["io.k8s.api.core.v1.ConfigMap"].is_object() && schemas["io.k8s.api.core.v1.Pod"].is_null());
    let index = async |workspace: &str| bob.get(&format!("/clusters/{workspace}/openapi/v3")).await.text;
    assert!(index("root:org:with").await.contains("apis/lab.example/v1"));
    let without = index("root:org:without").await;
    assert!(!without.contains("apis/lab.example/v1") && without.contains("apis/tenancy.kcp.io/v1alpha1"), "{without}");
}
