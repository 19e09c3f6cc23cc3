//! `kubeferry inventory`: all clusters for the operator. A cluster holds no secret, and neither does this.

use kubeferry::inventory::Snapshot;
use kubeferry::model::{Cluster, RealmName};
use serde_json::json;

/// The clusters by name, as a table or as JSON.
pub fn inventory(clusters: &Snapshot, json: bool) -> String {
    if json {
        let clusters: Vec<_> = clusters.iter().map(|cluster| as_json(cluster)).collect();
        return format!("{:#}\n", serde_json::Value::Array(clusters));
    }
    let heads = ["NAME", "KIND", "STRATEGY", "SOURCE", "KEY", "REALMS", "SERVER"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(heads).chain(clusters.iter().map(|cluster| row(cluster))).collect();
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(cluster: &Cluster) -> [String; 7] {
    let realms = realms(cluster).join(",");
    [
        cluster.name.to_string(),
        cluster.kind.word().to_owned(),
        cluster.strategy.to_owned(),
        cluster.source.clone(),
        cluster.key.to_string(),
        if realms.is_empty() { "-".to_owned() } else { realms },
        cluster.endpoint.server.clone(),
    ]
}

/// The realms whose callers reach it. One that only sees how it could be bound does not.
fn realms(cluster: &Cluster) -> Vec<&str> {
    let reaches = |realm: &&RealmName| cluster.reach.way_of(realm).is_some_and(|way| way.word() != "none");
    cluster.reach.realms().filter(reaches).map(RealmName::as_str).collect()
}

fn as_json(cluster: &Cluster) -> serde_json::Value {
    json!({
        "name": cluster.name.as_str(),
        "aliases": cluster.aliases,
        "kind": cluster.kind.word(),
        "strategy": cluster.strategy,
        "source": cluster.source,
        "key": cluster.key.to_string(),
        "realms": realms(cluster),
        "server": cluster.endpoint.server,
        "tier": cluster.tier.word(),
        "labels": cluster.labels,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kubeferry::inventory::Snapshot;
    use kubeferry::model::{
        Cluster, ClusterKind, ClusterName, Endpoint, KeyHasher, PathTrust, Reach, RealmName, Tier, Way,
    };

    use super::inventory;

    fn cluster(name: &str, strategy: &'static str, way: &Way) -> Cluster {
        Cluster {
            name: ClusterName::parse(name).unwrap(),
            aliases: Vec::new(),
            kind: ClusterKind::Kind,
            endpoint: Endpoint {
                server: format!("https://{name}.example"),
                ca: None,
                tls_server_name: None,
                insecure: false,
            },
            realm: None,
            audiences: Vec::new(),
            strategy,
            reach: Reach::by([RealmName::local()], way, ""),
            labels: BTreeMap::new(),
            tier: Tier::default(),
            source: "kubeconfig".to_owned(),
            advertise: false,
            entry: Vec::new(),
            paths: PathTrust::default(),
            namespace: None,
            current: false,
            key: KeyHasher::new("test").field("name", name).into(),
        }
    }

    #[test]
    fn unbound_clusters_are_listed_and_reached_by_nobody() {
        let clusters = vec![cluster("dev", "local", &Way::Local), cluster("staging", "none", &Way::Unbound)];
        let keys: Vec<_> = clusters.iter().map(|cluster| cluster.key.to_string()).collect();
        let snapshot = Snapshot::new(clusters, BTreeMap::new());
        let text = inventory(&snapshot, false);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["NAME", "KIND", "STRATEGY", "SOURCE", "KEY", "REALMS", "SERVER"]);
        assert_eq!(rows[1], ["dev", "kind", "local", "kubeconfig", &keys[0], "local", "https://dev.example"]);
        assert_eq!(rows[2], ["staging", "kind", "none", "kubeconfig", &keys[1], "-", "https://staging.example"]);
        let parsed: serde_json::Value = serde_json::from_str(&inventory(&snapshot, true)).unwrap();
        assert_eq!((&parsed[0]["realms"][0], &parsed[1]["realms"]), (&"local".into(), &serde_json::json!([])));
        assert_eq!(parsed[1]["tier"], "prod");
    }
}
