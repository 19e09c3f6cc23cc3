//! Paths into an object, as kubectl writes them: `.spec.containers[*].image`, `.metadata.labels['app.kubernetes.io/name']`.

use serde_json::Value;

use crate::model::{Failure, names};

/// Longest path, in bytes.
const MAX_PATH: usize = 256;
/// Most steps of a path.
const MAX_STEPS: usize = 16;
/// Keys among which a near one is looked for, at most.
const MAX_KEYS: usize = 500;
/// Longer keys, in bytes, are not near: the keys of fields are short.
const MAX_KEY: usize = 128;

/// A path that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    /// Every element of an array or value of an object.
    All,
}

impl Path {
    /// Reads a path: keys, `[0]`, `[*]` and `['a.b']`; a leading dot, `$` and braces around it may be left out.
    ///
    /// # Errors
    /// When it is too long or has other parts, as filters.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::arguments(format!("{} is no path of fields", names::quote(text)))
                .hint("Write it as spec.containers[*].image or metadata.labels['app.kubernetes.io/name']")
        };
        let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text.trim());
        let inner = inner.strip_prefix('$').unwrap_or(inner);
        let mut rest = inner.strip_prefix('.').unwrap_or(inner);
        let mut steps = Vec::new();
        if text.len() > MAX_PATH {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(wrong)?;
            steps.push(step);
            rest = match after.strip_prefix('.') {
                Some("") => return Err(wrong()),
                Some(next) => next,
                None if after.is_empty() || after.starts_with('[') => after,
                None => return Err(wrong()),
            };
        }
        if steps.is_empty() || steps.len() > MAX_STEPS { Err(wrong()) } else { Ok(Self { steps }) }
    }

    /// True when it may lead to several values.
    pub(super) fn is_many(&self) -> bool {
        self.steps.contains(&Step::All)
    }

    /// All values that it leads to.
    pub(super) fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        self.steps.iter().fold(vec![object], |found, step| found.into_iter().flat_map(|value| step.of(value)).collect())
    }

    /// The names beside the first key of the path that leads nowhere, the nearest ones first.
    pub(super) fn near(&self, object: &Value) -> Vec<String> {
        let mut found = vec![object];
        for step in &self.steps {
            let next: Vec<&Value> = found.iter().flat_map(|value| step.of(value)).collect();
            if next.is_empty() {
                let Step::Key(wanted) = step else { return Vec::new() };
                let keys = found.iter().filter_map(|value| value.as_object()).flat_map(|fields| fields.keys());
                let mut keys: Vec<&str> =
                    keys.map(String::as_str).filter(|key| key.len() <= MAX_KEY).take(MAX_KEYS).collect();
                keys.sort_unstable();
                keys.dedup();
                let near = names::near(wanted, keys.iter().copied(), 3);
                let shown = if near.is_empty() { keys.into_iter().take(8).collect() } else { near };
                return shown.into_iter().map(Into::into).collect();
            }
            found = next;
        }
        Vec::new()
    }
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Key(key) => value.get(key).into_iter().collect(),
            Self::Index(at) => value.get(at).into_iter().collect(),
            Self::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
            },
        }
    }
}

/// `key` as a path writes it behind `path`.
pub(super) fn joined(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_/".contains(&c));
    match (plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) if key.contains('\'') => format!("{path}[\"{key}\"]"),
        (false, _) => format!("{path}['{key}']"),
    }
}

/// The first step of `text`, which is not empty, and what follows it.
fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(inner) = text.strip_prefix('[') {
        for quote in ['\'', '"'] {
            let Some(quoted) = inner.strip_prefix(quote) else { continue };
            let (key, after) = quoted.split_once(quote)?;
            return Some((Step::Key(key.to_owned()), after.strip_prefix(']')?));
        }
        let (index, after) = inner.split_once(']')?;
        let step = if index == "*" { Step::All } else { Step::Index(index.parse().ok()?) };
        return Some((step, after));
    }
    let mut key = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' => return named(key, text.get(at..)?),
            '\\' => key.push(chars.next()?.1),
            _ if c.is_alphanumeric() || "-_/*".contains(c) => key.push(c),
            _ => return None,
        }
    }
    named(key, "")
}

