//! kubeferry: one MCP endpoint for a fleet of Kubernetes clusters, Kind clusters and kcp workspaces, where every call
//! travels under its caller's own identity.
//!
//! The modules stand on floors. A module imports from lower floors only and never from a sibling on its own floor;
//! `floors` below is the table, and a test reads the sources against it. What two siblings share is plain data in
//! [`model`]. One call passes seven hops, each a file and a type: `docs/request.md` draws them.
//!
//! | floor | modules |
//! |---|---|
//! | 7 | [`app`]: wiring; compiles configuration into `Live` and swaps it |
//! | 7 | [`setup`]: sets up realms of an identity provider, apart from serving |
//! | 6 | [`config`]: parse, check everything, report everything |
//! | 5 | [`server`]: the listener, the HTTP stack in reading order, MCP, stdio |
//! | 4 | [`dispatch`]: `Live`; call → targets → permits → clients → outputs → answer |
//! | 3 | [`tools`]: what a tool is, the catalog, the tools |
//! | 2 | [`pool`]: `Permit` → `ClusterClient`; credentials, transports, the send site |
//! | 1 | [`auth`], [`inventory`], [`policy`], [`output`] |
//! | 0 | [`model`], [`realm`], [`kubeconfig`], [`hub`], [`telemetry`] |

pub mod app;
pub mod auth;
pub mod config;
pub mod dispatch;
pub mod hub;
pub mod inventory;
pub mod kubeconfig;
pub mod model;
pub mod output;
pub mod policy;
pub mod pool;
pub mod realm;
pub mod server;
pub mod setup;
pub mod telemetry;
pub mod tools;

#[cfg(test)]
mod floors;
#[cfg(test)]
mod reference;
