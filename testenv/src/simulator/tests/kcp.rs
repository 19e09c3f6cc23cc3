//! As a kcp shard: the table of answers that was measured on a real one.

use http::Method;
use serde_json::{Value, json};

use super::{AGGREGATED, Client, TABLE};
use crate::simulator::{Rule, SimConfig, Simulator, samples, token_digest};

/// alice: everything in root:org-a; bob: `access` and reading configmaps in root:org-a:team-1; carol: nothing.
async fn start() -> Simulator {
    let config = SimConfig::kcp()
        .token("master", "shard-admin", &["system:masters"])
        .token("alice", "corp:alice", &[])
        .token("bob", "corp:bob", &[])
        .token("carol", "corp:carol", &[]);
    let simulator = Simulator::start(config).await.unwrap();
    let org = simulator.workspace("root:org-a");
    org.allow(Rule::user("corp:alice").everything());
    let team = simulator.workspace("root:org-a:team-1");
    team.allow(Rule::user("corp:bob").access())
        .allow(Rule::user("corp:bob").verbs(&["get", "list"]).resources(&["configmaps"]));
    team.put(samples::config_map("default", "c", &[("k", "v")]));
    simulator
}

fn clients(simulator: &Simulator) -> [Client; 4] {
    ["alice", "bob", "carol", "master"].map(|token| Client::new(simulator, token))
}

#[tokio::test]
async fn a_shard_decides_path_first_then_token_then_access() {
    let simulator = start().await;
    let team = simulator.workspace("root:org-a:team-1").name();
    let anonymous = Client::new(&simulator, None);
    let garbage = Client::new(&simulator, "garbage");
    let [alice, bob, carol, master] = clients(&simulator);
    for client in [&anonymous, &garbage, &bob] {
        for bad in ["root:Org_A", "a::b", "root:", "%7E", "%20", "root:-a"] {
            let answer = client.get(&format!("/clusters/{bad}/version")).await;
            assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
            assert!(answer.message().contains("does not match the regex"));
        }
        for unknown in ["root:nope", "root:org-a:nope", "nope:team-1"] {
            let answer = client.get(&format!("/clusters/{unknown}/version")).await;
            let message = format!("workspaces.tenancy.kcp.io \"{unknown}\" not found");
            assert_eq!((answer.status, answer.message()), (404, message.as_str()));
        }
    }
    for place in ["root:org-a:team-1", &team, "root%3Aorg-a%3Ateam-1", "nope", "system:admin", "*"] {
        let path = format!("/clusters/{place}/version");
        assert_eq!(garbage.get(&path).await.status, 401, "{place}");
        assert_eq!(anonymous.get(&path).await.status, 403, "{place}");
        let carol = carol.get(&path).await;
        assert_eq!(carol.status, 403, "{place}");
        assert_eq!(carol.message(), "forbidden: User \"corp:carol\" cannot get path \"/version\": access denied");
    }
    for place in ["root:org-a:team-1", &team] {
        assert_eq!(bob.get(&format!("/clusters/{place}/version")).await.status, 200);
        assert_eq!(
            alice.get(&format!("/clusters/{place}/version")).await.status,
            403,
            "an admin of the parent has nothing in the child"
        );
    }
    assert_eq!(bob.get("/version").await.status, 403);
    assert_eq!(bob.get("/clusters//version").await.status, 403);
    assert_eq!(master.get("/version").await.status, 200);
    let org = simulator.workspace("root:org-a").name();
    let below_a_name = bob.get(&format!("/clusters/{org}:team-1/version")).await;
    assert_eq!(below_a_name.status, 200, "<name>:child is a reference too");
}

#[tokio::test]
async fn healthz_tells_whether_the_token_is_valid() {
    let simulator = start().await;
    let path = "/clusters/root:org-a:team-1/healthz";
    assert_eq!(Client::new(&simulator, "garbage").get(path).await.status, 401);
    assert_eq!(Client::new(&simulator, None).get(path).await.status, 200);
    for client in clients(&simulator) {
        assert_eq!(client.get(path).await.status, 200);
    }
}

