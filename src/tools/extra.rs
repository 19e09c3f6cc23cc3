//! The toolset `extra`: what is asked for less often.

use super::Entry;

mod api_resources;
mod describe;
mod explain;
mod projects;

/// Its tools.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::tool(api_resources::ApiResourcesList),
        Entry::tool(describe::ResourcesDescribe),
        Entry::tool(explain::ResourcesExplain),
        Entry::tool(projects::ProjectsList),
    ]
}
