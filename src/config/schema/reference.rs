//! docs/reference/configuration.md: every key, from the schema.

use serde_json::Value;

use super::schema;
use crate::reference::{cell, hold};

#[test]
fn reference_configuration() {
    let schema = schema();
    let mut page = String::from(
        "# Configuration\n\nAll keys of the configuration file, by table. `<name>` is a name of yours; `[[…]]` is a list of tables. A key without\n\
         a default is optional unless it says *required*. How files, environment and flags come together, and what a reload\n\
         changes: [guides/configuration.md](../guides/configuration.md).\n",
    );
    table(&schema, "", "", &mut page);
    hold("configuration", &page);
}

/// One section per table; tables in it follow.
fn table(schema: &Value, header: &str, said: &str, page: &mut String) {
    let empty = serde_json::Map::new();
    let members = schema["properties"].as_object().unwrap_or(&empty);
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (tables, keys): (Vec<_>, Vec<_>) = members.iter().partition(|(_, member)| is_table(member));
    if !header.is_empty() {
        page.push_str(&format!("\n## {header}\n\n{said}\n"));
    }
    if !keys.is_empty() {
        page.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    }
    for (key, member) in keys {
        let default = match member.get("default") {
            Some(default) => format!("`{default}`"),
            None if required.contains(&key.as_str()) => "*required*".to_owned(),
            None => String::new(),
        };
        page.push_str(&format!("| `{key}` | {} | {default} | {} |\n", value(member), text(member)));
    }
    for (key, member) in tables {
        let plain = header.trim_start_matches('`').trim_end_matches('`').trim_matches(['[', ']']);
        let path = if plain.is_empty() { key.clone() } else { format!("{plain}.{key}") };
        let (header, inner) = match member["type"].as_str() {
            Some("array") => (format!("`[[{path}]]`"), &member["items"]),
            _ if member["additionalProperties"].is_object() => {
                (format!("`[{path}.<name>]`"), &member["additionalProperties"])
            }
            _ => (format!("`[{path}]`"), member),
        };
        let mut said = text(member);
        if said.is_empty() {
            said = text(inner);
        }
        let needed = if required.contains(&key.as_str()) { " *required*" } else { "" };
        table(inner, &header, &format!("{said}{needed}"), page);
    }
}

/// A table of its own, or a list or a map of tables.
fn is_table(member: &Value) -> bool {
    [member, &member["items"], &member["additionalProperties"]].iter().any(|one| one["properties"].is_object())
}

fn text(member: &Value) -> String {
    cell(member["description"].as_str().unwrap_or_default())
}

fn value(member: &Value) -> String {
    if let Some(words) = member["enum"].as_array() {
        return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(forms) = member["anyOf"].as_array() {
        return forms.iter().map(value).collect::<Vec<_>>().join(", or ");
    }
    match member["type"].as_str() {
        Some("array") => format!("list of {}", value(&member["items"])),
        Some("object") => "table of strings".to_owned(),
        Some("integer") => format!("{} to {}", member["minimum"], member["maximum"]),
        Some("boolean") => "`true`, `false`".to_owned(),
        _ if member["pattern"].is_string() => "time, as `\"30s\"`".to_owned(),
        _ => "string".to_owned(),
    }
}
