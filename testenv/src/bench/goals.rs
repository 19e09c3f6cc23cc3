//! The figures that kubeferry is to reach, as data, and why one is not reached.

mod crossing;
mod kcp;

pub(super) use crossing::CROSSING;
pub(super) use kcp::WORKSPACES;

use super::report::{Counted, Report, Sample, Spread};
use super::target::Who;

/// A figure.
pub(super) struct Goal {
    /// What is measured.
    pub(super) what: &'static str,
    /// What it is to be.
    pub(super) bound: Bound,
    /// How the number is written.
    pub(super) unit: Unit,
    /// What it is; none when it was not measured, or the cell is void.
    pub(super) value: fn(&Report) -> Option<Spread>,
    /// What explains it, computed from the same run.
    pub(super) why: fn(&Report) -> String,
}

/// What a figure is to be.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
    /// No figure to reach: the line is for comparison.
    Shown,
    /// Nothing to measure yet.
    Later(&'static str),
}

/// How a number is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Micros,
    Millis,
    PerSecond,
    /// 10⁶ bytes.
    Mb,
    /// 10³ bytes.
    Kb,
    Times,
    Tokens,
    Count,
    /// Of a hundred.
    Percent,
}

const SMALL_1: &str = "simulator/namespaces/1/one";
const SMALL_8: &str = "simulator/namespaces/8/many";
const DIRECT_1: &str = "direct/direct/1/one";
const REAL_SMALL: &str = "real/namespaces/8/one";
/// All 1,000 pods, a row for each, at both servers: a call of kubeferry is the walk of all pages.
const REAL_WHOLE: &str = "real/whole/8/one";
const REAL_MANY: &str = "real/namespaces/8/many";
const REAL_PAGE: &str = "real/pods/8/one";
const ROWS: &str = "simulator/pods-100-rows/1/one";
const FERRY: &str = Who::Ferry.name();
const PEER: &str = Who::Peer.name();

