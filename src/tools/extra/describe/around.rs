//! What people look for beside an object: the conditions of a node, the endpoints of a service, the quotas and pods of a
//! namespace. At most two requests.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{items, printed, text};
use crate::model::{Failure, ListRequest};
use crate::pool::ClusterClient;
use crate::tools::anomalies::PodColumns;
use crate::tools::pods;

/// Objects of each list, at most.
const MOST: u32 = 100;
/// Pods of a namespace that are counted, at most.
const COUNTED: u32 = 500;

type Section = (&'static str, Result<String, Failure>);

/// The parts of an object's kind.
pub(super) async fn sections(client: &ClusterClient, object: &Value) -> Vec<Section> {
    match (text(object, "/apiVersion"), text(object, "/kind")) {
        ("v1", "Node") => vec![("conditions", Ok(conditions(object)))],
        ("v1", "Service") => vec![("endpoints", endpoints(client, object).await)],
        ("v1", "Namespace") => {
            let (quotas, pods) = futures::join!(quotas(client, object), counts(client, object));
            vec![("quotas", quotas), ("pods", pods)]
        }
        _ => Vec::new(),
    }
}

/// Takes off what fills an object and tells little, and says so: the images that a node has pulled.
pub(super) fn without_bulk(object: &mut Value) -> Option<String> {
    if text(object, "/kind") != "Node" {
        return None;
    }
    let images = object.get_mut("status")?.as_object_mut()?.remove("images")?;
    let count = images.as_array().map_or(0, Vec::len);
    Some(format!("status.images, {count} of them, left out: resources_get shows them"))
}

fn conditions(node: &Value) -> String {
    let line = |condition: &Value| {
        ["/type", "/status", "/reason", "/message"].map(|pointer| text(condition, pointer)).join("\t")
    };
    printed(items(node, "/status/conditions").map(line), "conditions")
}

async fn endpoints(client: &ClusterClient, service: &Value) -> Result<String, Failure> {
    let kind = client.kind("endpointslices", Some("discovery.k8s.io/v1")).await?;
    let request = ListRequest {
        namespace: Some(text(service, "/metadata/namespace").to_owned()),
        label_selector: Some(format!("kubernetes.io/service-name={}", pods::name(service))),
        limit: MOST,
        ..ListRequest::default()
    };
    let list = client.list_objects(&kind, &request).await?;
    Ok(printed(items(&list, "/items").flat_map(addresses), "endpoints"))
}

/// One line per address of an EndpointSlice, which leaves `ready` out when it is unknown, to be taken for true.
fn addresses(slice: &Value) -> Vec<String> {
    let ports: Vec<String> = items(slice, "/ports").map(|port| port["port"].to_string()).collect();
    let line = |endpoint: &Value| {
        let ready =
            if endpoint.pointer("/conditions/ready") == Some(&Value::Bool(false)) { "not ready" } else { "ready" };
        let target = match (text(endpoint, "/targetRef/kind"), text(endpoint, "/targetRef/name")) {
            ("", _) | (_, "") => String::new(),
            (kind, name) => format!("{}/{name}", kind.to_lowercase()),
        };
        let addresses: Vec<&str> = items(endpoint, "/addresses").filter_map(Value::as_str).collect();
        format!("{}\t{}\t{ready}\t{target}", addresses.join(","), ports.join(","))
    };
    items(slice, "/endpoints").map(line).collect()
}

async fn quotas(client: &ClusterClient, namespace: &Value) -> Result<String, Failure> {
    let kind = client.kind("resourcequotas", Some("v1")).await?;
    let request = ListRequest { limit: MOST, ..within(namespace) };
    let list = client.list_objects(&kind, &request).await?;
    Ok(printed(items(&list, "/items").flat_map(used), "limits"))
}

/// One line per limit of a quota.
fn used(quota: &Value) -> Vec<String> {
    let hard = quota.pointer("/status/hard").or_else(|| quota.pointer("/spec/hard")).and_then(Value::as_object);
    let line = |(name, hard): (&String, &Value)| {
        let used = quota.pointer("/status/used").and_then(|used| used.get(name)).and_then(Value::as_str);
        format!("{}\t{name}\t{} of {}", pods::name(quota), used.unwrap_or("?"), hard.as_str().unwrap_or("?"))
    };
    hard.into_iter().flatten().map(line).collect()
}

async fn counts(client: &ClusterClient, namespace: &Value) -> Result<String, Failure> {
    let kind = client.kind("pods", Some("v1")).await?;
    let table = client.list(&kind, &ListRequest { limit: COUNTED, ..within(namespace) }).await?;
    let mut words: BTreeMap<(bool, String), usize> = BTreeMap::new();
    if let Some(columns) = PodColumns::of(&table) {
        for row in &table.rows {
            let verdict = columns.verdict(&row.cells);
            *words.entry((!verdict.odd, verdict.word)).or_default() += 1;
        }
    }
    let mut text = printed(words.into_iter().map(|((_, word), count)| format!("{count} {word}")), "states");
    if table.continue_token.is_some() {
        let left = table.remaining.map_or(String::new(), |left| format!(" of {}", table.rows.len() as u64 + left));
        text.push_str(&format!("(counted are the first {}{left})\n", table.rows.len()));
    }
    Ok(text)
}

fn within(namespace: &Value) -> ListRequest {
    ListRequest { namespace: Some(pods::name(namespace).to_owned()), ..ListRequest::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{addresses, conditions, used, without_bulk};

    #[test]
    fn a_node_says_its_conditions_without_its_images() {
        let mut node = json!({"kind": "Node", "status": {"images": [{}, {}], "conditions": [
            {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "gone"},
        ]}});
        assert_eq!(conditions(&node), "Ready\tFalse\tKubeletNotReady\tgone\n");
        assert_eq!(without_bulk(&mut node).unwrap(), "status.images, 2 of them, left out: resources_get shows them");
        assert!(node["status"].get("images").is_none() && without_bulk(&mut node).is_none());
    }

    #[test]
    fn endpoints_say_who_stands_behind_them() {
        let slice = json!({"ports": [{"port": 8080}], "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "web-1"}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.3"], "conditions": {}},
        ]});
        let lines = ["10.0.0.1\t8080\tready\tpod/web-1", "10.0.0.2\t8080\tnot ready\t", "10.0.0.3\t8080\tready\t"];
        assert_eq!(addresses(&slice), lines);
    }

    #[test]
    fn quotas_say_what_is_used_of_what() {
        let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "9"}},
            "status": {"hard": {"pods": "10", "cpu": "2"}, "used": {"pods": "3"}}});
        assert_eq!(used(&quota), ["q\tcpu\t? of 2", "q\tpods\t3 of 10"]);
    }
}
