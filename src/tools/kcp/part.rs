//! What the objects of a kcp have in common: conditions, and lists that a caller may read or not.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::model::{ApiResource, Failure, ListRequest};
use crate::pool::ClusterClient;

/// Objects per request.
const PAGE: u32 = 500;
/// Requests per list.
const PAGES: usize = 4;
/// Characters of a foreign text that are repeated.
const QUOTED: usize = 300;

/// What is read of any object's metadata.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) name: String,
    creation_timestamp: String,
}

impl Meta {
    /// When it was made.
    pub(super) fn created(&self) -> Option<Timestamp> {
        self.creation_timestamp.parse().ok()
    }
}

/// A condition of a status.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Condition {
    /// False, or not known.
    pub(super) fn is_bad(&self) -> bool {
        self.status != "True"
    }

    /// As evidence: type, status, reason and message.
    pub(super) fn evidence(&self) -> String {
        let head = line(&format!("{}={} {}", self.kind, self.status, self.reason));
        if self.message.is_empty() { head } else { format!("{head}: {}", line(&self.message)) }
    }

    /// In short: its message, or else its reason.
    pub(super) fn said(&self) -> String {
        let said = if self.message.is_empty() { &self.reason } else { &self.message };
        format!("{}: {}", line(&self.kind), line(said))
    }
}

/// A list that was read, or why not. What may not be read is never taken for empty.
#[derive(Debug)]
pub(super) enum Part<T> {
    Read {
        items: Vec<T>,
        /// True when there are more.
        cut: bool,
    },
    /// In words, as "you cannot read apibindings here".
    Unread(String),
}

impl<T> Part<T> {
    /// What was read.
    pub(super) fn items(&self) -> &[T] {
        match self {
            Self::Read { items, .. } => items,
            Self::Unread(_) => &[],
        }
    }

    /// True when all of it was read.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Read { cut: false, .. })
    }

    /// What is missing, in words.
    pub(super) fn missing(&self, plural: &str) -> Option<String> {
        match self {
            Self::Read { cut: false, .. } => None,
            Self::Read { items, cut: true } => Some(format!("only the first {} {plural} were read", items.len())),
            Self::Unread(why) => Some(why.clone()),
        }
    }
}

/// Reads the objects of `plural` in `group`, of each only what `T` takes. `kind` is `None` where it is not served.
pub(super) async fn read<T: DeserializeOwned>(
    client: &ClusterClient,
    plural: &str,
    kind: Option<&ApiResource>,
) -> Part<T> {
    let Some(kind) = kind else { return Part::Unread(format!("{plural} are not served here")) };
    let mut request = ListRequest { limit: PAGE, ..ListRequest::default() };
    let mut all = Vec::new();
    for _ in 0..PAGES {
        match client.list_as::<T>(kind, &request).await {
            Ok(page) => {
                request.continue_token = page.continue_token().map(str::to_owned);
                let cut = page.cut;
                all.extend(page.items);
                if cut || request.continue_token.is_none() {
                    return Part::Read { items: all, cut };
                }
            }
            Err(failure) => return Part::Unread(unread(plural, &failure)),
        }
    }
    Part::Read { items: all, cut: true }
}

/// Why something was not read. A 403 and a 404 say the same.
pub(super) fn unread(what: &str, failure: &Failure) -> String {
    match failure.code {
        "forbidden" | "not_found" => format!("you cannot read {what} here"),
        _ => format!("{what} could not be read: {}", line(&failure.cause)),
    }
}

/// Workspaces, of which every kcp has the same.
pub(super) fn workspaces() -> ApiResource {
    of_kcp("tenancy.kcp.io", "workspaces", "Workspace")
}

/// Types of workspaces.
pub(super) fn workspace_types() -> ApiResource {
    of_kcp("tenancy.kcp.io", "workspacetypes", "WorkspaceType")
}

/// What each workspace has one of, named `cluster`.
pub(super) fn logical_clusters() -> ApiResource {
    of_kcp("core.kcp.io", "logicalclusters", "LogicalCluster")
}

fn of_kcp(group: &str, plural: &str, kind: &str) -> ApiResource {
    ApiResource {
        group: group.into(),
        version: "v1alpha1".into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        kind: kind.into(),
        short_names: Vec::new(),
        namespaced: false,
        verbs: vec!["get".into(), "list".into()],
    }
}

/// Foreign text on one line, cut.
pub(super) fn line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.trim();
    match clean.char_indices().nth(QUOTED) {
        Some((at, _)) => format!("{}…", &clean[..at]),
        None => clean.to_owned(),
    }
}

/// `widgets.example.io`, or `services` of the core group.
pub(super) fn qualified(plural: &str, group: &str) -> String {
    line(&if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") })
}

#[cfg(test)]
mod tests {
    use super::{Condition, Part, line, unread};
    use crate::model::{Failure, FailureKind};

    #[test]
    fn what_may_not_be_read_is_not_empty() {
        let no = |code| Failure::new(FailureKind::Refused, code, "because");
        assert_eq!(unread("apibindings", &no("forbidden")), unread("apibindings", &no("not_found")));
        assert_eq!(unread("apibindings", &no("cluster_timeout")), "apibindings could not be read: because");
        let unread: Part<u8> = Part::Unread("no".into());
        assert!(!unread.is_whole() && unread.items().is_empty());
        assert_eq!(unread.missing("x").as_deref(), Some("no"));
        let cut = Part::Read { items: vec![1], cut: true };
        assert_eq!(cut.missing("x").as_deref(), Some("only the first 1 x were read"));
        assert!(!cut.is_whole() && Part::Read { items: vec![1], cut: false }.missing("x").is_none());
    }

    #[test]
    fn foreign_text_is_one_short_line() {
        let condition = Condition {
            kind: "Ready".into(),
            status: "False".into(),
            reason: "R".into(),
            message: "a\nnext: b\u{7}".into(),
        };
        assert_eq!(condition.evidence(), "Ready=False R: a next: b");
        assert_eq!(condition.said(), "Ready: a next: b");
        assert_eq!(line(&"x".repeat(1000)).chars().count(), 301);
    }
}
