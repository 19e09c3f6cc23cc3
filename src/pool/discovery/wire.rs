//! Discovery documents on the wire, only what is used of them.

use serde::Deserialize;

use crate::model::ApiResource;

/// Any document's kind.
#[derive(Deserialize)]
pub(super) struct Kind {
    #[serde(default)]
    pub(super) kind: String,
}

/// `APIGroupDiscoveryList` (`apidiscovery.k8s.io/v2`).
#[derive(Deserialize)]
pub(super) struct Aggregated {
    #[serde(default)]
    items: Vec<AggregatedGroup>,
}

#[derive(Deserialize)]
struct AggregatedGroup {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    versions: Vec<AggregatedVersion>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct AggregatedVersion {
    version: String,
    #[serde(default)]
    resources: Vec<AggregatedResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AggregatedResource {
    resource: String,
    #[serde(default)]
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

impl Aggregated {
    pub(super) fn kinds(self) -> Vec<ApiResource> {
        let mut kinds = Vec::new();
        for group in self.items {
            for version in group.versions {
                kinds.extend(version.resources.into_iter().map(|resource| ApiResource {
                    group: group.metadata.name.clone(),
                    version: version.version.clone(),
                    plural: resource.resource,
                    singular: resource.singular_resource,
                    kind: resource.response_kind.map(|kind| kind.kind).unwrap_or_default(),
                    short_names: resource.short_names,
                    namespaced: resource.scope == "Namespaced",
                    verbs: resource.verbs,
                }));
            }
        }
        kinds
    }
}

/// `APIGroupList`.
#[derive(Deserialize)]
pub(super) struct GroupList {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    #[serde(default)]
    versions: Vec<GroupVersion>,
    #[serde(default)]
    preferred_version: Option<GroupVersion>,
}

#[derive(Deserialize, Clone)]
struct GroupVersion {
    version: String,
}

impl GroupList {
    /// Each group with its preferred version first, then its others.
    pub(super) fn preferred(self) -> Vec<(String, String)> {
        let mut list = Vec::new();
        for group in self.groups {
            let preferred = group.preferred_version.map(|version| version.version);
            let others = group
                .versions
                .into_iter()
                .map(|version| version.version)
                .filter(|version| Some(version) != preferred.as_ref());
            list.extend(preferred.iter().cloned().chain(others).map(|version| (group.name.clone(), version)));
        }
        list
    }
}

/// `APIResourceList`.
#[derive(Deserialize)]
pub(super) struct ResourceList {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    #[serde(default)]
    singular_name: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
}

impl ResourceList {
    /// The kinds of one group-version; subresources are left out.
    pub(super) fn kinds(self, group: &str, version: &str) -> Vec<ApiResource> {
        let resources = self.resources.into_iter().filter(|resource| !resource.name.contains('/'));
        resources
            .map(|resource| ApiResource {
                group: group.to_owned(),
                version: version.to_owned(),
                plural: resource.name,
                singular: resource.singular_name,
                kind: resource.kind,
                short_names: resource.short_names,
                namespaced: resource.namespaced,
                verbs: resource.verbs,
            })
            .collect()
    }
}
