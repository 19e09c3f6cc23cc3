//! The load generator: a closed loop of callers, each with a connection of its own, who look at every answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;
use tokio::task::JoinSet;

use super::answer::{self, Answer};
use super::door::{Ask, Connection, Door, Prepared};

/// A caller with so many failed calls gives up: the run is void anyway, and each may take a minute.
const ENOUGH_ERRORS: usize = 10;

/// More pages than the longest list of a run has.
const MOST_PAGES: usize = 1_000;

/// What one call of a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// One request.
    Once(Ask),
    /// A list to its end: as many requests as it has pages.
    Walk(Ask),
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// After this time, but not before each caller made a call; calls under way are finished and counted.
    After(Duration),
    /// After so many calls of all callers together.
    Calls(usize),
}

/// Callers with open connections.
pub struct Callers {
    door: Arc<Door>,
    tokens: Arc<[HeaderValue]>,
    lines: Vec<Line>,
}

/// One caller.
struct Line {
    connection: Connection,
    /// Whose turn it is in the list of tokens.
    turn: usize,
}

/// What a run was like.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Good calls.
    pub calls: usize,
    /// From the first question to the last answer.
    pub elapsed: Duration,
    /// Times of all good calls in µs, sorted.
    pub micros: Vec<u32>,
    /// Calls that failed.
    pub errors: usize,
    /// What was wrong with the first of them.
    pub first_error: Option<String>,
    /// The bodies of one good call, a page each.
    pub sample: Vec<Bytes>,
}

impl Measured {
    /// A percentile of the times in µs; 0 without calls.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = (self.micros.len() * percent / 100).min(self.micros.len().saturating_sub(1));
        self.micros.get(at).copied().map_or(0.0, f64::from)
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.micros.extend(other.micros);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        if self.sample.is_empty() {
            self.sample = other.sample;
        }
    }
}

impl Callers {
    /// Opens `count` connections. The callers take turns with the tokens: each call is the next one's.
    ///
    /// # Errors
    /// When a connection or a handshake fails.
    pub async fn open(door: &Door, tokens: &[HeaderValue], count: usize) -> anyhow::Result<Self> {
        ensure!(!tokens.is_empty(), "callers need tokens");
        let mut lines = Vec::with_capacity(count);
        for turn in 0..count {
            let connection = door.open(&tokens[turn % tokens.len()]).await?;
            lines.push(Line { connection, turn });
        }
        Ok(Self { door: Arc::new(door.clone()), tokens: tokens.into(), lines })
    }

    /// Makes calls until `stop`. Every answer must hold `marker`. A caller whose call failed goes on, for a while.
    ///
    /// # Errors
    /// When a caller is lost.
    pub async fn run(&mut self, work: &Work, stop: Stop, marker: &str) -> anyhow::Result<Measured> {
        let count = self.lines.len();
        let mut callers = JoinSet::new();
        let started = Instant::now();
        for (number, line) in self.lines.drain(..).enumerate() {
            let (end, most) = match stop {
                Stop::After(time) => (Some(started + time), usize::MAX),
                Stop::Calls(calls) => (None, calls / count + usize::from(number < calls % count)),
            };
            let shift = Shift {
                door: Arc::clone(&self.door),
                tokens: Arc::clone(&self.tokens),
                work: work.clone(),
                marker: marker.to_owned(),
                callers: count,
            };
            callers.spawn(shift.work(line, end, most));
        }
        let mut all = Measured::default();
        while let Some(done) = callers.join_next().await {
            let (line, measured) = done.context("a caller was lost")?;
            self.lines.push(line);
            all.add(measured);
        }
        all.elapsed = started.elapsed();
        all.micros.sort_unstable();
        Ok(all)
    }
}

/// The work of one caller during a run.
struct Shift {
    door: Arc<Door>,
    tokens: Arc<[HeaderValue]>,
    work: Work,
    marker: String,
    callers: usize,
}

impl Shift {
    async fn work(self, mut line: Line, end: Option<Instant>, most: usize) -> (Line, Measured) {
        let mut measured = Measured::default();
        let (Work::Once(ask) | Work::Walk(ask)) = &self.work;
        let prepared = self.door.prepare(ask);
        let made = |measured: &Measured| measured.calls + measured.errors;
        let early = |measured: &Measured| end.is_none_or(|end| made(measured) == 0 || Instant::now() < end);
        while made(&measured) < most && measured.errors < ENOUGH_ERRORS && early(&measured) {
            let token = &self.tokens[line.turn % self.tokens.len()];
            line.turn += self.callers;
            let asked = Instant::now();
            let answer = match &self.work {
                Work::Once(_) => self.once(&mut line.connection, &prepared, token).await.map(|body| vec![body]),
                Work::Walk(ask) => self.walk(&mut line.connection, ask, token).await,
            };
            match answer {
                Ok(pages) => {
                    measured.calls += 1;
                    measured.micros.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
                    if measured.sample.is_empty() {
                        measured.sample = pages;
                    }
                }
                Err(error) => {
                    measured.errors += 1;
                    measured.first_error.get_or_insert_with(|| format!("{error:#}"));
                    // A connection that broke would fail every further call in no time.
                    match self.door.open(token).await {
                        Ok(connection) => line.connection = connection,
                        Err(_) => break,
                    }
                }
            }
        }
        (line, measured)
    }

    async fn once(&self, to: &mut Connection, request: &Prepared, token: &HeaderValue) -> anyhow::Result<Bytes> {
        let body = to.ask(request, token).await?;
        answer::check(&body, &self.marker)?;
        Ok(body)
    }

    async fn walk(&self, to: &mut Connection, ask: &Ask, token: &HeaderValue) -> anyhow::Result<Vec<Bytes>> {
        let mut ask = ask.clone();
        let mut pages = Vec::new();
        loop {
            let body = self.once(to, &self.door.prepare(&ask), token).await?;
            let answer = Answer::read(&body)?;
            pages.push(body);
            ensure!(pages.len() <= MOST_PAGES, "a list without an end");
            match (answer.rest(), &mut ask) {
                (Some(rest), Ask::Call(_, arguments)) => arguments["continue"] = Value::from(rest),
                (None, _) | (_, Ask::Get(_) | Ask::ToolsList) => return Ok(pages),
            }
        }
    }
}

/// Walks a list to its end and answers all names in it.
///
/// # Errors
/// When a page cannot be had.
pub async fn all_names(
    door: &Door,
    token: &HeaderValue,
    mut ask: Ask,
) -> anyhow::Result<std::collections::BTreeSet<String>> {
    let mut connection = door.open(token).await?;
    let mut names = std::collections::BTreeSet::new();
    loop {
        let answer = Answer::read(&connection.ask(&door.prepare(&ask), token).await?)?;
        names.extend(answer.names());
        match (answer.rest(), &mut ask) {
            (Some(rest), Ask::Call(_, arguments)) => arguments["continue"] = Value::from(rest),
            (None, _) | (_, Ask::Get(_) | Ask::ToolsList) => return Ok(names),
        }
    }
}
