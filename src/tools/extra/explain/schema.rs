//! Schemas of an OpenAPI v3 document. A schema is parsed when the way to a field leads through it; until then it is
//! borrowed text of the document.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{Failure, FailureKind, names};

/// References and lists inside each other that are followed, at most.
const MAX_HOPS: usize = 16;
/// Bytes of schemas that one call parses, at most, in a fraction of a second; a schema that is referred to several times
/// counts each time. Real documents take some MB.
pub(super) const MAX_PARSED: usize = 64 * 1024 * 1024;
/// Fields that are compared with a name that is none of them, at most.
const MAX_NEAR: usize = 1_000;
/// Which kinds a schema is of.
const KINDS: &str = "x-kubernetes-group-version-kind";

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    components: Components<'a>,
}

#[derive(Deserialize, Default)]
struct Components<'a> {
    #[serde(borrow, default)]
    schemas: BTreeMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
struct OfKinds {
    #[serde(default, rename = "x-kubernetes-group-version-kind")]
    kinds: Vec<GroupVersionKind>,
}

#[derive(Deserialize, PartialEq, Eq)]
struct GroupVersionKind {
    group: String,
    version: String,
    kind: String,
}

/// A schema as it is written; what it refers to is not in it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Schema<'a> {
    #[serde(borrow, rename = "$ref")]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow)]
    all_of: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub(super) description: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) properties: BTreeMap<String, &'a RawValue>,
    #[serde(borrow)]
    items: Option<&'a RawValue>,
    #[serde(borrow)]
    additional_properties: Option<&'a RawValue>,
    pub(super) required: BTreeSet<String>,
    #[serde(borrow, rename = "enum")]
    pub(super) values: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub(super) default: Option<&'a RawValue>,
    #[serde(rename = "x-kubernetes-int-or-string")]
    int_or_string: bool,
}

/// A schema with what it refers to.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    /// The last part of the name that it was referred to by, as `PodSpec`.
    pub(super) name: Option<String>,
    /// Its own words and default, and the rest of what it refers to.
    pub(super) schema: Schema<'a>,
}

/// The schemas of a document, and how much of it a call may still parse.
pub(super) struct Schemas<'a> {
    all: BTreeMap<String, &'a RawValue>,
    left: Cell<usize>,
}

impl<'a> Schemas<'a> {
    /// Finds where the schemas are in a document.
    pub(super) fn read(document: &'a [u8]) -> Result<Self, Failure> {
        let document: Document<'a> = serde_json::from_slice(document).map_err(|error| unreadable(&error))?;
        Ok(Self { all: document.components.schemas, left: Cell::new(MAX_PARSED) })
    }

