//! Whether something is served at a place, with as few requests as that takes.

use super::{Content, Document};
use crate::model::{Failure, FailureKind};
use crate::pool::client::ClusterClient;

impl ClusterClient {
    /// Whether an API group, as `example.io`, or a resource of one, as `widgets.example.io`, is served here; a word without a
    /// dot is a resource of the core group, or a group. One request where the group is not served, two where it is; none for
    /// what this caller has read before.
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
        let found = wanted
            .split_once('.')
            .and_then(|(name, of)| versions.iter().find(|(group, _)| group == of).map(|found| (name, found)));
        match found {
            Some((name, (group, version))) => self.lists(group, version, name).await,
            None => Ok(false),
        }
    }

    /// Whether a group-version has a resource with this plural.
    async fn lists(&self, group: &str, version: &str, plural: &str) -> Result<bool, Failure> {
        match self.document(Document::Version(group.to_owned(), version.to_owned()), false).await {
            Ok(content) => Ok(match content.as_ref() {
                Content::Kinds(served) => served.kinds.iter().any(|kind| kind.plural == plural),
                Content::Versions(_) => false,
            }),
            // It went away in between.
            Err(failure) if failure.kind == FailureKind::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}
