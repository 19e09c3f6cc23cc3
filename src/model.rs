//! Plain data that floors share: names, addresses, clusters, callers, what may be reached, and failures.
//!
//! Nothing here does input or output, and nothing here knows a crate of the network.

pub mod address;
pub mod caller;
pub mod cluster;
pub mod error;
pub mod key;
pub mod names;
pub mod problem;
pub mod reach;
pub mod secret;
pub mod table;

pub use address::{Address, LogicalCluster, Place, WorkspacePath};
pub use caller::{Admission, Caller, Principal, SubjectToken};
pub use cluster::{Cluster, ClusterKind, Endpoint, PathTrust, Target, Tier};
pub use error::{Failure, FailureKind, chain};
pub use key::{ClusterKey, KeyHasher};
pub use names::{ClusterName, NameError, RealmName};
pub use problem::Problem;
pub use reach::{Access, Reach, ToolRef, Way};
pub use secret::Secret;
pub use table::{ApiResource, ApiResources, Column, ListRequest, Row, Table, UserInfo};
