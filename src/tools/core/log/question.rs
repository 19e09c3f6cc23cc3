//! What `pods_log` is asked: checked arguments, and which lines of a log they mean.

use std::fmt;
use std::time::{Duration, Instant};

use regex::bytes::{Regex, RegexBuilder};

use crate::model::{Failure, names};
use crate::output::scrub_text;
use crate::pool::LogRequest;
use crate::tools::{age, arguments, lines};

use super::Args;

/// Lines per pod unless the caller asks.
const TAIL: u32 = 100;
/// Lines per pod to begin with, where it is followed, unless the caller asks.
const FOLLOW_TAIL: u32 = 10;
/// Seconds that a log is followed, at most.
const MAX_FOLLOW: u64 = 30;
/// Lines per pod, at most; also what `grep` searches.
pub(super) const MAX_TAIL: u32 = 10_000;
/// Bytes of the answer unless the caller asks.
const BYTES: usize = 8 * 1024;
/// Bytes of the answer, at most: what the ceiling of an answer leaves beside its notes.
const MAX_BYTES: usize = 24 * 1024;
/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 256;
/// Memory that a compiled pattern may take, in bytes.
const MAX_REGEX: usize = 64 * 1024;
/// Bytes of a line that are searched.
const MAX_SEARCHED: usize = 16 * 1024;

/// A checked question.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) which: Which,
    pub(super) namespace: Option<String>,
    pub(super) container: Option<String>,
    pub(super) pick: Pick,
    pub(super) previous: bool,
    pub(super) since: Option<u64>,
    pub(super) timestamps: bool,
    pub(super) bytes: usize,
    /// How long what is added is waited for.
    pub(super) follow: Option<Duration>,
    /// Lines to begin with, where it is followed.
    tail: u32,
}

/// Which lines of a log are wanted.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    pub(super) tail: u32,
    pub(super) grep: Option<Regex>,
}

/// Whose logs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Which {
    Pod(String),
    Workload { kind: String, name: String },
    Selector(String),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => write!(f, "pod {name}"),
            Self::Workload { kind, name } => write!(f, "{kind}/{name}"),
            Self::Selector(selector) => write!(f, "pods with {selector}"),
        }
    }
}

impl Question {
    pub(super) fn read(args: Args) -> Result<Self, Failure> {
        let wrong = |error: names::NameError| Failure::arguments(error.to_string());
        let container = args.container.filter(|name| !name.is_empty());
        if let Some(container) = &container {
            names::object(container).map_err(wrong)?;
        }
        let follow = args.follow.filter(|follow| !follow.is_empty());
        let follow = follow.map(|follow| age::span("follow", &follow)).transpose()?;
        let previous = args.previous.unwrap_or_default();
        if follow.is_some_and(|seconds| seconds > MAX_FOLLOW) {
            return Err(Failure::arguments(format!("follow must be at most {MAX_FOLLOW}s")));
        }
        if follow.is_some() && previous {
            return Err(Failure::arguments("follow and previous exclude each other").hint("Leave one of them out"));
        }
        let usual = if follow.is_some() { FOLLOW_TAIL } else { TAIL };
        let tail = args.tail.filter(|tail| *tail > 0).unwrap_or(usual);
        if tail > MAX_TAIL {
            return Err(Failure::arguments(format!("tail must be an integer from 0 to {MAX_TAIL}")));
        }
        let bytes = args.limit_bytes.map_or(Some(BYTES), |bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|bytes| (256..=MAX_BYTES).contains(bytes));
        let since = args.since.filter(|since| !since.is_empty());
        Ok(Self {
            which: Which::read(args.name, args.label_selector)?,
            namespace: arguments::namespace(args.namespace)?,
            container,
            pick: Pick {
                tail: if follow.is_some() { MAX_TAIL } else { tail },
                grep: args.grep.filter(|pattern| !pattern.is_empty()).map(|pattern| compile(&pattern)).transpose()?,
            },
            previous,
            follow: follow.map(Duration::from_secs),
            tail,
            since: since.map(|since| age::span("since", &since)).transpose()?,
            timestamps: args.timestamps.unwrap_or_default(),
            bytes: bytes
                .ok_or_else(|| Failure::arguments(format!("limitBytes must be an integer from 256 to {MAX_BYTES}")))?,
        })
    }

    /// What is asked of the server: with `grep`, all lines that are searched; those to begin with where it is followed.
    pub(super) fn request(&self, container: Option<String>, limit_bytes: u64) -> LogRequest {
        LogRequest {
            container,
            previous: self.previous,
            tail: match (&self.follow, &self.pick.grep) {
                (Some(_), _) => self.tail,
                (None, Some(_)) => MAX_TAIL,
                (None, None) => self.pick.tail,
            },
            since: self.since,
            timestamps: self.timestamps,
            limit_bytes,
        }
    }
}

/// Lines that were picked.
#[derive(Debug, Default)]
pub(super) struct Picked {
    pub(super) lines: Vec<lines::Line>,
    /// True when older lines were not searched, for want of time.
    pub(super) unsearched: bool,
}

impl Pick {
    /// The newest lines that are wanted, folded. Credentials are masked first, before a cut could hide what they are.
    pub(super) fn of(&self, log: &str, until: Instant) -> Picked {
        let clean = scrub_text(log);
        let tail = usize::try_from(self.tail).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        let mut unsearched = false;
        for line in clean.lines().rev().filter(|line| !line.is_empty()) {
            if found.len() >= tail {
                break;
            }
            unsearched = self.grep.is_some() && Instant::now() >= until;
            if unsearched {
                break;
            }
            let searched = line.as_bytes().get(..MAX_SEARCHED).unwrap_or(line.as_bytes());
            if self.grep.as_ref().is_none_or(|grep| grep.is_match(searched)) {
                found.push(line);
            }
        }
        Picked { lines: lines::fold(found.into_iter().rev()), unsearched }
    }
}

