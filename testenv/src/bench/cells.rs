//! Measures cells: one workload at one server, with the processor time of everybody who takes part.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::HeaderValue;

use tokio::time::timeout;

use super::answer::Answer;
use super::backend::Backend;
use super::door::Door;
use super::load::{Callers, Measured, Stop, Work, all_names};
use super::procfs::{Proc, machine_cpu_micros};
use super::report::{Cell, Counted, Report, Sample, Weight};
use super::target::Who;
use super::workload::{Plan, Workload};
use crate::tap::Tap;

/// Time for one round of a cell.
const LONGEST: Duration = Duration::from_secs(90);

/// What a cell is measured with.
pub struct Bench<'a> {
    /// How much.
    pub plan: &'a Plan,
    /// Counts requests and connections, where the simulator is behind.
    pub backend: Option<&'a mut Backend>,
    /// One per caller.
    pub tokens: &'a [HeaderValue],
    /// When the time of the run is over.
    pub end: Instant,
    /// Where results go.
    pub report: &'a mut Report,
}

/// What is asked: the server of a cell.
pub struct Asked<'a> {
    /// Its name on the page.
    pub name: &'static str,
    /// How it is spoken to.
    pub door: &'a Door,
    /// Its process; none when the simulator itself is asked.
    pub proc: Option<Proc>,
}

impl Bench<'_> {
    /// Measures one round of a cell and adds it to the report. A cell with a wrong answer is void; one for which there is
    /// no time left keeps the rounds that it has. The run goes on.
    pub async fn cell(&mut self, row: &Workload, work: &Work, asked: &Asked<'_>) {
        let key = format!("{}@{}", row.key, asked.name);
        if self.report.cells.get(&key).is_some_and(|cell| cell.void.is_some()) {
            return;
        }
        if Instant::now() >= self.end {
            self.report.note(format!("{} at {}: the time was over, later rounds are left out", row.key, asked.name));
            return;
        }
        let Ok(outcome) = timeout(LONGEST, self.round(row, work, asked)).await else {
            self.report.note(format!("{} at {}: a round of it took too long and is left out", row.key, asked.name));
            return;
        };
        let cell = self.report.cells.entry(key).or_insert_with(|| Cell {
            title: row.title.clone(),
            callers: row.callers,
            tokens: row.tokens,
            ..Cell::default()
        });
        match outcome {
            Ok((sample, weight)) => {
                super::say(&format!(
                    "  {:<50} {:>2} callers, {:>4} tokens, {:<22} {:>7.0}/s  p50 {:>8.0} µs  CPU {:>7.0} µs",
                    row.title, row.callers, row.tokens, asked.name, sample.rate, sample.p50, sample.cpu
                ));
                cell.rounds.push(sample);
                cell.answer = weight;
            }
            Err(error) => {
                let why: String = format!("{error:#}").chars().take(300).collect();
                super::say(&format!("  {} at {}: VOID: {why}", row.title, asked.name));
                cell.void.get_or_insert(why);
            }
        }
    }

    async fn round(&mut self, row: &Workload, work: &Work, asked: &Asked<'_>) -> anyhow::Result<(Sample, Weight)> {
        let tokens = self.tokens.get(..row.tokens).context("there are not so many tokens")?;
        let mut callers = Callers::open(asked.door, tokens, row.callers).await?;
        good(callers.run(work, Stop::After(self.plan.warm_up), &row.marker).await?)?;
        if row.tokens > row.callers {
            // Each identity once: what follows is warm.
            good(callers.run(work, Stop::Calls(row.tokens), &row.marker).await?)?;
        }
        if let Some(backend) = &mut self.backend {
            backend.clear().await?;
        }
        let before = Times::now(asked.proc)?;
        let measured = good(callers.run(work, Stop::After(self.plan.measure), &row.marker).await?)?;
        let spent = Times::now(asked.proc)?.since(&before);
        let counts = match &mut self.backend {
            Some(backend) => Some(backend.count().await?),
            None => None,
        };
        let calls = f64::from(u32::try_from(measured.calls)?);
        let per_call = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from) / calls;
        let sample = Sample {
            calls: measured.calls,
            rate: calls / measured.elapsed.as_secs_f64(),
            p50: measured.percentile(50),
            p90: measured.percentile(90),
            p99: measured.percentile(99),
            cpu: spent.server / calls,
            load_cpu: spent.load / calls,
            rest_cpu: (spent.machine - spent.server - spent.load).max(0.0) / calls,
            requests: counts.map(|counts| per_call(counts.requests)),
            connections: counts.map(|counts| per_call(counts.connections)),
        };
        let weight = match asked.proc {
            // A table of the API server is not what a model gets.
            None => Weight { bytes: measured.sample.iter().map(Bytes::len).sum(), ..Weight::default() },
            Some(_) => weigh(&measured.sample)?,
        };
        let wanted = row.all_rows(self.plan);
        ensure!(wanted.is_none_or(|all| weight.rows == all), "{} rows, not {wanted:?}", weight.rows);
        Ok((sample, weight))
    }
}

