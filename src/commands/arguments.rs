//! `NAME=VALUE` words as the arguments of a tool.

use kubeferry::dispatch::ToolInfo;
use serde_json::{Map, Value};

/// Reads the words by the types of the tool's schema: what it calls a string stays one, everything else is JSON where it
/// reads as JSON.
pub fn read(words: &[String], tool: Option<&ToolInfo>) -> Result<Map<String, Value>, String> {
    let mut arguments = Map::new();
    for word in words {
        let (name, text) = word.split_once('=').ok_or_else(|| format!("{word:?} is not NAME=VALUE"))?;
        let is_text = kind(tool, name).is_none_or(|kind| kind == "string");
        let value = if is_text { None } else { serde_json::from_str(text).ok() };
        if arguments.insert(name.to_owned(), value.unwrap_or_else(|| Value::String(text.to_owned()))).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(arguments)
}

/// The schema's type of an argument.
fn kind<'a>(tool: Option<&'a ToolInfo>, name: &str) -> Option<&'a str> {
    tool?.input_schema.get("properties")?.get(name)?.get("type")?.as_str()
}