#[tokio::test]
async fn workspaces_and_logical_clusters_describe_each_other() {
    let simulator = start().await;
    let [alice, bob, carol, _] = clients(&simulator);
    let org = simulator.workspace("root:org-a");
    let list = "/apis/tenancy.kcp.io/v1alpha1/workspaces";
    let top = carol.get(&format!("/clusters/root{list}")).await;
    assert_eq!(top.names("items"), ["org-a"], "everybody sees the top level");
    let item = &top.json["items"][0];
    assert_eq!(item["kind"], "Workspace");
    assert_eq!(item["spec"]["cluster"], org.name());
    assert_eq!(item["spec"]["URL"], format!("{}/clusters/root:org-a", simulator.url()));
    assert_eq!(item["metadata"]["annotations"]["kcp.io/cluster"], "root");
    assert_eq!(bob.get(&format!("/clusters/root:org-a{list}")).await.status, 403);

    let own = alice.get("/clusters/root:org-a/apis/core.kcp.io/v1alpha1/logicalclusters/cluster").await.json;
    assert_eq!(own["metadata"]["annotations"]["kcp.io/path"], "root:org-a");
    assert_eq!(own["metadata"]["annotations"]["kcp.io/cluster"], org.name());
    assert_eq!(own["spec"]["owner"]["name"], "org-a");
    assert_eq!(own["status"]["URL"], format!("{}/clusters/{}", simulator.url(), org.name()));
    assert_eq!(org.name().len(), 16);

    let maps = bob.get("/clusters/root:org-a:team-1/api/v1/configmaps?limit=1").await.json;
    let team = simulator.workspace("root:org-a:team-1").name();
    assert_eq!(maps["items"][0]["metadata"]["annotations"]["kcp.io/cluster"], team);

    let table = alice.get_as(&format!("/clusters/root:org-a{list}"), TABLE).await.json;
    let names: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Name", "Type", "Region", "Phase", "URL", "Age"]);
    let url = format!("{}/clusters/root:org-a:team-1", simulator.url());
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    let expected = json!(["team-1", "universal", null, "Ready", url]);
    assert_eq!(cells[..5], *expected.as_array().unwrap());
    let table = alice.get_as("/clusters/root:org-a/apis/core.kcp.io/v1alpha1/logicalclusters", TABLE).await.json;
    assert_eq!(table["columnDefinitions"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn discovery_of_groups_is_plain_only() {
    let simulator = start().await;
    let bob = Client::new(&simulator, "bob");
    let at = |path: &str| format!("/clusters/root:org-a:team-1{path}");
    let apis = bob.get_as(&at("/apis"), AGGREGATED).await;
    assert_eq!((apis.content_type.as_str(), &apis.json["kind"]), ("application/json", &json!("APIGroupList")));
    assert!(apis.text.contains("core.kcp.io"));
    let only = AGGREGATED.split(',').next().unwrap();
    assert_eq!(bob.get_as(&at("/apis"), only).await.status, 406);
    assert!(bob.get_as(&at("/api"), only).await.content_type.contains("APIGroupDiscoveryList"));
    let core = bob.get(&at("/api/v1")).await.json;
    let names: Vec<&str> = core["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    for absent in ["pods", "nodes", "services"] {
        assert!(!names.contains(&absent), "{names:?}");
    }
    assert!(names.contains(&"configmaps"));
    let pods = Client::new(&simulator, "master").get(&at("/api/v1/pods")).await;
    assert_eq!(pods.message(), "the server could not find the requested resource");
    let unknown = bob.get(&at("/apis/apps/v1")).await.json;
    assert_eq!(unknown["resources"], json!([]), "a shard lists nothing for unknown groups");
}

#[tokio::test]
async fn a_bound_resource_is_served_where_it_is_bound() {
    let simulator = start().await;
    let team = simulator.workspace("root:org-a:team-1");
    team.register(samples::widget_type()).put(samples::widget("default", "w", 3));
    let master = Client::new(&simulator, "master");
    let path = "apis/lab.example/v1/widgets";
    let bound = master.get(&format!("/clusters/root:org-a:team-1/{path}")).await;
    assert_eq!(bound.names("items"), ["w"]);
    let elsewhere = master.get(&format!("/clusters/root:org-a/{path}")).await;
    assert_eq!((elsewhere.status, elsewhere.text.as_str()), (404, "404 page not found\n"));
}

#[tokio::test]
async fn a_mount_gets_every_request_with_its_credential_before_authentication() {
    let simulator = start().await;
    let target = Simulator::start(SimConfig::kubernetes().token("bob", "bob", &["system:masters"])).await.unwrap();
    simulator.mount("root:org-a:edge", target.url());
    simulator.mount("root:org-a:empty", "");
    simulator.mount("root:org-a:dead", "https://127.0.0.1:1");
    let bob = Client::new(&simulator, "bob");
    for reference in ["root:org-a:edge", "root:org-a:edge:kid"] {
        let answer = bob.get(&format!("/clusters/{reference}/api/v1/namespaces?limit=1")).await;
        assert_eq!((answer.status, &answer.json["kind"]), (200, &json!("NamespaceList")), "{}", answer.text);
    }
    let stranger = Client::new(&simulator, "stranger");
    let impersonating = [("impersonate-user", "root")];
    let answer = stranger.send(Method::GET, "/clusters/root:org-a:edge/version", &impersonating, None).await;
    assert_eq!(answer.status, 401, "the target's answer, not ours");
    let seen = target.requests();
    assert_eq!(seen[0].bearer, Some(token_digest("bob")));
    assert_eq!(seen[0].target, "/api/v1/namespaces?limit=1");
    assert_eq!(seen[2].bearer, Some(token_digest("stranger")));
    assert_eq!(seen[2].impersonation, [("impersonate-user".to_owned(), "root".to_owned())]);
    let ours = simulator.requests();
    assert!(ours.iter().all(|record| record.forwarded && record.requestor.is_none()));

    assert_eq!(bob.get("/clusters/root:org-a:empty/version").await.status, 404);
    let dead = bob.get("/clusters/root:org-a:dead/version").await;
    assert_eq!((dead.status, dead.text.as_str()), (502, ""));
    let list = Client::new(&simulator, "alice")
        .get("/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces/edge")
        .await
        .json;
    assert_eq!(list["spec"]["cluster"], json!(null));
    assert!(list["spec"]["mount"]["ref"].is_object());
    target.stop().await;
}

#[tokio::test]
async fn a_mount_that_is_not_ready_says_so() {
    let simulator = start().await;
    simulator.mount("root:org-a:slow", "https://127.0.0.1:1");
    let mut object = simulator.workspace("root:org-a").get("tenancy.kcp.io/v1alpha1", "Workspace", "", "slow").unwrap();
    object["apiVersion"] = json!("tenancy.kcp.io/v1alpha1");
    object["kind"] = json!("Workspace");
    object["status"]["phase"] = json!("Unavailable");
    simulator.workspace("root:org-a").put(object);
    let answer = Client::new(&simulator, "bob").get("/clusters/root:org-a:slow/version").await;
    assert_eq!((answer.status, answer.text.as_str()), (503, "Not available.\n"));
}

#[tokio::test]
async fn the_first_read_of_a_custom_resource_may_be_too_early() {
    let simulator = start().await;
    simulator.reinitialize_on_first_read(true);
    let alice = Client::new(&simulator, "alice");
    let path = "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces";
    let early = alice.get(path).await;
    assert_eq!((early.status, early.message()), (429, "storage is (re)initializing"));
    assert_eq!(early.headers["retry-after"], "1");
    assert_eq!(alice.get(path).await.status, 200);
    assert_eq!(
        alice.get("/clusters/root:org-a/api/v1/configmaps").await.status,
        200,
        "built-in kinds are always ready"
    );
}

#[tokio::test]
async fn a_created_workspace_is_the_creators_and_ends_with_its_object() {
    let simulator = start().await;
    let [alice, bob, ..] = clients(&simulator);
    let path = "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces";
    let new: Value =
        json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "team-9"}});
    let dry = alice.post(&format!("{path}?dryRun=All"), new.clone()).await;
    assert_eq!(dry.status, 201, "{}", dry.text);
    assert_eq!(alice.get("/clusters/root:org-a:team-9/version").await.status, 404);
    assert_eq!(bob.post(path, new.clone()).await.status, 403);
    assert_eq!(alice.post(path, new.clone()).await.status, 201);
    assert_eq!(alice.get("/clusters/root:org-a:team-9/version").await.status, 200);
    assert_eq!(bob.get("/clusters/root:org-a:team-9/version").await.status, 403);
    let name = simulator.workspace("root:org-a:team-9").name();
    let gone = alice.send(Method::DELETE, &format!("{path}/team-9"), &[], None).await;
    assert_eq!(gone.status, 200);
    assert_eq!(alice.get("/clusters/root:org-a:team-9/version").await.status, 404);
    assert_eq!(alice.get(&format!("/clusters/{name}/version")).await.status, 403);
    alice.post(path, new).await;
    assert_ne!(simulator.workspace("root:org-a:team-9").name(), name, "the same path, another cluster");
}

