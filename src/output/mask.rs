//! The one place where secret values become markers. Every text and every object that leaves through [`super::render`]
//! passes here, and [`super::scrub_text`] takes errors and plans the same way.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::neutral;

/// How every marker begins. A document that contains one is refused on its way back to a cluster.
pub const MARKER: &str = "<masked ";

/// A longer annotation of a Secret may be a packed copy of it.
const MAX_ANNOTATION: usize = 256;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Objects nested deeper than this are replaced by a marker; Kubernetes itself allows less.
const MAX_DEPTH: usize = 128;

/// True when `text` holds a marker.
pub fn has_marker(text: &str) -> bool {
    text.contains(MARKER)
}

/// `text` neutralised, with whatever looks like a JSON Web Token or a PEM private key masked.
pub fn text(text: &str) -> Cow<'_, str> {
    match neutral::neutralise(text) {
        Cow::Borrowed(clean) => credentials(clean),
        Cow::Owned(clean) => Cow::Owned(credentials(&clean).into_owned()),
    }
}

/// Cleans one object or list in place: values of Secrets masked wherever a Secret is embedded, managedFields, the
/// last-applied annotation and an empty status removed, every string passed through [`text`]. `items_are` is the kind of a
/// list's items, which carry none themselves.
pub fn document(value: &mut Value, items_are: Option<&str>) {
    clean(value, items_are == Some("Secret"), 0);
}

