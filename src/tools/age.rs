//! Points in time and spans of time, as Kubernetes writes them and as people read them.

use k8s_openapi::jiff::Timestamp;

use crate::model::{Failure, names};

/// Longest span that an argument may name, in seconds: a year.
const MAX_SPAN: u64 = 365 * 86_400;

/// Reads a time as Kubernetes writes it (RFC 3339).
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// How long ago `then` was, as kubectl says it: `45s`, `3m12s`, `5h`, `3d`; empty when unknown.
pub(super) fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map(|then| short(now.as_second().saturating_sub(then.as_second()))).unwrap_or_default()
}

fn short(seconds: i64) -> String {
    let two = |large: i64, unit: &str, small: i64, rest: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{rest}"),
    };
    match seconds.max(0) {
        s @ 0..120 => format!("{s}s"),
        s @ 120..600 => two(s / 60, "m", s % 60, "s"),
        s @ 600..10_800 => format!("{}m", s / 60),
        s @ 10_800..28_800 => two(s / 3600, "h", s / 60 % 60, "m"),
        s @ 28_800..172_800 => format!("{}h", s / 3600),
        s @ 172_800..691_200 => two(s / 86_400, "d", s / 3600 % 24, "h"),
        s => format!("{}d", s / 86_400),
    }
}

/// Reads a span as `45s`, `10m`, `1h30m` or `2d`, in seconds.
///
/// # Errors
/// When it is none, or longer than a year.
pub(super) fn span(name: &str, text: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::arguments(format!("{name} {} is no span of time", names::quote(text)))
            .hint("Write it as 45s, 10m, 1h30m or 2d")
    };
    let mut total: u64 = 0;
    let mut number = String::new();
    for c in text.trim().chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let count: u64 = number.parse().map_err(|_| wrong())?;
        number.clear();
        total = count.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
    }
    if number.is_empty() && (1..=MAX_SPAN).contains(&total) { Ok(total) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::{ago, parse, short, span};

    #[test]
    fn ages_are_kubectls() {
        let said: Vec<String> =
            [-5, 119, 120, 192, 3600, 10_860, 36_000, 180_000, 864_000].into_iter().map(short).collect();
        assert_eq!(said, ["0s", "119s", "2m", "3m12s", "60m", "3h1m", "10h", "2d2h", "10d"]);
        let (then, now) = (parse("2026-01-01T00:00:00.5Z"), parse("2026-01-01T00:01:00Z").unwrap());
        assert_eq!(ago(then, now), "60s");
        assert_eq!((parse("yesterday"), ago(None, now)), (None, String::new()));
    }

    #[test]
    fn spans_are_read_or_refused() {
        assert_eq!(span("since", "1h30m").unwrap(), 5400);
        assert_eq!(span("since", "2d").unwrap(), 172_800);
        for bad in ["", "10", "m", "10x", "1.5h", "-5m", "0s", "400d", "99999999999999999999s", "999999999999999999d"] {
            assert!(span("since", bad).is_err(), "{bad}");
        }
    }
}
