//! OpenAPI v3: what the simulator publishes is what the real server publishes, or less of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::Answer;
use super::Side;
use crate::artifacts;
use crate::simulator::openapi::built_in_schemas;

/// Compares index, documents and headers below `prefix` (nothing, or a workspace); a list of differences.
pub(super) async fn openapi(real: &Side, simulated: &Side, prefix: &str) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, real: &dyn std::fmt::Display, simulated: &dyn std::fmt::Display| {
        differences.push(format!("openapi {what}\n  real      {real}\n  simulated {simulated}"));
    };
    let index = format!("{prefix}/openapi/v3");
    let (theirs, ours) = (real.admin.get(&index).await, simulated.admin.get(&index).await);
    if head(&theirs) != head(&ours) {
        differ("index", &head(&theirs), &head(&ours));
    }
    for (path, entry) in ours.json["paths"].as_object().unwrap() {
        // Custom kinds are not installed on the other side.
        if path.contains("lab.example") {
            continue;
        }
        let (their_url, our_url) = (url(&theirs.json["paths"][path]), url(entry));
        if without_hash(&their_url) != without_hash(&our_url) {
            differ(path, &their_url, &our_url);
        }
        for ending in ["", "?hash=ABC", "own"] {
            let ask = |url: &str| match ending {
                "own" => url.to_owned(),
                ending => format!("{index}/{path}{ending}"),
            };
            let their = real.admin.get(&ask(&their_url)).await;
            let our = simulated.admin.get(&ask(&our_url)).await;
            if head(&their) != head(&our) {
                differ(&format!("{path}{ending}"), &head(&their), &head(&our));
            }
        }
    }
    differences
}

/// The file of schemas again, from the documents of the real server: those that the file names, and what they lead to.
/// When that differs, what should be there is written below `target`.
pub(super) async fn schemas_are_current(real: &Side, documents: &[&str]) -> Vec<String> {
    let mut theirs = Map::new();
    for path in documents {
        let document = real.admin.get(&format!("/openapi/v3/{path}")).await;
        theirs.extend(document.json["components"]["schemas"].as_object().unwrap().clone());
    }
    let mut names: Vec<String> = built_in_schemas().keys().cloned().collect();
    let mut wanted = BTreeMap::new();
    while let Some(name) = names.pop() {
        if let Some(schema) = theirs.get(&name)
            && wanted.insert(name, schema.clone()).is_none()
        {
            references(schema, &mut names);
        }
    }
    if wanted == *built_in_schemas() {
        return Vec::new();
    }
    let lines: Vec<String> = wanted.iter().map(|(name, schema)| format!("{}: {schema}", json!(name))).collect();
    let folder = artifacts::target().join("openapi");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("schemas.json");
    std::fs::write(&file, format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
    let file = file.display();
    vec![format!("the schemas of the real server are others: compare data/openapi/schemas.json with {file}")]
}

fn references(schema: &Value, into: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            let to = fields.get("$ref").and_then(Value::as_str);
            into.extend(to.and_then(|to| to.strip_prefix("#/components/schemas/")).map(str::to_owned));
            fields.values().for_each(|value| references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn url(entry: &Value) -> String {
    entry["serverRelativeURL"].as_str().unwrap_or_default().to_owned()
}

fn without_hash(url: &str) -> &str {
    url.split("hash=").next().unwrap_or(url)
}

/// Status and headers, as far as they are the same everywhere.
fn head(answer: &Answer) -> String {
    let header = |name: &str| {
        let value = answer.headers.get(name).map(|value| value.to_str().unwrap_or_default().to_owned());
        value.unwrap_or_default()
    };
    let location = header("location");
    let (cached, etag) = (header("cache-control"), header("etag").len());
    format!(
        "{} {} {cached} etag {etag} vary {} to {}",
        answer.status,
        answer.content_type,
        header("vary"),
        without_hash(&location)
    )
}