impl Which {
    fn read(name: Option<String>, selector: Option<String>) -> Result<Self, Failure> {
        let name = name.filter(|name| !name.is_empty());
        match (name, arguments::label_selector(selector)?) {
            (Some(name), None) => Self::named(&name),
            (None, Some(selector)) => Ok(Self::Selector(selector)),
            (Some(_), Some(_)) | (None, None) => {
                Err(Failure::arguments("either name or labelSelector says whose logs are wanted")
                    .hint("As name=web-1, name=deployment/web or labelSelector=app=web"))
            }
        }
    }

    fn named(text: &str) -> Result<Self, Failure> {
        let (kind, name) = text.split_once('/').unwrap_or(("pod", text));
        names::object(name).map_err(|error| Failure::arguments(error.to_string()))?;
        arguments::kind(kind, None)?;
        Ok(match kind.to_ascii_lowercase().as_str() {
            "pod" | "pods" | "po" => Self::Pod(name.to_owned()),
            kind => Self::Workload { kind: kind.to_owned(), name: name.to_owned() },
        })
    }
}

/// Patterns are over bytes, with the classes of ASCII: small, and linear in time.
fn compile(pattern: &str) -> Result<Regex, Failure> {
    if pattern.len() > MAX_PATTERN {
        return Err(Failure::arguments(format!("grep is longer than {MAX_PATTERN} bytes")));
    }
    let built = RegexBuilder::new(pattern).unicode(false).size_limit(MAX_REGEX).dfa_size_limit(16 * MAX_REGEX).build();
    built.map_err(|_| {
        Failure::arguments(format!("grep {} is no regular expression that can be used", names::quote(pattern)))
            .hint("Write it as error|timeout; it has no look-around and no back references")
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    use super::{Question, Which};
    use crate::model::Failure;
    use crate::tools::lines;

    fn question(args: Value) -> Result<Question, Failure> {
        Question::read(serde_json::from_value(args).unwrap())
    }

    #[test]
    fn a_question_says_whose_logs() {
        let which = |args: Value| question(args).map(|question| question.which);
        assert_eq!(which(json!({"name": "web-1"})).unwrap(), Which::Pod("web-1".into()));
        assert_eq!(which(json!({"name": "po/web-1"})).unwrap(), Which::Pod("web-1".into()));
        let workload = Which::Workload { kind: "deployment".into(), name: "web".into() };
        assert_eq!(which(json!({"name": "Deployment/web"})).unwrap(), workload);
        assert_eq!(which(json!({"labelSelector": "app=web"})).unwrap(), Which::Selector("app=web".into()));
        for bad in [
            json!({}),
            json!({"name": "a", "labelSelector": "b=c"}),
            json!({"name": "deployment/../x"}),
            json!({"name": "/x"}),
            json!({"name": "a", "tail": 10_001}),
            json!({"name": "a", "since": "soon"}),
            json!({"name": "a", "limitBytes": 1}),
            json!({"name": "a", "limitBytes": 1_000_000}),
            json!({"name": "a", "container": "a/b"}),
            json!({"name": "a", "follow": "31s"}),
            json!({"name": "a", "follow": "soon"}),
            json!({"name": "a", "follow": "5s", "previous": true}),
            json!({"name": "a", "grep": "("}),
            json!({"name": "a", "grep": "x".repeat(257)}),
            json!({"name": "a", "grep": "(?:a{1000}){1000}"}),
        ] {
            assert!(question(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn defaults_are_bounded() {
        let asked = question(json!({"name": "a", "tail": 0, "since": "10m"})).unwrap();
        let request = asked.request(None, 9);
        assert_eq!((request.tail, request.since, request.limit_bytes, asked.bytes), (100, Some(600), 9, 8192));
        let searched = question(json!({"name": "a", "tail": 2, "grep": "e"})).unwrap();
        assert_eq!(searched.request(None, 9).tail, 10_000);
        let followed = question(json!({"name": "a", "follow": "10s", "grep": "e"})).unwrap();
        assert_eq!((followed.request(None, 9).tail, followed.pick.tail), (10, 10_000));
        assert_eq!(followed.follow, Some(Duration::from_secs(10)));
    }

    #[test]
    fn lines_are_searched_and_tokens_masked_before_anything_is_cut() {
        let log = "one error\ntwo\nthree error\n\nfour error\nkey -----BEGIN RSA PRIVATE KEY-----\nsecret error\n";
        let asked = question(json!({"name": "a", "tail": 2, "grep": "error|key"})).unwrap();
        let picked = asked.pick.of(log, Instant::now() + Duration::from_secs(60));
        assert_eq!(lines::newest(&picked.lines, "", 1000).text, "four error\nkey <masked private key>\n");
        assert!(!picked.unsearched);
        let late = asked.pick.of(log, Instant::now());
        assert!(late.unsearched && late.lines.is_empty(), "no time is left");
    }

    #[test]
    fn patterns_of_everyday_fit_their_bound() {
        for (pattern, line) in [
            (r"(?i)error|warn(ing)?\b", "WARNING: x"),
            (r"status=5\d\d", "a status=503 b"),
            (r"^\S+ \[\w+\] .{3,80}é", "x [main] 12345é"),
        ] {
            assert!(super::compile(pattern).unwrap().is_match(line.as_bytes()), "{pattern}");
        }
    }
}
