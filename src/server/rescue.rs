//! What a caller sees of a failure, and what the log does: one match over the kinds.
//!
//! A failure that a model can act on is a tool result with `isError`: one line of text, and a structured twin. Only an
//! unknown tool is a JSON-RPC error. Internal detail goes to the log, under the request id that the caller gets.

use serde_json::{Value, json};
use tracing::Level;

use crate::model::{Failure, FailureKind};
use crate::output::scrub_text;

/// Characters of the line that says what happened; with [`NEXT_CHARS`] about 80 tokens, as English has them.
const WHAT_CHARS: usize = 220;
/// Characters of the next step.
const NEXT_CHARS: usize = 160;
/// Characters of a step that somebody has to do in a realm or in the configuration: names of both stand in it.
const FIX_CHARS: usize = 400;

/// What to do with one failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Rescue {
    /// For the caller.
    pub seen: Seen,
    /// At which level it is logged.
    pub level: Level,
    /// Whether the log gets the chain of causes.
    pub log_detail: bool,
}

/// What the caller sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// A tool result with `isError`.
    ToolError {
        /// One line, at most about 80 tokens.
        text: String,
        /// `{code, kind, target?, retry_after_ms?, next?}`.
        structured: Value,
    },
    /// JSON-RPC error -32602 "Unknown tool".
    UnknownTool,
}

/// Decides. `request_id` is what an operator finds the detail by.
pub fn rescue(failure: &Failure, request_id: &str) -> Rescue {
    let (level, log_detail, next) = match failure.kind {
        FailureKind::Arguments => (Level::DEBUG, false, "Mend the arguments and call again"),
        FailureKind::UnknownTarget => (Level::DEBUG, false, "List the clusters that you may use"),
        FailureKind::UnknownTool => {
            return Rescue { seen: Seen::UnknownTool, level: Level::DEBUG, log_detail: false };
        }
        FailureKind::Denied => (Level::INFO, false, "Ask an operator for access; calling again will not help"),
        FailureKind::SignIn => (Level::INFO, false, "Sign in again"),
        FailureKind::Credential => (Level::WARN, true, "Ask an operator to look at the realm"),
        FailureKind::Refused => (Level::INFO, false, "Ask for the permission on that cluster"),
        FailureKind::NotFound => (Level::DEBUG, false, "Check the name, the namespace and the kind"),
        FailureKind::Cluster => (Level::INFO, true, "Read the cluster's message"),
        FailureKind::Unreachable => (Level::WARN, true, "Try again later, or use another cluster"),
        // One caller over its own limits must not fill the log; metrics count it.
        FailureKind::Overloaded if matches!(failure.code, "too_fast" | "too_many_calls") => {
            (Level::DEBUG, false, "Wait, then call less often")
        }
        FailureKind::Overloaded => (Level::WARN, false, "Wait, then call less often"),
        FailureKind::Internal => (Level::ERROR, true, ""),
    };
    let seen = if failure.kind == FailureKind::Internal {
        internal(failure, request_id)
    } else {
        tool_error(failure, failure.hint.as_deref().unwrap_or(next))
    };
    Rescue { seen, level, log_detail }
}

fn tool_error(failure: &Failure, next: &str) -> Seen {
    let next = one_line(next, if failure.kind == FailureKind::Credential { FIX_CHARS } else { NEXT_CHARS });
    let mut text = what(failure);
    if let Some(after) = failure.retry {
        text.push_str(&format!(" (retry after {} ms)", after.as_millis()));
    }
    if !next.is_empty() {
        text.push_str(". ");
        text.push_str(&next);
    }
    Seen::ToolError { text, structured: structured(failure, &next) }
}

/// A mistake of ours says nothing about itself but where to find it.
fn internal(failure: &Failure, request_id: &str) -> Seen {
    let next = format!("Give the request id {request_id} to an operator");
    let text = format!("an internal error. {next}");
    Seen::ToolError { text, structured: structured(failure, &next) }
}

fn what(failure: &Failure) -> String {
    let parts = [failure.target.as_deref().unwrap_or_default(), &failure.doing, &failure.cause];
    let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let line = one_line(&scrub_text(&said.join(": ")), WHAT_CHARS);
    line.trim_end_matches('.').to_owned()
}

fn structured(failure: &Failure, next: &str) -> Value {
    let mut twin = json!({"code": failure.code, "kind": failure.kind.word()});
    if let Some(target) = &failure.target {
        twin["target"] = one_line(target, WHAT_CHARS).into();
    }
    if let Some(after) = failure.retry {
        twin["retry_after_ms"] = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).into();
    }
    if !next.is_empty() {
        twin["next"] = next.into();
    }
    twin
}

