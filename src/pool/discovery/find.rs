//! Which kind a caller means by `po`, `Pod`, `deployments.apps` or `deploy`.

use std::fmt;

use crate::model::{ApiResource, Failure, names};

/// What a caller wrote for a kind, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) struct Wanted {
    text: String,
    name: String,
    group: Option<String>,
    version: Option<String>,
}

impl Wanted {
    /// Reads a kind, plural, singular or short name, `plural.group` or `plural.version.group`, and an apiVersion.
    pub(in crate::pool) fn parse(wanted: &str, api_version: Option<&str>) -> Result<Self, Failure> {
        let arguments = |error: names::NameError| Failure::arguments(error.to_string());
        let lower = wanted.trim().to_lowercase();
        names::plural(&lower).map_err(|error| arguments(names::NameError::new("kind", wanted, error.grammar)))?;
        let (name, qualifier) = match lower.split_once('.') {
            Some((name, qualifier)) => (name.to_owned(), Some(qualifier.to_owned())),
            None => (lower, None),
        };
        let mut read = Self { text: wanted.trim().to_owned(), name, group: qualifier, version: None };
        if let Some((version, group)) = read.group.clone().as_deref().and_then(|qualifier| qualifier.split_once('.'))
            && is_version(version)
        {
            (read.version, read.group) = (Some(version.to_owned()), Some(group.to_owned()));
        }
        if let Some(api_version) = api_version.map(str::trim).filter(|text| !text.is_empty()) {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            names::group(group).map_err(arguments)?;
            names::version(version).map_err(arguments)?;
            (read.group, read.version) = (Some(group.to_owned()), Some(version.to_owned()));
        }
        Ok(read)
    }

    /// The group-version, when both are known.
    pub(in crate::pool) fn group_version(&self) -> Option<(&str, &str)> {
        Some((self.group.as_deref()?, self.version.as_deref()?))
    }

    /// The group, when it is known.
    pub(in crate::pool) fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// As written.
    pub(in crate::pool) fn text(&self) -> &str {
        &self.text
    }

    fn fits(&self, kind: &ApiResource) -> bool {
        let named = kind.plural == self.name
            || kind.singular == self.name
            || kind.kind.to_lowercase() == self.name
            || kind.short_names.contains(&self.name);
        named
            && self.group.as_ref().is_none_or(|group| group == &kind.group)
            && self.version.as_ref().is_none_or(|version| version == &kind.version)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.group_version() {
            Some(("", version)) => write!(f, " in {version}"),
            Some((group, version)) => write!(f, " in {group}/{version}"),
            None => Ok(()),
        }
    }
}

/// `v1`, `v1beta2`: what tells `plural.version.group` from `plural.group`.
fn is_version(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('v') && chars.next().is_some_and(|c| c.is_ascii_digit())
}

/// The first of `kinds`, in the server's order of preference, that is meant; a plural, singular or kind wins over a
/// short name of an earlier group.
pub(in crate::pool) fn find<'a>(
    kinds: &(impl Iterator<Item = &'a ApiResource> + Clone),
    wanted: &Wanted,
) -> Option<&'a ApiResource> {
    let fitting = || kinds.clone().filter(|kind| wanted.fits(kind));
    fitting().find(|kind| !kind.short_names.contains(&wanted.name)).or_else(|| fitting().next())
}

#[cfg(test)]
mod tests {
    use super::{ApiResource, Wanted, find};

    fn kind(group: &str, plural: &str, kind: &str, short: &[&str]) -> ApiResource {
        ApiResource {
            group: group.into(),
            version: "v1".into(),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            kind: kind.into(),
            short_names: short.iter().map(|name| (*name).into()).collect(),
            namespaced: true,
            verbs: vec![],
        }
    }

    #[test]
    fn every_spelling_finds_its_kind() {
        let kinds = [
            kind("", "pods", "Pod", &["po"]),
            kind("", "events", "Event", &["ev"]),
            kind("events.k8s.io", "events", "Event", &["ev"]),
            kind("apps", "deployments", "Deployment", &["deploy"]),
            kind("example.io", "poes", "Poe", &["pods"]),
        ];
        let found = |text: &str, version: Option<&str>| {
            find(&kinds.iter(), &Wanted::parse(text, version).unwrap()).map(ApiResource::qualified)
        };
        assert_eq!(found("po", None).as_deref(), Some("pods"));
        assert_eq!(found("Pod", Some("v1")).as_deref(), Some("pods"));
        assert_eq!(found("PODS", None).as_deref(), Some("pods"));
        assert_eq!(found("events", None).as_deref(), Some("events"));
        assert_eq!(found("events.events.k8s.io", None).as_deref(), Some("events.events.k8s.io"));
        assert_eq!(found("deployments.v1.apps", None).as_deref(), Some("deployments.apps"));
        assert_eq!(found("Deployment", Some("apps/v1")).as_deref(), Some("deployments.apps"));
        assert_eq!(found("Deployment", Some("apps/v2")), None);
        assert!(Wanted::parse("../pods", None).is_err());
        assert!(Wanted::parse("pods", Some("a/b/c")).is_err());
    }
}
