//! As a Kubernetes API server.

use http::Method;
use serde_json::{Value, json};

use super::{AGGREGATED, Client};
use crate::pki::{Ca, client_config};
use crate::simulator::jwt::tests::{Signer, claims};
use crate::simulator::{JwtIssuer, Keys, Rule, SimConfig, Simulator, token_digest};

pub(super) async fn start() -> Simulator {
    let config =
        SimConfig::kubernetes().token("admin-token", "admin", &["system:masters"]).token("bob-token", "bob", &["dev"]);
    let simulator = Simulator::start(config).await.unwrap();
    simulator.cluster().allow(
        Rule::user("bob").verbs(&["get", "list", "create"]).resources(&["pods", "configmaps"]).namespaces(&["dev"]),
    );
    simulator
}

fn review() -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
}

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

#[tokio::test]
async fn every_kind_of_credential_is_told_apart() {
    let signer = Signer::new();
    let clients = Ca::new("clients");
    let issuer = JwtIssuer::new("https://issuer.example/realms/corp", Keys::Static(signer.jwks()), "lab", "corp:");
    let config = SimConfig::kubernetes().issuer(issuer).client_ca(clients.pem());
    let simulator = Simulator::start(config).await.unwrap();

    let mut client = Client::new(&simulator, None);
    client.token = Some(signer.token(&claims("bob", "lab")));
    let answer = client.post(REVIEWS, review()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(
        answer.json["status"]["userInfo"],
        json!({"username": "corp:bob", "uid": "id-bob", "groups": ["corp:dev", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=j1"]}})
    );

    client.token = Some(signer.token(&claims("bob", "other-lab")));
    let refused = client.post(REVIEWS, review()).await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.json,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "Unauthorized", "reason": "Unauthorized", "code": 401})
    );

    let leaf = clients.client("root", &["system:masters"]);
    let tls = client_config(simulator.ca_pem(), Some(&leaf), &[]);
    let admin = Client::with_tls(simulator.url(), tls.as_ref().clone(), None);
    assert_eq!(admin.get("/api/v1/nodes").await.status, 200);

    let anonymous = Client::new(&simulator, None);
    assert_eq!(anonymous.get("/version").await.status, 200);
    assert_eq!(anonymous.get("/readyz").await.text, "ok");
    let denied = anonymous.get("/api/v1/pods").await;
    assert_eq!(denied.status, 403);
    assert!(denied.message().contains("User \"system:anonymous\" cannot list"));
    simulator.stop().await;
}

#[tokio::test]
async fn a_refusal_has_the_words_of_the_real_server() {
    let simulator = start().await;
    let bob = Client::new(&simulator, "bob-token");
    let cases = [
        (
            "/api/v1/pods",
            "pods is forbidden: User \"bob\" cannot list resource \"pods\" in API group \"\" at the cluster scope",
        ),
        (
            "/api/v1/namespaces/prod/pods/a/log",
            "pods \"a\" is forbidden: User \"bob\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"prod\"",
        ),
        (
            "/apis/apps/v1/namespaces/dev/deployments/web",
            "deployments.apps \"web\" is forbidden: User \"bob\" cannot get resource \"deployments\" in API group \"apps\" in the namespace \"dev\"",
        ),
        ("/metrics", "forbidden: User \"bob\" cannot get path \"/metrics\""),
    ];
    for (path, message) in cases {
        let answer = bob.get(path).await;
        assert_eq!((answer.status, answer.message()), (403, message), "{path}");
        assert_eq!(answer.json["reason"], "Forbidden");
    }
    let details = bob.get("/apis/apps/v1/namespaces/dev/deployments/web").await.json["details"].clone();
    assert_eq!(details, json!({"name": "web", "group": "apps", "kind": "deployments"}));
    assert_eq!(bob.get("/metrics").await.json["details"], json!({}));
}

#[tokio::test]
async fn what_is_not_there_is_said_in_three_ways() {
    let simulator = start().await;
    let admin = Client::new(&simulator, "admin-token");
    let object = admin.get("/api/v1/namespaces/default/pods/gone").await;
    assert_eq!((object.status, object.message()), (404, "pods \"gone\" not found"));
    let resource = admin.get("/api/v1/gadgets").await;
    assert_eq!(resource.message(), "the server could not find the requested resource");
    assert_eq!(resource.json["details"], json!({}));
    for path in ["/apis/unknown.example/v1/things", "/apis/lab.example/v1/gadgets", "/nowhere"] {
        let group = admin.get(path).await;
        assert_eq!((group.status, group.text.as_str()), (404, "404 page not found\n"), "{path}");
        assert!(group.content_type.starts_with("text/plain"));
    }
}

#[tokio::test]
async fn discovery_is_plain_or_aggregated_as_asked() {
    let simulator = start().await;
    let bob = Client::new(&simulator, "bob-token");
    let plain = bob.get("/apis").await;
    assert_eq!(plain.content_type, "application/json");
    assert_eq!(plain.json["kind"], "APIGroupList");
    assert_eq!(bob.get("/api").await.json["versions"], json!(["v1"]));

    let aggregated = bob.get_as("/apis", AGGREGATED).await;
    assert_eq!(aggregated.content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    assert!(aggregated.headers.contains_key("etag"));
    assert_eq!(aggregated.headers["vary"], "Accept");
    let groups = aggregated.json["items"].as_array().unwrap();
    let group = |name: &str| groups.iter().find(|g| g["metadata"]["name"] == name).unwrap().clone();
    assert_eq!(
        group("apps")["versions"][0]["resources"][0],
        json!({"resource": "deployments", "responseKind": {"group": "", "version": "", "kind": "Deployment"}, "scope": "Namespaced",
            "singularResource": "deployment", "shortNames": ["deploy"], "categories": ["all"],
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            "subresources": [
                {"subresource": "scale", "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "verbs": ["get", "patch", "update"]},
                {"subresource": "status", "responseKind": {"group": "", "version": "", "kind": "Deployment"}, "verbs": ["get", "patch", "update"]}]})
    );
    let widgets = &group("lab.example")["versions"][0]["resources"][0];
    assert_eq!(widgets["responseKind"], json!({"group": "lab.example", "version": "v1", "kind": "Widget"}));
    assert_eq!(widgets["shortNames"], json!(["wd"]));
    let core = bob.get_as("/api", AGGREGATED).await.json;
    assert_eq!(core["items"][0]["versions"][0]["version"], "v1");

    let list = bob.get("/api/v1").await.json;
    let resources = list["resources"].as_array().unwrap();
    let of = |name: &str| resources.iter().find(|r| r["name"] == name).unwrap();
    assert_eq!(of("pods")["shortNames"], json!(["po"]));
    assert_eq!(of("pods/log")["verbs"], json!(["get"]));
    assert_eq!(of("namespaces")["namespaced"], false);
    assert_eq!(bob.get("/apis/apps/v1").await.json["groupVersion"], "apps/v1");
    assert_eq!(bob.get("/apis/apps").await.json["preferredVersion"]["version"], "v1");
    assert_eq!(bob.get("/apis/nope.example/v1").await.status, 404);
}

#[tokio::test]
async fn impersonation_changes_who_asks() {
    let simulator = start().await;
    simulator.cluster().allow(Rule::user("gateway").verbs(&["impersonate"]).resources(&["users", "groups"]));
    let admin = Client::new(&simulator, "admin-token");
    let bob = Client::new(&simulator, "bob-token");
    let headers = [("impersonate-user", "carol"), ("impersonate-group", "ops")];
    let answer = admin.send(Method::POST, REVIEWS, &headers, Some(review())).await;
    assert_eq!(
        answer.json["status"]["userInfo"],
        json!({"username": "carol", "groups": ["ops", "system:authenticated"]})
    );
    let denied = admin.send(Method::GET, "/api/v1/nodes", &headers, None).await;
    assert!(denied.message().contains("User \"carol\" cannot list"), "{}", denied.text);
    let refused = bob.send(Method::GET, "/api/v1/nodes", &headers, None).await;
    assert_eq!(
        (refused.status, refused.message()),
        (
            403,
            "nodes is forbidden: User \"bob\" cannot impersonate-on:user-info:list resource \"nodes\" in API group \"\" at the cluster scope"
        )
    );
    let record = simulator.requests().pop().unwrap();
    assert_eq!(record.requestor.as_deref(), Some("bob"));
    assert_eq!(record.impersonation[0], ("impersonate-user".into(), "carol".into()));
}

#[tokio::test]
async fn objects_are_written_read_and_removed() {
    let simulator = start().await;
    let bob = Client::new(&simulator, "bob-token");
    let admin = Client::new(&simulator, "admin-token");
    simulator.cluster().namespace("dev");
    let path = "/api/v1/namespaces/dev/configmaps";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}});
    let dry = bob.post(&format!("{path}?dryRun=All"), map.clone()).await;
    assert_eq!((dry.status, &dry.json["metadata"]["resourceVersion"]), (201, &json!(null)));
    assert_eq!(bob.get(&format!("{path}/c")).await.status, 404);
    let created = bob.post(path, map.clone()).await;
    assert_eq!((created.status, &created.json["kind"]), (201, &json!("ConfigMap")));
    assert!(created.json["metadata"]["uid"].is_string());
    let again = bob.post(path, map.clone()).await;
    assert_eq!((again.status, again.message()), (409, "configmaps \"c\" already exists"));
    let nowhere = admin.post("/api/v1/namespaces/none/configmaps", map).await;
    assert_eq!(nowhere.message(), "namespaces \"none\" not found");

    let mut changed = created.json.clone();
    changed["data"]["a"] = json!("2");
    let object = format!("{path}/c");
    let put = admin.send(Method::PUT, &object, &[], Some(changed.clone())).await;
    assert_eq!((put.status, &put.json["data"]["a"]), (200, &json!("2")));
    let stale = admin.send(Method::PUT, &object, &[], Some(changed)).await;
    assert_eq!(stale.status, 409);
    assert!(stale.message().starts_with("Operation cannot be fulfilled on configmaps \"c\""));
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = admin.send(Method::PATCH, &object, &merge, Some(json!({"data": {"a": null, "b": "3"}}))).await;
    assert_eq!(patched.json["data"], json!({"b": "3"}));
    let apply = [("content-type", "application/apply-patch+yaml")];
    assert_eq!(admin.send(Method::PATCH, &object, &apply, Some(json!({}))).await.status, 415);
    let gone = admin.send(Method::DELETE, &object, &[], None).await;
    assert_eq!((gone.status, &gone.json["status"]), (200, &json!("Success")));
    assert_eq!(admin.get(&object).await.status, 404);
}

