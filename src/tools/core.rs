//! The toolset `core`: namespaces, events, pods and objects of any kind.

use super::Entry;

pub(super) mod events;
mod log;
mod namespaces;
mod pods;
pub(super) mod resources;

/// Its tools.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::tool(namespaces::NamespacesList),
        Entry::tool(events::EventsList),
        Entry::tool(pods::PodsList),
        Entry::tool(pods::PodsListInNamespace),
        Entry::tool(pods::PodsGet),
        Entry::tool(log::PodsLog),
        Entry::tool(resources::ResourcesList),
        Entry::tool(resources::ResourcesGet),
    ]
}
