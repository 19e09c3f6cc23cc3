//! Asking for workspaces, page after page to the end.

use std::time::{Duration, Instant};

use anyhow::ensure;
use http::HeaderValue;
use serde_json::Value;

use crate::bench::answer::Answer;
use crate::bench::door::{Ask, Door};

/// More pages than the longest list of a run has.
const MOST_PAGES: usize = 2_000;

/// A question asked to its end.
pub(super) struct Walk {
    /// The paths on all pages, in their order.
    pub(super) paths: Vec<String>,
    /// How many pages there were.
    pub(super) pages: usize,
    /// Tokens of the largest page.
    pub(super) most_tokens: usize,
    /// Time until the first page was there.
    pub(super) first: Duration,
    /// Time until the last one was.
    pub(super) took: Duration,
}

/// Asks `tool` and follows the handles of its answers until there is none. The connection is there before.
///
/// # Errors
/// When an answer is an error, or there is no end.
pub(super) async fn walk(
    door: &Door,
    token: &HeaderValue,
    (tool, mut arguments): (&'static str, Value),
) -> anyhow::Result<Walk> {
    let mut connection = door.open(token).await?;
    let started = Instant::now();
    let (mut pages, mut first) = (Vec::new(), None);
    let took = loop {
        let body = connection.ask(&door.prepare(&Ask::Call(tool, arguments.clone())), token).await?;
        let took = started.elapsed();
        first.get_or_insert(took);
        let answer = Answer::read(&body)?;
        let rest = answer.rest().map(Value::from);
        pages.push(answer);
        ensure!(pages.len() <= MOST_PAGES, "{tool}: a list without an end");
        match rest {
            Some(rest) => arguments["continue"] = rest,
            None => break took,
        }
    };
    let mut reader = Reader::default();
    Ok(Walk {
        paths: pages.iter().flat_map(|page| reader.read(&page.text)).collect(),
        pages: pages.len(),
        most_tokens: pages.iter().map(Answer::tokens).max().unwrap_or_default(),
        first: first.unwrap_or(took),
        took,
    })
}

/// Reads what workspaces pages show, in their order.
#[derive(Default)]
struct Reader {
    /// The names on the way to the last row of a tree; its top has a path of several.
    above: Vec<String>,
}

impl Reader {
    /// The paths on one page: of a table with the column PATH, of a tree, whose names stand two spaces further in per level
    /// and go on from page to page, or of the peer's list. Lines that begin with `#` are none of these.
    fn read(&mut self, text: &str) -> Vec<String> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let heads = |line: &&str| ["PATH", "WORKSPACE"].contains(&first(line));
        match lines.clone().find(heads).map(first) {
            None => lines.filter_map(|line| line.strip_prefix("- ")).map(|path| path.trim().to_owned()).collect(),
            Some(head) => {
                let rows =
                    lines.by_ref().skip_while(|line| !heads(line)).skip(1).map(first).filter(|row| !row.is_empty());
                rows.map(|row| if head == "PATH" { row.to_owned() } else { self.below(row) }).collect()
            }
        }
    }

    fn below(&mut self, row: &str) -> String {
        let name = row.trim_start();
        self.above.truncate((row.len() - name.len()) / 2);
        self.above.push(name.to_owned());
        self.above.join(":")
    }
}

fn first(line: &str) -> &str {
    line.split('\t').next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::Reader;

    #[test]
    fn paths_are_read_from_tables_trees_and_lists() {
        let mut reader = Reader::default();
        let tree = "# cluster a\nWORKSPACE\tTYPE\nroot:org\t\n  a\tteam\n    x\tteam\n# more: continue=h\n";
        assert_eq!(reader.read(tree), ["root:org", "root:org:a", "root:org:a:x"]);
        let rest = "# goes on in root:org:a\nWORKSPACE\tTYPE\n    y\tteam\n  b\tteam\n";
        assert_eq!(reader.read(rest), ["root:org:a:y", "root:org:b"]);
        assert_eq!(reader.read("PATH\tTYPE\nroot:org:a\tteam\n# 1 shown\n"), ["root:org:a"]);
        assert_eq!(reader.read("Available kcp workspaces (2 total):\n\n- root:a\n- root:b\n"), ["root:a", "root:b"]);
    }
}
