//! Whether something is served at a place, with as few requests as that takes.

use super::{Content, Document};
use crate::model::{Failure, FailureKind};
use crate::pool::client::ClusterClient;

impl ClusterClient {
    /// Whether an API group, as `example.io`, or a resource of one, as `widgets.example.io`, is served here in any version; a
    /// word without a dot is a resource of the core group, or a group. One request where the group is not served; where it is,
    /// one more for each of its versions until one has the resource; none for what this caller has read before.
    ///
    /// # Errors
    /// When discovery cannot be read.
    pub async fn serves(&self, wanted: &str) -> Result<bool, Failure> {
        if !wanted.contains('.') && self.lists("", "v1", wanted).await? {
            return Ok(true);
        }
        let groups = self.document(Document::Groups, false).await?;
        let Content::Versions(versions) = groups.as_ref() else { return Ok(false) };
        if versions.iter().any(|(group, _)| group == wanted) {
            return Ok(true);
        }
        let Some((name, of)) = wanted.split_once('.') else { return Ok(false) };
        let mut unread = None;
        for (group, version) in versions.iter().filter(|(group, _)| group == of) {
            match self.lists(group, version, name).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                // Another version may have it; if none has, nobody knows.
                Err(failure) => unread = Some(failure),
            }
        }
        unread.map_or(Ok(false), Err)
    }

    /// Whether a group-version has a resource with this plural or singular.
    async fn lists(&self, group: &str, version: &str, name: &str) -> Result<bool, Failure> {
        match self.document(Document::Version(group.to_owned(), version.to_owned()), false).await {
            Ok(content) => Ok(match content.as_ref() {
                Content::Kinds(served) => served.kinds.iter().any(|kind| {
                    // Servers may leave the singular out: then it is the kind in lower case.
                    let singular = if kind.singular.is_empty() { &kind.kind } else { &kind.singular };
                    kind.plural == name || singular.eq_ignore_ascii_case(name)
                }),
                Content::Versions(_) => false,
            }),
            // It went away in between.
            Err(failure) if failure.kind == FailureKind::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}
