//! The toolset `core`: namespaces, events, pods, nodes and objects of any kind.

use super::Entry;

pub(super) mod events;
mod log;
mod namespaces;
mod nodes;
mod pods;
pub(super) mod resources;
mod top;

/// Its tools.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::tool(namespaces::NamespacesList),
        Entry::tool(events::EventsList),
        Entry::tool(pods::PodsList),
        Entry::tool(pods::PodsListInNamespace),
        Entry::tool(pods::PodsGet),
        Entry::tool(log::PodsLog),
        Entry::tool(top::PodsTop),
        Entry::tool(top::NodesTop),
        Entry::tool(nodes::NodesLog),
        Entry::tool(nodes::NodesStatsSummary),
        Entry::tool(resources::ResourcesList),
        Entry::tool(resources::ResourcesGet),
    ]
}
