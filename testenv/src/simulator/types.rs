//! Which kinds of object a server knows.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::builtin::{ALL_VERBS, BuiltIn, COMMON, CORE, KCP, WORKLOADS};
use super::columns::{Columns, PrinterColumn};
use super::openapi::Documents;

/// One resource of one API version, as discovery describes it.
#[derive(Clone, Debug)]
pub struct ResourceType {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) namespaced: bool,
    pub(super) short_names: Vec<String>,
    pub(super) categories: Vec<String>,
    pub(super) verbs: Vec<String>,
    pub(super) subresources: Vec<Subresource>,
    /// Served from a CRD (or an APIBinding): its objects carry kind and version everywhere.
    pub(super) custom: bool,
    pub(super) columns: Columns,
    /// The `openAPIV3Schema` of its CRD.
    pub(super) schema: Option<Arc<Value>>,
}

/// A subresource in discovery. None is served yet except through later extensions.
#[derive(Clone, Debug)]
pub(super) struct Subresource {
    pub(super) name: &'static str,
    /// Group, version and kind of what it answers; empty group and version mean the resource's own.
    pub(super) response: (&'static str, &'static str, String),
    pub(super) verbs: &'static [&'static str],
}

impl ResourceType {
    /// A namespaced custom resource whose table shows name and age. `plural` must be lower case.
    #[must_use]
    pub fn custom(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            namespaced: true,
            short_names: Vec::new(),
            categories: Vec::new(),
            verbs: strings(ALL_VERBS),
            subresources: Vec::new(),
            custom: true,
            columns: Columns::Printer(vec![PrinterColumn::age()]),
            schema: None,
        }
    }

    /// Without a namespace.
    #[must_use]
    pub fn cluster_scoped(mut self) -> Self {
        self.namespaced = false;
        self
    }

    /// Short names such as `wd`.
    #[must_use]
    pub fn short_names(mut self, names: &[&str]) -> Self {
        self.short_names = strings(names);
        self
    }

    /// Categories such as `all`.
    #[must_use]
    pub fn categories(mut self, names: &[&str]) -> Self {
        self.categories = strings(names);
        self
    }

    /// Replaces the columns after the name (the CRD's `additionalPrinterColumns`).
    #[must_use]
    pub fn columns(mut self, columns: Vec<PrinterColumn>) -> Self {
        self.columns = Columns::Printer(columns);
        self
    }

    /// The CRD's `openAPIV3Schema`; without one, spec and status may hold anything.
    #[must_use]
    pub fn schema(mut self, schema: Value) -> Self {
        self.schema = Some(Arc::new(schema));
        self
    }

    /// `v1` or `apps/v1`.
    pub(super) fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }
}

/// `version` in the core group, else `group/version`.
pub(super) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// All resources of one server or workspace, in the order of discovery.
#[derive(Clone, Debug, Default)]
pub(super) struct Types {
    list: Vec<Arc<ResourceType>>,
    /// Groups and versions whose server cannot be reached.
    down: Vec<(String, String)>,
    /// Made when somebody asks, and again after a change.
    documents: OnceLock<Arc<Documents>>,
}

impl Types {
    /// What this simulator serves as a Kubernetes API server: the usual kinds and `widgets.lab.example`.
    pub(super) fn kubernetes() -> Self {
        let builtin = CORE.iter().chain(WORKLOADS).chain(COMMON);
        let mut types = Self::from_builtin(builtin);
        types.add(widget());
        types
    }

    /// What a fresh kcp workspace serves: no pods, nodes, services or deployments.
    pub(super) fn kcp() -> Self {
        Self::from_builtin(CORE.iter().filter(|b| !b.workload).chain(COMMON).chain(KCP))
    }

    fn from_builtin<'a>(builtin: impl Iterator<Item = &'a BuiltIn>) -> Self {
        Self { list: builtin.map(|b| Arc::new(b.resource_type())).collect(), ..Self::default() }
    }

    /// Adds a type, or replaces the one of the same group, version and plural.
    pub(super) fn add(&mut self, new: ResourceType) {
        self.list.retain(|old| (&old.group, &old.version, &old.plural) != (&new.group, &new.version, &new.plural));
        self.list.push(Arc::new(new));
        self.documents = OnceLock::new();
    }

    /// Adds a group whose server cannot be reached, so that nobody knows what is in it.
    pub(super) fn add_down(&mut self, group: &str, version: &str) {
        self.down.push((group.to_owned(), version.to_owned()));
    }

    pub(super) fn is_down(&self, group: &str, version: &str) -> bool {
        self.down.iter().any(|(down, of)| down == group && of == version)
    }

    /// Takes a group out.
    pub(super) fn remove_group(&mut self, group: &str) {
        self.list.retain(|ty| ty.group != group);
        self.down.retain(|(down, _)| down != group);
        self.documents = OnceLock::new();
    }

    /// The OpenAPI documents of these types.
    pub(super) fn documents(&self) -> Arc<Documents> {
        Arc::clone(self.documents.get_or_init(|| Documents::of(self)))
    }

    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<ResourceType>> {
        let found = self.list.iter().find(|t| t.plural == plural && t.group == group && t.version == version);
        found.cloned()
    }

    pub(super) fn find_kind(&self, api_version: &str, kind: &str) -> Option<Arc<ResourceType>> {
        let found = self.list.iter().find(|t| t.kind == kind && t.api_version() == api_version);
        found.cloned()
    }

    /// All types of one group and version.
    pub(super) fn of(&self, group: &str, version: &str) -> Vec<&ResourceType> {
        self.list.iter().map(AsRef::as_ref).filter(|t| t.group == group && t.version == version).collect()
    }

    /// True when kinds of this group are built in, rather than custom.
    pub(super) fn has_built_in_group(&self, group: &str) -> bool {
        self.list.iter().any(|t| t.group == group && !t.custom)
    }

    /// The named groups in order, each with its versions in order. The core group is not among them.
    pub(super) fn groups(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        let served = self.list.iter().filter(|t| !t.group.is_empty()).map(|t| (t.group.as_str(), t.version.as_str()));
        let down = self.down.iter().map(|(group, version)| (group.as_str(), version.as_str()));
        for (group, version) in served.chain(down) {
            match groups.iter_mut().find(|(name, _)| *name == group) {
                None => groups.push((group, vec![version])),
                Some((_, versions)) if versions.contains(&version) => {}
                Some((_, versions)) => versions.push(version),
            }
        }
        groups
    }
}

/// The example CRD of the lab.
pub(super) fn widget() -> ResourceType {
    ResourceType::custom("lab.example", "v1", "Widget", "widgets")
        .short_names(&["wd"])
        .columns(vec![
            PrinterColumn::new("Size", "integer", ".spec.size"),
            PrinterColumn::new("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
            PrinterColumn::age(),
        ])
        .schema(json!({"type": "object", "description": "Widget is the example of the lab.", "properties": {
        "spec": {"type": "object", "description": "What is wanted.", "required": ["size"], "properties": {
            "size": {"type": "integer", "format": "int64", "description": "How large it is."}}},
        "status": {"type": "object", "description": "What there is.", "properties": {
            "conditions": {"type": "array", "items": {"type": "object", "required": ["type", "status"], "properties": {
                "type": {"type": "string"}, "status": {"type": "string", "enum": ["True", "False", "Unknown"]}}}}}}}}))
}

pub(super) fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}
