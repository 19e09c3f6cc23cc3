//! What the tools cost a conversation, in tokens of the very JSON that clients get; and docs/reference/tools.md.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dispatch::ToolInfo;
use crate::model::Access;
use crate::reference::{cell, hold, tokens};
use crate::server::mcp::describe;
use crate::server::tests::live;
use crate::tools::{Catalog, Entry, PROFILES, TOOLSETS, TargetNeed};

/// Tokens of server instructions, at most.
const INSTRUCTIONS: usize = 250;

/// The tools of these toolsets; the default ones without any.
fn catalog(toolsets: &[&str]) -> Catalog {
    Catalog::new(&toolsets.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// The array `tools` of `tools/list`, as clients get it.
fn wire<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let tools: Vec<_> = entries.map(|entry| describe(&ToolInfo::from(entry))).collect();
    serde_json::to_string(&tools).unwrap()
}

fn reads(entry: &&Entry) -> bool {
    entry.spec.access == Access::Read
}

/// Offered to everybody: the others only to those who reach a kcp.
fn to_all(entry: &&Entry) -> bool {
    entry.spec.target != TargetNeed::Workspace
}

/// (what, tokens, the most that it may cost)
fn profiles() -> [(&'static str, usize, usize); 4] {
    let default = catalog(&[]);
    [
        ("the default toolsets", tokens(&wire(default.iter().filter(to_all))), 3_000),
        ("the same with `policy.read_only`", tokens(&wire(default.iter().filter(to_all).filter(reads))), 2_000),
        ("the default toolsets for those who reach a kcp", tokens(&wire(default.iter())), 3_000),
        ("`toolsets = [\"lean\"]`", tokens(&wire(catalog(&["lean"]).iter())), 1_200),
    ]
}

#[test]
fn tools_and_instructions_keep_their_budgets() {
    for (what, tokens, most) in profiles() {
        assert!((100..=most).contains(&tokens), "{what}: {tokens} tokens, at most {most}");
    }
    let instructions = tokens(live().load().instructions());
    assert!((20..=INSTRUCTIONS).contains(&instructions), "{instructions} tokens");
}

#[test]
fn the_reference_of_tools_is_what_clients_see() {
    let mut page = String::from(
        "# Tools\n\nWhat each tool costs is counted over its entry in `tools/list`, with the tokenizer o200k. The list does not\n\
         grow with the number of clusters.\n\n| `tools/list` | tokens | at most |\n|---|---:|---:|\n",
    );
    for (what, tokens, most) in profiles() {
        writeln!(page, "| {what} | {tokens} | {most} |").unwrap();
    }
    let instructions = tokens(live().load().instructions());
    writeln!(page, "| server instructions | {instructions} | {INSTRUCTIONS} |").unwrap();
    for profile in PROFILES {
        let tools = profile.tools.join("`, `");
        writeln!(page, "\n`toolsets = [\"{}\"]` is a choice out of the toolsets: `{tools}`.", profile.name).unwrap();
    }
    for toolset in TOOLSETS {
        let catalog = catalog(&[toolset.name]);
        let count = catalog.iter().count();
        let default = match (toolset.default, catalog.iter().all(|entry| to_all(&entry))) {
            (true, true) => ", on by default",
            (true, false) => ", on by default for those who reach a kcp",
            (false, _) => "",
        };
        let cost = tokens(&wire(catalog.iter()));
        writeln!(page, "\n## Toolset `{}`{default}\n\n{count} tools, {cost} tokens.", toolset.name).unwrap();
        catalog.iter().for_each(|entry| page.push_str(&section(entry)));
    }
    hold("tools", &page);
}

fn section(entry: &Entry) -> String {
    let spec = entry.spec;
    let cost = tokens(&serde_json::to_string(&describe(&entry.into())).unwrap());
    let mut text = format!(
        "\n### `{}`\n\n{}: {}.\n\nAccess: {}. {cost} tokens.\n",
        spec.name,
        spec.title,
        spec.description,
        spec.access.word()
    );
    let empty = serde_json::Map::new();
    let properties = entry.schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    if properties.is_empty() {
        return text;
    }
    let required = entry.schema.get("required").and_then(Value::as_array);
    text.push_str("\n| argument | type | required | |\n|---|---|---|---|\n");
    for (name, property) in properties {
        let must = required.is_some_and(|required| required.iter().any(|other| other == name.as_str()));
        let about = property["description"].as_str().unwrap_or_default();
        let must = if must { "yes" } else { "" };
        writeln!(text, "| `{name}` | {} | {must} | {} |", type_of(property), cell(about)).unwrap();
    }
    text
}

fn type_of(property: &Value) -> String {
    if let Some(words) = property["enum"].as_array() {
        return words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    }
    match (property["type"].as_str(), property["items"]["type"].as_str()) {
        (Some("array"), Some(item)) => format!("array of {item}"),
        (Some(one), _) => one.to_owned(),
        (None, _) => "any".to_owned(),
    }
}
