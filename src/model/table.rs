//! A list as the API server prints it, and a kind as discovery describes it.

use std::sync::Arc;

/// One page of a server-side Table (`meta.k8s.io/v1`), cells already text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The server's columns, in its order.
    pub columns: Vec<Column>,
    /// One row per object.
    pub rows: Vec<Row>,
    /// The API server's own continue token, when there are more pages. It goes to callers sealed only.
    pub continue_token: Option<String>,
    /// How many objects are left after this page, when the server says so.
    pub remaining: Option<u64>,
}

/// A column of a Table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// As the server spells it, `Restarts`.
    pub name: String,
    /// 0 is always shown; others in `wide` only.
    pub priority: i32,
}

/// A row of a Table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The namespace, when the list was over all namespaces (then metadata came along).
    pub namespace: Option<String>,
    /// One cell per column; `null` is empty.
    pub cells: Vec<String>,
}

/// A kind that a cluster or workspace serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiResource {
    /// API group, empty for the core group.
    pub group: String,
    /// Version, as `v1`.
    pub version: String,
    /// Plural in lower case, as in URLs.
    pub plural: String,
    /// Singular in lower case; may be empty.
    pub singular: String,
    /// Kind in camel case.
    pub kind: String,
    /// Short names, as `po`.
    pub short_names: Vec<String>,
    /// True when objects are in namespaces.
    pub namespaced: bool,
    /// Verbs that it serves.
    pub verbs: Vec<String>,
}

impl ApiResource {
    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`, or `pods` for the core group: unambiguous in one cluster.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// One namespace; `None` = all, or a kind without namespaces.
    pub namespace: Option<String>,
    /// Label selector, as kubectl's `-l`.
    pub label_selector: Option<String>,
    /// Field selector.
    pub field_selector: Option<String>,
    /// Objects per page, at most.
    pub limit: u32,
    /// The API server's continue token of the page before.
    pub continue_token: Option<String>,
}

/// Who an API server takes a caller for: `status.userInfo` of a SelfSubjectReview.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// User name as RBAC sees it.
    pub username: String,
    /// The uid, when the authenticator gives one.
    pub uid: String,
    /// Groups as RBAC sees them.
    pub groups: Vec<String>,
    /// Extra attributes.
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
}

/// All kinds of one cluster or workspace.
pub type ApiResources = Arc<[ApiResource]>;
