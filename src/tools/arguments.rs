//! Reads arguments: every mistake is named in one line, with what to write instead.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::{Failure, names};
use crate::output::{Budget, DEFAULT_OBJECTS, DEFAULT_ROWS, Format, MAX_HANDLE, MAX_LIMIT, Page, Presentation};

use super::JsonObject;

/// Longest selector, in bytes.
pub(super) const MAX_SELECTOR: usize = 1024;
/// Longest argument of any kind, in bytes as JSON; no tool that reads needs more.
const MAX_ARGUMENT: usize = 16 * 1024;
/// Most columns that one call may ask for.
const MAX_COLUMNS: usize = 64;

/// Reads a tool's own arguments after holding them against its schema. A null counts as left out.
///
/// # Errors
/// When an argument is unknown, missing or of another type.
pub fn read<Args: DeserializeOwned>(mut args: JsonObject, schema: &JsonObject) -> Result<Args, Failure> {
    args.retain(|_, value| !value.is_null());
    let empty = JsonObject::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for (name, value) in &args {
        let property = properties.get(name).ok_or_else(|| unknown(name, properties))?;
        check_type(name, value, property)?;
        if value.as_str().map_or_else(|| value.to_string().len(), str::len) > MAX_ARGUMENT {
            return Err(Failure::arguments(format!("argument {name} has more than {MAX_ARGUMENT} bytes")));
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let missing: Vec<&str> = required.filter(|name| !args.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(Failure::arguments(format!("missing argument: {}", missing.join(", "))));
    }
    serde_json::from_value(Value::Object(args)).map_err(|error| {
        let line: String = error.to_string().chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Failure::arguments(line)
    })
}

fn unknown(name: &str, properties: &JsonObject) -> Failure {
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    let near = names::near(name, known.iter().copied(), 3);
    let failure = Failure::arguments(format!("there is no argument {}", names::quote(name)));
    match (near.as_slice(), known.as_slice()) {
        ([], []) => failure.hint("This tool has none of its own"),
        ([], known) => failure.hint(format!("Arguments are {}", known.join(", "))),
        (near, _) => failure.hint(format!("Did you mean {}?", near.join(", "))),
    }
}

fn check_type(name: &str, value: &Value, property: &Value) -> Result<(), Failure> {
    let fits = |wanted: &str| match wanted {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    match property.get("type").and_then(Value::as_str) {
        Some(wanted) if !fits(wanted) => Err(wrong_type(name, wanted, value)),
        Some(_) | None => Ok(()),
    }
}

fn wrong_type(name: &str, wanted: &str, value: &Value) -> Failure {
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Failure::arguments(format!("argument {name} must be of type {wanted}, not {given}"))
}

/// The arguments that every list has; the dispatcher takes them off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListArguments {
    /// Rows per page; `None` = the usual number.
    pub limit: Option<u32>,
    /// A sealed continue handle.
    pub handle: Option<String>,
    /// Columns by name.
    pub columns: Vec<String>,
    /// Format of the answer; `None` = the usual one.
    pub format: Option<Format>,
}

impl ListArguments {
    /// Takes `limit`, `continue`, `columns` (an array or a comma list) and `format` out of `args`.
    ///
    /// # Errors
    /// When one of them is of another type or out of bounds.
    pub fn take(args: &mut JsonObject) -> Result<Self, Failure> {
        let mut part = |name: &str| args.remove(name).filter(|value| !value.is_null());
        let limit = part("limit").map(|value| read_limit(&value)).transpose()?;
        let handle = part("continue").map(|value| text("continue", value)).transpose()?.filter(|text| !text.is_empty());
        if handle.as_ref().is_some_and(|handle| handle.len() > MAX_HANDLE) {
            return Err(Failure::arguments("continue is not a handle of ours: it is too long"));
        }
        let columns = part("columns").map(|value| read_columns(&value)).transpose()?.unwrap_or_default();
        let format = part("format").map(|value| text("format", value)).transpose()?;
        let format = format.map(|word| Format::parse(&word)).transpose()?;
        let list = Self { limit, handle, columns, format };
        list.presentation().check()?;
        Ok(list)
    }

    /// Rows per page: what was asked for, else what usually fits.
    pub fn rows(&self) -> u32 {
        self.limit.unwrap_or(self.usual())
    }

    fn usual(&self) -> u32 {
        if self.format.unwrap_or_default().wants_objects() { DEFAULT_OBJECTS } else { DEFAULT_ROWS }
    }

    /// The first page; a continue handle leads to others.
    pub fn first_page(&self) -> Page {
        Page::first(self.rows())
    }

    /// How the answer is wanted. Whoever sets a limit above the usual gets the ceiling of the budget; whoever says nothing
    /// of the form leaves it to us.
    pub fn presentation(&self) -> Presentation {
        let budget = if self.rows() > self.usual() { Budget::CEILING } else { Budget::DEFAULT };
        let free = self.limit.is_none() && self.format.is_none() && self.columns.is_empty();
        Presentation { format: self.format.unwrap_or_default(), columns: self.columns.clone(), budget, free }
    }
}

fn read_limit(value: &Value) -> Result<u32, Failure> {
    let limit = value.as_u64().and_then(|limit| u32::try_from(limit).ok());
    limit
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Failure::arguments(format!("argument limit must be an integer from 1 to {MAX_LIMIT}")))
}

fn read_columns(value: &Value) -> Result<Vec<String>, Failure> {
    let wrong = || Failure::arguments(format!("argument columns must be at most {MAX_COLUMNS} names"));
    let columns: Option<Vec<String>> = match value {
        Value::String(list) => Some(list.split(',').map(|name| name.trim().to_owned()).collect()),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(Into::into)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    let mut columns = columns.ok_or_else(wrong)?;
    columns.retain(|column| !column.trim().is_empty());
    if columns.len() > MAX_COLUMNS { Err(wrong()) } else { Ok(columns) }
}

fn text(name: &str, value: Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(wrong_type(name, "string", &other))
        }
    }
}

