//! Input schemas: short, because every model reads all of them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{JsonObject, Spec, TargetNeed};

/// The schema of a tool's own arguments: JSON Schema 2020-12, `additionalProperties: false`, without the words that say
/// nothing.
pub(super) fn own<Args: JsonSchema>() -> JsonObject {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let schema = settings.into_generator().into_root_schema_for::<Args>();
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    schema.remove("title");
    schema.remove("description");
    schema.insert("additionalProperties".into(), Value::Bool(false));
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    for property in properties.as_object_mut().into_iter().flat_map(|properties| properties.values_mut()) {
        shorten(property);
    }
    schema
}

/// What clients see: the tool's own arguments, and those that the dispatcher takes off before it calls.
pub(super) fn published(spec: &Spec, mut schema: JsonObject) -> JsonObject {
    let mut added: Vec<(&str, Value)> = Vec::new();
    if spec.target != TargetNeed::None {
        added.push(("cluster", json!({"type": "string", "description": "or kcp:workspace"})));
    }
    if spec.list {
        added.push(("limit", json!({"type": "integer"})));
        added.push(("continue", json!({"type": "string"})));
        added.push(("columns", json!({"type": "string"})));
        added.push(("format", json!({"enum": ["table", "wide", "json", "yaml"]})));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.extend(added.into_iter().map(|(name, property)| (name.to_owned(), property)));
    }
    schema
}

/// An optional argument may be left out; that it may also be null need not be said, nor that a count is not negative.
fn shorten(property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    if property.get("minimum") == Some(&json!(0)) {
        property.remove("minimum");
    }
    for word in ["default", "format", "title"] {
        property.remove(word);
    }
    let Some(Value::Array(types)) = property.get("type") else { return };
    let types: Vec<Value> = types.iter().filter(|name| *name != "null").cloned().collect();
    if let [only] = types.as_slice() {
        property.insert("type".into(), only.clone());
    }
}
