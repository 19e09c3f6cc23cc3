//! Which clusters there are.
//!
//! A [`Source`] only discovers. One [`Store`] merges what sources found with the operator's own entries, names everything
//! and binds it by the operator's rules. A [`Snapshot`] is what one generation has, and the only place where a name that a
//! caller wrote becomes a cluster.

mod bind;
mod entry;
mod kubeconfig;
mod snapshot;
mod source;
mod store;

pub use bind::{BindMatch, BindRule};
pub use entry::{ClusterSettings, Entry, ImpersonateSettings, LocalContext};
pub use snapshot::{ResolveError, Snapshot};
pub use source::{Discovered, Findings, Skipped, Source, SourceConfig, SourceError};
pub use store::{Merged, Store};
