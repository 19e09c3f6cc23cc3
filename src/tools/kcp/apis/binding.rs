//! An APIBinding: which export it binds, how far it got, and what its conditions mean.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::super::part::{Condition, Meta, line, qualified};
use super::claims::{Asked, Claim, Claimed};

/// What is read of an APIBinding.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
pub(in crate::tools::kcp) struct Binding {
    metadata: Meta,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    reference: Reference,
    permission_claims: Vec<Claimed>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Reference {
    export: ExportReference,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ExportReference {
    path: String,
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    conditions: Vec<Condition>,
    bound_resources: Vec<Bound>,
    export_permission_claims: Vec<Asked>,
    applied_permission_claims: Vec<Asked>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Bound {
    group: String,
    resource: String,
}

/// What is wrong with a binding, as far as kcp says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A CustomResourceDefinition of the workspace has the same name.
    Crd(String),
    /// Another name of a kind of the export is one of what is named here, as `CRD gears.example.io`; kcp says not whose name.
    Clash(String),
    /// Resources, each with the binding that has it; without one a CRD has it.
    Taken(BTreeMap<String, Option<String>>),
    /// The export names a schema that is not there.
    NoSchema(String),
    /// The export is not there any more.
    NoExport,
    /// The export is not valid, for another reason.
    BadExport,
    /// It is being bound; these schemas are not served yet, if it says so.
    Waiting(Vec<String>),
    /// Permission claims.
    Claims,
    /// Something else.
    Other,
}

impl Binding {
    /// Its name.
    pub(in crate::tools::kcp) fn name(&self) -> String {
        line(&self.metadata.name)
    }

    /// `root:providers:widgets:widgets`: the export's workspace and name.
    pub(in crate::tools::kcp) fn export(&self) -> String {
        let ExportReference { path, name } = &self.spec.reference.export;
        line(&if path.is_empty() { name.clone() } else { format!("{path}:{name}") })
    }

    pub(super) fn phase(&self) -> String {
        line(&self.status.phase)
    }

    pub(super) fn is_bound(&self) -> bool {
        self.status.phase == "Bound"
    }

    pub(super) fn created(&self) -> Option<Timestamp> {
        self.metadata.created()
    }

    /// The resources that it brings, qualified.
    pub(super) fn resources(&self) -> impl Iterator<Item = String> {
        self.status.bound_resources.iter().map(|bound| qualified(&bound.resource, &bound.group))
    }

    /// True when it brings this resource.
    pub(super) fn brings(&self, plural: &str, group: &str) -> bool {
        self.status.bound_resources.iter().any(|bound| bound.resource == plural && bound.group == group)
    }

    /// What the export asks for and what became of it.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let Status { export_permission_claims: asked, applied_permission_claims: applied, .. } = &self.status;
        super::claims::compare(asked, &self.spec.permission_claims, applied)
    }

    /// What is wrong, each with the condition that says it; the same thing said by several conditions once. That it waits is
    /// left out where it says why.
    pub(super) fn troubles(&self) -> Vec<(Trouble, &Condition)> {
        let mut found: Vec<(Trouble, &Condition)> = Vec::new();
        for condition in self.status.conditions.iter().filter(|condition| condition.is_bad()) {
            let trouble = Trouble::read(condition);
            let known = found.iter().any(|(one, by)| *one == trouble && by.message == condition.message);
            if !known {
                found.push((trouble, condition));
            }
        }
        if found.iter().any(|(trouble, _)| !matches!(trouble, Trouble::Waiting(_))) {
            found.retain(|(trouble, _)| !matches!(trouble, Trouble::Waiting(_)));
        }
        found
    }

    /// The resources that it would bring and does not, as far as its conditions name them.
    pub(super) fn missing(&self) -> Vec<String> {
        self.troubles().iter().flat_map(|(trouble, _)| trouble.resources()).collect()
    }
}

impl Trouble {
    /// What a condition means. kcp says it in the texts of its messages only.
    fn read(condition: &Condition) -> Self {
        let Condition { kind, reason, message, .. } = condition;
        let quoted = |before: &str| message.split_once(before)?.1.split_once('"').map(|(name, _)| line(name));
        match reason.as_str() {
            "NamingConflicts" => {
                let (crd, binding) = (quoted("CustomResourceDefinition \""), quoted("with APIBinding \""));
                match (crd, binding, taken(message)) {
                    (Some(crd), ..) if has_plural_of(&crd, message) => Self::Crd(crd),
                    (Some(crd), ..) => Self::Clash(format!("CRD {crd}")),
                    (None, Some(binding), _) => Self::Clash(format!("binding {binding}")),
                    (None, None, Some(taken)) => match taken.first_key_value() {
                        // Which of the two messages it is depends on how long the CRD was there.
                        Some((name, None)) if taken.len() == 1 => Self::Crd(name.clone()),
                        Some(_) | None => Self::Taken(taken),
                    },
                    (None, None, None) => Self::Other,
                }
            }
            "APIExportNotFound" => Self::NoExport,
            "WaitingForEstablished" => {
                let names = message.split_once("established: ").map_or("", |(_, names)| names);
                Self::Waiting(names.split(", ").filter(|name| !name.is_empty()).map(line).collect())
            }
            _ if kind == "APIExportValid" => {
                let schema = quoted("APIResourceSchema \"").filter(|_| message.contains("not found"));
                schema.map_or(Self::BadExport, Self::NoSchema)
            }
            _ if kind.starts_with("PermissionClaims") => Self::Claims,
            _ => Self::Other,
        }
    }

