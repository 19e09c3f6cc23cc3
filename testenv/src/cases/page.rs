//! The page: one table per letter of the ids.

use std::fmt::Write;

use super::{Case, Later, Run, word};
use crate::world::Lab;

const HEAD: &str = "\
# Cases

What happens when something is wrong, row by row. Each row is a test of that name; this page is made from what the tests
left, by `scripts/cases`, and `scripts/test` fails when they differ. *Simulated* and *real* are the API servers of the lab
on which a row is played: ✓ it went as expected, ✗ it did not, – it is not played there, because no real server can be
made to fail so, or because no cluster is concerned. *Later* is what the catalogue asks for and nothing plays yet, with the
reason. Times are asserted with room for a busy machine; figures are
measured by the bench.
";

/// Letters of ids and what they are about, in the order of the page.
const CHAPTERS: &[(char, &str)] = &[
    ('R', "API server and network"),
    ('I', "Issuers and tokens"),
    ('K', "Inventory, reload, kcp"),
    ('D', "Protocol and abuse"),
    ('P', "The process"),
    ('C', "Exchange, one realm"),
    ('H', "The chain of two realms"),
    ('E', "Cache, life and concurrency of exchanged tokens"),
];

/// The text of the page. The same run always gives the same text.
#[must_use]
pub fn page(run: &Run) -> String {
    let mut page = HEAD.to_owned();
    let known = |id: &str| CHAPTERS.iter().any(|(letter, _)| id.starts_with(*letter));
    let rows: Vec<(&str, String)> = played(run).chain(later(run)).collect();
    let others = rows.iter().any(|(id, _)| !known(id)).then_some(('\0', "Further"));
    for (letter, title) in CHAPTERS.iter().copied().chain(others) {
        let here = |id: &str| if letter == '\0' { !known(id) } else { id.starts_with(letter) };
        let mut rows: Vec<_> = rows.iter().filter(|(id, _)| here(id)).collect();
        rows.sort();
        if rows.is_empty() {
            continue;
        }
        add(
            &mut page,
            &format!("\n## {title}\n\n| id | what happens | simulated | real | test |\n|---|---|---|---|---|\n"),
        );
        rows.iter().for_each(|(_, row)| add(&mut page, row));
    }
    page
}

/// The lines of the rows that are played, by id.
fn played(run: &Run) -> impl Iterator<Item = (&str, String)> {
    run.cases.iter().map(|case| {
        let Case { id, expected, note, file, test, .. } = case;
        let note = if note.is_empty() { String::new() } else { format!("<br>*{note}*") };
        let mark = |lab: Lab| match run.passed.get(&(id.clone(), word(lab).to_owned())) {
            Some(true) => "✓",
            Some(false) => "✗",
            None => "–",
        };
        let (simulated, real) = (mark(Lab::Simulated), mark(Lab::Real));
        let link = format!("[{file}](../../testenv/tests/cases/{file}.rs) `{test}`");
        (id.as_str(), format!("| {id} | {expected}{note} | {simulated} | {real} | {link} |\n"))
    })
}

/// The lines of the others.
fn later(run: &Run) -> impl Iterator<Item = (&str, String)> {
    run.later.iter().map(|Later { id, expected, why }| {
        (id.as_str(), format!("| {id} | {expected}<br>*Later: {why}* | later | later | – |\n"))
    })
}

fn add(page: &mut String, text: &str) {
    page.write_str(text).expect("a String takes any text");
}
