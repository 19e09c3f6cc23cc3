//! `kcp_apis_list`: what a workspace serves and where it is from, its bindings and exports, and why a kind is there or is not.
//! Everything is read with the caller's own credential: what may not be read is said, and never taken for absent.

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Access, Column, Failure, Row, Table, names};
use crate::output::{Body, Listing, Output};
use crate::pool::ClusterClient;
use crate::tools::{Cx, Spec, TargetNeed, Tool};

mod binding;
mod claims;
mod crd;
mod export;
mod found;
mod wanted;
mod why;

use binding::Binding;
use export::Export;
pub(super) use found::{Found, Origin};
use wanted::Wanted;

use super::part::Part;

/// Longest text to search for, in bytes.
const MAX_TEXT: usize = 253;

/// `kcp_apis_list`.
pub(super) struct ApisList;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    #[schemars(description = "Explains why this kind is here or not")]
    kind: Option<String>,
    api_version: Option<String>,
    #[schemars(description = "served, bindings or exports")]
    show: Option<String>,
    group: Option<String>,
    #[schemars(description = "Part of a row")]
    text: Option<String>,
}

impl Args {
    fn given(self) -> Self {
        Self {
            kind: given(self.kind),
            api_version: given(self.api_version),
            show: given(self.show),
            group: given(self.group),
            text: given(self.text),
        }
    }
}

/// An argument, unless it is blank: clients send that for what they leave out.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

impl Tool for ApisList {
    const SPEC: Spec = Spec {
        name: "kcp_apis_list",
        title: "kcp APIs: list",
        description: "List the kinds of a workspace with their origin, its API bindings or exports",
        toolset: "kcp",
        access: Access::Read,
        target: TargetNeed::Workspace,
        list: true,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let args = args.given();
        let show = Show::parse(args.show.as_deref())?;
        if let Some(kind) = &args.kind {
            let wanted = Wanted::parse(kind, args.api_version.as_deref())?;
            return one(client, &wanted).await;
        }
        if args.api_version.is_some() {
            return Err(Failure::arguments("apiVersion is for a kind: name it in kind"));
        }
        let filter = Filter::read(args.group, args.text)?;
        let (resource, names, mut table, missing) = match show {
            Show::Served => {
                let found = Found::read(client).await?;
                let unknown = found.resources().iter().any(|resource| resource.origin == Origin::Unknown);
                ("kinds", 0, served(&found), found.missing().filter(|_| unknown).collect())
            }
            Show::Bindings => {
                let bindings = found::bindings(client).await?;
                ("API bindings", 3, bindings_table(bindings.items()), unread(&bindings, "apibindings")?)
            }
            Show::Exports => {
                let exports = found::exports(client).await?;
                ("API exports", 1, exports_table(exports.items()), unread(&exports, "apiexports")?)
            }
        };
        table.rows.retain(|row| filter.fits(&row.cells, names));
        let body = Body::Table(Listing {
            resource: resource.into(),
            content: table,
            page: cx.page.clone(),
            narrow: "group or text",
        });
        Ok(Output { notes: missing, ..Output::new(body) })
    }
}

/// Why a kind is here, or is not.
async fn one(client: &ClusterClient, wanted: &Wanted) -> Result<Output, Failure> {
    let (found, exports) = futures::try_join!(Found::read(client), found::exports(client))?;
    let is_served = found.resources().iter().any(|resource| wanted.is_kind(resource.kind));
    let found = if is_served { found } else { found.again(client).await? };
    let answer = why::explain(wanted, &found, &exports, Timestamp::now());
    let structured = Some(answer.structured());
    Ok(Output { structured, ..Output::new(Body::Text(answer.print())) })
}

/// The notes of a list that was read in part; a list that was not read at all is no empty one.
fn unread<T>(part: &Part<T>, plural: &str) -> Result<Vec<String>, Failure> {
    match part {
        Part::Read { .. } => Ok(part.missing(plural).into_iter().collect()),
        Part::Unread(why) => Err(Failure::new(crate::model::FailureKind::Refused, "forbidden", why.clone())
            .hint(format!("Ask a workspace admin for get and list on {plural}.apis.kcp.io"))),
    }
}

/// What is listed.
enum Show {
    Served,
    Bindings,
    Exports,
}

impl Show {
    fn parse(word: Option<&str>) -> Result<Self, Failure> {
        match word.unwrap_or("served") {
            "served" => Ok(Self::Served),
            "bindings" => Ok(Self::Bindings),
            "exports" => Ok(Self::Exports),
            other => Err(Failure::arguments(format!("there is no show {}", names::quote(other)))
                .hint("Use served, bindings or exports")),
        }
    }
}

/// Which rows are wanted.
struct Filter {
    group: Option<String>,
    text: Option<String>,
}

impl Filter {
    fn read(group: Option<String>, text: Option<String>) -> Result<Self, Failure> {
        let group = group.map(|group| if group == "core" { String::new() } else { group });
        if let Some(group) = &group {
            names::group(group).map_err(|error| {
                Failure::arguments(error.to_string()).hint("Write it as example.io, or core for the core group")
            })?;
        }
        if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
            return Err(Failure::arguments(format!("text is longer than {MAX_TEXT} bytes")));
        }
        Ok(Self { group, text: text.map(|text| text.to_lowercase()) })
    }

    /// `names` is the cell with the resources; those of a binding or an export are several.
    fn fits(&self, cells: &[String], names: usize) -> bool {
        let of_group = |group: &String| {
            let mut names = cells.get(names).into_iter().flat_map(|cell| cell.split(", "));
            names.any(|name| name.split_once('.').map_or("", |(_, of)| of) == group)
        };
        let has = |text: &String| cells.iter().any(|cell| cell.to_lowercase().contains(text));
        self.group.as_ref().is_none_or(of_group) && self.text.as_ref().is_none_or(has)
    }
}

