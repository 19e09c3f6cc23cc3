//! The figures of workspaces of a kcp.

use super::crossing::{count, ferry, rounds, shown};
use super::{Bound, Goal, Unit, single};
use crate::bench::report::{Report, Spread};
use crate::bench::target::Who;

/// What a tree of a thousand workspaces may take, in ms, when every request takes 20.
const COLD: f64 = 1_000.0;
/// The same for a caller who has seen it.
const CACHED: f64 = 50.0;
/// Requests to a kcp at a time.
const AT_ONCE: f64 = 64.0;
/// What the tree of a real kcp may take, in ms.
const REAL: f64 = 150.0;

/// All of them, in the order of the page.
pub(in crate::bench) const WORKSPACES: &[Goal] = &[
    single("1,111 workspaces, 20 ms each request: cold `kcp_workspace_tree`, the call", COLD, Unit::Millis, |report| {
        ferry(report, "kcp-tree-cold-first-ms")
    })
    .because(requests_of_a_tree),
    single("the same, until its last page", COLD, Unit::Millis, |report| ferry(report, "kcp-tree-cold-ms"))
        .because(requests_of_a_tree),
    single("the same caller again, the call", CACHED, Unit::Millis, |report| ferry(report, "kcp-tree-cached-first-ms"))
        .because(pages_of_a_tree),
    single("the same, until its last page", CACHED, Unit::Millis, |report| ferry(report, "kcp-tree-cached-ms"))
        .because(pages_of_a_tree),
    count("the same: requests", 0.0, |report| ferry(report, "kcp-tree-cached-requests")),
    single("most requests in flight for the cold tree", AT_ONCE, Unit::Count, |report| {
        ferry(report, "kcp-tree-cold-in-flight")
    }),
    count("10,001 workspaces by `kcp_workspace_tree`, page after page: not found", 0.0, |report| {
        missed(report, "many")
    }),
    single("the same: most requests in flight", AT_ONCE, Unit::Count, |report| ferry(report, "kcp-many-in-flight")),
    count("10,000 workspaces in one by `kcp_workspaces_list`, page after page: not found", 0.0, |report| {
        missed(report, "flat")
    }),
    single("the same: most requests in flight", AT_ONCE, Unit::Count, |report| ferry(report, "kcp-flat-in-flight")),
    single("tokens of the largest page of these trees", 1_500.0, Unit::Tokens, |report| {
        largest(report, ["kcp-tree-tokens", "kcp-many-tokens"])
    }),
    single("memory for 100,000 known workspaces, the first caller", 32.0, Unit::Mb, |report| {
        ferry(report, "kcp-known-mb")
    })
    .because(per_workspace),
    single("memory for each further caller who knows them", 32.0, Unit::Kb, |report| {
        ferry(report, "kcp-known-caller-kb")
    })
    .because(steps),
    real("real kcp, the organisation's administrator: cold tree of 100", |report| {
        ferry(report, "kcp-real-admin-cold-ms")
    }),
    real("real kcp, one with a team: cold tree of 11", |report| ferry(report, "kcp-real-lead-cold-ms")),
    real("real kcp, one with one workspace: cold tree", |report| ferry(report, "kcp-real-member-cold-ms")),
    shown("time of the peer's list of these 100 over that of the cold tree", Unit::Times, |report| {
        let peer = report.number("kcp-real-list-next-ms", Who::Peer)?.median;
        Spread::of(ferry(report, "kcp-real-admin-cold-ms").map(|ours| peer / ours.median))
    })
    .because(requests_of_the_peer),
];

const fn real(what: &'static str, value: fn(&Report) -> Option<Spread>) -> Goal {
    Goal { what, bound: Bound::AtMost(REAL), unit: Unit::Millis, value, why: requests_of_the_peer }
}

fn missed(report: &Report, name: &str) -> Option<Spread> {
    let key = |what: &str| format!("kcp-{name}-{what}");
    rounds(report, &key("wanted"), &key("found"), |wanted, found| wanted - found)
}

fn largest(report: &Report, names: [&str; 2]) -> Option<Spread> {
    Spread::of(names.into_iter().filter_map(|name| Some(ferry(report, name)?.most))).map(|found| Spread {
        median: found.most,
        least: found.most,
        ..found
    })
}

fn median(report: &Report, name: &str, who: Who) -> f64 {
    report.number(name, who).map_or(0.0, |value| value.median)
}

fn requests_of_a_tree(report: &Report) -> String {
    let of = |name| median(report, name, Who::Ferry);
    let (requests, most) = (of("kcp-tree-cold-requests"), of("kcp-tree-cold-in-flight"));
    let least = (requests / most.max(1.0)).ceil() * 20.0;
    format!("{requests:.0} requests of 20 ms, {most:.0} at a time, take {least:.0} ms at least")
}

fn pages_of_a_tree(report: &Report) -> String {
    format!("it has {:.0} pages, each of which walks the tree again", median(report, "kcp-tree-pages", Who::Ferry))
}

fn per_workspace(report: &Report) -> String {
    let of = |name| median(report, name, Who::Ferry);
    let each = of("kcp-known-mb") * 1e6 / of("kcp-known").max(1.0);
    format!(
        "{each:.0} bytes for each workspace: what its parent lists of it, its place, and what the process keeps after 100,000 requests"
    )
}

fn steps(report: &Report) -> String {
    let values = report.numbers.get(&format!("kcp-known-caller-kb@{}", Who::Ferry.name())).map_or(0, Vec::len);
    format!("the median of {values} callers; the process takes and gives back memory in larger steps than that of one")
}

fn requests_of_the_peer(report: &Report) -> String {
    let (peer, ours) = ("kcp-real-list-next-requests", "kcp-real-admin-cold-requests");
    format!(
        "the administrator's tree takes {:.0} requests, the list of the peer {:.0}, one after the other",
        median(report, ours, Who::Ferry),
        median(report, peer, Who::Peer)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{markdown, tally};

    #[test]
    fn a_workspace_that_is_missing_is_seen() {
        let mut report = Report::default();
        for (name, found) in [("many", 10_001.0), ("flat", 9_999.0)] {
            report.add(&format!("kcp-{name}-wanted"), Who::Ferry, if name == "many" { 10_001.0 } else { 10_000.0 });
            report.add(&format!("kcp-{name}-found"), Who::Ferry, found);
        }
        let said = tally(&report);
        assert!(said.starts_with("1 met. Not met: 10,000 workspaces in one by `kcp_workspaces_list`"), "{said}");
    }

    #[test]
    fn the_largest_page_counts_and_times_say_why() {
        let mut report = Report::default();
        for (name, value) in [
            ("kcp-tree-tokens", 900.0),
            ("kcp-tree-tokens", 1_200.0),
            ("kcp-many-tokens", 1_501.0),
            ("kcp-tree-cold-ms", 1_200.0),
            ("kcp-tree-cold-requests", 1_111.0),
            ("kcp-tree-cold-in-flight", 20.0),
        ] {
            report.add(name, Who::Ferry, value);
        }
        report.add("kcp-real-list-next-ms", Who::Peer, 250.0);
        report.add("kcp-real-admin-cold-ms", Who::Ferry, 50.0);
        let page = markdown(&report);
        assert!(page.contains("≤ 1,500 tokens | 1,501 tokens | **not met**"), "{page}");
        let why = "| 1,200 ms | **not met**: 1111 requests of 20 ms, 20 at a time, take 1120 ms at least |";
        assert!(page.contains(why), "{page}");
        assert!(page.contains("over that of the cold tree | – | 5 × |"), "{page}");
    }
}
