//! Who an API server must take a caller for, and whether it does.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::UserInfo;

/// Extra keys below these belong to the control planes.
const RESERVED: [&str; 3] = ["k8s.io", "kubernetes.io", "kcp.io"];

/// Who an API server must take a caller for. `None` = not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The user name, exactly.
    pub username: Option<String>,
    /// The uid, exactly.
    pub uid: Option<String>,
    /// The groups as a set; `system:authenticated`, which the API server adds, is taken off before.
    pub groups: Option<Vec<String>>,
    /// The extras, one value each; those that only control planes can give ([`reserved`]) are taken off before.
    pub extra: Option<BTreeMap<String, String>>,
}

/// True for extra keys below a domain of the control planes: an API server or a kcp adds them by itself, and no template
/// may.
pub(super) fn reserved(key: &str) -> bool {
    let domain = key.split('/').next().unwrap_or(key);
    RESERVED.iter().any(|suffix| {
        let below = domain.strip_suffix(suffix);
        below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
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
        let Some(wanted) = &self.extra else { return None };
        let given = seen.extra.iter().filter(|(key, _)| !reserved(key));
        let same = given.clone().count() == wanted.len()
            && given
                .into_iter()
                .all(|(key, values)| matches!(values.as_slice(), [one] if wanted.get(key) == Some(one)));
        (!same).then(|| "it gives you other extra attributes".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Expectation, reserved};
    use crate::model::UserInfo;

    fn alice() -> UserInfo {
        UserInfo {
            username: "corp:alice".into(),
            uid: "u1".into(),
            groups: vec!["system:authenticated".into(), "corp:dev".into()],
            extra: [
                ("example.com/client".to_owned(), vec!["ide".to_owned()]),
                ("authentication.kcp.io/scopes".to_owned(), vec!["cluster:root".to_owned()]),
            ]
            .into(),
        }
    }

    fn expected() -> Expectation {
        Expectation {
            username: Some("corp:alice".into()),
            uid: Some("u1".into()),
            groups: Some(vec!["corp:dev".into(), "corp:dev".into()]),
            extra: Some([("example.com/client".to_owned(), "ide".to_owned())].into()),
        }
    }

    #[test]
    fn what_the_server_adds_is_taken_off() {
        assert_eq!(expected().differs(&alice()), None);
        assert_eq!(Expectation::default().differs(&alice()), None, "nothing is expected");
    }

    #[test]
    fn every_part_is_compared() {
        type Change = fn(&mut UserInfo);
        let changes: [(&str, Change); 8] = [
            ("for \"corp:bob\"", |user| user.username = "corp:bob".into()),
            ("another uid", |user| user.uid = "u2".into()),
            ("another uid", |user| user.uid.clear()),
            ("other groups", |user| user.groups.push("system:masters".into())),
            ("other groups", |user| user.groups.clear()),
            ("extra", |user| drop(user.extra.remove("example.com/client"))),
            ("extra", |user| drop(user.extra.insert("example.com/more".into(), vec!["x".into()]))),
            ("extra", |user| user.extra.entry("example.com/client".into()).or_default().push("other".into())),
        ];
        for (said, change) in changes {
            let mut user = alice();
            change(&mut user);
            let difference = expected().differs(&user).unwrap_or_default();
            assert!(difference.contains(said), "{said}: {difference:?}");
        }
    }

    #[test]
    fn a_template_without_uid_and_extra_expects_none() {
        let expected = Expectation { uid: Some(String::new()), extra: Some([].into()), ..Expectation::default() };
        assert_eq!(expected.differs(&alice()).as_deref(), Some("it gives you another uid"));
    }

    #[test]
    fn domains_of_the_control_planes_are_reserved() {
        for key in ["authentication.kubernetes.io/credential-id", "k8s.io", "a.k8s.io", "authentication.kcp.io/scopes"]
        {
            assert!(reserved(key), "{key}");
        }
        for key in ["example.com/client", "notk8s.io/x", "k8s.io.example.com", "scopes"] {
            assert!(!reserved(key), "{key}");
        }
    }
}