/// Writes the failure to the log as decided.
pub fn log(failure: &Failure, rescue: &Rescue, tool: &str, request_id: &str) {
    let kind = failure.kind.word();
    let code = failure.code;
    let what = what(failure);
    let tool = one_line(tool, 64);
    let detail = failure.detail.as_deref().filter(|_| rescue.log_detail).map(|detail| one_line(detail, 2_000));
    let detail = detail.as_deref();
    match rescue.level {
        Level::ERROR => tracing::error!(request_id, tool, kind, code, what, detail, "call failed"),
        Level::WARN => tracing::warn!(request_id, tool, kind, code, what, detail, "call failed"),
        Level::INFO => tracing::info!(request_id, tool, kind, code, what, detail, "call failed"),
        _ => tracing::debug!(request_id, tool, kind, code, what, detail, "call failed"),
    }
}

/// One line without control and invisible characters, of at most `most` characters: names and messages come from
/// clusters, and must neither forge log lines nor hide text from people.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::with_capacity(text.len().min(most));
    let mut characters = 0;
    for word in text.split(|c: char| c.is_whitespace() || unseen(c)).filter(|word| !word.is_empty()) {
        let gap = if characters > 0 { " " } else { "" };
        let room = most - characters;
        line.extend(gap.chars().chain(word.chars()).take(room));
        characters += gap.len() + word.chars().count();
        if characters > most {
            line.pop();
            line.push('…');
            return line;
        }
    }
    line
}

/// Control characters, and those that change the direction of text or take no room.
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    use super::{NEXT_CHARS, Seen, WHAT_CHARS, one_line, rescue};
    use crate::model::{Failure, FailureKind};
    use std::time::Duration;
    use tracing::Level;

    const KINDS: [FailureKind; 12] = [
        FailureKind::Arguments,
        FailureKind::UnknownTarget,
        FailureKind::UnknownTool,
        FailureKind::Denied,
        FailureKind::SignIn,
        FailureKind::Credential,
        FailureKind::Refused,
        FailureKind::NotFound,
        FailureKind::Cluster,
        FailureKind::Unreachable,
        FailureKind::Overloaded,
        FailureKind::Internal,
    ];

    #[test]
    fn every_kind_but_an_unknown_tool_is_a_result_with_a_next_step() {
        for kind in KINDS {
            let rescue = rescue(&Failure::new(kind, "some_code", "why").target("plant-1"), "r-1");
            let Seen::ToolError { text, structured } = rescue.seen else {
                assert_eq!(kind, FailureKind::UnknownTool);
                continue;
            };
            assert_eq!(structured["code"], "some_code");
            assert_eq!(structured["kind"], kind.word());
            assert_eq!(structured["target"], "plant-1");
            let next = structured["next"].as_str().unwrap();
            assert!(!next.is_empty() && text.ends_with(next), "{kind:?}: {text}");
        }
    }

    #[test]
    fn the_text_names_target_deed_cause_retry_and_the_own_hint() {
        let failure = Failure::new(FailureKind::Unreachable, "cluster_unreachable", "no answer.")
            .target("plant-1")
            .doing("listing pods")
            .hint("Use plant-2")
            .retry(Duration::from_secs(2));
        let Seen::ToolError { text, structured } = rescue(&failure, "r-1").seen else { panic!("a result") };
        assert_eq!(text, "plant-1: listing pods: no answer (retry after 2000 ms). Use plant-2");
        assert_eq!(structured["retry_after_ms"], 2000);
    }

    #[test]
    fn a_mistake_of_ours_tells_the_request_id_and_nothing_else() {
        let rescue = rescue(&Failure::internal("the secret state of affairs").doing("inner deeds"), "r-9");
        assert_eq!((rescue.level, rescue.log_detail), (Level::ERROR, true));
        let Seen::ToolError { text, structured } = rescue.seen else { panic!("a result") };
        assert!(text.contains("r-9"), "{text}");
        assert!(!text.contains("secret") && !text.contains("deeds") && !structured.to_string().contains("secret"));
    }

    #[test]
    fn a_caller_over_its_own_limits_does_not_fill_the_log() {
        let level = |code| rescue(&Failure::new(FailureKind::Overloaded, code, "why"), "r-1").level;
        assert_eq!([level("too_fast"), level("too_many_calls")], [Level::DEBUG; 2]);
        assert_eq!(level("overloaded"), Level::WARN);
    }

    #[test]
    fn the_text_stays_short_and_in_one_line() {
        let failure = Failure::arguments("x\n".repeat(5_000)).hint("y ".repeat(5_000));
        let Seen::ToolError { text, .. } = rescue(&failure, "r-1").seen else { panic!("a result") };
        assert!(text.chars().count() <= WHAT_CHARS + NEXT_CHARS + 2, "{}", text.chars().count());
        assert!(!text.contains('\n'));
    }

    #[test]
    fn lines_hold_no_character_that_cannot_be_seen() {
        assert_eq!(one_line("a\r\nb\u{1b}[31m\u{202e}c\u{200b}d  e\u{0}", 80), "a b [31m c d e");
        assert_eq!(one_line("abcdef", 6), "abcdef");
        assert_eq!(one_line("abcdefg", 6), "abcde…");
        assert_eq!(one_line("abcdef g", 6), "abcde…");
        assert_eq!(one_line("abc defgh", 6), "abc d…");
    }
}
