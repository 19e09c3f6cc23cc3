//! `resources_explain`: the fields of a kind, from the OpenAPI v3 document of its group and version.
//!
//! Nothing of it is cached: it is asked for now and then, a document is up to some MB of text for each group of each
//! workspace and caller, and reading it takes a few milliseconds, in which only the parts on the way to the field are
//! parsed.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Access, Failure, names};
use crate::output::{Body, Output};
use crate::pool::ClusterClient;
use crate::tools::{Cx, Spec, TargetNeed, Tool, arguments};

mod print;
mod schema;

use schema::Schemas;

/// Longest path of a field, in bytes.
const MAX_PATH: usize = 512;

/// `resources_explain`.
pub(super) struct ResourcesExplain;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    api_version: Option<String>,
    kind: String,
    #[schemars(description = "As spec.template.spec")]
    field: Option<String>,
    recursive: Option<bool>,
}

impl Tool for ResourcesExplain {
    const SPEC: Spec = Spec {
        name: "resources_explain",
        title: "Resources: explain",
        description: "Fields of a kind: types, required, defaults, what they mean",
        toolset: "extra",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, _cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        arguments::kind(&args.kind, args.api_version.as_deref())?;
        let path = segments(args.field.as_deref().unwrap_or_default())?;
        let recursive = args.recursive.unwrap_or_default();
        let resource = client.kind(&args.kind, args.api_version.as_deref()).await?;
        let doing = format!("explaining {}", resource.qualified());
        let document = client.openapi(&resource).await.map_err(|failure| failure.doing(&doing))?;
        let (group, version, kind) = (resource.group.clone(), resource.version.clone(), resource.kind.clone());
        let head = format!("{} {}", resource.kind, resource.api_version());
        let explaining = tokio::task::spawn_blocking(move || {
            let schemas = Schemas::read(&document)?;
            let root = schemas.kind(&group, &version, &kind)?;
            let field = schemas.field(root, &path)?;
            print::explain(&schemas, &head, &path, field, recursive)
        });
        let explained = explaining.await.map_err(|error| Failure::internal("reading a schema").because(&error))?;
        Ok(Output::new(Body::Text(explained.map_err(|failure| failure.doing(&doing))?)))
    }
}

/// The names in `spec.containers[*].image`; brackets behind a list may be there or not, as may a dot in front.
fn segments(path: &str) -> Result<Vec<String>, Failure> {
    let path = path.strip_prefix('.').unwrap_or(path);
    let name = |segment: &str| {
        let name = segment.split('[').next().unwrap_or_default();
        let brackets = segment.len() == name.len() || segment.ends_with(']');
        let plain = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-$".contains(&c));
        (plain && brackets).then(|| name.to_owned())
    };
    let read = match path {
        "" => Some(Vec::new()),
        _ if path.len() <= MAX_PATH => path.split('.').map(name).collect(),
        _ => None,
    };
    read.ok_or_else(|| {
        Failure::arguments(format!("field {} is not valid", names::quote(path)))
            .hint("Write it as spec.template.spec.containers")
    })
}

#[cfg(test)]
mod tests {
    use super::segments;

    #[test]
    fn a_path_is_names_with_dots() {
        assert_eq!(segments("").unwrap(), Vec::<String>::new());
        assert_eq!(segments("spec.template").unwrap(), ["spec", "template"]);
        assert_eq!(segments(".spec.containers[*].image").unwrap(), ["spec", "containers", "image"]);
        for bad in ["spec..x", "spec/x", "spec.", "a b", "ä", "spec[", "[0]", &"a.".repeat(300)] {
            assert!(segments(bad).is_err(), "{bad}");
        }
    }
}