/// Counts what a warm call of a row asks of the API server behind `tap`, in so many `calls`. Nothing here is timed.
///
/// # Errors
/// When a call fails.
pub async fn count(
    (row, calls): (&Workload, usize),
    who: Who,
    door: &Door,
    tokens: &[HeaderValue],
    tap: &Tap,
) -> anyhow::Result<Counted> {
    let tokens = tokens.get(..row.tokens).context("there are not so many tokens")?;
    let mut callers = Callers::open(door, tokens, row.callers).await?;
    let work = row.work(who);
    good(callers.run(&work, Stop::Calls(row.tokens.max(row.callers)), &row.marker).await?)?;
    tap.clear();
    let calls = good(callers.run(&work, Stop::Calls(calls), &row.marker).await?)?.calls;
    let calls = f64::from(u32::try_from(calls)?);
    let per_call = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from) / calls;
    Ok(Counted { requests: per_call(tap.requests().len()), connections: per_call(tap.connections()) })
}

/// Walks the list of a row at one server.
///
/// # Errors
/// When a page cannot be had.
pub async fn names(row: &Workload, who: Who, door: &Door, token: &HeaderValue) -> anyhow::Result<BTreeSet<String>> {
    match row.names(who) {
        Some(ask) => all_names(door, token, ask).await,
        None => Ok(BTreeSet::new()),
    }
}

/// A run counts when it has calls and none of them failed.
fn good(measured: Measured) -> anyhow::Result<Measured> {
    let (errors, calls) = (measured.errors, measured.calls);
    let first = measured.first_error.as_deref().unwrap_or_default();
    ensure!(errors == 0, "{errors} of {} calls failed: {first}", errors + calls);
    ensure!(calls > 0, "no call was finished in time");
    Ok(measured)
}

/// Bytes, tokens and rows of all pages of an answer together.
fn weigh(pages: &[Bytes]) -> anyhow::Result<Weight> {
    let mut all = Weight::default();
    let mut names = BTreeSet::new();
    for page in pages {
        let answer = Answer::read(page)?;
        all.bytes += page.len();
        all.tokens += answer.tokens();
        all.groups = all.groups.or_else(|| answer.groups());
        names.extend(answer.names());
    }
    all.rows = names.len();
    Ok(all)
}

/// Processor times in µs.
struct Times {
    server: f64,
    load: f64,
    machine: f64,
}

impl Times {
    fn now(server: Option<Proc>) -> anyhow::Result<Self> {
        let server = server.map(Proc::cpu_micros).transpose()?.unwrap_or_default();
        let micros = |time: u64| Duration::from_micros(time).as_secs_f64() * 1e6;
        let load = Proc::this().cpu_micros()?;
        Ok(Self { server: micros(server), load: micros(load), machine: micros(machine_cpu_micros()?) })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            server: self.server - before.server,
            load: self.load - before.load,
            machine: self.machine - before.machine,
        }
    }
}
