//! A field in words: one line for each field below it.

use crate::model::Failure;

use super::schema::{Node, Schema, Schemas};

/// Characters of a field's own description.
const WORDS: usize = 500;
/// Characters of the description of a field below it: of its first sentence.
const SENTENCE: usize = 110;
/// Bytes until fields are shown without a description.
const ROOM: usize = 7_500;
/// Bytes until no more fields are shown.
const MOST: usize = 10_000;
/// Fields inside fields, at most.
const MAX_DEPTH: usize = 12;
/// Values of an enum that are shown.
const VALUES: usize = 12;
/// Characters of a default, or of one value of an enum.
const VALUE: usize = 60;

/// The text of one field. `head` says of which kind it is.
pub(super) fn explain(
    schemas: &Schemas<'_>,
    head: &str,
    path: &[String],
    field: Node<'_>,
    recursive: bool,
) -> Result<String, Failure> {
    let path = if path.is_empty() { String::new() } else { format!(" {}", path.join(".")) };
    let mut text = format!("{head}{path} <{}>{}\n", schemas.type_of(&field)?, facts(&field.schema));
    let words = shortened(&field.schema.description, WORDS);
    if !words.is_empty() {
        text.push_str(&format!("{words}\n"));
    }
    let inside = schemas.inside(field)?;
    let printed = if recursive {
        let mut above = Vec::new();
        tree(schemas, &inside, &mut above, &mut text)
    } else {
        list(schemas, &inside, &mut text)
    };
    match printed {
        Err(_) if schemas.spent() => {
            text.push_str("(more fields, in schemas too large to read: name one of the fields)\n")
        }
        printed => printed?,
    }
    Ok(text)
}

/// A line per field, with the first sentence of what it says.
fn list(schemas: &Schemas<'_>, node: &Node<'_>, text: &mut String) -> Result<(), Failure> {
    let all = node.schema.properties.len();
    for (at, (name, raw)) in node.schema.properties.iter().enumerate() {
        if text.len() > MOST {
            left_out(text, all - at);
            break;
        }
        let field = schemas.resolve(raw)?;
        let words = if text.len() > ROOM { String::new() } else { sentence(&field.schema.description) };
        let colon = if words.is_empty() { "" } else { ": " };
        text.push_str(&format!("{}{colon}{words}\n", line(schemas, node, name, &field)?));
    }
    Ok(())
}

/// A line per field with the fields inside it below. `above` holds the names of what it is in: what refers to itself is
/// shown once.
fn tree(schemas: &Schemas<'_>, node: &Node<'_>, above: &mut Vec<String>, text: &mut String) -> Result<(), Failure> {
    let indent = "  ".repeat(above.len());
    let all = node.schema.properties.len();
    above.push(node.name.clone().unwrap_or_default());
    for (at, (name, raw)) in node.schema.properties.iter().enumerate() {
        if text.len() > MOST {
            left_out(text, all - at);
            break;
        }
        let field = schemas.resolve(raw)?;
        text.push_str(&format!("{indent}{}\n", line(schemas, node, name, &field)?));
        let inside = schemas.inside(field)?;
        let itself = inside.name.as_ref().is_some_and(|name| above.contains(name));
        if !itself && above.len() < MAX_DEPTH && !inside.schema.properties.is_empty() {
            tree(schemas, &inside, above, text)?;
        }
    }
    above.pop();
    Ok(())
}

fn left_out(text: &mut String, count: usize) {
    const SAID: &str = " more fields: name one of the fields above)\n";
    if !text.ends_with(SAID) {
        text.push_str(&format!("({count}{SAID}"));
    }
}

/// `containers <[]Container> required enum=A|B default=1`.
fn line(schemas: &Schemas<'_>, parent: &Node<'_>, name: &str, field: &Node<'_>) -> Result<String, Failure> {
    let required = if parent.schema.required.contains(name) { " required" } else { "" };
    Ok(format!("{} <{}>{required}{}", shortened(name, VALUE), schemas.type_of(field)?, facts(&field.schema)))
}

