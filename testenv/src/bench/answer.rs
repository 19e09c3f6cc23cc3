//! Answers: what is in them, what they weigh, and whether they are right.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// What a model gets to see of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The text blocks, joined.
    pub text: String,
    /// `structuredContent`, or the list of tools, as compact JSON; empty when there is none.
    pub structured: String,
}

impl Answer {
    /// Reads the body of an answer: one JSON-RPC message, or the first event of an event stream.
    ///
    /// # Errors
    /// When it is neither, a JSON-RPC error, or says `isError`.
    pub fn read(body: &[u8]) -> anyhow::Result<Self> {
        let body = std::str::from_utf8(body).context("an answer that is no text")?;
        let event = body.lines().filter_map(|line| line.strip_prefix("data:")).find(|data| !data.trim().is_empty());
        let message: Value = serde_json::from_str(event.unwrap_or(body)).context("an answer that is no JSON")?;
        let result = message.get("result").with_context(|| format!("no result: {}", short(body)))?;
        if result["isError"] == true {
            bail!("isError: {}", short(body));
        }
        let blocks = result["content"].as_array().into_iter().flatten();
        let text: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
        let structured = [&result["structuredContent"], &result["tools"]].into_iter().find(|value| !value.is_null());
        Ok(Self { text: text.join("\n"), structured: structured.map(Value::to_string).unwrap_or_default() })
    }

    /// The cells below NAME in a table; lines that begin with `#` are not part of it.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let mut lines = self.text.lines().filter(|line| !line.starts_with('#'));
        let at = lines.by_ref().find_map(|line| line.split_whitespace().position(|cell| cell == "NAME"));
        let Some(at) = at else { return BTreeSet::new() };
        lines.filter_map(|line| line.split_whitespace().nth(at)).map(str::to_owned).collect()
    }

    /// What a list of pods by workload says of itself, as "500 pods of this page in 50 groups by name".
    #[must_use]
    pub fn groups(&self) -> Option<String> {
        let notes = self.text.lines().filter_map(|line| line.strip_prefix("# "));
        let said = notes.filter_map(|note| note.split(',').next()).find(|said| said.ends_with(" groups by name"));
        said.map(str::to_owned)
    }

    /// The handle that leads to the rest of a list.
    #[must_use]
    pub fn rest(&self) -> Option<&str> {
        let (_, after) = self.text.rsplit_once("continue=")?;
        after.split_whitespace().next()
    }

    /// What a model pays for it: tokens in the encoding `o200k_base`.
    #[must_use]
    pub fn tokens(&self) -> usize {
        let count = |text: &str| tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len();
        count(&self.text) + count(&self.structured)
    }
}

/// The quick look at every answer of a run: a result, no error, and `marker` in it.
///
/// # Errors
/// When one of them is not so, with the beginning of the answer.
pub fn check(body: &[u8], marker: &str) -> anyhow::Result<()> {
    let body = std::str::from_utf8(body).context("an answer that is no text")?;
    // An answer of an API server has no result around it, but rows.
    ensure!(body.contains("\"result\"") || body.contains("\"rows\""), "no result: {}", short(body));
    ensure!(!body.contains("\"isError\":true"), "isError: {}", short(body));
    ensure!(body.contains(marker), "no {marker} in the answer: {}", short(body));
    Ok(())
}

fn short(body: &str) -> String {
    body.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str, is_error: bool) -> String {
        let result = serde_json::json!({"content": [{"type": "text", "text": text}], "isError": is_error});
        serde_json::json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string()
    }

    #[test]
    fn both_forms_of_a_table_give_the_same_names() {
        let ours =
            "# cluster bench\nNAME\tSTATUS\na\tActive\nb\tActive\n# 2 of 9 shown; repeat the call with continue=xyz\n";
        let theirs = "APIVERSION   KIND   NAME  STATUS\nv1   Namespace   a   Active\nv1   Namespace   b   Active\n";
        let ours = Answer::read(body(ours, false).as_bytes()).unwrap();
        let event = format!("event: message\ndata: {}\n\n", body(theirs, false));
        let theirs = Answer::read(event.as_bytes()).unwrap();
        assert_eq!(ours.names(), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert_eq!(ours.names(), theirs.names());
        assert_eq!((ours.rest(), theirs.rest()), (Some("xyz"), None));
        assert!(ours.tokens() > 10 && ours.groups().is_none());
        let text = "# 90 pods of this page in 9 groups by name, all well; more\nPODS\tSTATUS\nweb-*\t90 Running\n";
        let grouped = Answer::read(body(text, false).as_bytes()).unwrap();
        assert_eq!(grouped.groups().as_deref(), Some("90 pods of this page in 9 groups by name"));
        assert_eq!(grouped.names(), BTreeSet::new());
    }

    #[test]
    fn errors_are_seen() {
        assert!(Answer::read(body("no", true).as_bytes()).is_err());
        assert!(Answer::read(br#"{"error":{"code":-32603}}"#).is_err());
        assert!(check(body("a b", true).as_bytes(), "a").is_err());
        assert!(check(body("a b", false).as_bytes(), "missing").is_err());
        assert!(check(br#"{"kind":"Status","message":"a"}"#, "a").is_err());
        check(body("a b", false).as_bytes(), "a").unwrap();
    }
}
