//! Lists and objects as answers: whether one is what was asked for, and a page of which only a part is kept. Something
//! before the API server may answer 200 with any JSON.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::client::{not_asked_for, unexpected};
use crate::model::Failure;

/// Objects of a page that are kept, at most. Servers that know no pages, as those of metrics, answer with all at once.
const MAX_ITEMS: usize = 50_000;

/// A page of objects, of each only what `T` takes.
#[derive(Debug)]
pub struct Items<T> {
    /// The objects, at most 50,000.
    pub items: Vec<T>,
    /// True when the server sent more than that.
    pub cut: bool,
    token: String,
}

impl<T> Items<T> {
    /// The API server's continue token, when there are more pages.
    pub fn continue_token(&self) -> Option<&str> {
        Some(self.token.as_str()).filter(|token| !token.is_empty())
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Wire<T> {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Option<WireMeta>,
    #[serde(default = "Option::default", deserialize_with = "present")]
    items: Option<Bounded<T, MAX_ITEMS>>,
}

#[derive(Deserialize)]
struct WireMeta {
    #[serde(default, rename = "continue")]
    token: String,
}

/// `Some` for whatever is there: Go servers write an empty list as `null`.
fn present<'de, D, T>(deserializer: D) -> Result<Option<Bounded<T, MAX_ITEMS>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

/// Reads a list.
pub(super) fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<Items<T>, Failure> {
    let wire: Wire<T> = serde_json::from_slice(body).map_err(|error| unexpected(&error))?;
    if !is_list(&wire.kind, wire.items.is_some()) {
        return Err(not_asked_for());
    }
    let Bounded { items, cut } = wire.items.unwrap_or_default();
    Ok(Items { items, cut, token: wire.metadata.map(|metadata| metadata.token).unwrap_or_default() })
}

/// Whether an answer is a list, by its kind and whether it has items, `null` even.
pub(super) fn is_list(kind: &str, has_items: bool) -> bool {
    kind != "Status" && (has_items || kind.ends_with("List"))
}

/// Whether an answer is the object `name` of a kind. Servers may leave out the kind; a metadata is that of the object.
pub(super) fn is_asked_for(object: &serde_json::Value, kind: &str, name: &str) -> bool {
    let (said, metadata) = (object["kind"].as_str(), object.get("metadata"));
    (said.is_some() || metadata.is_some())
        && said.is_none_or(|said| said == kind)
        && metadata.is_none_or(|metadata| metadata["name"] == name)
}

/// At most `MOST` elements of a list; those after them are read over.
#[derive(Debug)]
pub(super) struct Bounded<T, const MOST: usize> {
    pub(super) items: Vec<T>,
    /// True when there were more.
    pub(super) cut: bool,
}

impl<T, const MOST: usize> Default for Bounded<T, MOST> {
    fn default() -> Self {
        Self { items: Vec::new(), cut: false }
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor(PhantomData))
    }
}

struct BoundedVisitor<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for BoundedVisitor<T, MOST> {
    type Value = Bounded<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut read = Bounded::default();
        while read.items.len() < MOST {
            match seq.next_element()? {
                Some(item) => read.items.push(item),
                None => return Ok(read),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            read.cut = true;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Bounded, MAX_ITEMS, is_asked_for, read};

    #[test]
    fn a_list_says_that_it_is_one() {
        let length = |text: &str| read::<serde_json::Value>(text.as_bytes()).ok().map(|list| list.items.len());
        assert_eq!(length(r#"{"kind":"PodList","items":null}"#), Some(0));
        assert_eq!(length(r#"{"kind":"PodList","metadata":null}"#), Some(0));
        assert_eq!(length(r#"{"items":[{}]}"#), Some(1));
        for foreign in ["{}", r#"{"ok":true}"#, r#"{"kind":"Status","items":[]}"#, r#"{"kind":"Pod"}"#, "[]", "1"] {
            assert_eq!(length(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_page_is_bounded() {
        let many = |count: usize| json!({"metadata": {"continue": "next"}, "items": vec![0; count]}).to_string();
        let all = read::<u8>(many(MAX_ITEMS).as_bytes()).unwrap();
        assert_eq!((all.items.len(), all.cut, all.continue_token()), (MAX_ITEMS, false, Some("next")));
        let cut = read::<u8>(many(MAX_ITEMS + 3).as_bytes()).unwrap();
        assert_eq!((cut.items.len(), cut.cut), (MAX_ITEMS, true));
        let none: Bounded<u8, 2> = serde_json::from_str("[]").unwrap();
        assert!(none.items.is_empty() && !none.cut);
    }

    #[test]
    fn an_object_is_the_one_that_was_asked_for() {
        let fits = |object: serde_json::Value| is_asked_for(&object, "Pod", "web");
        assert!(fits(json!({"kind": "Pod", "metadata": {"name": "web"}})));
        assert!(fits(json!({"metadata": {"name": "web"}})) && fits(json!({"kind": "Pod"})));
        for foreign in [
            json!({}),
            json!([]),
            json!("web"),
            json!({"ok": true}),
            json!({"kind": "Pod", "metadata": {"name": "other"}}),
            json!({"kind": "Pod", "metadata": {}}),
            json!({"kind": "Status", "metadata": {}}),
            json!({"kind": "PodList", "metadata": {"name": "web"}}),
        ] {
            assert!(!fits(foreign.clone()), "{foreign}");
        }
    }
}
