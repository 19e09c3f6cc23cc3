//! The pages of docs/reference: tests render them from the sources, so that they cannot fall behind.
//!
//! A page has one test, beside what it describes, which calls [`hold`]. `scripts/reference` runs these tests and writes.

use std::fs;
use std::path::Path;

/// Holds docs/reference/`page`.md against `rendered`; writes it when `UPDATE_REFERENCE=1` is set. The test that calls it
/// has `reference` in its name.
///
/// # Panics
/// When they differ, or the page cannot be written.
pub(crate) fn hold(page: &str, rendered: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(page).with_extension("md");
    let wanted = format!("<!-- Generated from the sources by scripts/reference. -->\n\n{}\n", rendered.trim());
    let found = fs::read_to_string(&path).unwrap_or_default();
    if found == wanted {
        return;
    }
    if std::env::var_os("UPDATE_REFERENCE").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(&path, wanted).unwrap();
    }
    panic!(
        "docs/reference/{page}.md is not what the sources say: run scripts/reference\n{}",
        first_difference(&found, &wanted)
    );
}

fn first_difference(found: &str, wanted: &str) -> String {
    let same = found.lines().zip(wanted.lines()).take_while(|(found, wanted)| found == wanted).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
    format!("line {}\n  page:    {}\n  sources: {}", same + 1, line(found), line(wanted))
}

/// How many tokens a text costs: the tokenizer `o200k`, whose table is in the crate.
pub(crate) fn tokens(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
}

/// A cell of a Markdown table.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

#[test]
fn tokens_are_counted_as_o200k_does() {
    assert_eq!(tokens(""), 0);
    assert_eq!(tokens("hello world"), 2);
    assert_eq!(cell("a|b\n<c>"), "a\\|b &lt;c>");
}

#[test]
fn the_first_line_that_differs_is_named() {
    assert_eq!(first_difference("a\nb\nc", "a\nx\nc"), "line 2\n  page:    b\n  sources: x");
    assert_eq!(first_difference("", "a"), "line 1\n  page:    (the end)\n  sources: a");
}
