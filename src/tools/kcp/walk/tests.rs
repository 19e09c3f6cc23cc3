//! The order of a walk, over trees of names.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Answer, Bounds, Found, Step, Walk};
use crate::model::LogicalCluster;
use crate::pool::workspaces::{Children, State, Workspace};
use crate::tools::kcp::asking::Trials;

const WIDE: Bounds = Bounds { depth: 32, breadth: 50, most: 2_500 };

fn workspace(name: &str, cluster: Option<&str>, kind: &str) -> Arc<Workspace> {
    Arc::new(Workspace {
        name: name.into(),
        cluster: cluster.map(|cluster| LogicalCluster::parse(cluster).unwrap()),
        kind: kind.into(),
        state: State::Ready,
        why: "".into(),
        mount: cluster.is_none(),
        labels: [].into(),
        created: None,
        deleted: None,
    })
}

/// Lists of children by path from the start, as `a:b`.
type Tree = BTreeMap<String, Vec<Arc<Workspace>>>;

/// A tree of so many children on each level; clusters are numbered.
fn tree(fan_outs: &[usize]) -> Tree {
    let mut tree = Tree::new();
    let mut level = vec![String::new()];
    let mut made = 0;
    for fan_out in fan_outs {
        let mut below = Vec::new();
        for parent in level {
            let child = |at: usize| {
                made += 1;
                workspace(&format!("w{at:03}"), Some(&format!("c{made}")), "universal")
            };
            let children: Vec<_> = (0..*fan_out).map(child).collect();
            let path = |child: &Arc<Workspace>| [&parent, &*child.name].map(|part: &str| part).join(":");
            below.extend(children.iter().map(|child| path(child).trim_start_matches(':').to_owned()));
            tree.insert(parent, children);
        }
        level = below;
    }
    tree
}

fn joined(path: &[Arc<str>]) -> String {
    path.join(":")
}

fn answer(tree: &Tree, step: &Step) -> Answer {
    let children = tree.get(&joined(&step.path)).cloned().unwrap_or_default();
    if step.children { Answer::Children(Children { items: children.into(), cut: false }) } else { Answer::Entered }
}

/// Walks with `at_once` questions under way, of which `choose` says which is answered next. Gives back the rows and how many
/// questions there were.
fn walked(
    tree: &Tree,
    walk: &mut Walk,
    at_once: usize,
    mut choose: impl FnMut(usize) -> usize,
) -> (Vec<String>, usize) {
    let trials = Trials::default();
    let (mut under_way, mut asked): (Vec<Step>, usize) = (Vec::new(), 0);
    loop {
        while under_way.len() < at_once
            && let Some(step) = walk.next(&trials)
        {
            asked += 1;
            under_way.push(step);
        }
        if under_way.is_empty() {
            break;
        }
        let step = under_way.swap_remove(choose(under_way.len()) % under_way.len());
        walk.done(&step.key, answer(tree, &step), None);
    }
    (walk.rows().map(|node| joined(&node.path)).collect(), asked)
}

