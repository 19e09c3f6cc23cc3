//! Single numbers: memory, starts, many identities, reloads. Each with a server of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use http::HeaderValue;

use super::load::{Callers, Measured, Stop};
use super::report::Report;
use super::target::{Cluster, Target, Who, cold_start, reload};
use super::workload::{Plan, Workload};
use crate::poll::pause;

/// Before memory at rest is looked at.
pub(super) const REST: Duration = Duration::from_secs(1);
/// Callers while memory fills, and while reloads happen.
const CALLERS: usize = 8;

/// A server to be started, and with what it is asked.
pub struct Single<'a> {
    /// Which server.
    pub who: Who,
    /// Its program.
    pub program: &'a Path,
    /// The cluster behind it.
    pub cluster: &'a Cluster,
    /// One per caller.
    pub tokens: &'a [HeaderValue],
    /// How much.
    pub plan: &'a Plan,
}

impl Single<'_> {
    async fn start(&self) -> anyhow::Result<Target> {
        Target::start(self.who, self.program, self.cluster, &[]).await
    }

    /// How fast it listens, and how large its program is.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn starts(&self, report: &mut Report) -> anyhow::Result<()> {
        for _ in 0..self.plan.starts {
            report.add("start-ms", self.who, cold_start(self.who, self.program, self.cluster, &[])?);
            // Starts are watched without rest: the deadline of all gets its turn between them.
            tokio::task::yield_now().await;
        }
        report.add("binary-mb", self.who, mb(std::fs::metadata(self.program)?.len()));
        Ok(())
    }

    /// Memory at rest and after many small calls.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn memory(&self, report: &mut Report, small: &Workload) -> anyhow::Result<()> {
        let target = self.start().await?;
        pause(REST).await;
        report.add("idle-mb", self.who, target.proc.rss()?);
        let mut callers = Callers::open(&target.door, &self.tokens[..1], CALLERS).await?;
        good(callers.run(&small.work(self.who), Stop::Calls(self.plan.calls), &small.marker).await?)?;
        pause(REST).await;
        report.add("after-calls-mb", self.who, target.proc.rss()?);
        Ok(())
    }

    /// Memory while several large lists are read at once.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn large_lists(&self, report: &mut Report, large: &Workload) -> anyhow::Result<()> {
        let target = self.start().await?;
        let mut callers = Callers::open(&target.door, &self.tokens[..1], large.callers).await?;
        let work = large.work(self.who);
        let measured = good(callers.run(&work, Stop::Calls(large.callers), &large.marker).await?)?;
        report.add("large-peak-mb", self.who, target.proc.peak()?);
        report.add("large-seconds", self.who, measured.elapsed.as_secs_f64());
        Ok(())
    }

    /// Callers that were never seen before, and the same ones again.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn identities(&self, report: &mut Report, small: &Workload) -> anyhow::Result<()> {
        let target = self.start().await?;
        let work = small.work(self.who);
        // Keys, discovery and the connection belong to nobody in particular.
        let mut first = Callers::open(&target.door, &self.tokens[..1], 1).await?;
        good(first.run(&work, Stop::Calls(200), &small.marker).await?)?;
        let before = target.proc.rss()?;
        let mut callers = Callers::open(&target.door, self.tokens, 1).await?;
        for name in ["cold", "warm"] {
            let measured = good(callers.run(&work, Stop::Calls(self.tokens.len()), &small.marker).await?)?;
            report.add(&format!("{name}-p50-us"), self.who, measured.percentile(50));
            report.add(&format!("{name}-p99-us"), self.who, measured.percentile(99));
        }
        let grown = (target.proc.rss()? - before).max(0.0) * 1e3;
        let identities = u32::try_from(self.tokens.len())?;
        report.add("identity-kb", self.who, grown / f64::from(identities));
        Ok(())
    }

    /// Reloads while calls go on.
    ///
    /// # Errors
    /// When a reload is not taken up.
    pub async fn reloads(&self, report: &mut Report, small: &Workload) -> anyhow::Result<()> {
        let target = self.start().await?;
        let work = small.work(self.who);
        let mut callers = Callers::open(&target.door, self.tokens, CALLERS).await?;
        let warm = self.tokens.len().max(self.plan.calls);
        good(callers.run(&work, Stop::Calls(warm), &small.marker).await?)?;
        // The first reload is not counted: it makes what every later one replaces.
        reload(&target).await?;
        pause(REST).await;
        let state = || anyhow::Ok([target.proc.rss()?, target.proc.files()?, target.proc.threads()?]);
        let before = state()?;
        let end = tokio::sync::Notify::new();
        let marker = small.marker.clone();
        let calls = async {
            let mut all = (0, 0, None);
            loop {
                let run = callers.run(&work, Stop::Calls(CALLERS * 16), &marker).await?;
                all = (all.0 + run.calls, all.1 + run.errors, all.2.or(run.first_error));
                if tokio::time::timeout(Duration::ZERO, end.notified()).await.is_ok() {
                    return anyhow::Ok(all);
                }
            }
        };
        let reloads = async {
            let mut done = Ok(());
            for _ in 0..self.plan.reloads {
                done = reload(&target).await.map(drop);
                if done.is_err() {
                    break;
                }
            }
            end.notify_one();
            done
        };
        let (calls, reloaded) = tokio::join!(calls, reloads);
        reloaded?;
        let (calls, failed, first) = calls?;
        pause(REST).await;
        let after = state()?;
        for (name, at) in [("reload-rss-mb", 0), ("reload-files", 1), ("reload-threads", 2)] {
            report.add(name, self.who, after[at] - before[at]);
        }
        report.add("reload-calls", self.who, f64::from(u32::try_from(calls)?));
        report.add("reload-failed", self.who, f64::from(u32::try_from(failed)?));
        report.notes.extend(first.map(|first| format!("A call that failed during the reloads: {first}")));
        Ok(())
    }
}

/// A run counts when no call failed.
pub(super) fn good(measured: Measured) -> anyhow::Result<Measured> {
    let first = measured.first_error.as_deref().unwrap_or_default();
    ensure!(measured.errors == 0, "{} calls failed: {first}", measured.errors);
    Ok(measured)
}

fn mb(bytes: u64) -> f64 {
    // A MB is 10⁶ bytes as a second is 10⁶ µs.
    Duration::from_micros(bytes).as_secs_f64()
}
