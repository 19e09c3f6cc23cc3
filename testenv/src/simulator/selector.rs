//! Label and field selectors.

use serde_json::Value;

use super::reply::{Outcome, Refusal};
use super::types::ResourceType;

/// What a list is narrowed by.
#[derive(Debug, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Debug)]
struct FieldTerm {
    path: String,
    value: String,
    equal: bool,
}

#[derive(Debug, PartialEq)]
enum Requirement {
    Exists(String),
    Missing(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Selector {
    /// Reads both selectors of a list of `ty`; 400 for what the real server refuses.
    pub(super) fn parse(ty: &ResourceType, labels: Option<&str>, fields: Option<&str>) -> Outcome<Self> {
        let labels = parse_labels(labels.unwrap_or_default())?;
        let mut terms = Vec::new();
        for term in fields.unwrap_or_default().split(',').filter(|t| !t.is_empty()) {
            let (path, value, equal) = split_field(term).ok_or_else(|| {
                Refusal::bad_request(format!("invalid field selector: {term:?}; can't understand {term:?}"))
            })?;
            if !field_is_known(ty, &path) {
                return Err(unknown_field(ty, &path));
            }
            terms.push(FieldTerm { path, value, equal });
        }
        Ok(Self { labels, fields: terms })
    }

    /// True when nothing is narrowed.
    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// True when `object` is selected.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let labelled = self.labels.iter().all(|requirement| {
            let value = |key: &String| labels[key.as_str()].as_str();
            match requirement {
                Requirement::Exists(key) => value(key).is_some(),
                Requirement::Missing(key) => value(key).is_none(),
                Requirement::In(key, set) => value(key).is_some_and(|v| set.iter().any(|wanted| wanted == v)),
                Requirement::NotIn(key, set) => value(key).is_none_or(|v| !set.iter().any(|wanted| wanted == v)),
            }
        });
        labelled && self.fields.iter().all(|term| (field(object, &term.path) == term.value) == term.equal)
    }
}

/// The text of a `LabelSelector` object, as tables show it; empty when it selects all.
pub(super) fn selector_text(selector: &Value) -> String {
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        parts.push((key.clone(), format!("{key}={value}")));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        };
        parts.push((key.to_owned(), text));
    }
    parts.sort();
    let texts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    texts.join(",")
}

fn parse_labels(text: &str) -> Outcome<Vec<Requirement>> {
    let unreadable = |term: &str| {
        let found = term.split_whitespace().nth(1).unwrap_or_default();
        Refusal::bad_request(format!(
            "unable to parse requirement: found '{found}', expected: in, notin, =, ==, !=, gt, lt"
        ))
    };
    let mut requirements = Vec::new();
    for term in split_outside_parentheses(text) {
        let term = term.trim();
        if term.is_empty() {
            continue;
        }
        requirements.push(parse_requirement(term).ok_or_else(|| unreadable(term))?);
    }
    Ok(requirements)
}

fn parse_requirement(term: &str) -> Option<Requirement> {
    let owned = |text: &str| text.trim().to_owned();
    if let Some(list) = term.strip_suffix(')') {
        let (head, values) = list.split_once('(')?;
        let (key, operator) = head.trim().rsplit_once(char::is_whitespace)?;
        let values = values.split(',').map(owned).collect();
        return match operator {
            "in" => Some(Requirement::In(owned(key), values)),
            "notin" => Some(Requirement::NotIn(owned(key), values)),
            _ => None,
        };
    }
    if let Some((key, value)) = term.split_once("!=") {
        return Some(Requirement::NotIn(owned(key), vec![owned(value)]));
    }
    if let Some((key, value)) = term.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Requirement::In(owned(key), vec![owned(value)]));
    }
    if term.contains(char::is_whitespace) {
        return None;
    }
    Some(match term.strip_prefix('!') {
        Some(key) => Requirement::Missing(owned(key)),
        None => Requirement::Exists(owned(term)),
    })
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|c| {
        match c {
            '(' => inside = true,
            ')' => inside = false,
            _ => {}
        }
        c == ',' && !inside
    })
    .collect()
}

