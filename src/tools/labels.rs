//! Label selectors, as kubectl's `-l`, over labels that kubeferry holds itself.

use crate::model::{Failure, names};

use super::arguments;

/// A label selector.
pub(super) struct Selector(Vec<Term>);

/// One requirement of a label selector.
struct Term {
    key: String,
    test: Test,
}

enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Reads `k=v,k!=v,k in (a,b),k notin (a,b),k,!k`: at most 1 KiB.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn read(text: String) -> Result<Self, Failure> {
        let text = arguments::label_selector(Some(text))?.unwrap_or_default();
        terms(&text).iter().map(|term| Term::read(term)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether labels fit, of which `value` gives those by key.
    pub(super) fn holds<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|term| term.holds(value(&term.key)))
    }
}

/// Splits at commas outside brackets.
fn terms(selector: &str) -> Vec<String> {
    let mut depth = 0_u32;
    let mut terms = vec![String::new()];
    for c in selector.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match terms.last_mut() {
            Some(_) if c == ',' && depth == 0 => terms.push(String::new()),
            Some(last) => last.push(c),
            None => {}
        }
    }
    terms
}

impl Term {
    fn read(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let wrong = || {
            Failure::arguments(format!("{} is no term of a label selector", names::quote(text)))
                .hint("Write key=value, key!=value, key in (a,b), key notin (a,b), key or !key")
        };
        let set = |list: &str| {
            let inner = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'))?;
            Some(inner.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>())
        };
        let one = |value: &str| vec![value.trim().to_owned()];
        let (key, test) = if let Some((key, list)) = text.split_once(" notin ") {
            (key, Test::NotIn(set(list).ok_or_else(wrong)?))
        } else if let Some((key, list)) = text.split_once(" in ") {
            (key, Test::In(set(list).ok_or_else(wrong)?))
        } else if let Some((key, value)) = text.split_once("!=") {
            (key, Test::NotIn(one(value)))
        } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            (key, Test::In(one(value)))
        } else if let Some(key) = text.strip_prefix('!') {
            (key, Test::Absent)
        } else {
            (text, Test::Exists)
        };
        let key = key.trim();
        let plain = |text: &str| !text.contains(['=', '!', ' ', '(', ')', ',']);
        let (prefix, name) = key.split_once('/').unwrap_or(("", key));
        let is_key = plain(key) && names::group(prefix).is_ok() && !name.is_empty() && !name.contains(['/', ':']);
        let values_plain = match &test {
            Test::In(values) | Test::NotIn(values) => values.iter().all(|value| plain(value)),
            Test::Exists | Test::Absent => true,
        };
        if is_key && values_plain { Ok(Self { key: key.into(), test }) } else { Err(wrong()) }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let among = |values: &[String], value: &str| values.iter().any(|wanted| wanted == value);
        match &self.test {
            Test::In(values) => value.is_some_and(|value| among(values, value)),
            Test::NotIn(values) => value.is_none_or(|value| !among(values, value)),
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Selector;

    #[test]
    fn terms_hold_as_kubectls() {
        let holds = |selector: &str, labels: &[(&str, &'static str)]| {
            let value = |key: &str| labels.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
            Selector::read(selector.into()).unwrap().holds(value)
        };
        let labels = [("team", "a"), ("x.io/tier", "gold")];
        for yes in ["team=a", "team==a,x.io/tier in (gold,silver)", "team!=b", "other notin (x)", "team,!other"] {
            assert!(holds(yes, &labels), "{yes}");
        }
        for no in ["team=b", "other=a", "!team", "other", "x.io/tier notin (gold)", "team=a,team=b"] {
            assert!(!holds(no, &labels), "{no}");
        }
        for bad in ["a=b=c", "in (a)", "a in b", "=a", "a/b/c=d"] {
            assert!(Selector::read(bad.into()).is_err(), "{bad}");
        }
    }
}
