//! Which kind a caller asks about, whether it is served or not. Of one that is not served only the resource may be known,
//! from a binding or an export.

use crate::model::{ApiResource, Failure, names};

use super::crd::Crd;
use crate::tools::arguments;

/// What a caller wrote, checked.
pub(super) struct Wanted {
    /// As written.
    pub(super) text: String,
    name: String,
    group: Option<String>,
    pub(super) version: Option<String>,
}

impl Wanted {
    /// Reads a kind, plural, singular or short name, `plural.group`, and an apiVersion.
    pub(super) fn parse(kind: &str, api_version: Option<&str>) -> Result<Self, Failure> {
        arguments::kind(kind, api_version)?;
        let lower = kind.trim().to_lowercase();
        let (name, mut group) = match lower.split_once('.') {
            Some((name, group)) => (name.to_owned(), Some(group.to_owned())),
            None => (lower, None),
        };
        let mut version = None;
        if let Some(api_version) = api_version {
            let (of, in_version) = api_version.split_once('/').unwrap_or(("", api_version));
            (group, version) = (Some(of.to_owned()), Some(in_version.to_owned()));
        } else if let Some((first, rest)) = group.clone().as_deref().and_then(|group| group.split_once('.'))
            && is_version(first)
        {
            (group, version) = (Some(rest.to_owned()), Some(first.to_owned()));
        }
        Ok(Self { text: kind.trim().to_owned(), name, group, version })
    }

    /// As it is named in an answer: the name with the group, where one was given.
    pub(super) fn named(&self) -> String {
        match (self.group.as_deref(), self.version.as_deref()) {
            (None, _) => self.text.clone(),
            (Some(""), version) => format!("{} of the core group{}", self.name, in_version(version)),
            (Some(group), version) => format!("{}.{group}{}", self.name, in_version(version)),
        }
    }

    /// True when a served kind is meant, in whatever version.
    pub(super) fn is_kind(&self, kind: &ApiResource) -> bool {
        let named = kind.plural == self.name
            || kind.singular == self.name
            || kind.kind.to_lowercase() == self.name
            || kind.short_names.contains(&self.name);
        named && self.is_in(&kind.group)
    }

    /// True when a CRD defines what is meant.
    pub(super) fn is_crd(&self, crd: &Crd) -> bool {
        let names = crd.names();
        let named = names.plural == self.name
            || names.singular == self.name
            || names.kind.to_lowercase() == self.name
            || names.short_names.contains(&self.name);
        named && self.is_in(crd.group())
    }

    /// True when `resource`, as `widgets.example.io`, can be what is meant: what is not served has a plural only, so a
    /// singular fits it with the endings of English.
    pub(super) fn is_resource(&self, resource: &str) -> bool {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let of_singular = |ending: &str| plural.strip_suffix(ending) == Some(self.name.as_str());
        let of_y = || plural.strip_suffix("ies").is_some_and(|stem| self.name.strip_suffix('y') == Some(stem));
        let named = plural == self.name || of_singular("s") || of_singular("es") || of_y();
        named && self.is_in(group)
    }

    fn is_in(&self, group: &str) -> bool {
        self.group.as_deref().is_none_or(|wanted| wanted == group)
    }

    /// Near names of what is served.
    pub(super) fn near<'a>(&self, kinds: impl Iterator<Item = &'a ApiResource>) -> Vec<String> {
        let spellings: Vec<String> = kinds.flat_map(|kind| [kind.qualified(), kind.kind.to_lowercase()]).collect();
        let near = names::near(&self.name, spellings.iter().map(String::as_str), 3);
        near.into_iter().map(str::to_owned).collect()
    }
}

fn in_version(version: Option<&str>) -> String {
    version.map(|version| format!(" in {version}")).unwrap_or_default()
}

/// `v1`, `v1beta2`: what tells `plural.version.group` from `plural.group`.
fn is_version(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('v') && chars.next().is_some_and(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn a_kind_that_is_not_served_is_known_by_its_plural() {
        let fits = |kind: &str, version: Option<&str>, resource: &str| {
            Wanted::parse(kind, version).unwrap().is_resource(resource)
        };
        for kind in ["Cog", "cogs", "cogs.lab.example", "cogs.v1.lab.example"] {
            assert!(fits(kind, None, "cogs.lab.example"), "{kind}");
        }
        assert!(fits("Policy", None, "policies.lab.example") && fits("Box", None, "boxes"));
        assert!(fits("Cog", Some("lab.example/v1"), "cogs.lab.example"));
        assert!(!fits("Cog", Some("v1"), "cogs.lab.example") && !fits("cogs.other", None, "cogs.lab.example"));
        assert!(fits("Service", Some("v1"), "services") && !fits("ser", None, "services"));
        assert!(Wanted::parse("../x", None).is_err());
    }

    #[test]
    fn it_is_named_as_it_was_meant() {
        let named = |kind: &str, version: Option<&str>| Wanted::parse(kind, version).unwrap().named();
        assert_eq!(named("Cog", None), "Cog");
        assert_eq!(named("Cog", Some("lab.example/v1")), "cog.lab.example in v1");
        assert_eq!(named("Service", Some("v1")), "service of the core group in v1");
    }
}
