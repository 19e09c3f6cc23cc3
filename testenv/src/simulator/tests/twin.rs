//! The same requests to the simulator and to the real thing, answer for answer.
//!
//! Both are filled through their own API. What must differ (uids, versions, times, tokens, whatever only a
//! whole cluster has) is levelled before the comparison; everything else is a fault of the simulator.

mod kcp;
mod kubernetes;
mod openapi;
mod writes;

use serde_json::{Value, json};

use super::{Answer, Client};
use crate::pki::{Leaf, client_config};

/// One server, as its administrator, as bob, and as nobody.
struct Side {
    admin: Client,
    bob: Client,
    nobody: Client,
}

impl Side {
    fn new(url: &str, ca_pem: &str, leaf: impl Fn(&str, &[&str]) -> Leaf) -> Self {
        let client = |leaf: Option<&Leaf>| {
            let tls = client_config(ca_pem, leaf, &[]);
            Client::with_tls(url, tls.as_ref().clone(), None)
        };
        Self {
            admin: client(Some(&leaf("admin", &["system:masters"]))),
            bob: client(Some(&leaf("bob", &["dev"]))),
            nobody: client(None),
        }
    }

    fn client(&self, name: &str) -> &Client {
        match name {
            "admin" => &self.admin,
            "bob" => &self.bob,
            _ => &self.nobody,
        }
    }

    async fn create(&self, path: &str, object: Value) {
        let answer = self.admin.post(path, object).await;
        assert!(matches!(answer.status, 201 | 409), "{path}: {}", answer.text);
    }
}

/// Status, content type and body, without what must differ.
fn levelled(answer: &Answer, base: &str) -> Value {
    let mut body = answer.json.clone();
    if body.is_null() {
        body = json!(answer.text);
    }
    level(&mut body, base);
    json!({"status": answer.status, "type": answer.content_type, "body": body})
}

fn level(value: &mut Value, base: &str) {
    match value {
        Value::Object(fields) => {
            // Which rule allowed something: ours are no Role objects.
            if fields.get("allowed") == Some(&json!(true)) {
                fields.remove("reason");
            }
            for gone in ["managedFields", "uid", "storageVersionHash", "serverAddressByClientCIDRs", "selfLink"] {
                fields.remove(gone);
            }
            for (key, value) in fields.iter_mut() {
                let varies = matches!(key.as_str(), "resourceVersion" | "continue" | "kcp.io/cluster")
                    || key.ends_with("Timestamp");
                if varies && value.as_str().is_some_and(|text| !text.is_empty()) {
                    *value = json!("<varies>");
                }
                level(value, base);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| level(item, base)),
        Value::String(text) => {
            for cut in ["continue key is not valid", "X509SHA256="] {
                if let Some(at) = text.find(cut) {
                    text.truncate(at + cut.len());
                }
            }
            if is_age(text) || text.parse::<jiff::Timestamp>().is_ok() {
                *text = "<age>".into();
            } else if let Some(cluster) = text.strip_prefix(base).and_then(|url| url.strip_prefix("/clusters/")) {
                *text = if cluster.contains(':') { format!("<base> {cluster}") } else { "<base> <name>".into() };
            } else {
                *text = text.replace(base, "<base>");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `4m`, `4m1s`: the two sides are filled and asked at different moments.
fn is_age(text: &str) -> bool {
    let parts = text.split_inclusive(['d', 'h', 'm', 's']);
    !text.is_empty()
        && parts
            .into_iter()
            .all(|part| part.strip_suffix(['d', 'h', 'm', 's']).is_some_and(|number| number.parse::<u32>().is_ok()))
}

/// Sends each probe to both sides; a list of differences, empty when they are twins.
async fn compare(probes: &[(&str, &str, &str)], real: &Side, simulated: &Side) -> Vec<String> {
    let mut differences = Vec::new();
    for (who, path, accept) in probes {
        let mut answers = Vec::new();
        for side in [real, simulated] {
            let client = side.client(who);
            let answer = client.get_as(path, accept).await;
            answers.push(levelled(&answer, &client.base));
        }
        if answers[0] != answers[1] {
            differences.push(format!("{who} {path} {accept}\n  real      {}\n  simulated {}", answers[0], answers[1]));
        }
    }
    differences
}
