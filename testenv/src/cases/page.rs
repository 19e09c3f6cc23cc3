//! The page: one table per letter of the ids.

use std::fmt::Write;

use super::{Run, word};
use crate::world::Lab;

const HEAD: &str = "\
# Cases

What happens when something is wrong, row by row. Each row is a test of that name; this page is made from what the tests
left, by `scripts/cases`, and `scripts/test` fails when they differ. *Simulated* and *real* are the API servers of the lab
on which a row is played: ✓ it went as expected, ✗ it did not, – it is not played there, because no real server can be
made to fail so, or because no cluster is concerned. Times are asserted with room for a busy machine; figures are
measured by the bench.
";

/// Letters of ids and what they are about, in the order of the page.
const CHAPTERS: &[(char, &str)] = &[
    ('R', "API server and network"),
    ('I', "Issuers and tokens"),
    ('K', "Inventory, reload, kcp"),
    ('D', "Protocol and abuse"),
    ('P', "The process"),
    ('C', "Credentials"),
    ('H', "Hostile input"),
    ('E', "Exchange"),
];

/// The text of the page. The same run always gives the same text.
#[must_use]
pub fn page(run: &Run) -> String {
    let mut page = HEAD.to_owned();
    let known = |id: &str| CHAPTERS.iter().any(|(letter, _)| id.starts_with(*letter));
    let others = run.cases.iter().any(|case| !known(&case.id)).then_some(('\0', "Further"));
    for (letter, title) in CHAPTERS.iter().copied().chain(others) {
        let here = |id: &str| if letter == '\0' { !known(id) } else { id.starts_with(letter) };
        let mut cases: Vec<_> = run.cases.iter().filter(|case| here(&case.id)).collect();
        cases.sort_by(|one, two| one.id.cmp(&two.id));
        if cases.is_empty() {
            continue;
        }
        add(
            &mut page,
            &format!("\n## {title}\n\n| id | what happens | simulated | real | test |\n|---|---|---|---|---|\n"),
        );
        for case in cases {
            let note = if case.note.is_empty() { String::new() } else { format!("<br>*{}*", case.note) };
            let mark = |lab: Lab| match run.passed.get(&(case.id.clone(), word(lab).to_owned())) {
                Some(true) => "✓",
                Some(false) => "✗",
                None => "–",
            };
            let (simulated, real) = (mark(Lab::Simulated), mark(Lab::Real));
            let (file, test) = (&case.file, &case.test);
            let link = format!("[{file}](../../testenv/tests/cases/{file}.rs) `{test}`");
            add(&mut page, &format!("| {} | {}{note} | {simulated} | {real} | {link} |\n", case.id, case.expected));
        }
    }
    page
}

fn add(page: &mut String, text: &str) {
    page.write_str(text).expect("a String takes any text");
}
