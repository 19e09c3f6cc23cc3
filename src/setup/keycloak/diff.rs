//! What differs between an object of the admin API and what it must be, and the object with that mended.

use serde_json::{Map, Value, json};

use super::plan::{Must, SEPARATOR, Want};

/// The longest value that is shown.
const SHOWN: usize = 200;

/// One line per member that is not as it must be: `enabled is false, should be true`.
pub(super) fn differences(object: &Value, must: &[Must]) -> Vec<String> {
    let differs = |must: &Must| {
        let is = member(object, must.path);
        (!fits(is, &must.want)).then(|| {
            let should = match &must.want {
                Want::Is(value) => shown(Some(value)),
                Want::Names(name) => format!("a list with {name}"),
                Want::Holds(all) => format!("a list with {}", all.join(", ")),
                Want::Empty => "empty".to_owned(),
                Want::NotTrue => "not true".to_owned(),
                Want::Https(url) => format!("an https URL, as {url:?}"),
                Want::UpTo(most) => format!("a number up to {most}"),
            };
            format!("{} is {}, should be {should}", must.path.replace('/', " "), shown(is))
        })
    };
    must.iter().filter_map(differs).collect()
}

/// Writes what must be into `object`; everything else stays. What a list already holds stays in it.
pub(super) fn mend(object: &mut Value, must: &[Must]) {
    for must in must {
        let is = member(object, must.path);
        if fits(is, &must.want) {
            continue;
        }
        let value = match &must.want {
            Want::Is(value) => value.clone(),
            Want::Names(name) => match is.and_then(Value::as_str).filter(|names| !names.is_empty()) {
                Some(names) => format!("{names}{SEPARATOR}{name}").into(),
                None => name.as_str().into(),
            },
            Want::Holds(all) => {
                let mut values = is.and_then(Value::as_array).cloned().unwrap_or_default();
                let missing: Vec<Value> =
                    all.iter().map(|one| json!(one)).filter(|one| !values.contains(one)).collect();
                values.extend(missing);
                values.into()
            }
            Want::Empty => "".into(),
            Want::NotTrue => is.map_or(json!(false), |is| if is.is_boolean() { json!(false) } else { json!("false") }),
            Want::Https(url) => url.as_str().into(),
            Want::UpTo(most) => most.to_string().into(),
        };
        put(object, must.path, value);
    }
}

/// The object to create: `initially` with what must be.
pub(super) fn created(initially: &Map<String, Value>, must: &[Must]) -> Value {
    let mut object = Value::Object(initially.clone());
    mend(&mut object, must);
    object
}

/// The member at a path joined by `/`.
pub(super) fn member<'o>(object: &'o Value, path: &str) -> Option<&'o Value> {
    path.split('/').try_fold(object, |object, name| object.get(name)).filter(|value| !value.is_null())
}

/// Writes a member, and makes the objects around it.
pub(super) fn put(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for name in path.split('/') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[name];
    }
    *place = value;
}

fn fits(is: Option<&Value>, want: &Want) -> bool {
    let text = is.and_then(Value::as_str);
    match want {
        Want::Is(value) => is == Some(value),
        Want::Names(name) => text.is_some_and(|names| names.split(SEPARATOR).any(|one| one == name)),
        Want::Holds(all) => is
            .and_then(Value::as_array)
            .is_some_and(|values| all.iter().all(|one| values.iter().any(|value| value.as_str() == Some(one)))),
        Want::Empty => is.is_none_or(|is| is == ""),
        Want::NotTrue => is.is_none_or(|is| is != true && is != "true"),
        Want::Https(_) => text.is_some_and(|url| url.starts_with("https://")),
        Want::UpTo(most) => text.and_then(|text| text.parse::<u64>().ok()).is_some_and(|is| (1..=*most).contains(&is)),
    }
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "not set".to_owned(), Value::to_string);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{differences, mend};
    use crate::setup::keycloak::plan::{Must, Want};

    #[test]
    fn only_what_must_be_is_compared_and_mended() {
        let must = [
            Must { path: "enabled", want: Want::Is(json!(true)) },
            Must { path: "attributes/idp", want: Want::Names("corp".to_owned()) },
            Must { path: "config/hosts", want: Want::Holds(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]) },
            Must { path: "attributes/a.b", want: Want::Is(json!("x")) },
        ];
        let mut object = json!({
            "enabled": false, "name": "kept", "attributes": {"idp": "corporate", "own": 1}, "config": {"hosts": ["localhost", "h"]},
        });
        assert_eq!(
            differences(&object, &must),
            [
                "enabled is false, should be true",
                "attributes idp is \"corporate\", should be a list with corp",
                "config hosts is [\"localhost\",\"h\"], should be a list with 127.0.0.1, localhost",
                "attributes a.b is not set, should be \"x\"",
            ]
        );
        mend(&mut object, &must);
        assert_eq!(
            object,
            json!({
                "enabled": true, "name": "kept", "attributes": {"idp": "corporate##corp", "own": 1, "a.b": "x"},
                "config": {"hosts": ["localhost", "h", "127.0.0.1"]},
            })
        );
        assert!(differences(&object, &must).is_empty());
        let mut object = json!({"life": "600", "other": "x", "light": "true", "consent": true, "keys": "http://a"});
        let must = [
            Must { path: "life", want: Want::UpTo(240) },
            Must { path: "other", want: Want::Empty },
            Must { path: "light", want: Want::NotTrue },
            Must { path: "consent", want: Want::NotTrue },
            Must { path: "keys", want: Want::Https("https://b".to_owned()) },
        ];
        assert_eq!(differences(&object, &must).len(), 5);
        mend(&mut object, &must);
        assert_eq!(
            object,
            json!({"life": "240", "other": "", "light": "false", "consent": false, "keys": "https://b"})
        );
        let fitting = json!({"life": "120", "consent": false, "keys": "https://elsewhere"});
        assert!(differences(&fitting, &must).is_empty(), "less, nothing, and another address will do");
        let long = Must { path: "name", want: Want::Is(Value::Bool(true)) };
        let shown = differences(&json!({"name": "x".repeat(5000)}), &[long]);
        assert!(shown[0].len() < 300, "{shown:?}");
    }
}
