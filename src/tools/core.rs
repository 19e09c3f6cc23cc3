//! The toolset `core`: namespaces and objects of any kind.

use super::Entry;

mod namespaces;
mod resources;

/// Its tools.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::tool(namespaces::NamespacesList),
        Entry::tool(resources::ResourcesList),
        Entry::tool(resources::ResourcesGet),
    ]
}