fn served(found: &Found) -> Table {
    let row = |resource: found::Resource<'_>| {
        let kind = resource.kind;
        vec![
            kind.qualified(),
            kind.kind.clone(),
            resource.versions.join(","),
            resource.origin.words(),
            scope(kind.namespaced),
        ]
    };
    let rows = found.resources().into_iter().map(row);
    table(&[("NAME", 0), ("KIND", 0), ("VERSION", 0), ("FROM", 0), ("SCOPE", 1)], rows)
}

fn scope(namespaced: bool) -> String {
    if namespaced { "namespaced".to_owned() } else { "cluster".to_owned() }
}

fn bindings_table(bindings: &[Binding]) -> Table {
    let row = |binding: &Binding| {
        let mut resources: Vec<String> = binding.resources().chain(binding.missing()).collect();
        resources.sort();
        resources.dedup();
        let claims = claims::words(&binding.claims());
        vec![binding.name(), binding.export(), binding.phase(), resources.join(", "), why::words(binding), claims]
    };
    let columns =
        [("BINDING", 0), ("EXPORT", 0), ("PHASE", 0), ("RESOURCES", 0), ("TROUBLE", 0), ("PERMISSION CLAIMS", 0)];
    table(&columns, bindings.iter().map(row))
}

fn exports_table(exports: &[Export]) -> Table {
    let row = |export: &Export| {
        let (resources, claims) = (export.resources().join(", "), export.claims().join(", "));
        vec![export.name(), resources, claims, export.identity(), export.troubles().join("; ")]
    };
    let columns = [("EXPORT", 0), ("RESOURCES", 0), ("ASKS FOR", 0), ("IDENTITY", 0), ("TROUBLE", 0)];
    table(&columns, exports.iter().map(row))
}

fn table(columns: &[(&str, i32)], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let columns = columns.iter().map(|(name, priority)| Column { name: (*name).to_owned(), priority: *priority });
    let rows = rows.map(|cells| Row { namespace: None, cells });
    Table { columns: columns.collect(), rows: rows.collect(), ..Table::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Args, Filter, Show, binding, bindings_table};

    #[test]
    fn bindings_are_one_row_each() {
        let table = bindings_table(&binding::tests::recorded());
        let rows: Vec<String> = table.rows.iter().map(|row| row.cells.join("|")).collect();
        let row = |name: &str| rows.iter().find(|row| row.split('|').next() == Some(name)).unwrap().as_str();
        assert_eq!(
            row("widgets"),
            "widgets|root:providers:widgets:widgets|Bound|widgets.lab.example||configmaps accepted, secrets rejected, events pending"
        );
        assert_eq!(
            row("gadgets"),
            "gadgets|root:providers:widgets:gadgets|Binding|gadgets.lab.example|the CRD gadgets.lab.example here has the same name|"
        );
        assert_eq!(
            row("tmp"),
            "tmp|root:providers:widgets:tmp|Bound|bolts.lab.example|its export is not there any more|"
        );
        assert!(row("young").contains("|Binding|widgets.lab.example|being bound|"), "{}", row("young"));
    }

    #[test]
    fn what_is_blank_is_left_out() {
        let blank = json!({"kind": "", "apiVersion": " ", "show": "", "group": "", "text": "\t"});
        let args = serde_json::from_value::<Args>(blank).unwrap().given();
        assert!(args.kind.is_none() && args.api_version.is_none() && args.show.is_none());
        assert!(args.group.is_none() && args.text.is_none());
        let args = json!({"kind": "Widget", "apiVersion": "v1", "show": "bindings", "group": "core", "text": "x"});
        let args = serde_json::from_value::<Args>(args).unwrap().given();
        assert_eq!((args.kind.as_deref(), args.api_version.as_deref()), (Some("Widget"), Some("v1")));
        assert_eq!(args.show.as_deref(), Some("bindings"));
        assert_eq!((args.group.as_deref(), args.text.as_deref()), (Some("core"), Some("x")));
    }

    #[test]
    fn rows_are_narrowed_by_group_and_text() {
        let cells = |resources: &str| vec![resources.to_owned(), "Name".to_owned()];
        let fits = |group: Option<&str>, text: Option<&str>, resources: &str| {
            Filter::read(group.map(Into::into), text.map(Into::into)).unwrap().fits(&cells(resources), 0)
        };
        assert!(fits(Some("core"), None, "services") && !fits(Some("core"), None, "widgets.lab.example"));
        assert!(fits(Some("lab.example"), None, "services, widgets.lab.example"));
        assert!(fits(None, Some("NAME"), "x") && !fits(None, Some("other"), "x"));
        let refused = Filter::read(Some("../x".into()), None).err().unwrap();
        assert!(refused.hint.unwrap().contains("core for the core group"));
        assert!(Filter::read(None, Some("x".repeat(300))).is_err());
        assert!(Show::parse(Some("all")).is_err() && Show::parse(None).is_ok());
    }
}