/// Which values there are, and which one it is by default; an empty object as the default says nothing.
fn facts(schema: &Schema<'_>) -> String {
    let mut facts = String::new();
    if !schema.values.is_empty() {
        let values: Vec<String> = schema.values.iter().take(VALUES).map(|value| plain(value.get())).collect();
        let more = if schema.values.len() > VALUES { "|…" } else { "" };
        facts.push_str(&format!(" enum={}{more}", values.join("|")));
    }
    match schema.default {
        Some(default) if !matches!(default.get(), "{}" | "\"\"" | "null") => {
            facts.push_str(&format!(" default={}", plain(default.get())));
        }
        Some(_) | None => {}
    }
    facts
}

/// A JSON value, a text without its quotes.
fn plain(json: &str) -> String {
    let text: Option<String> = serde_json::from_str(json).ok();
    shortened(text.as_deref().unwrap_or(json), VALUE)
}

/// The first sentence on one line, cut.
fn sentence(text: &str) -> String {
    let line = shortened(text, WORDS);
    let end = line
        .match_indices(". ")
        .map(|(at, _)| at)
        .find(|at| !line[..*at].ends_with("e.g") && !line[..*at].ends_with("i.e"));
    shortened(&line[..end.unwrap_or(line.len())], SENTENCE).trim_end_matches('.').to_owned()
}

