//! Times as API objects write them, and ages as tables show them.

use jiff::Timestamp;

/// The present, as RFC 3339 in whole seconds.
pub(super) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The moment `seconds` ago, as RFC 3339 in whole seconds.
pub(super) fn ago(seconds: i64) -> String {
    let moment = Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `3d4h` since `moment`; `<unknown>` without one, `<invalid>` for one that cannot be read or lies ahead.
pub(super) fn age(moment: Option<&str>) -> String {
    let Some(moment) = moment.filter(|moment| !moment.is_empty()) else {
        return "<unknown>".into();
    };
    match moment.parse::<Timestamp>() {
        Err(_) => "<invalid>".into(),
        Ok(moment) => human(Timestamp::now().as_second() - moment.as_second()),
    }
}

/// The rounding of `duration.HumanDuration` in apimachinery.
fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |large: i64, unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(hours / 24, 'd', hours % 24, 'h'),
        _ if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        _ if hours < 24 * 365 * 8 => two(hours / 24 / 365, 'y', hours / 24 % 365, 'd'),
        _ => format!("{}y", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_as_in_apimachinery() {
        let cases = [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (3600, "60m"),
            (3 * 3600 + 60, "3h1m"),
            (30 * 3600, "30h"),
            (50 * 3600, "2d2h"),
            (48 * 3600, "2d"),
            (400 * 86400, "400d"),
            (731 * 86400, "2y1d"),
            (9 * 365 * 86400, "9y"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(human(seconds), expected, "{seconds} s");
        }
    }

    #[test]
    fn what_is_no_time_is_said_so() {
        assert_eq!(age(None), "<unknown>");
        assert_eq!(age(Some("yesterday")), "<invalid>");
        assert_eq!(age(Some(&ago(50 * 3600))), "2d2h");
    }
}
