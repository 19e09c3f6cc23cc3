//! The toolset `config`: what the established server calls configuration.

use super::Entry;

mod contexts;
mod targets;
mod view;

/// Its tools.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::query(contexts::ContextsList),
        Entry::query(targets::TargetsList),
        Entry::query(view::ConfigurationView),
    ]
}