fn split_field(term: &str) -> Option<(String, String, bool)> {
    let (path, value, equal) = match term.split_once("!=") {
        Some((path, value)) => (path, value, false),
        None => {
            let (path, value) = term.split_once('=')?;
            (path, value.strip_prefix('=').unwrap_or(value), true)
        }
    };
    Some((path.to_owned(), value.to_owned(), equal))
}

/// Kinds with fields of their own, and custom resources, refuse in other words than the rest.
fn unknown_field(ty: &ResourceType, path: &str) -> Box<Refusal> {
    let own_fields = ty.custom
        || ty.group.is_empty() && matches!(ty.plural.as_str(), "pods" | "namespaces" | "nodes" | "secrets" | "events");
    Refusal::bad_request(match own_fields {
        true => format!("field label not supported: {path}"),
        false => format!("{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
    })
}

/// The fields that the real server can select by.
fn field_is_known(ty: &ResourceType, path: &str) -> bool {
    if matches!(path, "metadata.name" | "metadata.namespace") {
        return true;
    }
    match (ty.group.as_str(), ty.plural.as_str()) {
        ("", "pods") => matches!(
            path,
            "spec.nodeName"
                | "spec.restartPolicy"
                | "spec.schedulerName"
                | "spec.serviceAccountName"
                | "status.phase"
                | "status.podIP"
                | "status.nominatedNodeName"
        ),
        ("", "namespaces") => path == "status.phase",
        ("", "nodes") => path == "spec.unschedulable",
        ("", "secrets") => path == "type",
        ("", "events") => {
            path.starts_with("involvedObject.") || matches!(path, "reason" | "type" | "source" | "reportingComponent")
        }
        _ => false,
    }
}

fn field(object: &Value, path: &str) -> String {
    let path = if path == "source" { "source.component" } else { path };
    let value = path.split('.').fold(object, |value, part| &value[part]);
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::simulator::types::Types;

    fn selects(labels: &str, fields: &str, object: &Value) -> bool {
        let pods = Types::kubernetes().find("", "v1", "pods").unwrap();
        let selector = Selector::parse(&pods, Some(labels), Some(fields)).unwrap();
        selector.matches(object)
    }

    #[test]
    fn labels_select_by_equality_sets_and_presence() {
        let pod = json!({"metadata": {"name": "a", "labels": {"app": "web", "tier": "front"}}});
        for good in [
            "app=web",
            "app==web",
            "app",
            "!gone",
            "app in (web,db)",
            "app!=db",
            "gone notin (x)",
            "app=web,tier in (front, back)",
            "",
        ] {
            assert!(selects(good, "", &pod), "{good}");
        }
        for bad in ["app=db", "!app", "app notin (web)", "app in (db),tier", "gone"] {
            assert!(!selects(bad, "", &pod), "{bad}");
        }
    }

    #[test]
    fn fields_select_and_unknown_ones_are_refused() {
        let pod = json!({"metadata": {"name": "a"}, "status": {"phase": "Running"}});
        assert!(selects("", "status.phase=Running,metadata.name=a", &pod));
        assert!(!selects("", "status.phase!=Running", &pod));
        let pods = Types::kubernetes().find("", "v1", "pods").unwrap();
        let refused = Selector::parse(&pods, None, Some("spec.color=red")).unwrap_err();
        assert!(format!("{refused:?}").contains("field label not supported: spec.color"), "{refused:?}");
    }

    #[test]
    fn selector_objects_have_the_text_of_the_real_printer() {
        let selector = json!({"matchLabels": {"b": "2"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "Exists"}]});
        assert_eq!(selector_text(&selector), "a in (x,y),b=2,c");
    }
}
