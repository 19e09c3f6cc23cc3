//! What people see: plain text, some of it bold or dim on a terminal.

use std::io::{IsTerminal, Write, stdout};

/// The lines of an answer that are shown.
const MAX_LINES: usize = 24;
/// The characters of a line that are shown.
const MAX_CHARS: usize = 160;

/// Standard output.
pub(super) struct Screen {
    quiet: bool,
    colors: bool,
    calls: usize,
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Self {
        Self { quiet, colors: stdout().is_terminal(), calls: 0 }
    }

    /// A heading.
    pub(super) fn title(&mut self, text: &str) {
        if !self.quiet {
            let heading = self.painted("1", &format!("== {text} =="));
            self.line(&format!("\n{heading}"));
        }
    }

    /// A sentence, also when quiet.
    pub(super) fn say(&mut self, text: &str) {
        self.line(text);
    }

    /// A sentence that quiet leaves out.
    pub(super) fn detail(&mut self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// What a call does and why its answer is what it is.
    pub(super) fn call(&mut self, who: &str, what: &str, why: &str) {
        self.calls += 1;
        let call = format!("{:2}. {who}: {what}", self.calls);
        if self.quiet {
            return self.line(&call);
        }
        let call = self.painted("1", &call);
        self.line(&format!("\n{call}\n    {why}"));
    }

    /// The beginning of an answer.
    pub(super) fn answer(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let widths = widths(&lines);
        for line in lines.iter().take(MAX_LINES) {
            let line = aligned(line, &widths);
            let mut shown: String = line.chars().take(MAX_CHARS).collect();
            if shown.len() < line.len() {
                shown.push('…');
            }
            let shown = self.painted("2", &format!("    | {shown}"));
            self.line(&shown);
        }
        if let Some(more) = lines.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
            self.line(&format!("    | … {more} more lines"));
        }
    }

    /// That an answer is not as expected.
    pub(super) fn wrong(&mut self, why: &str) {
        let wrong = self.painted("1;31", "    WRONG:");
        self.line(&format!("{wrong} {why}"));
    }

    /// How the walk ended.
    pub(super) fn verdict(&mut self, passed: bool) {
        let verdict = match passed {
            true => self.painted("1;32", "All answers are as expected."),
            false => self.painted("1;31", "Not all answers are as expected: see WRONG above."),
        };
        self.line(&format!("\n{verdict}"));
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&mut self, text: &str) {
        // Nobody may be reading any more; the walk goes on, for its verdict.
        drop(writeln!(stdout().lock(), "{text}"));
    }
}

/// The widths of the columns of a table whose cells are separated by tabs.
fn widths(lines: &[&str]) -> Vec<usize> {
    let mut widths = Vec::new();
    for line in lines.iter().filter(|line| line.contains('\t')) {
        for (column, cell) in line.split('\t').enumerate() {
            widths.resize(widths.len().max(column + 1), 0);
            widths[column] = widths[column].max(cell.chars().count());
        }
    }
    widths
}

fn aligned(line: &str, widths: &[usize]) -> String {
    if !line.contains('\t') {
        return line.to_owned();
    }
    let cells = line.split('\t').zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{aligned, widths};

    #[test]
    fn tables_are_aligned_and_text_stays() {
        let lines = ["NAME\tAGE", "a-long-name\t1s", "a note"];
        let widths = widths(&lines);
        let shown = lines.map(|line| aligned(line, &widths));
        assert_eq!(shown, ["NAME         AGE", "a-long-name  1s", "a note"]);
    }
}
