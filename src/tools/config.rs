//! The toolset `config`: what the established server calls configuration.

use super::Entry;

mod contexts;

/// Its tools.
pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::query(contexts::ContextsList)]
}