    /// The schema of a kind.
    pub(super) fn kind(&self, group: &str, version: &str, kind: &str) -> Result<Node<'a>, Failure> {
        let wanted = GroupVersionKind { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
        for raw in self.all.values().filter(|raw| raw.get().contains(KINDS)) {
            self.spend(raw)?;
            let of: OfKinds = serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))?;
            if of.kinds.contains(&wanted) {
                return self.resolve(raw);
            }
        }
        let cause = format!("the server's OpenAPI document does not describe {kind}");
        Err(Failure::new(FailureKind::NotFound, "not_found", cause).hint("resources_get shows an object of it"))
    }

    /// The field at `path`, through lists and maps.
    pub(super) fn field(&self, root: Node<'a>, path: &[String]) -> Result<Node<'a>, Failure> {
        let mut node = root;
        for (at, name) in path.iter().enumerate() {
            let inside = self.inside(node)?;
            let Some(raw) = inside.schema.properties.get(name) else {
                return Err(no_field(&path[..at], name, &inside.schema));
            };
            node = self.resolve(raw)?;
        }
        Ok(node)
    }

    /// What holds the fields: the element of a list, the value of a map, or the object itself.
    pub(super) fn inside(&self, mut node: Node<'a>) -> Result<Node<'a>, Failure> {
        for _ in 0..MAX_HOPS {
            node = match node.schema.element() {
                Some(element) => self.resolve(element)?,
                None => return Ok(node),
            };
        }
        Ok(node)
    }

    /// A schema with what it refers to, directly or as its only `allOf`.
    pub(super) fn resolve(&self, raw: &'a RawValue) -> Result<Node<'a>, Failure> {
        let mut node = Node { name: None, schema: self.parse(raw)? };
        for _ in 0..MAX_HOPS {
            let next: Schema<'a> = match (&node.schema.reference, node.schema.all_of.as_slice()) {
                (Some(reference), _) => {
                    let name = reference.rsplit('/').next().unwrap_or_default();
                    let Some(target) = self.all.get(name) else { return Ok(node) };
                    let short = name.rsplit('.').next().unwrap_or_default().to_owned();
                    node.name.get_or_insert(short);
                    self.parse(target)?
                }
                (None, [only]) => self.parse(only)?,
                (None, _) => return Ok(node),
            };
            let Schema { description, default, .. } = node.schema;
            node.schema = Schema {
                description: if description.is_empty() { next.description } else { description },
                default: default.or(next.default),
                ..next
            };
        }
        Ok(node)
    }

    /// True when no more may be parsed: what there is so far is the answer.
    pub(super) fn spent(&self) -> bool {
        self.left.get() == 0
    }

    fn parse(&self, raw: &'a RawValue) -> Result<Schema<'a>, Failure> {
        self.spend(raw)?;
        serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))
    }

    fn spend(&self, raw: &RawValue) -> Result<(), Failure> {
        let left = self.left.get().checked_sub(raw.get().len());
        self.left.set(left.unwrap_or_default());
        left.map(drop).ok_or_else(|| {
            let cause = "the schemas in the OpenAPI document are too large to be explained";
            Failure::new(FailureKind::Cluster, "unexpected_answer", cause).hint("Ask for a field further inside")
        })
    }

    /// The type of a node in kubectl's words: `string`, `[]Container`, `map[string]Quantity`, `Object`.
    pub(super) fn type_of(&self, node: &Node<'a>) -> Result<String, Failure> {
        let mut prefix = String::new();
        let mut inner;
        let mut node = node;
        for _ in 0..MAX_HOPS {
            if let Some(name) = &node.name {
                return Ok(prefix + name);
            }
            let Some(element) = node.schema.element() else { break };
            prefix.push_str(if node.schema.items.is_some() { "[]" } else { "map[string]" });
            inner = self.resolve(element)?;
            node = &inner;
        }
        Ok(prefix + node.schema.plain_type())
    }
}

impl<'a> Schema<'a> {
    /// The element of a list, or the value of a map.
    fn element(&self) -> Option<&'a RawValue> {
        let map = || {
            let is_map = self.properties.is_empty();
            self.additional_properties.filter(|raw| is_map && raw.get().starts_with('{') && raw.get() != "{}")
        };
        self.items.or_else(map)
    }

    fn plain_type(&self) -> &str {
        match self.kind.as_deref() {
            _ if self.int_or_string => "IntOrString",
            Some("object") => "Object",
            Some(other) => other,
            None if self.properties.is_empty() => "any",
            None => "Object",
        }
    }
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(FailureKind::Cluster, "unexpected_answer", "the OpenAPI document cannot be read").because(error)
}

fn no_field(above: &[String], name: &str, schema: &Schema<'_>) -> Failure {
    let above = if above.is_empty() { "it".to_owned() } else { above.join(".") };
    if schema.properties.is_empty() {
        return Failure::arguments(format!("{above} has no fields")).hint("Ask for that one");
    }
    let failure = Failure::arguments(format!("{above} has no field {}", names::quote(name)));
    let near = names::near(name, schema.properties.keys().take(MAX_NEAR).map(String::as_str), 5);
    match near.as_slice() {
        [] => failure.hint(format!("Explain {above} to see its fields")),
        near => failure.hint(format!("Near names: {}", near.join(", "))),
    }
}
