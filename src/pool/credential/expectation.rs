//! Who an API server must take a caller for, and whether it does.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::UserInfo;

/// Who an API server must take a caller for. `None` = not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The user name, exactly.
    pub username: Option<String>,
    /// The uid, exactly.
    pub uid: Option<String>,
    /// The groups as a set; `system:authenticated`, which the API server adds, is taken off before.
    pub groups: Option<Vec<String>>,
    /// These extras; others, which the API server adds, are passed over.
    pub extra: BTreeMap<String, String>,
}

impl Expectation {
    /// What differs from `seen`, in words; `None` when it is who it must be.
    pub fn differs(&self, seen: &UserInfo) -> Option<String> {
        let wanted = self.username.as_deref().filter(|wanted| *wanted != seen.username);
        if let Some(wanted) = wanted {
            return Some(format!("it must take you for \"{wanted}\" but takes you for \"{}\"", seen.username));
        }
        if self.uid.as_deref().is_some_and(|wanted| wanted != seen.uid) {
            return Some("it gives you another uid".to_owned());
        }
        let groups: BTreeSet<&str> =
            seen.groups.iter().map(String::as_str).filter(|group| *group != "system:authenticated").collect();
        let wanted = self.groups.as_ref().map(|groups| groups.iter().map(String::as_str).collect::<BTreeSet<_>>());
        if wanted.is_some_and(|wanted| wanted != groups) {
            return Some("it gives you other groups".to_owned());
        }
        let kept = |(key, value): (&String, &String)| {
            seen.extra.get(key).is_some_and(|values| values.as_slice() == [value.clone()])
        };
        (!self.extra.iter().all(kept)).then(|| "it gives you other extra attributes".to_owned())
    }
}