#[tokio::test]
async fn impersonation_is_bounded_by_the_workspace() {
    let simulator = start().await;
    let alice = Client::new(&simulator, "alice");
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/clusters/root:org-a/apis/authentication.k8s.io/v1/selfsubjectreviews";
    simulator.workspace("root:org-a").allow(Rule::user("corp:bob").access());
    let headers = [("impersonate-user", "corp:bob")];
    let answer = alice.send(Method::POST, path, &headers, Some(review.clone())).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let scope = format!("cluster:{}", simulator.workspace("root:org-a").name());
    assert_eq!(answer.json["status"]["userInfo"]["extra"]["authentication.kcp.io/scopes"], json!([scope]));
    let masters = [("impersonate-user", "x"), ("impersonate-group", "system:masters")];
    let refused = alice.send(Method::POST, path, &masters, Some(review)).await;
    assert_eq!((refused.status, refused.message()), (403, "impersonation is not allowed for the requestor"));
    let root = alice.send(Method::GET, "/clusters/root/version", &headers, None).await;
    assert!(root.message().contains("cannot impersonate resource \"users\""), "{}", root.text);
}

#[tokio::test]
async fn escapes_do_not_leave_the_workspace_unnoticed() {
    let simulator = start().await;
    let bob = Client::new(&simulator, "bob");
    let inside = bob.get("/clusters/root:org-a:team-1%2fapi%2fv1/configmaps").await;
    assert_eq!(inside.status, 200, "decoded slashes are slashes, as on a real shard");
    let out = Client::new(&simulator, None).get("/clusters/root:org-a/%2e%2e%2fversion").await;
    assert_eq!(out.status, 307);
    assert_eq!(out.headers["location"], "/version");
}

#[tokio::test]
async fn a_thousand_workspaces_are_quick_to_make_and_page_through() {
    let simulator = start().await;
    for i in 0..1000 {
        let _team = simulator.workspace(&format!("root:big:t-{i:04}"));
    }
    let master = Client::new(&simulator, "master");
    let path = "/clusters/root:big/apis/tenancy.kcp.io/v1alpha1/workspaces?limit=400";
    let page = master.get(path).await.json;
    assert_eq!(page["metadata"]["remainingItemCount"], 600);
    assert_eq!(page["items"].as_array().unwrap().len(), 400);
}
