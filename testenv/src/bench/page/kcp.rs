//! The section of workspaces of a kcp.

use super::{push, spread};
use crate::bench::goals::Unit;
use crate::bench::report::Report;
use crate::bench::target::Who;

const INTRODUCTION: &str = "\n## Workspaces of a kcp\n\n\
On a simulated kcp every request takes 20 ms. A cold tree is that of a caller whom kubeferry has not seen, over connections \
that are there; the tree is one of 10 × 10 × 10 below an organisation, and is read to its last page. The trees of 10,001 \
workspaces and the list of 10,000 in one workspace are read by handles alone, and each workspace must be there once. Requests \
in flight are counted by the simulated kcp, from the head of a request to its answer.\n\n\
Workspaces become known by lists of 317 parents with 316 children each, every child of which kubeferry asks whether the \
caller may enter. Memory is that of the process a second later, beyond what it was after all callers had read other lists; \
further callers know the same workspaces by answers of their own, and there are as many of them as fit into the minute for \
which that is kept.\n\n\
The real kcp has an organisation of 100 workspaces: 9 teams with 10 each. Its administrator may enter all of them, another \
person one team with what is below it, a third one a single workspace. kubernetes-mcp-server lists all workspaces for the \
administrator, with the same kind of token in its kubeconfig and in the call (`cluster_provider_strategy = \"kcp\"`). The \
servers are started anew for each measurement and change places from round to round; kubeferry has answered each of the three \
once before, with another token, and of the peer the first call and the next are shown. Requests \
are counted by a recording relay, in a run of their own.\n\n";

const ROWS: &[(&str, &str, Unit)] = &[
    ("kcp-tree", "workspaces of the tree", Unit::Count),
    ("kcp-tree-cold-first-ms", "cold tree, the call", Unit::Millis),
    ("kcp-tree-cold-ms", "until its last page", Unit::Millis),
    ("kcp-tree-cold-requests", "requests", Unit::Count),
    ("kcp-tree-cold-in-flight", "most of them in flight", Unit::Count),
    ("kcp-tree-cached-first-ms", "the same caller again, the call", Unit::Millis),
    ("kcp-tree-cached-ms", "until its last page", Unit::Millis),
    ("kcp-tree-pages", "pages", Unit::Count),
    ("kcp-tree-tokens", "tokens of the largest", Unit::Tokens),
    ("kcp-many-found", "workspaces of the large tree", Unit::Count),
    ("kcp-many-s", "seconds until its last page", Unit::Count),
    ("kcp-many-requests", "requests", Unit::Count),
    ("kcp-many-in-flight", "most of them in flight", Unit::Count),
    ("kcp-many-pages", "pages", Unit::Count),
    ("kcp-many-tokens", "tokens of the largest", Unit::Tokens),
    ("kcp-flat-found", "workspaces of the long list", Unit::Count),
    ("kcp-flat-s", "seconds until its last page", Unit::Count),
    ("kcp-flat-requests", "requests", Unit::Count),
    ("kcp-flat-in-flight", "most of them in flight", Unit::Count),
    ("kcp-flat-pages", "pages", Unit::Count),
    ("kcp-flat-tokens", "tokens of the largest", Unit::Tokens),
    ("kcp-known", "known workspaces", Unit::Count),
    ("kcp-known-mb", "memory for them with the first caller", Unit::Mb),
    ("kcp-known-caller-kb", "memory for each further caller", Unit::Kb),
    ("kcp-real-workspaces", "real kcp: workspaces", Unit::Count),
    ("kcp-real-admin-cold-ms", "administrator: cold tree", Unit::Millis),
    ("kcp-real-admin-cached-ms", "again", Unit::Millis),
    ("kcp-real-admin-cold-requests", "requests of the cold one", Unit::Count),
    ("kcp-real-admin-cached-requests", "requests of the other", Unit::Count),
    ("kcp-real-lead-cold-ms", "person with one team: cold tree", Unit::Millis),
    ("kcp-real-lead-cached-ms", "again", Unit::Millis),
    ("kcp-real-lead-cold-requests", "requests of the cold one", Unit::Count),
    ("kcp-real-member-cold-ms", "person with one workspace: cold tree", Unit::Millis),
    ("kcp-real-member-cached-ms", "again", Unit::Millis),
    ("kcp-real-member-cold-requests", "requests of the cold one", Unit::Count),
    ("kcp-real-list-first-ms", "list of all workspaces, first call", Unit::Millis),
    ("kcp-real-list-next-ms", "again", Unit::Millis),
    ("kcp-real-list-first-requests", "requests of the first call", Unit::Count),
    ("kcp-real-list-next-requests", "requests of the other", Unit::Count),
];

pub(super) fn section(page: &mut String, report: &Report) {
    page.push_str(INTRODUCTION);
    let (ours, theirs) = (Who::Ferry, Who::Peer);
    push(page, &format!("| figure | {} | {} |\n|---|---|---|", ours.name(), theirs.name()));
    for (key, title, unit) in ROWS {
        let shown = |who| report.number(key, who).map_or_else(|| "–".to_owned(), |value| spread(value, *unit));
        push(page, &format!("| {title} | {} | {} |", shown(ours), shown(theirs)));
    }
}
