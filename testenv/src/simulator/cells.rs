//! The cells of a table row: the printers of `pkg/printers/internalversion` for the kinds served here, and
//! the JSONPath columns of custom resources.

use serde_json::{Map, Value, json};

use super::clock::age;
use super::columns::{Columns, PrinterColumn};
use super::metrics::{METRICS, cells as metrics_cells};
use super::selector::selector_text;
use super::types::ResourceType;

/// The cells of `object`, in the order of its columns.
pub(super) fn cells(ty: &ResourceType, object: &Value) -> Vec<Value> {
    let name = object["metadata"]["name"].clone();
    match &ty.columns {
        Columns::CreatedAt => vec![name, object["metadata"]["creationTimestamp"].clone()],
        Columns::Printer(columns) => {
            std::iter::once(name).chain(columns.iter().map(|column| printed(column, object))).collect()
        }
        Columns::Native(_) if ty.group == METRICS => metrics_cells(object),
        Columns::Native(_) => native(&ty.plural, object),
    }
}

fn native(plural: &str, o: &Value) -> Vec<Value> {
    let name = o["metadata"]["name"].clone();
    let created = || json!(age(o["metadata"]["creationTimestamp"].as_str()));
    match plural {
        "pods" => super::pod_cells::cells(o),
        "namespaces" => vec![name, o["status"]["phase"].clone(), created()],
        "secrets" => vec![name, json!(text(&o["type"])), json!(count(&o["data"])), created()],
        "configmaps" => {
            let entries = count(&o["data"]) + count(&o["binaryData"]);
            vec![name, json!(entries), created()]
        }
        "serviceaccounts" => vec![name, created()],
        "services" => service(o, name, created()),
        "nodes" => node(o, name, created()),
        "events" => event(o, name),
        "deployments" => {
            let status = |field: &str| json!(integer(&o["status"][field]));
            let ready = format!("{}/{}", integer(&o["status"]["readyReplicas"]), integer(&o["spec"]["replicas"]));
            let mut cells = vec![name, json!(ready), status("updatedReplicas"), status("availableReplicas"), created()];
            cells.extend(containers(o));
            cells.push(json!(selector_text(&o["spec"]["selector"])));
            cells
        }
        "replicasets" => {
            let mut cells = vec![
                name,
                json!(integer(&o["spec"]["replicas"])),
                json!(integer(&o["status"]["replicas"])),
                json!(integer(&o["status"]["readyReplicas"])),
                created(),
            ];
            cells.extend(containers(o));
            cells.push(json!(or_none(&selector_text(&o["spec"]["selector"]))));
            cells
        }
        _ => binding(o, name, created()),
    }
}

fn containers(o: &Value) -> [Value; 2] {
    let list = items(&o["spec"]["template"]["spec"]["containers"]);
    ["name", "image"].map(|field| json!(joined(list.iter().map(|c| text(&c[field])), ",")))
}

fn service(o: &Value, name: Value, created: Value) -> Vec<Value> {
    let spec = &o["spec"];
    let kind = text(&spec["type"]);
    let cluster_ip = match items(&spec["clusterIPs"]).first() {
        Some(ip) => text(ip),
        None => "<none>",
    };
    let own = joined(items(&spec["externalIPs"]).iter().map(text), ",");
    let balancer = joined(
        items(&o["status"]["loadBalancer"]["ingress"])
            .iter()
            .map(|i| if i["ip"].is_string() { text(&i["ip"]) } else { text(&i["hostname"]) }),
        ",",
    );
    let external = match (kind, balancer.as_str(), own.as_str()) {
        ("ExternalName", ..) => text(&spec["externalName"]).to_owned(),
        ("LoadBalancer", "", "") => "<pending>".into(),
        ("LoadBalancer", "", own) => own.into(),
        ("LoadBalancer", balancer, "") => balancer.into(),
        ("LoadBalancer", balancer, own) => format!("{balancer},{own}"),
        ("ClusterIP" | "NodePort", _, own) => or_none(own),
        _ => "<unknown>".into(),
    };
    let ports = items(&spec["ports"]).iter().map(|port| {
        let (number, protocol) = (integer(&port["port"]), text(&port["protocol"]));
        match integer(&port["nodePort"]) {
            0 => format!("{number}/{protocol}"),
            node_port => format!("{number}:{node_port}/{protocol}"),
        }
    });
    let ports = ports.collect::<Vec<_>>().join(",");
    let selector = spec["selector"].as_object().into_iter().flatten();
    let selector = selector.map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",");
    vec![
        name,
        json!(kind),
        json!(cluster_ip),
        json!(external),
        json!(or_none(&ports)),
        created,
        json!(or_none(&selector)),
    ]
}

