//! What Linux says of a process: processor time, memory, threads and open files.

use std::fs;

use anyhow::Context;

/// Clock ticks per second in `/proc`: the same on every Linux that programs see.
const TICKS: u64 = 100;
/// MB per KiB, which `/proc` calls kB; a MB is 10⁶ bytes.
const KIB: f64 = 1024.0 / 1e6;

/// A process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proc(pub u32);

impl Proc {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        Self(std::process::id())
    }

    /// Processor time so far, user and system, with all children that ended, in µs. It counts in steps of 10 ms.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_micros(self) -> anyhow::Result<u64> {
        let stat = self.read("stat")?;
        ticks(&stat).map(|ticks| ticks * 1_000_000 / TICKS).context("a process without times")
    }

    /// Resident memory in MB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn rss(self) -> anyhow::Result<f64> {
        Ok(self.status("VmRSS:")? * KIB)
    }

    /// The most resident memory so far, in MB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn peak(self) -> anyhow::Result<f64> {
        Ok(self.status("VmHWM:")? * KIB)
    }

    /// How many threads it has.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn threads(self) -> anyhow::Result<f64> {
        self.status("Threads:")
    }

    /// How many files and sockets it has open.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn files(self) -> anyhow::Result<f64> {
        let folder = format!("/proc/{}/fd", self.0);
        let open = fs::read_dir(&folder).with_context(|| format!("reading {folder}"))?.count();
        Ok(u32::try_from(open)?.into())
    }

    fn status(self, field: &str) -> anyhow::Result<f64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number.with_context(|| format!("no {field} in the status of a process"))?.parse().context("reading a status")
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }
}

/// Time that all processors of this machine worked, in µs: not idle, and not taken by other machines on the same host.
///
/// # Errors
/// When `/proc/stat` cannot be read.
pub fn machine_cpu_micros() -> anyhow::Result<u64> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    busy(&stat).map(|ticks| ticks * 1_000_000 / TICKS).context("/proc/stat without times")
}

/// user, nice, system, irq and softirq of the line of all processors.
fn busy(stat: &str) -> Option<u64> {
    let fields: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>().ok()?;
    [0, 1, 2, 5, 6].into_iter().map(|at| fields.get(at)).sum()
}

/// utime, stime, cutime and cstime together. The second field, a name in brackets, may hold spaces.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_after_the_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 10 20 3 4 20 0 5 0 123 1000 200";
        assert_eq!(ticks(stat), Some(37));
        assert_eq!(busy("cpu  1 2 4 100 200 8 16 300 0 0\ncpu0 1"), Some(31));
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let this = Proc::this();
        assert!(this.rss().unwrap() > 1.0 && this.peak().unwrap() >= this.rss().unwrap() - 1.0);
        assert!(this.threads().unwrap() >= 1.0 && this.files().unwrap() >= 3.0);
        this.cpu_micros().unwrap();
        assert!(Proc(u32::MAX).rss().is_err());
    }
}