/// All figures, in the order of the page.
pub(super) const GOALS: &[Goal] = &[
    Goal {
        what: "time that kubeferry adds to a direct warm GET, p50, 1 caller",
        bound: Bound::AtMost(300.0),
        unit: Unit::Micros,
        value: |report| each(report, (SMALL_1, FERRY), (DIRECT_1, "direct"), |ours, direct| ours.p50 - direct.p50),
        why: |report| shares(report, SMALL_1),
    },
    Goal {
        what: "small calls per second, 8 callers, many tokens",
        bound: Bound::AtLeast(5_000.0),
        unit: Unit::PerSecond,
        value: |report| report.of(SMALL_8, FERRY, |sample| sample.rate),
        why: |report| shares(report, SMALL_8),
    },
    Goal {
        what: "processor time per small call, 8 callers",
        bound: Bound::AtMost(150.0),
        unit: Unit::Micros,
        value: |report| report.of(SMALL_8, FERRY, |sample| sample.cpu),
        why: |report| shares(report, SMALL_8),
    },
    later("100 clusters in one fan-out, 20 ms each", "≤ 120 ms"),
    later("1,000 clusters in one fan-out, 20 ms each", "≤ 500 ms"),
    Goal {
        what: "requests to the API server per warm call",
        bound: Bound::Exactly(1.0),
        unit: Unit::Count,
        value: |report| optional(report, SMALL_8, |sample| sample.requests),
        why: |_| "the simulator saw other requests".to_owned(),
    },
    Goal {
        what: "new connections to the API server per warm call",
        bound: Bound::Exactly(0.0),
        unit: Unit::Count,
        value: |report| optional(report, SMALL_8, |sample| sample.connections),
        why: |_| "the simulator saw new connections while calls went on".to_owned(),
    },
    Goal {
        what: "kube-apiserver: requests to it per warm call",
        bound: Bound::Exactly(1.0),
        unit: Unit::Count,
        value: |report| counted(report, |counted| counted.requests),
        why: |_| "the Tap before it saw other requests".to_owned(),
    },
    Goal {
        what: "kube-apiserver: new connections to it per warm call",
        bound: Bound::Exactly(0.0),
        unit: Unit::Count,
        value: |report| counted(report, |counted| counted.connections),
        why: |_| "the Tap before it saw new connections while calls went on".to_owned(),
    },
    Goal {
        what: "kube-apiserver, `namespaces_list`, 8 callers: calls per second over those of the peer",
        bound: Bound::AtLeast(6.0),
        unit: Unit::Times,
        value: |report| each(report, (REAL_SMALL, FERRY), (REAL_SMALL, PEER), |ours, peer| ours.rate / peer.rate),
        why: |report| shares(report, REAL_SMALL),
    },
    Goal {
        what: "kube-apiserver, `namespaces_list`, 8 callers: processor time of the peer over ours",
        bound: Bound::AtLeast(20.0),
        unit: Unit::Times,
        value: |report| each(report, (REAL_SMALL, FERRY), (REAL_SMALL, PEER), |ours, peer| peer.cpu / ours.cpu),
        why: |report| against(report, REAL_SMALL),
    },
    Goal {
        what: "kube-apiserver, `pods_list`, all 1,000 pods as rows, 8 callers: calls per second over those of the peer",
        bound: Bound::AtLeast(6.0),
        unit: Unit::Times,
        value: |report| each(report, (REAL_WHOLE, FERRY), (REAL_WHOLE, PEER), |ours, peer| ours.rate / peer.rate),
        why: |report| shares(report, REAL_WHOLE),
    },
    Goal {
        what: "kube-apiserver, `pods_list`, all 1,000 pods as rows, 8 callers: processor time of the peer over ours",
        bound: Bound::AtLeast(20.0),
        unit: Unit::Times,
        value: |report| each(report, (REAL_WHOLE, FERRY), (REAL_WHOLE, PEER), |ours, peer| peer.cpu / ours.cpu),
        why: |report| against(report, REAL_WHOLE),
    },
    Goal {
        what: "the same, one answer as it comes: calls per second over those of the peer",
        bound: Bound::Shown,
        unit: Unit::Times,
        value: |report| each(report, (REAL_PAGE, FERRY), (REAL_PAGE, PEER), |ours, peer| ours.rate / peer.rate),
        why: one_answer,
    },
    Goal {
        what: "the same, one answer as it comes: processor time of the peer over ours",
        bound: Bound::Shown,
        unit: Unit::Times,
        value: |report| each(report, (REAL_PAGE, FERRY), (REAL_PAGE, PEER), |ours, peer| peer.cpu / ours.cpu),
        why: one_answer,
    },
    single("memory at rest", 20.0, Unit::Mb, |report| report.number("idle-mb", Who::Ferry)).because(own_pages),
    single("memory after 5,000 small calls", 35.0, Unit::Mb, |report| report.number("after-calls-mb", Who::Ferry))
        .because(own_pages),
    single("most memory while 4 lists of 10,000 pods are read to their ends at once", 250.0, Unit::Mb, |report| {
        report.number("large-peak-mb", Who::Ferry)
    }),
    single("from start to listening", 50.0, Unit::Millis, |report| report.number("start-ms", Who::Ferry)),
    single("10,000 clusters: from start to listening", 1_000.0, Unit::Millis, |report| {
        report.number("many-start-ms", Who::Ferry)
    }),
    single("10,000 clusters: reload of all", 1_000.0, Unit::Millis, |report| {
        report.number("many-reload-ms", Who::Ferry)
    }),
    single("10,000 clusters: memory before a reload", 60.0, Unit::Mb, |report| {
        report.number("many-before-mb", Who::Ferry)
    })
    .because(per_cluster),
    single("10,000 clusters: memory after it", 60.0, Unit::Mb, |report| report.number("many-after-mb", Who::Ferry))
        .because(more_than_before),
    Goal {
        what: "10,000 clusters: connections to them before they are used",
        bound: Bound::Exactly(0.0),
        unit: Unit::Count,
        value: |report| report.number("many-connections", Who::Ferry),
        why: |_| "clusters are contacted that nobody asked for".to_owned(),
    },
    single("size of the program", 30.0, Unit::Mb, |report| report.number("binary-mb", Who::Ferry)),
    single("`tools/list`, default toolsets", 3_000.0, Unit::Tokens, |report| tokens(report, "simulator/tools/1/one")),
    single("a list of 100 pods, as it comes", 2_000.0, Unit::Tokens, |report| {
        tokens(report, "simulator/pods-100/1/one")
    }),
    Goal {
        what: "a list of 100 pods, a row for each",
        bound: Bound::AtMost(2_000.0),
        unit: Unit::Tokens,
        value: |report| tokens(report, ROWS),
        why: per_row,
    },
    Goal {
        what: "calls that failed during the reloads",
        bound: Bound::Exactly(0.0),
        unit: Unit::Count,
        value: |report| report.number("reload-failed", Who::Ferry),
        why: |_| "see the notes".to_owned(),
    },
    single("memory that the reloads left behind", 2.0, Unit::Mb, |report| report.number("reload-rss-mb", Who::Ferry)),
    single("open files that the reloads left behind", 0.0, Unit::Count, |report| {
        report.number("reload-files", Who::Ferry)
    }),
    single("threads that the reloads left behind", 0.0, Unit::Count, |report| {
        report.number("reload-threads", Who::Ferry)
    })
    .because(|_| "threads that read files end ten seconds after their last work".to_owned()),
];

impl Goal {
    /// With the reason that the page gives where the goal is not met.
    pub(super) const fn because(mut self, why: fn(&Report) -> String) -> Self {
        self.why = why;
        self
    }
}