    /// Of resources that others have only those that `asked` fits, if there are any.
    pub(super) fn of(&self, asked: &dyn Fn(&str) -> bool) -> Self {
        let Self::Taken(taken) = self else { return self.clone() };
        let of: BTreeMap<_, _> = taken.clone().into_iter().filter(|(resource, _)| asked(resource)).collect();
        Self::Taken(if of.is_empty() { taken.clone() } else { of })
    }

    /// The resources that it names.
    pub(super) fn resources(&self) -> Vec<String> {
        match self {
            Self::Crd(name) => vec![name.clone()],
            Self::Taken(taken) => taken.keys().cloned().collect(),
            Self::NoSchema(schema) => of_schema(schema).into_iter().collect(),
            Self::Waiting(schemas) => schemas.iter().filter_map(|schema| of_schema(schema)).collect(),
            Self::Clash(_) | Self::NoExport | Self::BadExport | Self::Claims | Self::Other => Vec::new(),
        }
    }

    /// In a few words, for a row.
    pub(super) fn words(&self, condition: &Condition) -> String {
        match self {
            Self::Crd(name) => format!("the CRD {name} here has the same name"),
            Self::Clash(with) => format!("a name of it clashes with the {with} here"),
            Self::Taken(taken) => {
                let each = taken.iter().map(|(resource, by)| match by {
                    Some(by) => format!("{resource} is bound by {by} already"),
                    None => format!("{resource} is a CRD here already"),
                });
                each.collect::<Vec<_>>().join(", ")
            }
            Self::NoSchema(schema) => format!("its export names the APIResourceSchema {schema}, which is not there"),
            Self::NoExport => "its export is not there any more".to_owned(),
            Self::Waiting(_) => "being bound".to_owned(),
            Self::BadExport | Self::Claims | Self::Other => condition.said(),
        }
    }
}

/// True when the plural that is refused is that of the CRD itself: kcp refuses for singulars, short names and kinds as well.
fn has_plural_of(crd: &str, message: &str) -> bool {
    let refused = message.split_once("spec.names.plural=").and_then(|(_, rest)| rest.split_whitespace().next());
    refused.is_some_and(|plural| crd.split_once('.').is_some_and(|(own, _)| own == plural))
}

/// `widgets.example.io` of `v1.widgets.example.io`; `services` of `v1.services.core`, as schemas of the core group are named.
fn of_schema(schema: &str) -> Option<String> {
    let (_, name) = schema.split_once('.')?;
    Some(name.strip_suffix(".core").unwrap_or(name).to_owned())
}

/// `map[sprockets.example.io:{other false}]`: who has what, as Go prints it. Without a binding's name a CRD has it.
fn taken(message: &str) -> Option<BTreeMap<String, Option<String>>> {
    let inner = message.split_once("map[")?.1.rsplit_once(']')?.0;
    let entry = |entry: &str| {
        let (resource, by) = entry.trim().split_once(":{")?;
        let by = by.split_once(' ').map_or(by, |(name, _)| name);
        Some((line(resource), Some(line(by)).filter(|name| !name.is_empty())))
    };
    inner.split('}').filter(|text| !text.trim().is_empty()).map(entry).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::{Binding, Trouble};

    /// As kcp v0.31.2 answered it in a workspace with one binding for each cause, reduced to what is read.
    pub(in crate::tools::kcp) fn recorded() -> Vec<Binding> {
        let list: Value = serde_json::from_str(include_str!("recorded.json")).unwrap();
        serde_json::from_value(list["items"].clone()).unwrap()
    }

    pub(in crate::tools::kcp) fn binding(name: &str) -> Binding {
        recorded().into_iter().find(|binding| binding.name() == name).unwrap()
    }

    fn troubles(name: &str) -> Vec<Trouble> {
        binding(name).troubles().into_iter().map(|(trouble, _)| trouble).collect()
    }

    #[test]
    fn each_cause_is_known_by_its_condition() {
        assert_eq!(troubles("gadgets"), [Trouble::Crd("gadgets.lab.example".into())]);
        let taken = [("sprockets.lab.example".to_owned(), Some("sprockets-b".to_owned()))].into();
        assert_eq!(troubles("sprockets-a"), [Trouble::Taken(taken)]);
        assert_eq!(troubles("broken"), [Trouble::NoSchema("v1.cogs.lab.example".into())]);
        assert_eq!(troubles("tmp"), [Trouble::NoExport]);
        assert_eq!(troubles("young"), [Trouble::Waiting(vec!["v1.widgets.lab.example".into()])]);
        for good in ["widgets", "services", "sprockets-b", "tenancy.kcp.io-1vjd8"] {
            assert_eq!(troubles(good), [], "{good}");
        }
    }

    #[test]
    fn a_binding_names_what_it_lacks() {
        assert_eq!(binding("broken").missing(), ["cogs.lab.example"]);
        assert_eq!(binding("gadgets").missing(), ["gadgets.lab.example"]);
        assert_eq!(binding("sprockets-a").missing(), ["sprockets.lab.example"]);
        assert_eq!(binding("young").missing(), ["widgets.lab.example"]);
        assert_eq!(super::of_schema("v1.services.core").as_deref(), Some("services"));
        assert_eq!(super::of_schema("x"), None);
        let core = binding("services");
        assert!(core.brings("services", "") && !core.brings("services", "lab.example"));
        assert_eq!(core.export(), "root:providers:widgets:services");
    }

    #[test]
    fn a_conflict_of_other_names_names_no_resource() {
        let of = |message: &str| {
            let status = json!({"status": {"conditions": [
                {"type": "BindingUpToDate", "status": "False", "reason": "NamingConflicts", "message": message}]}});
            let binding: Binding = serde_json::from_value(status).unwrap();
            (binding.troubles()[0].0.clone(), binding.missing())
        };
        let with_crd =
            "Unable to bind APIs: naming conflict with CustomResourceDefinition \"gears.lab.example\": spec.names.";
        let (same, missing) = of(&format!("{with_crd}plural=gears is forbidden"));
        assert_eq!((same, missing), (Trouble::Crd("gears.lab.example".into()), vec!["gears.lab.example".to_owned()]));
        for name in ["singular=gear", "shortNames=[gr]", "kind=Gear", "plural=gr"] {
            let (clash, missing) = of(&format!("{with_crd}{name} is forbidden"));
            assert_eq!(clash, Trouble::Clash("CRD gears.lab.example".into()), "{name}");
            assert_eq!(missing, Vec::<String>::new(), "{name}");
        }
        let with_binding = "Unable to bind APIs: naming conflict with APIBinding \"one\" bound to APIExport root:p:one: \
                            spec.names.singular=gear is forbidden";
        assert_eq!(of(with_binding), (Trouble::Clash("binding one".into()), vec![]));
    }

    #[test]
    fn a_map_as_go_prints_it_is_read_and_anything_else_is_not() {
        let taken = super::taken("x: map[a.io:{one false} b.io:{ true}]").unwrap();
        assert_eq!(taken["a.io"].as_deref(), Some("one"));
        assert_eq!(taken["b.io"], None);
        let of_crd = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "NamingConflicts",
            "message": "Unable to bind APIs because they are bound by other APIBindings or CRDs: map[gadgets.lab.example:{ true}]"}]}});
        let of_crd: Binding = serde_json::from_value(of_crd).unwrap();
        assert_eq!(of_crd.troubles()[0].0, Trouble::Crd("gadgets.lab.example".into()));
        assert_eq!(super::taken("map[odd]"), None);
        assert_eq!(super::taken("no map"), None);
        let odd: Binding = serde_json::from_value(json!({"status": {"conditions": [
            {"type": "Ready", "status": "False", "reason": "NamingConflicts", "message": "otherwise"}]}}))
        .unwrap();
        let troubles = odd.troubles();
        assert_eq!((&troubles[0].0, troubles[0].0.words(troubles[0].1)), (&Trouble::Other, "Ready: otherwise".into()));
    }
}