/// Checks a label selector, as kubectl's `-l`: at most 1 KiB.
///
/// # Errors
/// When it is too long or has other characters.
pub fn label_selector(selector: Option<String>) -> Result<Option<String>, Failure> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"/_.-=, ()!".contains(&c);
    selector_of("labelSelector", selector, allowed, |_| true, "as app=web,tier in (a,b),!old")
}

/// Checks a field selector, as `status.phase=Running,metadata.name!=x`: at most 1 KiB.
///
/// # Errors
/// When it is too long, has other characters or compares nothing.
pub fn field_selector(selector: Option<String>) -> Result<Option<String>, Failure> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"/_.-=,!:".contains(&c);
    let compares = |text: &str| {
        text.split(',').all(|term| {
            let key = term.split(['=', '!']).next().unwrap_or_default();
            !key.is_empty() && term.contains('=')
        })
    };
    selector_of("fieldSelector", selector, allowed, compares, "as status.phase=Running,metadata.name!=x")
}

fn selector_of(
    name: &str,
    selector: Option<String>,
    allowed: impl Fn(u8) -> bool,
    fits: impl Fn(&str) -> bool,
    example: &str,
) -> Result<Option<String>, Failure> {
    let Some(selector) = selector.filter(|selector| !selector.trim().is_empty()) else { return Ok(None) };
    if selector.len() > MAX_SELECTOR {
        return Err(Failure::arguments(format!("{name} is longer than {MAX_SELECTOR} bytes")));
    }
    if selector.bytes().all(allowed) && fits(&selector) {
        Ok(Some(selector))
    } else {
        let cause = format!("{name} {} is not a selector", names::quote(&selector));
        Err(Failure::arguments(cause).hint(format!("Write it {example}")))
    }
}

/// Checks a namespace.
///
/// # Errors
/// When it is no namespace name.
pub fn namespace(namespace: Option<String>) -> Result<Option<String>, Failure> {
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    if let Some(namespace) = &namespace {
        names::namespace(namespace).map_err(|error| Failure::arguments(error.to_string()))?;
    }
    Ok(namespace)
}

/// Checks a kind, plural or short name, optionally with `.group`, and an optional apiVersion, before discovery sees them.
///
/// # Errors
/// When one of them is outside its grammar.
pub fn kind(kind: &str, api_version: Option<&str>) -> Result<(), Failure> {
    names::plural(&kind.to_ascii_lowercase()).map_err(|_| {
        Failure::arguments(format!("kind {} is not valid", names::quote(kind)))
            .hint("Write it as Pod or deployments.apps")
    })?;
    let Some(api_version) = api_version else { return Ok(()) };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let checked = names::group(group).and_then(|_| names::version(version));
    let slashed_alone = api_version.starts_with('/');
    match checked {
        Ok(_) if !slashed_alone => Ok(()),
        Ok(_) | Err(_) => Err(Failure::arguments(format!("apiVersion {} is not valid", names::quote(api_version)))
            .hint("Write it as v1 or apps/v1, or leave it out")),
    }
}
