//! What the kernel says of a running program.

use anyhow::Context;
use testenv::ferry::Ferry;

/// What a program holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds {
    /// Resident memory, in KiB.
    pub memory: u64,
    /// The most that it ever was, in KiB.
    pub peak: u64,
    /// Open file descriptors.
    pub files: usize,
    /// Threads.
    pub threads: usize,
}

/// What `ferry` holds now.
pub async fn holds(ferry: &Ferry) -> anyhow::Result<Holds> {
    let folder = format!("/proc/{}", ferry.id().await?);
    let status = std::fs::read_to_string(format!("{folder}/status"))?;
    let size = |what: &str| -> anyhow::Result<u64> {
        let mut lines = status.lines();
        let found = lines.find_map(|line| line.strip_prefix(what)?.split_whitespace().next()?.parse().ok());
        found.with_context(|| format!("{what} in /proc"))
    };
    let count = |what: &str| anyhow::Ok(std::fs::read_dir(format!("{folder}/{what}"))?.count());
    let (memory, peak) = (size("VmRSS:")?, size("VmHWM:")?);
    Ok(Holds { memory, peak, files: count("fd")?, threads: count("task")? })
}