#[tokio::test]
async fn access_reviews_answer_for_the_asking_user() {
    let simulator = start().await;
    let bob = Client::new(&simulator, "bob-token");
    let ask = async |verb: &str, namespace: &str| {
        let spec = json!({"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": namespace}});
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
        let answer = bob.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json["status"]["allowed"] == true
    };
    assert!(ask("list", "dev").await);
    assert!(!ask("list", "prod").await);
    assert!(!ask("delete", "dev").await);
    let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "dev"}});
    let rules = bob.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body).await;
    let rules = rules.json["status"]["resourceRules"].as_array().unwrap().clone();
    assert!(rules.iter().any(|rule| rule["resources"] == json!(["pods", "configmaps"])));
}

#[tokio::test]
async fn the_log_names_tokens_by_digest_only() {
    let simulator = start().await;
    let bob = Client::new(&simulator, "bob-token");
    bob.get("/api/v1/namespaces/dev/pods?limit=1").await;
    Client::new(&simulator, "wrong-token").get("/version").await;
    let log = simulator.requests();
    assert_eq!(log[0].target, "/api/v1/namespaces/dev/pods?limit=1");
    assert_eq!((log[0].user.as_deref(), log[0].status), (Some("bob"), 200));
    assert_eq!(log[0].bearer, Some(token_digest("bob-token")));
    assert_eq!((log[1].user.as_deref(), log[1].status), (None, 401));
    assert_ne!(log[0].connection, log[1].connection);
    assert!(!format!("{log:?}").contains("bob-token"));
    simulator.clear_requests();
    assert!(simulator.requests().is_empty());
}

#[tokio::test]
async fn a_delay_counts_for_every_request() {
    let simulator = start().await;
    simulator.set_delay(std::time::Duration::from_millis(80));
    let began = std::time::Instant::now();
    Client::new(&simulator, "bob-token").get("/version").await;
    assert!(began.elapsed().as_millis() >= 80);
}
