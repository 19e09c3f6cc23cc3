//! Lists in all their forms: tables, metadata only, pages.

use serde_json::json;

use super::kubernetes::start;
use super::{Client, TABLE};
use crate::simulator::samples;

#[tokio::test]
async fn tables_have_the_columns_of_the_real_server() {
    let simulator = start().await;
    simulator.cluster().put_all([
        samples::pod("dev", "web-1", "web", "node-1"),
        samples::crashing_pod("dev", "web-2", "web", "node-1"),
        samples::deployment("dev", "web", 3, 2),
        samples::node("node-1", true),
        samples::service("dev", "web"),
        samples::event("dev", "web-2", "Warning", "BackOff", "Back-off restarting", 4),
        samples::widget("dev", "w", 3),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "view"}, "rules": []}),
    ]);
    let admin = Client::new(&simulator, "admin-token");
    let cases = [
        ("/api/v1/pods", "Name Ready Status Restarts Age IP+ Node+ Nominated Node+ Readiness Gates+"),
        ("/apis/apps/v1/deployments", "Name Ready Up-to-date Available Age Containers+ Images+ Selector+"),
        ("/apis/apps/v1/replicasets", "Name Desired Current Ready Age Containers+ Images+ Selector+"),
        ("/api/v1/services", "Name Type Cluster-IP External-IP Port(s) Age Selector+"),
        (
            "/api/v1/nodes",
            "Name Status Roles Age Version Internal-IP+ External-IP+ OS-Image+ Kernel-Version+ Container-Runtime+",
        ),
        ("/api/v1/events", "Last Seen Type Reason Object Subobject+ Source+ Message First Seen+ Count+ Name+"),
        ("/api/v1/namespaces", "Name Status Age"),
        ("/api/v1/configmaps", "Name Data Age"),
        ("/api/v1/secrets", "Name Type Data Age"),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "Name Created At"),
        ("/apis/rbac.authorization.k8s.io/v1/rolebindings", "Name Role Age Users+ Groups+ ServiceAccounts+"),
        ("/apis/lab.example/v1/widgets", "Name Size Ready Age"),
    ];
    for (path, expected) in cases {
        let table = admin.get_as(path, TABLE).await.json;
        assert_eq!(table["kind"], "Table", "{path}");
        let columns: Vec<String> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| {
                let wide = if c["priority"] == 1 { "+" } else { "" };
                format!("{}{wide}", c["name"].as_str().unwrap())
            })
            .collect();
        assert_eq!(columns.join(" "), expected, "{path}");
        for row in table["rows"].as_array().unwrap() {
            assert_eq!(row["cells"].as_array().unwrap().len(), columns.len(), "{path}");
        }
    }
    let pods = admin.get_as("/api/v1/namespaces/dev/pods", TABLE).await.json;
    assert_eq!(pods["columnDefinitions"][0]["format"], "name");
    assert_eq!(
        pods["rows"][1]["cells"],
        json!(["web-2", "0/1", "CrashLoopBackOff", "17 (15m ago)", "3h", "10.1.0.7", "node-1", "<none>", "<none>"])
    );
    let widget = admin.get_as("/apis/lab.example/v1/namespaces/dev/widgets/w", TABLE).await.json;
    let cells = widget["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..3], [json!("w"), json!(3), json!("True")]);
}

#[tokio::test]
async fn rows_carry_what_was_asked_for() {
    let simulator = start().await;
    simulator.cluster().put(samples::config_map("dev", "c", &[("k", "v")]));
    let admin = Client::new(&simulator, "admin-token");
    let path = "/api/v1/namespaces/dev/configmaps";
    let row = async |include: &str| {
        let answer = admin.get_as(&format!("{path}{include}"), TABLE).await;
        answer.json["rows"][0]["object"].clone()
    };
    assert_eq!(row("").await["kind"], "PartialObjectMetadata");
    assert_eq!(row("?includeObject=Metadata").await["metadata"]["name"], "c");
    assert_eq!(row("?includeObject=None").await, json!(null));
    assert_eq!(row("?includeObject=Object").await["data"], json!({"k": "v"}));
    assert_eq!(admin.get_as(&format!("{path}?includeObject=All"), TABLE).await.status, 400);
    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = admin.get_as(path, partial).await.json;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["data"], json!(null));
    assert_eq!(admin.get_as(&format!("{path}/c"), partial).await.status, 406);
    assert_eq!(admin.get_as(path, "application/vnd.kubernetes.protobuf").await.status, 406);
    let plain = admin.get(path).await.json;
    assert_eq!(plain["kind"], "ConfigMapList");
    assert_eq!(plain["items"][0]["kind"], json!(null), "items of built-in lists have no kind");
}

#[tokio::test]
async fn ten_thousand_pods_are_paged_through() {
    let simulator = start().await;
    simulator.cluster().add_many(samples::many_pods(10_000, 10));
    let admin = Client::new(&simulator, "admin-token");
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/api/v1/pods?limit=3000&includeObject=None&continue={token}");
        let answer = admin.get_as(&path, TABLE).await;
        let rows = answer.json["rows"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["cells"][0].as_str().unwrap().to_owned()));
        pages += 1;
        let metadata = &answer.json["metadata"];
        match metadata["continue"].as_str() {
            None => break,
            Some(next) => token = next.to_owned(),
        }
        assert_eq!(metadata["remainingItemCount"], 10_000 - seen.len());
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), pages), (10_000, 4));

    let page = admin.get_as("/api/v1/pods?limit=500", TABLE).await;
    assert_eq!(page.json["rows"].as_array().unwrap().len(), 500);
    assert_eq!(page.json["metadata"]["remainingItemCount"], 9_500);

    simulator.cluster().expire_continue_tokens();
    let expired = admin.get(&format!("/api/v1/pods?limit=10&continue={token}")).await;
    assert_eq!((expired.status, &expired.json["reason"]), (410, &json!("Expired")));
    assert_eq!(admin.get("/api/v1/pods?continue=nonsense").await.status, 400);
    let selected = admin
        .get("/api/v1/namespaces/ns-003/pods?labelSelector=app%3Dapi&fieldSelector=status.phase%3DRunning&limit=5")
        .await;
    assert_eq!(selected.json["items"].as_array().unwrap().len(), 5);
    assert_eq!(selected.json["metadata"]["remainingItemCount"], json!(null));
}
