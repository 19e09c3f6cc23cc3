//! An APIExport: what it offers and what it asks for.

use serde::Deserialize;

use super::super::part::{Condition, Meta, line, qualified};
use super::claims::Asked;

/// Characters of an identity hash that tell it from others.
const IDENTITY: usize = 8;

/// What is read of an APIExport.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::tools::kcp) struct Export {
    metadata: Meta,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    resources: Vec<Resource>,
    /// v1alpha1 has names of schemas only.
    latest_resource_schemas: Vec<String>,
    permission_claims: Vec<Asked>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Resource {
    group: String,
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    identity_hash: String,
    conditions: Vec<Condition>,
}

impl Export {
    pub(super) fn name(&self) -> String {
        line(&self.metadata.name)
    }

    /// The resources that it offers, qualified.
    pub(super) fn resources(&self) -> Vec<String> {
        let new = self.spec.resources.iter().map(|resource| qualified(&resource.name, &resource.group));
        let old = self.spec.latest_resource_schemas.iter().filter_map(|schema| {
            let (_, name) = schema.split_once('.')?;
            Some(line(name.strip_suffix(".core").unwrap_or(name)))
        });
        new.chain(old).collect()
    }

    /// `configmaps [get list]`, each.
    pub(super) fn claims(&self) -> Vec<String> {
        self.spec.permission_claims.iter().map(Asked::text).collect()
    }

    /// The beginning of its identity hash; empty while it has none.
    pub(super) fn identity(&self) -> String {
        line(&self.status.identity_hash.chars().take(IDENTITY).collect::<String>())
    }

    /// The conditions that are not True, in short.
    pub(super) fn troubles(&self) -> Vec<String> {
        self.status.conditions.iter().filter(|condition| condition.is_bad()).map(Condition::said).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Export;

    #[test]
    fn exports_of_both_versions_are_read() {
        let export = json!({"metadata": {"name": "widgets"}, "spec": {
            "permissionClaims": [{"group": "", "identityHash": "", "resource": "configmaps", "verbs": ["get", "list", "watch"]}],
            "resources": [{"group": "lab.example", "name": "widgets", "schema": "v1.widgets.lab.example", "storage": {"crd": {}}},
                {"group": "", "name": "services", "schema": "v1.services.core", "storage": {"crd": {}}}]},
            "status": {"identityHash": "d5ba209de0ced8fd14456c087e20b3204cd5086db45e22bef2408ee67f436818", "conditions": [
                {"type": "IdentityValid", "status": "True"}]}});
        let export: Export = serde_json::from_value(export).unwrap();
        assert_eq!(export.resources(), ["widgets.lab.example", "services"]);
        assert_eq!(export.claims(), ["configmaps [get list watch]"]);
        assert_eq!((export.identity().as_str(), export.troubles().len()), ("d5ba209d", 0));
        let old = json!({"spec": {"latestResourceSchemas": ["v1.widgets.lab.example", "v1.services.core"]}});
        let old: Export = serde_json::from_value(old).unwrap();
        assert_eq!(old.resources(), ["widgets.lab.example", "services"]);
    }
}
