//! Where and when a run is, and with which programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::report::Setting;
use super::run::Options;
use super::target::Who;

impl Setting {
    /// This machine, now.
    ///
    /// # Errors
    /// When a program does not say its version.
    pub(super) fn here(options: &Options) -> anyhow::Result<Self> {
        let mut versions = BTreeMap::new();
        let ours = version(&options.kubeferry, "version")?;
        versions.insert(Who::Ferry.name().to_owned(), format!("{ours} ({})", options.source));
        if let Some(peer) = &options.peer {
            versions.insert(Who::Peer.name().to_owned(), version(peer, "--version")?);
        }
        versions.insert("kernel Linux".to_owned(), read("/proc/sys/kernel/osrelease"));
        let kib: f64 = word(&read("/proc/meminfo"), "MemTotal:").parse().unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let processor = processor.lines().find(|line| line.starts_with("model name"));
        let processor = processor.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
        Ok(Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            command: options.command.clone(),
            plan: options.plan.name.to_owned(),
            rounds: options.plan.rounds,
            processor: processor.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory: kib / f64::from(1 << 20),
            busy: 0.0,
            versions,
        })
    }
}

fn version(program: &Path, argument: &str) -> anyhow::Result<String> {
    let ran = Command::new(program).arg(argument).output();
    let ran = ran.with_context(|| format!("asking {} for its version", program.display()))?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let line = text.lines().next().unwrap_or_default().trim();
    Ok(line.trim_start_matches("kubeferry ").to_owned())
}

/// Empty when it is not there: a machine that does not say what it is can be measured all the same.
fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

/// The word after `label`, at the start of a line.
fn word<'a>(text: &'a str, label: &str) -> &'a str {
    let rest = text.lines().find_map(|line| line.strip_prefix(label));
    rest.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default()
}