/// One line of at most `most` characters.
fn shortened(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{explain, sentence};
    use crate::tools::extra::explain::schema::{MAX_PARSED, Schemas};

    const DOCUMENT: &str = r##"{
      "openapi": "3.0.0", "paths": {"/apis/shop.example/v1": {"get": {"description": "not read"}}},
      "components": {"schemas": {
        "example.shop.v1.Cart": {
          "description": "A cart.", "type": "object", "required": ["spec"],
          "properties": {
            "apiVersion": {"type": "string"},
            "spec": {"allOf": [{"$ref": "#/components/schemas/example.shop.v1.CartSpec"}], "default": {}, "description": "What is\n wanted. And more."},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
          },
          "x-kubernetes-group-version-kind": [{"group": "shop.example", "version": "v1", "kind": "Cart"}]
        },
        "example.shop.v1.CartSpec": {
          "description": "Of a cart.", "type": "object", "required": ["items"],
          "properties": {
            "items": {"type": "array", "items": {"default": {}, "allOf": [{"$ref": "#/components/schemas/example.shop.v1.Item"}]}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "mode": {"type": "string", "enum": ["Fast", "Slow"], "default": "Fast", "description": "How, e.g. fast. Or not."},
            "port": {"x-kubernetes-int-or-string": true},
            "limit": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}}
          }
        },
        "example.shop.v1.Item": {
          "type": "object",
          "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#/components/schemas/example.shop.v1.Item"}}}
        },
        "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string", "description": "An amount."}
      }}
    }"##;

    fn explained(path: &str, recursive: bool) -> Result<String, String> {
        let read = || {
            let schemas = Schemas::read(DOCUMENT.as_bytes())?;
            let path: Vec<String> = path.split('.').filter(|name| !name.is_empty()).map(Into::into).collect();
            let field = schemas.field(schemas.kind("shop.example", "v1", "Cart")?, &path)?;
            explain(&schemas, "Cart shop.example/v1", &path, field, recursive)
        };
        read().map_err(|failure| failure.to_string())
    }

    #[test]
    fn fields_are_one_line_each() {
        insta::assert_snapshot!(explained("", false).unwrap(), @"
        Cart shop.example/v1 <Object>
        A cart.
        apiVersion <string>
        spec <CartSpec> required: What is wanted
        status <Object>
        ");
        insta::assert_snapshot!(explained("spec", false).unwrap(), @"
        Cart shop.example/v1 spec <CartSpec>
        What is wanted. And more.
        items <[]Item> required
        labels <map[string]string>
        limit <map[string]Quantity>
        mode <string> enum=Fast|Slow default=Fast: How, e.g. fast
        port <IntOrString>
        ");
        insta::assert_snapshot!(explained("spec.items.parts.name", false).unwrap(), @"Cart shop.example/v1 spec.items.parts.name <string>");
        assert_eq!(explained("spec.limit", false).unwrap(), "Cart shop.example/v1 spec.limit <map[string]Quantity>\n");
    }

    #[test]
    fn what_refers_to_itself_is_shown_once() {
        insta::assert_snapshot!(explained("", true).unwrap(), @"
        Cart shop.example/v1 <Object>
        A cart.
        apiVersion <string>
        spec <CartSpec> required
          items <[]Item> required
            name <string>
            parts <[]Item>
          labels <map[string]string>
          limit <map[string]Quantity>
          mode <string> enum=Fast|Slow default=Fast
          port <IntOrString>
        status <Object>
        ");
    }

    #[test]
    fn an_unknown_field_shows_near_names() {
        assert_eq!(explained("spec.itms", false).unwrap_err(), "spec has no field \"itms\". Near names: items");
        assert_eq!(
            explained("spec.zzzzzzzzzzzz", false).unwrap_err(),
            "spec has no field \"zzzzzzzzzzzz\". Explain spec to see its fields"
        );
        assert_eq!(explained("spec.mode.x", false).unwrap_err(), "spec.mode has no fields. Ask for that one");
        assert!(explained("stat", false).unwrap_err().starts_with("it has no field \"stat\". Near names: status"));
    }

    #[test]
    fn foreign_documents_are_read_or_refused() {
        for bad in ["", "{\"components\": 1}", "{\"components\": {\"schemas\": {\"a\": 1}}"] {
            assert!(Schemas::read(bad.as_bytes()).is_err(), "{bad}");
        }
        let schemas = Schemas::read(b"{}").unwrap();
        assert!(schemas.kind("", "v1", "Pod").is_err());
        let kinds = "\"x-kubernetes-group-version-kind\": [{\"group\": \"\", \"version\": \"v1\", \"kind\": \"Loop\"}]";
        let itself = format!(
            "{{\"components\": {{\"schemas\": {{\"Loop\": {{\"$ref\": \"#/components/schemas/Loop\", {kinds}}}}}}}}}"
        );
        let schemas = Schemas::read(itself.as_bytes()).unwrap();
        let root = schemas.kind("", "v1", "Loop").unwrap();
        assert_eq!(explain(&schemas, "Loop v1", &[], root, true).unwrap(), "Loop v1 <Loop>\n");
    }

    #[test]
    fn what_is_parsed_is_bounded() {
        let kinds = "\"x-kubernetes-group-version-kind\": [{\"group\": \"\", \"version\": \"v1\", \"kind\": \"Wide\"}]";
        let fields: Vec<String> =
            (0..300).map(|at| format!("\"f{at:03}\": {{\"$ref\": \"#/components/schemas/Big\"}}")).collect();
        // Each field leads to the large one, which alone is read quickly.
        let large = "x".repeat(MAX_PARSED / 100);
        let document = format!(
            "{{\"components\": {{\"schemas\": {{\"Big\": {{\"type\": \"object\", \"description\": \"{large}\"}},
                \"Wide\": {{\"properties\": {{{}}}, {kinds}}}}}}}}}",
            fields.join(",")
        );
        for recursive in [false, true] {
            let schemas = Schemas::read(document.as_bytes()).unwrap();
            let root = schemas.kind("", "v1", "Wide").unwrap();
            let text = explain(&schemas, "Wide v1", &[], root, recursive).unwrap();
            assert!(text.contains("f098 <Big>") && !text.contains("f100"), "{text}");
            assert!(text.ends_with("(more fields, in schemas too large to read: name one of the fields)\n"), "{text}");
            assert!(schemas.kind("", "v1", "Wide").is_err(), "nothing is left");
        }
    }

    #[test]
    fn a_sentence_is_short() {
        assert_eq!(sentence("One. Two."), "One");
        assert_eq!(sentence("As i.e. this. Two"), "As i.e. this");
        assert_eq!(sentence(&"word ".repeat(100)).chars().count(), 111);
    }
}
