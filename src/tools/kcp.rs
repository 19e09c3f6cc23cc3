//! The toolset `kcp`: finding one's way in the workspaces of a kcp. Everything is asked with the caller's own credential,
//! and nothing is inferred from a 403 that is not also said of a 404.

use super::Entry;

mod apis;
mod asking;
mod describe;
mod filter;
mod find;
mod list;
mod part;
mod place;
mod row;
mod start;
mod survey;
mod tree;
mod walk;

/// Its tools.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::tool(apis::ApisList),
        Entry::tool(describe::WorkspaceDescribe),
        Entry::tool(find::WorkspacesFind),
        Entry::tool(list::WorkspacesList),
        Entry::tool(tree::WorkspaceTree),
    ]
}
