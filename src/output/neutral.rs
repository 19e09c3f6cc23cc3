//! Makes foreign text harmless: what a cluster sends is data, and must not drive a terminal or hide words from a reader.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

/// What a removed character leaves behind, so that a reader sees that something was there.
const REPLACEMENT: char = '\u{FFFD}';
/// An operating system command (`ESC ] …`) is swallowed up to this many characters; a longer one loses its introducer
/// only, so that it cannot hide the rest of a log.
const MAX_COMMAND: usize = 256;

/// `text` without ANSI escape sequences and without control, bidirectional, tag and invisible characters. `\n` and `\t`
/// stay, `\r\n` becomes `\n`; every other such character becomes U+FFFD, runs of them one.
pub fn neutralise(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_dangerous(c) || c == '\r') {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            '\u{9b}' => skip_parameters(&mut rest),
            '\r' if rest.peek() == Some(&'\n') => {}
            c if c == '\r' || is_dangerous(c) => {
                if !clean.ends_with(REPLACEMENT) {
                    clean.push(REPLACEMENT);
                }
            }
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

/// A table cell: neutralised, on one line, without tabs.
pub fn cell(text: &str) -> Cow<'_, str> {
    let clean = neutralise(text);
    if clean.contains(['\n', '\t', '\u{2028}', '\u{2029}']) {
        Cow::Owned(clean.replace(['\n', '\t', '\u{2028}', '\u{2029}'], " "))
    } else {
        clean
    }
}

fn is_dangerous(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
        || matches!(c,
            // Bidirectional marks, embeddings, overrides and isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Invisible: zero-width space, word joiner and invisible operators, byte order mark, interlinear marks.
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Tags and the variation selectors supplement: whole sentences can be written in these unseen.
            | '\u{e0000}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

fn skip_escape(rest: &mut Peekable<Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_parameters(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => skip_command(rest),
        Some(c) if ('\u{20}'..='\u{7e}').contains(c) => {
            rest.next();
        }
        Some(_) | None => {}
    }
}

/// Parameters and the final byte of a control sequence (ECMA-48 5.4).
fn skip_parameters(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
    rest.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
}

/// A string command, up to BEL or `ESC \`.
fn skip_command(rest: &mut Peekable<Chars<'_>>) {
    let mut ahead = rest.clone();
    for _ in 0..MAX_COMMAND {
        match ahead.next() {
            Some('\u{7}' | '\u{9c}') => {
                *rest = ahead;
                return;
            }
            Some('\u{1b}') => {
                ahead.next_if_eq(&'\\');
                *rest = ahead;
                return;
            }
            Some('\n') | None => break,
            Some(_) => {}
        }
    }
    rest.next();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{cell, is_dangerous, neutralise};

    #[test]
    fn escapes_and_hidden_characters_go() {
        assert_eq!(neutralise("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(neutralise("a\u{1b}]0;title\u{7}b"), "ab");
        assert_eq!(neutralise("a\u{1b}]8;;https://x\u{1b}\\b"), "ab");
        assert_eq!(neutralise("a\u{1b}]never ended\nnext"), "anever ended\nnext");
        assert_eq!(neutralise("user\u{202e}nimda\u{2069}"), "user\u{fffd}nimda\u{fffd}");
        assert_eq!(neutralise("x\u{e0069}\u{e0067}\u{e006e}y"), "x\u{fffd}y");
        assert_eq!(neutralise("a\r\nb\rc\0\u{8}d"), "a\nb\u{fffd}c\u{fffd}d");
        assert_eq!(neutralise("naïve 日本 👩‍🚀\t\n"), "naïve 日本 👩‍🚀\t\n");
        assert_eq!(cell("a\nb\tc\r\nd"), "a b c d");
    }

    proptest! {
        #[test]
        fn nothing_dangerous_is_left(text in any::<String>(), tail in "[\u{1b}\u{9b}\\[\\]0-9;m\u{7}\r\n\u{202e}a]{0,40}") {
            let text = text + &tail;
            let once = neutralise(&text).into_owned();
            prop_assert!(!once.chars().any(|c| is_dangerous(c) || c == '\r'));
            prop_assert_eq!(neutralise(&once), once.as_str());
            prop_assert!(!cell(&text).contains(['\n', '\t', '\r']));
        }
    }
}
