//! The schema of `[[policy.rules]]`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{AccessWord, Text};

/// A rule.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
pub(super) struct Rule {
    /// Its name, which a denied caller is told.
    name: Text,
    r#match: Match,
    /// What becomes of the calls that it is about.
    #[schemars(extend("enum" = ["allow", "deny"]))]
    effect: String,
}

/// Which calls a rule is about; all conditions must hold, and one is needed. A `*` at the end of a text stands for any rest.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Match {
    /// The caller's realm; `local` without realms.
    realm: Option<Texts>,
    /// The cluster's name; `*` = every one.
    cluster: Option<Texts>,
    /// Labels of the cluster; all must fit.
    #[schemars(default)]
    labels: BTreeMap<String, Text>,
    /// The cluster's tier; `prod` where it has none.
    tier: Option<Texts>,
    /// The tool's name.
    tool: Option<Texts>,
    /// What the tool does.
    access: Option<Accesses>,
    /// The caller is in one of these, as `corp:platform-oncall`: a realm, and a group of it.
    groups: Option<Vec<Text>>,
    /// The caller is in none of these.
    not_groups: Option<Vec<Text>>,
    /// The canonical path of a kcp workspace: `root:org` is that workspace alone, `root:org:*` all below it, `*` every one.
    workspace: Option<Texts>,
}

/// One text, or several.
struct Texts;

impl JsonSchema for Texts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        one_or_more(&Text::json_schema(generator))
    }
}

/// One class of access, or several.
struct Accesses;

impl JsonSchema for Accesses {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Accesses".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        one_or_more(&AccessWord::json_schema(generator))
    }
}

fn one_or_more(one: &Schema) -> Schema {
    json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
}
