//! The figures of calls that cross realms.

use super::{Bound, Goal, Unit};
use crate::bench::report::{Report, Spread};
use crate::bench::target::Who;

/// What the cache of credentials may hold: 32 MiB.
const CACHE: f64 = 33.554_432;

/// All of them, in the order of the page.
pub(in crate::bench) const CROSSING: &[Goal] = &[
    count("warm `chain` call: requests to the API server", 1.0, |report| ferry(report, "warm-chain-requests")),
    count("warm `chain` calls: new connections", 0.0, |report| ferry(report, "warm-chain-connections")),
    count("warm `chain` calls: requests to realms", 0.0, |report| ferry(report, "warm-chain-asked")),
    shown("time of a warm `chain` call more than one that passes the caller's token on, p50", Unit::Micros, |report| {
        rounds(report, "warm-plant-1-p50-us", "warm-plain-p50-us", |chain, plain| chain - plain)
    })
    .because(beside_a_leg),
    count("cold `exchange` call: requests to the realm", 1.0, |report| ferry(report, "cold-exchange-home")),
    count("cold `chain` call: requests to the home realm", 1.0, |report| ferry(report, "cold-chain-home")),
    count("cold `chain` call: requests to the cluster's realm", 1.0, |report| ferry(report, "cold-chain-target")),
    count("100 calls at once, one caller, one cold cluster by `exchange`: requests to the realm", 1.0, |report| {
        ferry(report, "at-once-exchange-home")
    }),
    count("the same by `chain`: requests to the home realm", 1.0, |report| ferry(report, "at-once-chain-home")),
    count("the same by `chain`: requests to the cluster's realm", 1.0, |report| ferry(report, "at-once-chain-target")),
    count("5 cold clusters of 3 realms at once, 2 of them by `exchange`: requests to the home realm", 5.0, |report| {
        ferry(report, "five-home")
    }),
    count("the same: requests to the realms of the 3 clusters by `chain`", 3.0, |report| ferry(report, "five-targets")),
    Goal {
        what: "the same: time over that of the 5 calls one after the other",
        bound: Bound::AtMost(0.5),
        unit: Unit::Times,
        value: |report| rounds(report, "five-wall-ms", "five-sum-ms", |wall, sum| wall / sum),
        why: |_| "the calls wait for each other".to_owned(),
    },
    Goal {
        what: "1,000 callers × 50 clusters: tokens that are kept, as the cache weighs them",
        bound: Bound::AtMost(CACHE),
        unit: Unit::Mb,
        value: |report| ferry(report, "capacity-kept-mb"),
        why: |_| "more was found again than the cache may hold".to_owned(),
    },
    shown("the same: calls of the second round that found their token", Unit::Percent, |report| {
        ferry(report, "capacity-hit-percent")
    })
    .because(what_there_was),
];

pub(super) const fn count(what: &'static str, wanted: f64, value: fn(&Report) -> Option<Spread>) -> Goal {
    let why = |_: &Report| "other requests were counted".to_owned();
    Goal { what, bound: Bound::Exactly(wanted), unit: Unit::Count, value, why }
}

pub(super) const fn shown(what: &'static str, unit: Unit, value: fn(&Report) -> Option<Spread>) -> Goal {
    Goal { what, bound: Bound::Shown, unit, value, why: |_| String::new() }
}

pub(super) fn ferry(report: &Report, name: &str) -> Option<Spread> {
    report.number(name, Who::Ferry)
}

/// Combines two numbers round by round.
pub(super) fn rounds(report: &Report, one: &str, other: &str, combine: impl Fn(f64, f64) -> f64) -> Option<Spread> {
    let values = |name: &str| report.numbers.get(&format!("{name}@{}", Who::Ferry.name()));
    let pairs = values(one)?.iter().zip(values(other)?);
    Spread::of(pairs.map(|(one, other)| combine(*one, *other)))
}

fn beside_a_leg(report: &Report) -> String {
    let median = |name| ferry(report, name).map(|value| value.median);
    let legs = ["keycloak-leg-1-p50-ms", "keycloak-leg-2-p50-ms"].map(median);
    match legs {
        [Some(first), Some(second)] => {
            format!(
                "a cold one waits for a Keycloak besides: {first:.1} ms for leg 1 and {second:.1} ms for leg 2 here"
            )
        }
        _ => "the legs of a cold one were not measured in this run".to_owned(),
    }
}

fn what_there_was(report: &Report) -> String {
    let median = |name| ferry(report, name).map_or(0.0, |value| value.median);
    let (tokens, bytes) = (median("capacity-tokens"), median("capacity-token-bytes"));
    format!(
        "{tokens:.0} tokens of {bytes:.0} bytes are {:.0} MB; memory grew by {:.0} MB in the first round",
        tokens * bytes / 1e6,
        median("capacity-grown-mb")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{markdown, tally};

    #[test]
    fn one_request_more_is_seen() {
        let mut report = Report::default();
        for (home, target) in [(1.0, 1.0), (1.0, 1.0), (2.0, 1.0)] {
            report.add("cold-chain-home", Who::Ferry, home);
            report.add("cold-chain-target", Who::Ferry, target);
        }
        let said = tally(&report);
        assert!(
            said.starts_with("1 met. Not met: cold `chain` call: requests to the home realm. Not measured"),
            "{said}"
        );
    }

    #[test]
    fn rounds_are_compared_one_by_one() {
        let mut report = Report::default();
        for (wall, sum) in [(100.0, 400.0), (300.0, 600.0), (90.0, 900.0)] {
            report.add("five-wall-ms", Who::Ferry, wall);
            report.add("five-sum-ms", Who::Ferry, sum);
        }
        assert!(markdown(&report).contains("≤ 0.5 × | 0.25 × (0.1 × – 0.5 ×) | met |"));
        report.add("capacity-kept-mb", Who::Ferry, 33.6);
        assert!(tally(&report).contains("Not met: 1,000 callers × 50 clusters"));
    }
}
