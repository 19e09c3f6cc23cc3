use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::schema;
use crate::config::{Environment, Loaded, parse};

fn read(toml: &str) -> Loaded {
    parse(toml, Path::new("/nonexistent/c.toml"), &Environment::of(&[], Some(PathBuf::from("/nonexistent"))))
}

/// JSON as a value of TOML.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{} = {}", json!(key), toml(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn document(members: &Map<String, Value>) -> String {
    members.iter().map(|(key, value)| format!("{key} = {}\n", toml(value))).collect()
}

/// A value that a schema allows, with every key that it knows.
fn instance(schema: &Value) -> Value {
    if let Some(words) = schema["enum"].as_array() {
        return words[0].clone();
    }
    match kind(schema) {
        "object" => match schema["properties"].as_object() {
            Some(members) => members.iter().map(|(key, member)| (key.clone(), instance(member))).collect(),
            None => json!({"some-name": instance(&schema["additionalProperties"])}),
        },
        "array" => json!([instance(&schema["items"])]),
        "integer" => schema["minimum"].clone(),
        "boolean" => json!(true),
        "anyOf" => instance(schema["anyOf"].as_array().unwrap().iter().rfind(|one| one["type"] != "null").unwrap()),
        _ => json!("x"),
    }
}

fn kind(schema: &Value) -> &str {
    let kind = schema["type"].as_str().or(schema["anyOf"].is_array().then_some("anyOf"));
    kind.unwrap_or_else(|| panic!("a schema without one type: {schema}"))
}

/// Every table of keys: the pointer to it in an instance, and its schema.
fn tables<'s>(schema: &'s Value, at: String, found: &mut Vec<(String, &'s Value)>) {
    match kind(schema) {
        "object" if schema["properties"].is_object() => {
            for (key, member) in schema["properties"].as_object().unwrap() {
                tables(member, format!("{at}/{key}"), found);
            }
            found.push((at, schema));
        }
        "object" => tables(&schema["additionalProperties"], format!("{at}/some-name"), found),
        "array" => tables(&schema["items"], format!("{at}/0"), found),
        _ => {}
    }
}

fn all_tables(schema: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    tables(schema, String::new(), &mut found);
    found
}

#[test]
fn it_is_a_closed_schema_with_a_description_for_every_key() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let tables = all_tables(&schema);
    assert!(tables.len() > 15, "{}", tables.len());
    for (at, table) in tables {
        assert_eq!(table["additionalProperties"], false, "{at} takes any key");
        for (key, member) in table["properties"].as_object().unwrap() {
            let said = member["description"].as_str().or(member["items"]["description"].as_str());
            assert!(said.is_some_and(|said| said.len() > 10), "{at}/{key} has no description: {member}");
        }
    }
}

#[test]
fn the_reader_knows_every_key_of_the_schema_and_no_other() {
    let schema = schema();
    let whole = instance(&schema);
    let known: Vec<_> = read(&document(whole.as_object().unwrap())).problems;
    let unknown: Vec<_> = known.iter().filter(|problem| problem.what == "unknown key").collect();
    assert!(unknown.is_empty(), "the reader does not know {unknown:#?}");
    let wrong: Vec<_> = known.iter().filter(|problem| problem.what.contains(" is expected")).collect();
    assert!(wrong.is_empty(), "the schema has another type: {wrong:#?}");
    for (at, table) in all_tables(&schema) {
        let mut document_with = whole.clone();
        let stranger = "quite_a_stranger_to_every_key_that_is_known_here";
        document_with.pointer_mut(&at).unwrap()[stranger] = json!(1);
        let problems = read(&document(document_with.as_object().unwrap())).problems;
        let found = problems.iter().find(|problem| problem.key.ends_with(stranger));
        let found = found.unwrap_or_else(|| panic!("the reader takes any key at {at}: {problems:#?}"));
        let listed = found.fix.strip_prefix("write one of ").unwrap_or_else(|| panic!("{at}: {}", found.fix));
        let reader: BTreeSet<&str> = listed.split(", ").collect();
        let schema: BTreeSet<&str> = table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        // Two are read so that the reader can say what to write instead.
        let instead = |key: &str| at == "/policy/rules/0/match" && matches!(key, "kind" | "namespace");
        let reader: BTreeSet<&str> = reader.into_iter().filter(|key| !instead(key)).collect();
        assert_eq!(reader, schema, "the keys of {at}");
    }
}

/// The problems that a document has beside the missing cluster.
fn with(table: &str, key: &str, value: &Value) -> Vec<String> {
    let problems = read(&format!("[{table}]\n{key} = {}\n", toml(value))).problems;
    problems.into_iter().filter(|found| found.key == format!("{table}.{key}")).map(|found| found.what).collect()
}