fn node(o: &Value, name: Value, created: Value) -> Vec<Value> {
    let conditions = items(&o["status"]["conditions"]);
    let ready = conditions.iter().rfind(|c| c["type"] == "Ready");
    let mut status = match ready {
        None => "Unknown".to_owned(),
        Some(condition) if condition["status"] == "True" => "Ready".into(),
        Some(_) => "NotReady".into(),
    };
    if o["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    let info = &o["status"]["nodeInfo"];
    let known = |field: &str| match text(&info[field]) {
        "" => "<unknown>",
        value => value,
    };
    let mut kernel = known("kernelVersion").to_owned();
    let architecture = text(&info["architecture"]);
    if !architecture.is_empty() {
        kernel = format!("{kernel} ({architecture})");
    }
    let address = |kind: &str| {
        let addresses = items(&o["status"]["addresses"]);
        let found = addresses.iter().find(|a| a["type"] == kind);
        json!(found.map_or("<none>", |a| text(&a["address"])))
    };
    vec![
        name,
        json!(status),
        json!(or_none(&roles(&o["metadata"]["labels"]))),
        created,
        json!(text(&info["kubeletVersion"])),
        address("InternalIP"),
        address("ExternalIP"),
        json!(known("osImage")),
        json!(kernel),
        json!(known("containerRuntimeVersion")),
    ]
}

fn roles(labels: &Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    let mut roles: Vec<&str> = labels
        .filter_map(|(key, value)| match key.as_str() {
            "kubernetes.io/role" => value.as_str(),
            key => key.strip_prefix("node-role.kubernetes.io/"),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    roles.join(",")
}

fn event(o: &Value, name: Value) -> Vec<Value> {
    let since = |moment: &Value| moment.as_str().map(|moment| age(Some(moment)));
    let first = since(&o["firstTimestamp"]).or_else(|| since(&o["eventTime"])).unwrap_or_else(|| "<unknown>".into());
    let mut last = since(&o["lastTimestamp"]).unwrap_or_else(|| first.clone());
    let mut count = integer(&o["count"]).max(1);
    if o["series"].is_object() {
        last = age(o["series"]["lastObservedTime"].as_str());
        count = integer(&o["series"]["count"]);
    }
    let involved = &o["involvedObject"];
    let mut target = text(&involved["kind"]).to_lowercase();
    if let Some(of) = involved["name"].as_str().filter(|of| !of.is_empty()) {
        target = format!("{target}/{of}");
    }
    let either = |a: &Value, b: &Value| match text(a) {
        "" => text(b).to_owned(),
        a => a.to_owned(),
    };
    let mut source = either(&o["source"]["component"], &o["reportingComponent"]);
    let host = either(&o["source"]["host"], &o["reportingInstance"]);
    if !host.is_empty() {
        source = format!("{source}, {host}");
    }
    vec![
        json!(last),
        json!(text(&o["type"])),
        json!(text(&o["reason"])),
        json!(target),
        json!(text(&involved["fieldPath"])),
        json!(source),
        json!(text(&o["message"]).trim()),
        json!(first),
        json!(count),
        name,
    ]
}

fn binding(o: &Value, name: Value, created: Value) -> Vec<Value> {
    let role = format!("{}/{}", text(&o["roleRef"]["kind"]), text(&o["roleRef"]["name"]));
    let mut cells = vec![name, json!(role), created];
    for kind in ["User", "Group", "ServiceAccount"] {
        let subjects = items(&o["subjects"]).iter().filter(|s| s["kind"] == kind);
        let names = subjects.map(|s| match kind {
            "ServiceAccount" => format!("{}/{}", text(&s["namespace"]), text(&s["name"])),
            _ => text(&s["name"]).to_owned(),
        });
        cells.push(json!(names.collect::<Vec<_>>().join(", ")));
    }
    cells
}

/// The value of a CRD column: as text for `string`, as itself for its own type, otherwise null.
fn printed(column: &PrinterColumn, object: &Value) -> Value {
    let Some(value) = json_path(object, &column.path) else {
        return Value::Null;
    };
    match (column.kind.as_str(), value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(text)) => json!(text),
        ("string", other) => json!(other.to_string()),
        ("integer", Value::Number(n)) => json!(n.as_i64().or_else(|| n.as_f64().map(|f| f as i64))),
        ("number", Value::Number(n)) => json!(n.as_f64()),
        ("boolean", Value::Bool(b)) => json!(b),
        ("date", Value::String(moment)) => json!(age(Some(moment))),
        _ => Value::Null,
    }
}

/// The subset of JSONPath that printer columns use: `.a.b`, `['a.b']`, `[0]`, `[?(@.type=="Ready")]`.
fn json_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let (mut value, mut rest) = (object, path);
    while !rest.is_empty() {
        if let Some(field) = rest.strip_prefix('.') {
            let end = field.find(['.', '[']).unwrap_or(field.len());
            value = value.get(&field[..end])?;
            rest = &field[end..];
            continue;
        }
        let (inner, tail) = rest.strip_prefix('[')?.split_once(']')?;
        value = if let Some(condition) = inner.strip_prefix("?(@.") {
            let (field, wanted) = condition.strip_suffix(')')?.split_once("==")?;
            let wanted = wanted.trim_matches(['"', '\'']);
            value.as_array()?.iter().find(|item| item[field] == wanted)?
        } else if let Some(key) = inner.strip_prefix('\'') {
            value.get(key.trim_end_matches('\''))?
        } else {
            value.get(inner.parse::<usize>().ok()?)?
        };
        rest = tail;
    }
    Some(value)
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn count(value: &Value) -> usize {
    value.as_object().map_or(0, Map::len)
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "<none>" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_paths_of_printer_columns_are_understood() {
        let object = json!({"spec": {"size": 3, "list": ["x"]},
            "metadata": {"labels": {"a.b/c": "v"}},
            "status": {"conditions": [{"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        let at = |path: &str| json_path(&object, path).cloned();
        assert_eq!(at(".spec.size"), Some(json!(3)));
        assert_eq!(at(".spec.list[0]"), Some(json!("x")));
        assert_eq!(at(".metadata.labels['a.b/c']"), Some(json!("v")));
        let ready = ".status.conditions[?(@.type==\"Ready\")].status";
        assert_eq!(at(ready), Some(json!("True")));
        assert_eq!(at(".spec.missing.deeper"), None);
    }

    #[test]
    fn a_service_shows_addresses_and_ports() {
        let service = json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"],
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 443, "protocol": "TCP"}],
            "selector": {"app": "web", "tier": "front"}}});
        let cells = native("services", &service);
        assert_eq!(
            json!(cells),
            json!([
                "web",
                "LoadBalancer",
                "10.0.0.1",
                "<pending>",
                "80:30080/TCP,443/TCP",
                "<unknown>",
                "app=web,tier=front"
            ])
        );
    }

    #[test]
    fn a_cordoned_node_says_so() {
        let node = json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "False"}], "nodeInfo": {"kernelVersion": "6.1", "architecture": "amd64"}}});
        let cells = native("nodes", &node);
        assert_eq!(cells[1], "NotReady,SchedulingDisabled");
        assert_eq!(cells[2], "worker");
        assert_eq!(cells[8], "6.1 (amd64)");
    }
}
