//! A page of a tree as clients read it.

use std::sync::Arc;

use super::{Here, output};
use crate::model::LogicalCluster;
use crate::output::{Answer, Format, Page, Presentation, render};
use crate::pool::workspaces::{Children, State, Workspace};
use crate::reference::tokens;
use crate::tools::Cx;
use crate::tools::kcp::asking::Trials;
use crate::tools::kcp::walk::{Answer as Said, Bounds, Walk};
use crate::tools::tests::{cx, principal};

/// As long as handles are with a path of three long names.
const HANDLE: usize = 340;

fn workspace(number: usize, name: &str) -> Arc<Workspace> {
    Arc::new(Workspace {
        name: name.into(),
        cluster: Some(LogicalCluster::parse(&format!("c{number}")).unwrap()),
        kind: "universal".into(),
        state: State::Ready,
        why: "".into(),
        mount: false,
        labels: [].into(),
        created: None,
        deleted: None,
    })
}

/// A tree of `fan_out` children on two levels, of which every seventh may not be entered.
fn walked(fan_out: usize, name: impl Fn(usize, usize) -> String, behind: Option<&str>) -> Walk {
    let behind = behind.map(|path| path.split(':').map(str::to_owned).collect());
    let mut walk = Walk::new(Bounds { depth: 3, breadth: 50, most: 2_500 }, behind, None);
    let mut made = 0;
    while let Some(step) = walk.next(&Trials::default()) {
        let level = step.path.len();
        let mut child = |at| {
            made += 1;
            workspace(made, &name(level, at))
        };
        let items: Vec<_> = if level < 2 { (0..fan_out).map(&mut child).collect() } else { Vec::new() };
        let refused = step.key.last().is_some_and(|at| at % 7 == 6);
        let said = if refused { Said::No } else { Said::Children(Children { items: items.into(), cut: false }) };
        walk.done(&step.key, said, None);
    }
    walk
}

fn page(cx: &Cx, walk: &Walk) -> (Answer, Option<Page>) {
    let here = Here::new("kcp-eu", "root:organisation".to_owned());
    let mut next = None;
    let answer = render(output(cx, &here, walk, 3), &cx.presentation, |page| {
        next = Some(page.clone());
        Some("kYz7".repeat(HANDLE / 4))
    });
    (answer.unwrap(), next)
}

#[test]
fn a_page_is_small_also_with_long_names() {
    let short = |_: usize, at: usize| format!("team-{at:02}");
    let words = ["observability", "checkout", "payments-backend", "identity", "warehouse-reporting"];
    let long =
        |level: usize, at: usize| format!("{}-{level}-{at:02}-of-the-european-division", words[at % words.len()]);
    for (what, walk) in [("short", walked(40, short, None)), ("long", walked(40, long, None))] {
        let (answer, next) = page(&cx(principal("corp", &[])), &walk);
        let cost = tokens(&answer.text);
        assert!((600..=1_500).contains(&cost), "{what}: {cost} tokens\n{}", answer.text);
        let next = next.unwrap();
        assert!(next.token.is_some() && next.offset == 0 && next.before > 30, "{what}: {next:?}");
    }
}

#[test]
fn pages_of_one_end_behind_a_workspace_that_does_not_answer() {
    for format in [Format::Table, Format::Json] {
        let mut cx = cx(principal("corp", &[]));
        cx.presentation = Presentation { format, ..Presentation::default() };
        cx.page = Page { token: Some("w00:w00:".into()), before: 3, ..Page::first(1) };
        let mut pages = 0;
        loop {
            let behind = cx.page.token.clone().unwrap();
            let behind = behind.split(':').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            let mut walk = Walk::new(Bounds { depth: 3, breadth: 50, most: 2_500 }, Some(behind), None);
            while let Some(step) = walk.next(&Trials::default()) {
                let items: Vec<_> = (0..5).map(|at| workspace(at, &format!("w{at:02}"))).collect();
                let said = match step.path.len() {
                    0 => Said::Children(Children { items: items.into(), cut: false }),
                    _ if step.key == [0] => Said::Unknown("no answer".into()),
                    _ => Said::Closed,
                };
                walk.done(&step.key, said, None);
            }
            let (answer, next) = page(&cx, &walk);
            pages += 1;
            assert!(
                answer.text.contains("w00") == (pages == 1 || answer.text.contains("no answer")),
                "{}",
                answer.text
            );
            assert!(answer.text.contains(&format!("w{pages:02}")), "{format:?}: {}", answer.text);
            let Some(next) = next else { break };
            assert_eq!((next.offset, next.before), (0, 3 + pages));
            cx.page = next;
        }
        assert_eq!(pages, 4, "{format:?}");
    }
}

#[test]
fn pages_of_any_format_show_each_workspace_once() {
    let name = |_: usize, at: usize| format!("w{at:02}");
    for format in [Format::Table, Format::Wide, Format::Json, Format::Yaml] {
        let mut cx = cx(principal("corp", &[]));
        cx.presentation = Presentation { format, ..Presentation::default() };
        let (mut shown, mut pages) = (Vec::new(), 0);
        loop {
            let token = cx.page.token.clone();
            let (answer, next) =
                page(&cx, &walked(12, name, token.as_deref().map(|token| token.trim_end_matches(':'))));
            pages += 1;
            let names = answer.text.lines().filter_map(|line| match format {
                Format::Table | Format::Wide => line.trim_start().split('\t').next().filter(|name| name.len() == 3),
                Format::Yaml => line.trim_start_matches(['-', ' ']).strip_prefix("path: "),
                Format::Json => None,
            });
            shown.extend(names.map(|name| name.rsplit(':').next().unwrap_or(name).to_owned()));
            shown.extend(answer.text.split("\"path\":\"").skip(1).filter(|_| format == Format::Json).map(|rest| {
                rest.split('"').next().unwrap_or_default().rsplit(':').next().unwrap_or_default().to_owned()
            }));
            let Some(next) = next else { break };
            cx.page = next;
        }
        let expected: Vec<String> = (0..12)
            .flat_map(|a| {
                let below = (0..12).filter(move |_| a % 7 != 6).map(move |at| name(2, at));
                std::iter::once(name(1, a)).chain(below)
            })
            .collect();
        shown.retain(|name| name != "organisation");
        assert_eq!(shown, expected, "{format:?}");
        assert!(pages > 1, "{format:?}");
    }
}