#[test]
fn limits_have_the_ranges_and_defaults_of_the_reader() {
    let schema = schema();
    let limits = schema["properties"]["limits"]["properties"].as_object().unwrap();
    for (key, limit) in limits {
        assert_eq!(with("limits", key, &limit["default"]), [""; 0], "the default of {key}");
        let (good, bad) = if kind(limit) == "integer" {
            let (least, most) = (limit["minimum"].as_u64().unwrap(), limit["maximum"].as_u64().unwrap());
            (vec![json!(least), json!(most)], vec![json!(least - 1), json!(most + 1)])
        } else {
            let said = limit["description"].as_str().unwrap();
            let (least, most) = said
                .split([' ', ',', '.'])
                .collect::<Vec<_>>()
                .windows(3)
                .find_map(|words| {
                    (words[1] == "to" && words[0].starts_with(|c: char| c.is_ascii_digit()))
                        .then(|| (words[0].to_owned(), words[2].to_owned()))
                })
                .unwrap_or_else(|| panic!("{key} does not say its range: {said}"));
            let below = if least == "1s" { "999ms" } else { "99ms" };
            (vec![json!(least), json!(most)], vec![json!(below), json!("25h"), json!("x")])
        };
        for value in good {
            assert_eq!(with("limits", key, &value), [""; 0], "{key} = {value}");
        }
        for value in bad {
            assert_eq!(with("limits", key, &value).len(), 1, "{key} = {value} is out of range");
        }
    }
}

#[test]
fn defaults_are_what_the_reader_takes_them_for() {
    let empty = "[clusters.a]\nserver = \"https://a.example\"\nstrategy = \"none\"\n";
    let schema = schema();
    let mut written = String::from(empty);
    for table in ["server", "policy", "limits"] {
        written.push_str(&format!("[{table}]\n"));
        for (key, member) in schema["properties"][table]["properties"].as_object().unwrap() {
            let default = &member["default"];
            if !default.is_null() && kind(member) != "object" {
                written.push_str(&format!("{key} = {}\n", toml(default)));
            }
        }
    }
    let (written, empty) = (read(&written), read(empty));
    let unmeant = "i_accept_unauthenticated_writes";
    assert!(written.problems.iter().all(|problem| problem.key.contains(unmeant)), "{:#?}", written.problems);
    assert_eq!(written.config.server, empty.config.server);
    assert_eq!((written.config.limits, written.config.policy), (empty.config.limits, empty.config.policy));
}

/// Why a value is not what a schema says; the part of JSON Schema that our schema uses.
fn breaks(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let wrong = |why: &str| vec![format!("{at}: {why}")];
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return wrong("not one of the words");
    }
    match (kind(schema), value) {
        ("object", Value::Object(members)) => {
            let missing = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = missing.filter(|key| !members.contains_key(*key));
            let mut broken: Vec<_> = missing.map(|key| format!("{at}: {key} is missing")).collect();
            for (key, value) in members {
                let member = schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]);
                broken.extend(if member.is_object() {
                    breaks(member, value, &format!("{at}/{key}"))
                } else {
                    wrong(&format!("{key} is not known"))
                });
            }
            broken
        }
        ("array", Value::Array(items)) => {
            items.iter().flat_map(|item| breaks(&schema["items"], item, &format!("{at}[]"))).collect()
        }
        ("integer", Value::Number(number)) => {
            let number = number.as_u64();
            let inside = number >= schema["minimum"].as_u64() && number <= schema["maximum"].as_u64().or(number);
            if inside { Vec::new() } else { wrong("out of range") }
        }
        ("string", Value::String(text)) => {
            let empty = text.is_empty() && schema["minLength"] == 1;
            let pattern = schema["pattern"].as_str().map(|pattern| regex::Regex::new(pattern).unwrap());
            let fits = pattern.is_none_or(|pattern| pattern.is_match(text));
            if fits && !empty { Vec::new() } else { wrong("another text is expected") }
        }
        ("boolean", Value::Bool(_)) => Vec::new(),
        ("anyOf", value) => {
            let one = |schema: &Value| breaks(schema, value, at);
            let each: Vec<_> = schema["anyOf"].as_array().unwrap().iter().map(one).collect();
            each.into_iter().min_by_key(Vec::len).unwrap()
        }
        (kind, _) => wrong(&format!("no {kind}")),
    }
}

/// Every configuration that people may copy: the sample files, and the blocks of the guides.
fn examples() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    for folder in ["clusters", "docs/guides", "docs"] {
        files.extend(std::fs::read_dir(root.join(folder)).unwrap().map(|item| item.unwrap().path()));
    }
    let mut found = Vec::new();
    for file in files.into_iter().filter(|file| file.is_file()) {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let name = file.display().to_string();
        match file.extension().and_then(std::ffi::OsStr::to_str) {
            Some("toml") => found.push((name, text)),
            Some("md") => {
                let blocks = text.split("\n```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
                found.extend(blocks.map(|block| (name.clone(), block.to_owned())));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_example_is_what_the_schema_and_the_reader_know() {
    let (schema, examples) = (schema(), examples());
    assert!(examples.len() >= 4, "{}", examples.len());
    for (name, text) in examples {
        let value: Value = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
        assert_eq!(breaks(&schema, &value, ""), [""; 0], "{name}\n{text}");
        let problems = read(&text).problems;
        let strange =
            problems.iter().find(|problem| problem.what == "unknown key" || problem.what.contains("expected"));
        assert!(strange.is_none(), "{name}: {strange:?}\n{text}");
    }
    let bad = json!({"server": {"listn": "x"}, "limits": {"connections": 0, "drain": "5"}, "clusters": {"a": {}}});
    assert_eq!(breaks(&schema, &bad, "").len(), 5, "{:#?}", breaks(&schema, &bad, ""));
}