fn clean(value: &mut Value, secret: bool, depth: usize) {
    if depth > MAX_DEPTH {
        *value = Value::String(format!("{MARKER}deep value>"));
        return;
    }
    match value {
        Value::String(found) => {
            if let Cow::Owned(masked) = text(found) {
                *found = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clean(item, secret, depth + 1)),
        Value::Object(fields) => clean_object(fields, secret, depth),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn clean_object(fields: &mut Map<String, Value>, secret: bool, depth: usize) {
    let kind = fields.get("kind").and_then(Value::as_str);
    let items_secret = kind == Some("SecretList") || (secret && fields.contains_key("items"));
    let kind_is_secret = kind == Some("Secret");
    if kind_is_secret || (secret && (kind.is_none() || !items_secret)) {
        for part in ["data", "stringData"] {
            mask_values(fields.get_mut(part), part == "data");
        }
    }
    fields.remove("managedFields");
    if fields.get("status").is_some_and(is_empty) {
        fields.remove("status");
    }
    let is_secret = kind_is_secret || (secret && !items_secret);
    let metadata = fields.get_mut("metadata").filter(|_| is_secret);
    if let Some(Value::Object(annotations)) = metadata.and_then(|metadata| metadata.get_mut("annotations")) {
        mask_copies(annotations);
    }
    if let Some(Value::Object(annotations)) = fields.get_mut("annotations") {
        annotations.remove(LAST_APPLIED);
        if annotations.is_empty() {
            fields.remove("annotations");
        }
    }
    rename_dangerous_keys(fields);
    for (name, value) in fields.iter_mut() {
        clean(value, items_secret && name == "items", depth + 1);
    }
}

/// Annotations of a Secret that may be a copy of it: deployment tools keep the last manifest there, plain or packed.
fn mask_copies(annotations: &mut Map<String, Value>) {
    for value in annotations.values_mut() {
        let copy = value.as_str().is_some_and(|text| text.len() > MAX_ANNOTATION || text.trim_start().starts_with('{'));
        if copy {
            mask_value(value, false);
        }
    }
}

/// Nothing in it: null, or an object or list of nothing but such.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn mask_values(part: Option<&mut Value>, is_base64: bool) {
    match part {
        Some(Value::Object(values)) => values.values_mut().for_each(|value| mask_value(value, is_base64)),
        Some(other) => mask_value(other, is_base64),
        None => {}
    }
}

fn mask_value(value: &mut Value, is_base64: bool) {
    let bytes = match &*value {
        Value::Null => return,
        Value::String(already) if already.starts_with(MARKER) => return,
        Value::String(text) if is_base64 => STANDARD.decode(text).map_or(text.len(), |decoded| decoded.len()),
        Value::String(text) => text.len(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string().len(),
    };
    *value = Value::String(format!("{MARKER}{bytes} bytes>"));
}

fn rename_dangerous_keys(fields: &mut Map<String, Value>) {
    let dangerous: Vec<String> = fields.keys().filter(|key| matches!(text(key), Cow::Owned(_))).cloned().collect();
    for key in dangerous {
        if let Some(value) = fields.remove(&key) {
            fields.insert(text(&key).into_owned(), value);
        }
    }
}

fn credentials(found: &str) -> Cow<'_, str> {
    if !found.contains("eyJ") && !found.contains("-----BEGIN ") {
        return Cow::Borrowed(found);
    }
    match (mask_keys(found), found) {
        (Cow::Owned(masked), _) => Cow::Owned(mask_tokens(&masked).into_owned()),
        (Cow::Borrowed(_), found) => mask_tokens(found),
    }
}

/// PEM private keys (RFC 7468), up to the end line, or to the end of the text where that is missing.
fn mask_keys(found: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut rest = found;
    while let Some((start, end)) = next_key(rest) {
        masked.push_str(rest.get(..start).unwrap_or_default());
        masked.push_str("<masked private key>");
        rest = rest.get(end..).unwrap_or_default();
    }
    if masked.is_empty() { Cow::Borrowed(found) } else { Cow::Owned(masked + rest) }
}

fn next_key(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find("-----BEGIN ")?;
        let label = text.get(start + 11..)?;
        let (label, body) = label.split_once("-----").unwrap_or((label, ""));
        if label.ends_with("PRIVATE KEY") && label.len() <= 40 {
            let end_line = format!("-----END {label}-----");
            let end = body.find(&end_line).map_or(text.len(), |at| text.len() - body.len() + at + end_line.len());
            return Some((start, end));
        }
        from = start + 11;
    }
}

/// JSON Web Tokens in compact form: `eyJ…` and at least two more parts (RFC 7515 7.1, RFC 7516 7.1).
fn mask_tokens(found: &str) -> Cow<'_, str> {
    let part = |text: &str| text.bytes().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_')).count();
    let mut masked = String::new();
    let mut rest = found;
    let mut from = 0;
    while let Some(start) = rest.get(from..).and_then(|text| text.find("eyJ")).map(|at| from + at) {
        let mut end = start + part(rest.get(start..).unwrap_or_default());
        let mut parts = 1;
        while parts < 5 && end - start >= 10 && rest.get(end..).is_some_and(|text| text.starts_with('.')) {
            end += 1 + part(rest.get(end + 1..).unwrap_or_default());
            parts += 1;
        }
        if parts >= 3 && end - start >= 30 {
            masked.push_str(rest.get(..start).unwrap_or_default());
            masked.push_str("<masked token>");
            rest = rest.get(end..).unwrap_or_default();
            from = 0;
        } else {
            from = end.max(start + 3);
        }
    }
    if masked.is_empty() { Cow::Borrowed(found) } else { Cow::Owned(masked + rest) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};
    use serde_json::{Value, json};

    use super::{document, has_marker, text};

    const CANARY: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl-canary_";

    fn cleaned(mut value: Value, items_are: Option<&str>) -> Value {
        document(&mut value, items_are);
        value
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let secret =
            json!({"kind": "Secret", "data": {"a": "Y2FuYXJ5"}, "stringData": {"b": "canary"}, "type": "Opaque"});
        let masked = json!({"kind": "Secret", "data": {"a": "<masked 6 bytes>"}, "stringData": {"b": "<masked 6 bytes>"}, "type": "Opaque"});
        assert_eq!(cleaned(secret.clone(), None), masked);
        assert_eq!(cleaned(masked.clone(), None), masked, "markers are stable");
        assert_eq!(cleaned(json!({"spec": {"manifests": [secret]}}), None), json!({"spec": {"manifests": [masked]}}));
        let item = json!({"metadata": {"name": "x"}, "data": {"a": "Y2FuYXJ5", "odd": {"deep": "canary"}}});
        for (kind, hint) in
            [(json!("SecretList"), None), (json!("List"), Some("Secret")), (json!(null), Some("Secret"))]
        {
            let list = cleaned(json!({"kind": kind, "items": [item]}), hint).to_string();
            assert!(!list.contains("Y2FuYXJ5") && !list.contains("canary") && has_marker(&list), "{list}");
        }
        assert!(!cleaned(item, Some("Secret")).to_string().contains("canary"));
        let config = json!({"kind": "ConfigMap", "data": {"a": "visible"}});
        assert_eq!(cleaned(config.clone(), None), config);
    }

    #[test]
    fn noise_goes() {
        let object = json!({
            "kind": "Secret",
            "metadata": {
                "name": "x", "managedFields": [{"manager": "kubectl"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"a\":\"Y2FuYXJ5\"}}"},
            },
            "status": {"loadBalancer": {}},
        });
        assert_eq!(cleaned(object, None), json!({"kind": "Secret", "metadata": {"name": "x"}}));
        let kept = json!({"status": {"ready": false}});
        assert_eq!(cleaned(kept.clone(), None), kept);
    }

    #[test]
    fn tokens_and_keys_are_masked_in_any_text() {
        assert_eq!(text(&format!("Bearer {CANARY}, twice {CANARY}.")), "Bearer <masked token>, twice <masked token>");
        assert_eq!(
            text("eyJ is three letters; eyJhbGciOiJub25lIn0 alone is no token"),
            "eyJ is three letters; eyJhbGciOiJub25lIn0 alone is no token"
        );
        let key = "-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----";
        assert_eq!(text(&format!("a {key} b {key}")), "a <masked private key> b <masked private key>");
        assert_eq!(text("-----BEGIN EC PRIVATE KEY-----\ncanary cut off"), "<masked private key>");
        let public = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert_eq!(text(public), public);
        assert!(!text(&format!("{public}{key}")).contains("canary"));
        let keyed = cleaned(json!({CANARY: {"env": [{"value": CANARY}]}}), None).to_string();
        assert!(!keyed.contains("canary"), "{keyed}");
    }

    proptest! {
        #[test]
        fn no_token_survives_whatever_stands_around_it(before in any::<String>(), after in any::<String>()) {
            let found = format!("{before}{CANARY}{after}");
            prop_assert!(!text(&found).contains("eyJzdWIiOiJjYW5hcnkifQ.c2ln"), "{found:?}");
        }
    }
}