fn own_pages(report: &Report) -> String {
    let size = report.number("binary-mb", Who::Ferry).map_or(0.0, |size| size.median);
    format!("pages of the program's own file count too, as far as they were touched: the file has {size:.1} MB")
}

fn more_than_before(report: &Report) -> String {
    let number = |key| report.number(key, Who::Ferry).map_or(0.0, |number| number.median);
    let more = number("many-after-mb") - number("many-before-mb");
    format!(
        "{more:.0} MB more than before the reload; two generations are there while one is made, and what stays of it was not looked into"
    )
}

fn per_cluster(report: &Report) -> String {
    let number = |key| report.number(key, Who::Ferry).map_or(0.0, |number| number.median);
    let each = (number("many-before-mb") - number("idle-mb")) * 1e3 / 10_000.0;
    format!("{each:.1} kB for each cluster beyond memory at rest; which part of it takes how much was not measured")
}

/// A figure for which there is nothing to measure yet.
const fn later(what: &'static str, goal: &'static str) -> Goal {
    let why = |_: &Report| "the tools that ask many clusters at once are not there yet".to_owned();
    Goal { what, bound: Bound::Later(goal), unit: Unit::Millis, value: |_| None, why }
}

/// A figure that stands for itself, at most `most`.
const fn single(what: &'static str, most: f64, unit: Unit, value: fn(&Report) -> Option<Spread>) -> Goal {
    Goal { what, bound: Bound::AtMost(most), unit, value, why: |_| "the figure itself is too high".to_owned() }
}

/// Combines two cells round by round.
fn each(
    report: &Report,
    one: (&str, &str),
    other: (&str, &str),
    combine: impl Fn(&Sample, &Sample) -> f64,
) -> Option<Spread> {
    let (one, other) = (report.cell(one.0, one.1)?, report.cell(other.0, other.1)?);
    Spread::of(one.rounds.iter().zip(&other.rounds).map(|(one, other)| combine(one, other)))
}

fn optional(report: &Report, row: &str, what: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
    Spread::of(report.cell(row, FERRY)?.rounds.iter().filter_map(what))
}

fn counted(report: &Report, what: impl Fn(&Counted) -> f64) -> Option<Spread> {
    Spread::of(report.cell(REAL_MANY, FERRY)?.counted.iter().map(what))
}

fn tokens(report: &Report, row: &str) -> Option<Spread> {
    let tokens = report.cell(row, FERRY)?.answer.tokens;
    Spread::of(u32::try_from(tokens).ok().map(f64::from))
}

/// Who takes how much processor time of a call, what the machine could do at most, and what a direct GET takes on it.
fn shares(report: &Report, row: &str) -> String {
    let median = |what: fn(&Sample) -> f64| report.of(row, FERRY, what).map_or(0.0, |spread| spread.median);
    let (ours, load, rest) = (median(|s| s.cpu), median(|s| s.load_cpu), median(|s| s.rest_cpu));
    let cores = u32::try_from(report.setting.cores).map_or(1.0, f64::from);
    let most = cores * 1e6 / (ours + load + rest).max(1.0);
    let direct = report.of(DIRECT_1, "direct", |sample| sample.p50);
    let direct = direct.map_or_else(String::new, |direct| format!("; a direct GET takes {:.0} µs here", direct.median));
    format!(
        "of each call kubeferry has {ours:.0} µs of processor time, the load generator {load:.0} µs, the API server and \
         all else {rest:.0} µs: {cores} cores give at most {most:.0} calls/s{direct}"
    )
}

/// The processor time of both.
fn against(report: &Report, row: &str) -> String {
    let cpu = |server| report.of(row, server, |sample| sample.cpu).map_or(0.0, |spread| spread.median);
    format!("kubeferry takes {:.0} µs of processor time per call here, the peer {:.0} µs", cpu(FERRY), cpu(PEER))
}

/// What both answer when they are asked for pods and nothing else.
fn one_answer(report: &Report) -> String {
    let said = |server| report.cell(REAL_PAGE, server).map(|cell| cell.answer.clone()).unwrap_or_default();
    let (ours, theirs) = (said(FERRY), said(PEER));
    let shown = ours.groups.unwrap_or_else(|| format!("{} rows", ours.rows));
    format!("not the same work: kubeferry answers {shown}, the peer {} rows", theirs.rows)
}

/// What a row of a table costs a model.
fn per_row(report: &Report) -> String {
    let answer = report.cell(ROWS, FERRY).map(|cell| (cell.answer.tokens, cell.answer.rows));
    let (tokens, rows) = answer.unwrap_or_default();
    format!("{} tokens for each of {rows} rows, most of them in the random letters of the names", tokens / rows.max(1))
}
