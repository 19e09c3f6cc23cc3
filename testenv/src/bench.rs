//! The benchmark: kubeferry and kubernetes-mcp-server side by side, one at a time, on a simulator and on a real
//! kube-apiserver. `scripts/bench` builds what it needs and starts it.
//!
//! `workload` is what is measured, as data. `backend` (the simulator in a process of its own) and `real` are asked
//! through a `target`; `load` asks, `door` speaks the protocols, `answer` looks at what came. `cells`, `single` and `many`
//! measure; `crossing`, `capacity` and `legs` do so across realms, `kcp` for
//! workspaces. `report` holds the results, `goals` and `page` make docs/performance.md of them.

mod answer;
pub mod backend;
mod capacity;
mod cells;
mod crossing;
mod door;
mod goals;
mod kcp;
mod legs;
mod load;
mod many;
mod page;
mod procfs;
mod real;
pub mod report;
mod run;
mod setting;
mod single;
mod target;
pub mod workload;

use std::io::Write;

pub use page::{markdown, tally};
pub use run::{Options, run};

/// A line of progress.
fn say(line: &str) {
    // Nothing is left to do when standard error is gone.
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
