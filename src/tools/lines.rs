//! Lines of logs inside a room: repeated ones folded, the newest first to stay.

/// Longest line, in bytes.
const MAX_LINE: usize = 1024;

/// A line and how often it stands there in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    text: String,
    times: usize,
}

impl Line {
    fn print(&self, prefix: &str) -> String {
        let text = cut(&self.text);
        match self.times {
            1 => format!("{prefix}{text}\n"),
            times => format!("{prefix}{text} (x{times})\n"),
        }
    }
}

/// Folds lines that are repeated in a row; their times at the beginning may differ, and the first one's is shown.
pub(super) fn fold<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Line> {
    let mut folded: Vec<Line> = Vec::new();
    for text in lines {
        match folded.last_mut() {
            Some(last) if stem(&last.text) == stem(text) => last.times += 1,
            Some(_) | None => folded.push(Line { text: text.to_owned(), times: 1 }),
        }
    }
    folded
}

/// What of some lines fits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    /// Whole lines, each with its line end.
    pub(super) text: String,
    /// Lines of the log that it stands for.
    pub(super) shown: usize,
    /// Older lines that did not fit.
    pub(super) left_out: usize,
}

/// The newest lines that fit `room` bytes, each after `prefix`; at least one.
pub(super) fn newest(lines: &[Line], prefix: &str, room: usize) -> Fitted {
    let mut size = 0;
    let mut printed = Vec::new();
    let mut shown = 0;
    for line in lines.iter().rev() {
        let text = line.print(prefix);
        if size + text.len() > room && !printed.is_empty() {
            break;
        }
        size += text.len();
        shown += line.times;
        printed.push(text);
    }
    printed.reverse();
    let all: usize = lines.iter().map(|line| line.times).sum();
    Fitted { text: printed.concat(), shown, left_out: all - shown }
}

/// The bytes that `lines` take in all.
pub(super) fn size(lines: &[Line], prefix: &str) -> usize {
    lines.iter().map(|line| line.print(prefix).len()).sum()
}

/// Shares `room` among parts: what small ones leave goes to the large ones.
pub(super) fn shares(sizes: &[usize], room: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|at| sizes[*at]);
    let mut shares = vec![0; sizes.len()];
    let mut left = room;
    for (done, at) in order.into_iter().enumerate() {
        let share = sizes[at].min(left / (sizes.len() - done));
        shares[at] = share;
        left -= share;
    }
    shares
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_LINE {
        return text.to_owned();
    }
    let mut at = MAX_LINE;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    format!("{}… (+{} bytes)", &text[..at], text.len() - at)
}

/// A line without the times at its beginning: the kubelet's and the program's own.
fn stem(line: &str) -> &str {
    without_time(without_time(line))
}

/// Takes off a date and a time, as `2026-01-01T00:00:00Z`, `[2026/01/01 00:00:00]` or `I0101 00:00:00.000`. A number that
/// is no time stays: it may be what tells two lines apart.
fn without_time(line: &str) -> &str {
    let of_time = |c: char| c.is_ascii_digit() || "-:.,/+TZ[]".contains(c);
    let of_klog = |token: &str| token.len() == 5 && token.starts_with(['I', 'W', 'E', 'F']);
    let mut rest = line.trim_start();
    for _ in 0..2 {
        let (token, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let digits = if of_klog(token) { &token[1..] } else { token };
        if digits.is_empty() || !digits.chars().all(of_time) {
            return line;
        }
        rest = after.trim_start();
        if token.matches(':').count() >= 2 {
            return rest;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Line, fold, newest, shares, size, stem};

    #[test]
    fn repeated_lines_are_folded_whatever_their_time() {
        let lines = [
            "2026-01-01T00:00:00.1Z 2026/01/01 00:00:00 dial failed",
            "2026-01-01T00:00:01.1Z 2026/01/01 00:00:01 dial failed",
            "2026-01-01T00:00:02.1Z ok",
        ];
        let folded = fold(lines);
        assert_eq!(folded.iter().map(|line| line.times).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(folded[0].text, lines[0]);
        assert_eq!(stem("I0101 00:00:00.123456 1 main.go:1] x"), "1 main.go:1] x");
        assert_eq!(stem("[2026-01-01 00:00:00,123] x"), "x");
        assert_eq!(fold(["200 GET /", "500 GET /", "10 20 x"]).len(), 3, "numbers are no times");
    }

    #[test]
    fn the_newest_lines_stay() {
        let lines = fold(["one", "two", "two", "three"]);
        assert_eq!(newest(&lines, "", 15).text, "two (x2)\nthree\n");
        assert_eq!(newest(&lines, "", 14).text, "three\n");
        assert_eq!(newest(&lines, "", 14).left_out, 3);
        assert_eq!(newest(&lines, "p| ", 100).text, "p| one\np| two (x2)\np| three\n");
        let long = [Line { text: "é".repeat(2000), times: 1 }];
        let fitted = newest(&long, "", 10);
        assert!(fitted.text.len() < 1100 && fitted.text.ends_with("… (+2976 bytes)\n"), "{}", fitted.text);
        assert_eq!(size(&lines, "p| "), 28);
    }

    #[test]
    fn small_parts_leave_room_to_large_ones() {
        assert_eq!(shares(&[10, 1000, 1000], 100), [10, 45, 45]);
        assert_eq!(shares(&[5, 5], 100), [5, 5]);
        assert_eq!(shares(&[], 100), Vec::<usize>::new());
    }
}
