//! Discovery documents on the wire, only what is used of them.

use serde::{Deserialize, Deserializer};

use crate::model::{ApiResource, names};

/// Kinds of one document, at most; real clusters have some hundreds.
const MAX_KINDS: usize = 20_000;

/// Group-versions that do not answer, at most.
const MAX_SILENT: usize = 100;

/// As an `apiVersion` has it.
pub(super) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Go servers write an empty list as `null`.
fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Only kinds whose names could stand in a URL, with names of bounded length: a document is foreign text that is kept
/// and compared.
fn usable(kinds: impl Iterator<Item = ApiResource>) -> Vec<ApiResource> {
    let short = |text: &str| text.len() <= 63 && names::plural(text).is_ok();
    let fits = |kind: &ApiResource| {
        names::group(&kind.group).is_ok()
            && names::version(&kind.version).is_ok()
            && names::plural(&kind.plural).is_ok()
            && (1..=63).contains(&kind.kind.len())
            && kind.kind.bytes().all(|c| c.is_ascii_alphanumeric())
    };
    let trim = |mut kind: ApiResource| {
        if !short(&kind.singular) {
            kind.singular.clear();
        }
        kind.short_names.retain(|name| short(name));
        kind.short_names.truncate(16);
        kind.verbs.retain(|verb| verb.len() <= 32);
        kind.verbs.truncate(16);
        kind
    };
    kinds.filter(fits).map(trim).take(MAX_KINDS).collect()
}

/// Any document's kind.
#[derive(Deserialize)]
pub(super) struct Kind {
    #[serde(default)]
    pub(super) kind: String,
}

/// `APIGroupDiscoveryList` (`apidiscovery.k8s.io/v2`).
#[derive(Deserialize)]
pub(super) struct Aggregated {
    #[serde(default, deserialize_with = "null_as_empty")]
    items: Vec<AggregatedGroup>,
}

#[derive(Deserialize)]
struct AggregatedGroup {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_as_empty")]
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
    /// `Stale` when the server behind this group-version does not answer.
    #[serde(default)]
    freshness: String,
    #[serde(default, deserialize_with = "null_as_empty")]
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
    #[serde(default, deserialize_with = "null_as_empty")]
    verbs: Vec<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    short_names: Vec<String>,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

impl Aggregated {
    /// Group-versions that are registered and of which nothing is known.
    pub(super) fn silent(&self) -> Vec<String> {
        let of = |group: &AggregatedGroup| {
            let stale =
                group.versions.iter().filter(|version| version.freshness == "Stale" && version.resources.is_empty());
            let named = |version: &AggregatedVersion| {
                let (group, version) = (&group.metadata.name, &version.version);
                (names::group(group).is_ok() && names::version(version).is_ok()).then(|| group_version(group, version))
            };
            stale.filter_map(named).collect::<Vec<_>>()
        };
        self.items.iter().flat_map(of).take(MAX_SILENT).collect()
    }

    pub(super) fn kinds(self) -> Vec<ApiResource> {
        let mut kinds = Vec::new();
        for group in self.items {
            for version in group.versions {
                let all = version.resources.into_iter().map(|resource| ApiResource {
                    group: group.metadata.name.clone(),
                    version: version.version.clone(),
                    plural: resource.resource,
                    singular: resource.singular_resource,
                    kind: resource.response_kind.map(|kind| kind.kind).unwrap_or_default(),
                    short_names: resource.short_names,
                    namespaced: resource.scope == "Namespaced",
                    verbs: resource.verbs,
                });
                kinds.extend(usable(all));
            }
        }
        kinds.truncate(MAX_KINDS);
        kinds
    }
}

/// `APIGroupList`.
#[derive(Deserialize)]
pub(super) struct GroupList {
    #[serde(default, deserialize_with = "null_as_empty")]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    #[serde(default, deserialize_with = "null_as_empty")]
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
    #[serde(default, deserialize_with = "null_as_empty")]
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
    #[serde(default, deserialize_with = "null_as_empty")]
    verbs: Vec<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    short_names: Vec<String>,
}

impl ResourceList {
    /// The kinds of one group-version; subresources are left out.
    pub(super) fn kinds(self, group: &str, version: &str) -> Vec<ApiResource> {
        let resources = self.resources.into_iter().filter(|resource| !resource.name.contains('/'));
        let all = resources.map(|resource| ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: resource.name,
            singular: resource.singular_name,
            kind: resource.kind,
            short_names: resource.short_names,
            namespaced: resource.namespaced,
            verbs: resource.verbs,
        });
        usable(all)
    }
}

#[cfg(test)]
mod tests {
    use super::{Aggregated, GroupList, ResourceList};

    #[test]
    fn a_group_that_does_not_answer_is_stale() {
        let text = r#"{"items":[{"metadata":{"name":"a.io"},"versions":[{"version":"v1","freshness":"Stale"}]},
            {"metadata":{"name":"../x"},"versions":[{"version":"v1","freshness":"Stale"}]},
            {"metadata":{"name":"b.io"},"versions":[{"version":"v1","freshness":"Current"}]}]}"#;
        let list: Aggregated = serde_json::from_str(text).unwrap();
        assert_eq!(list.silent(), ["a.io/v1"]);
        assert!(list.kinds().is_empty());
    }

    #[test]
    fn nulls_are_empty_and_unusable_names_are_dropped() {
        let list: ResourceList = serde_json::from_str(r#"{"resources":null}"#).unwrap();
        assert!(list.kinds("", "v1").is_empty());
        let list: GroupList = serde_json::from_str(r#"{"groups":null}"#).unwrap();
        assert!(list.preferred().is_empty());
        let text = format!(
            r#"{{"resources":[{{"name":"../x","kind":"X"}},{{"name":"pods","kind":"Pod","shortNames":["po","{}"],"verbs":null}},{{"name":"{}","kind":"Y"}}]}}"#,
            "y".repeat(1000),
            "z".repeat(1000),
        );
        let kinds = serde_json::from_str::<ResourceList>(&text).unwrap().kinds("", "v1");
        assert_eq!(kinds.iter().map(|kind| kind.plural.as_str()).collect::<Vec<_>>(), ["pods"]);
        assert_eq!(kinds[0].short_names, ["po"]);
    }
}