fn named(key: String, after: &str) -> Option<(Step, &str)> {
    match key.as_str() {
        "" => None,
        "*" => Some((Step::All, after)),
        _ => Some((Step::Key(key), after)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use serde_json::{Value, json};

    use super::{Path, joined};

    fn found(path: &str) -> Value {
        let pod = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web", "a": "b"}},
            "spec": {"replicas": 3, "containers": [{"image": "one"}, {"image": "two"}, {"name": "x"}]},
        });
        json!(Path::parse(path).unwrap().find(&pod))
    }

    #[test]
    fn paths_are_kubectls() {
        assert_eq!(found(".spec.containers[*].image"), json!(["one", "two"]));
        assert_eq!(found("spec.containers[1].image"), json!(["two"]));
        assert_eq!(found("{.spec.replicas}"), json!([3]));
        assert_eq!(found("$.spec.replicas"), json!([3]));
        assert_eq!(found("metadata.labels['app.kubernetes.io/name']"), json!(["web"]));
        assert_eq!(found("metadata.labels[\"a\"]"), json!(["b"]));
        assert_eq!(found(r".metadata.labels.app\.kubernetes\.io/name"), json!(["web"]));
        assert_eq!(found("spec.*.image"), json!([]));
        assert_eq!(found("spec.nothing[*].x"), json!([]));
    }

    #[test]
    fn other_parts_are_refused_with_an_example() {
        for bad in ["", ".", "{}", "a..b", "a.", "a[", "a[x]", "a['b'", "a[?(@.x)]", "a b", "a[0]b", &"a.".repeat(200)]
        {
            let failure = Path::parse(bad).unwrap_err().to_string();
            assert!(failure.contains("spec.containers[*].image"), "{bad:?}: {failure}");
        }
        assert!(Path::parse(&["a"; 17].join(".")).is_err());
    }

    #[test]
    fn near_names_stand_beside_the_key_that_is_not_there() {
        let object = json!({"spec": {"replicas": 3, "paused": true}});
        assert_eq!(Path::parse("spec.replica").unwrap().near(&object), ["replicas"]);
        assert_eq!(Path::parse("spec.zzzzzzzzz.x").unwrap().near(&object), ["paused", "replicas"]);
        assert!(Path::parse("spec.replicas").unwrap().near(&object).is_empty());
        let keys = (0..2_000).map(|at| (format!("key-{at:04}"), json!(1))).chain([("k".repeat(200), json!(1))]);
        let wide = json!({"data": keys.collect::<serde_json::Map<_, _>>()});
        assert_eq!(Path::parse("data.key-0499x").unwrap().near(&wide)[0], "key-0499");
        let beyond = Path::parse("data.key-1999x").unwrap().near(&wide);
        assert!(!beyond.contains(&"key-1999".to_owned()), "{beyond:?}");
        let long = json!({"data": {"k".repeat(200): 1}});
        assert!(Path::parse("data.kk").unwrap().near(&long).is_empty());
    }

    proptest! {
        #[test]
        fn a_joined_path_leads_back(key in "[a-z./_-]{1,20}", text in any::<String>()) {
            let object = json!({"data": {&key: &text}});
            let path = Path::parse(&joined("data", &key)).unwrap();
            prop_assert_eq!(json!(path.find(&object)), json!([text]));
        }

        #[test]
        fn whatever_is_written_is_read_or_refused(text in any::<String>()) {
            if let Ok(path) = Path::parse(&text) {
                prop_assert_eq!(path.find(&json!(null)).len(), 0);
            }
        }
    }
}