fn behind(path: &str) -> Option<Vec<String>> {
    Some(path.split(':').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

#[test]
fn rows_are_in_preorder_and_each_workspace_is_asked_once() {
    let tree = tree(&[10, 10, 10]);
    let (rows, asked) = walked(&tree, &mut Walk::new(WIDE, None, None), 48, |length| length - 1);
    assert_eq!((rows.len(), asked), (1_111, 1_111));
    let names = |row: &String| row.split(':').map(str::to_owned).collect::<Vec<_>>();
    assert!(rows.is_sorted_by_key(names) && rows[0].is_empty() && rows[1] == "w000");
}

#[test]
fn depth_and_breadth_end_a_walk_and_are_said() {
    let tree = tree(&[60, 2, 2]);
    let mut walk = Walk::new(Bounds { depth: 2, ..WIDE }, None, None);
    let (rows, _) = walked(&tree, &mut walk, 4, |_| 0);
    assert_eq!(rows.len(), 1 + 50 * 3);
    let found: Vec<_> = walk.rows().map(|node| node.found.clone().unwrap()).take(3).collect();
    assert_eq!(found[0], Found::Open { hidden: 10, cut: false });
    assert_eq!(found[2], Found::Entered, "the last level is not looked into");
    assert!(!walk.is_open() && !walk.is_full());
}

#[test]
fn a_bounded_walk_goes_on_where_it_ended() {
    let tree = tree(&[10, 10, 10]);
    let bounds = Bounds { most: 100, ..WIDE };
    let (mut all, mut calls, mut from) = (Vec::new(), 0, None);
    loop {
        let mut walk = Walk::new(bounds, from, None);
        let mut turn = 0;
        let (rows, asked) = walked(&tree, &mut walk, 8, |length| {
            turn += 7;
            turn % length
        });
        assert!(asked <= 105, "those above the last row, 100, and one that must be told: {asked}");
        assert!(!rows.is_empty(), "each call tells something");
        assert_eq!(walk.is_open(), walk.is_full());
        calls += 1;
        from = behind(rows.last().unwrap());
        all.extend(rows);
        if !walk.is_open() {
            break;
        }
    }
    let (whole, _) = walked(&tree, &mut Walk::new(WIDE, None, None), 1, |_| 0);
    assert_eq!(all, whole, "each once, in order");
    assert!((11..60).contains(&calls), "{calls}");
}

#[test]
fn nothing_is_asked_of_mounts_and_of_what_was_met_before() {
    let mut tree = Tree::new();
    let kids = [("again", Some("c1")), ("edge", None), ("home", Some("start")), ("real", Some("c2"))];
    tree.insert(String::new(), vec![workspace("a", Some("c1"), "t"), workspace("b", Some("c3"), "t")]);
    tree.insert("a".into(), kids.map(|(name, cluster)| workspace(name, cluster, "t")).to_vec());
    let start = LogicalCluster::parse("start").unwrap();
    let mut walk = Walk::new(WIDE, None, Some(start));
    let (rows, asked) = walked(&tree, &mut walk, 1, |_| 0);
    assert_eq!((rows.join(" ").trim(), asked), ("a a:again a:edge a:home a:real b", 4));
    let found: Vec<_> = walk.rows().map(|node| node.found.clone().unwrap()).collect();
    assert_eq!(found[2..5], [Found::Cycle, Found::Mount, Found::Cycle]);
}

#[test]
fn a_type_that_does_not_answer_costs_the_others_nothing() {
    let dead = (0..20).map(|at| workspace(&format!("a{at:02}"), Some(&format!("d{at}")), "dead"));
    let well = (0..20).map(|at| workspace(&format!("b{at:02}"), Some(&format!("w{at}")), "well"));
    let tree = Tree::from([(String::new(), dead.chain(well).collect())]);
    let mut walk = Walk::new(WIDE, None, None);
    let mut trials = Trials::default();
    let start = walk.next(&trials).unwrap();
    walk.done(&start.key, answer(&tree, &start), None);
    let mut waiting = Vec::new();
    while let Some(step) = walk.next(&trials) {
        let kind = Arc::clone(&step.workspace.as_ref().unwrap().kind);
        trials.asked(&kind);
        if &*kind == "dead" {
            waiting.push(step);
        } else {
            trials.ended(&kind, true);
            walk.done(&step.key, answer(&tree, &step), None);
        }
    }
    assert_eq!((waiting.len(), walk.rows().count()), (12, 1), "a part is tried, the others of the type wait");
    for step in waiting.drain(..4) {
        trials.ended("dead", false);
        walk.done(&step.key, Answer::Unknown("no answer".into()), None);
    }
    let fifth = waiting.remove(0);
    trials.ended("dead", true);
    walk.done(&fifth.key, answer(&tree, &fifth), None);
    waiting.extend(std::iter::from_fn(|| walk.next(&trials)));
    assert_eq!(waiting.len(), 15, "when one answered, all others are asked");
    for step in waiting {
        walk.done(&step.key, answer(&tree, &step), None);
    }
    assert!(!walk.is_open());
    let unknown = walk.rows().filter(|node| matches!(node.found, Some(Found::Unknown(_)))).count();
    assert_eq!((unknown, walk.rows().count()), (4, 41));
}

#[test]
fn what_lies_above_the_last_row_and_does_not_answer_is_told_again() {
    let tree = tree(&[2, 2]);
    let mut walk = Walk::new(WIDE, behind("w000:w000"), None);
    let trials = Trials::default();
    let start = walk.next(&trials).unwrap();
    walk.done(&start.key, answer(&tree, &start), None);
    let above = walk.next(&trials).unwrap();
    walk.done(&above.key, Answer::Unknown("late".into()), None);
    walked(&tree, &mut walk, 1, |_| 0);
    let rows: Vec<_> = walk.rows().map(|node| (joined(&node.path), walk.is_wanted(&node.path))).collect();
    let told = [("w000", false), ("w001", true), ("w001:w000", true), ("w001:w001", true)];
    assert_eq!(rows, told.map(|(path, further)| (path.to_owned(), further)));
}

#[test]
fn a_walk_that_could_look_at_nothing_goes_on_behind_its_first_workspace() {
    let tree = tree(&[2]);
    let mut walk = Walk::new(WIDE, behind(""), None);
    let trials = Trials::default();
    let start = walk.next(&trials).unwrap();
    walk.done(&start.key, answer(&tree, &start), None);
    assert_eq!(walk.rows().count(), 0, "the start was a row before");
    walk.give_up_first("no time");
    let rows: Vec<_> = walk.rows().map(|node| joined(&node.path)).collect();
    assert_eq!((rows, walk.is_open()), (vec!["w000".to_owned()], true));
}

#[test]
fn a_walk_behind_a_silent_workspace_comes_further() {
    let tree = tree(&[3, 2]);
    let mut walk = Walk::new(WIDE, behind("w000:w000"), None);
    let start = walk.next(&Trials::default()).unwrap();
    walk.done(&start.key, answer(&tree, &start), None);
    walk.give_up_first("no time");
    let rows: Vec<_> = walk.rows().map(|node| (joined(&node.path), walk.is_wanted(&node.path))).collect();
    assert_eq!(rows, [("w000".to_owned(), false), ("w001".to_owned(), true)]);
    assert!(walk.is_open());
    // One that may look at nothing looks at one all the same.
    let mut walk = Walk::new(Bounds { most: 0, ..WIDE }, behind("w000:w000"), None);
    let start = walk.next(&Trials::default()).unwrap();
    walk.done(&start.key, answer(&tree, &start), None);
    let above = walk.next(&Trials::default()).unwrap();
    walk.done(&above.key, Answer::Unknown("late".into()), None);
    let (rows, asked) = walked(&tree, &mut walk, 1, |_| 0);
    assert_eq!((rows, asked), (vec!["w000".to_owned(), "w001".to_owned()], 1));
}

proptest! {
    /// Whatever the order of answers and wherever a page ends, all rows come once and in order.
    #[test]
    fn pages_join_to_the_whole(fan_outs in proptest::collection::vec(1_usize..5, 1..5), at_once in 1_usize..9,
        most in 1_usize..30, seed: u64, gone: bool) {
        let tree = tree(&fan_outs);
        let mut state = seed;
        let mut choose = |length: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).unwrap_or(0) % length
        };
        let (whole, _) = walked(&tree, &mut Walk::new(WIDE, None, None), 1, |_| 0);
        let (mut all, mut from) = (Vec::new(), None);
        for _ in 0..=whole.len() {
            let mut walk = Walk::new(Bounds { most, ..WIDE }, from.clone(), None);
            let (rows, _) = walked(&tree, &mut walk, at_once, &mut choose);
            let open = walk.is_open();
            prop_assert!(!rows.is_empty() || !open, "each call tells something");
            if let Some(last) = rows.last() {
                from = behind(last);
            }
            all.extend(rows);
            if !open {
                break;
            }
        }
        prop_assert_eq!(&all, &whole);
        // A path that is not there any more is a place between two others all the same.
        if gone && let Some(at) = whole.iter().position(|row| row == "w001") {
            let mut walk = Walk::new(WIDE, behind("w000:zzz"), None);
            let (rows, _) = walked(&tree, &mut walk, at_once, &mut choose);
            prop_assert!(rows == whole[at..]);
        }
    }
}
