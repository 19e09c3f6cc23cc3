//! `[limits]`: every bound with its range. What is not written is the default of the module that holds the bound.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::read::Table;
use super::settings::LimitSettings;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn seconds(from: u64, to: u64) -> RangeInclusive<Duration> {
    Duration::from_secs(from)..=Duration::from_secs(to)
}

/// For times within a cluster, where a tenth of a second can be meant.
fn tenths(to: u64) -> RangeInclusive<Duration> {
    Duration::from_millis(100)..=Duration::from_secs(to)
}

/// Puts a value that was written over the default.
fn over<T>(value: &mut T, written: Option<T>) {
    if let Some(written) = written {
        *value = written;
    }
}

fn small(written: Option<usize>) -> Option<u32> {
    written.and_then(|number| u32::try_from(number).ok())
}

/// Reads `[limits]`.
pub(super) fn limits(root: &mut Table<'_>) -> LimitSettings {
    let mut table = root.section("limits");
    let mut settings = LimitSettings::default();
    let LimitSettings { listener, calls, clusters } = &mut settings;
    over(&mut listener.connections, table.number("connections", 1..=1_000_000));
    over(&mut listener.streams, small(table.number("streams", 1..=10_000)));
    over(&mut listener.in_flight, table.number("requests_in_flight", 1..=1_000_000));
    over(&mut listener.header_bytes, table.number("header_bytes", 8 * KIB..=MIB));
    over(&mut listener.header_read, table.span("header_read", seconds(1, 300)));
    over(&mut listener.body_bytes, table.number("body_bytes", KIB..=64 * MIB));
    over(&mut listener.body_read, table.span("body_read", seconds(1, 600)));
    over(&mut listener.idle, table.span("idle", seconds(1, 86_400)));
    over(&mut listener.write_stall, table.span("write_stall", seconds(1, 600)));
    over(&mut listener.json_depth, table.number("json_depth", 8..=120));
    over(&mut listener.handshake, table.span("handshake", seconds(1, 60)));
    over(&mut listener.drain, table.span("drain", seconds(1, 600)));
    over(&mut listener.sessions, table.number("sessions", 1..=100_000));
    over(&mut calls.deadline, table.span("call_deadline", seconds(1, 600)));
    over(&mut calls.per_second, small(table.number("caller_calls_per_second", 1..=1_000_000)));
    over(&mut calls.burst, small(table.number("caller_burst", 1..=1_000_000)));
    over(&mut calls.in_flight, table.number("caller_in_flight", 1..=10_000));
    over(&mut clusters.in_flight, table.number("cluster_in_flight", 1..=10_000));
    over(&mut clusters.connect, table.span("cluster_connect", tenths(30)));
    over(&mut clusters.first_byte, table.span("cluster_first_byte", tenths(300)));
    over(&mut clusters.answer, table.span("cluster_answer", tenths(600)));
    over(&mut clusters.answer_bytes, table.number("cluster_answer_bytes", MIB..=256 * MIB));
    table.done();
    settings
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::config::{Environment, LimitSettings, Loaded, parse};

    fn read(limits: &str) -> Loaded {
        let nothing = "[clusters.a]\nserver = \"https://a.example\"\nstrategy = \"none\"\n[limits]\n";
        parse(&format!("{nothing}{limits}"), Path::new("/nonexistent/c.toml"), &Environment::of(&[], None))
    }

    #[test]
    fn what_is_written_counts_and_the_rest_stays() {
        assert_eq!(read("").config.limits, LimitSettings::default());
        let loaded = read("caller_burst = 5\ncluster_connect = \"500ms\"\nbody_bytes = 0x1000\ndrain = \"1m\"\n");
        assert_eq!(loaded.problems, []);
        let mut expected = LimitSettings::default();
        expected.calls.burst = 5;
        expected.clusters.connect = Duration::from_millis(500);
        (expected.listener.body_bytes, expected.listener.drain) = (4096, Duration::from_secs(60));
        assert_eq!(loaded.config.limits, expected);
    }

    #[test]
    fn what_is_out_of_range_says_the_range() {
        let loaded = read("caller_burst = 0\ncluster_connect = \"31s\"\nbody_bytes = -1\nidle = 5\nbursts = 1\n");
        let mut said: Vec<_> =
            loaded.problems.iter().map(|found| format!("{}: {}; {}", found.key, found.what, found.fix)).collect();
        said.sort();
        assert_eq!(said.len(), 5, "{said:#?}");
        assert!(said[0].contains("limits.body_bytes: an integer where a number from 1024 to 67108864"), "{said:#?}");
        assert!(said[1].starts_with("limits.bursts: unknown key"), "{said:#?}");
        assert!(said[2].ends_with("write a number from 1 to 1000000"), "{said:#?}");
        assert_eq!(said[3], "limits.cluster_connect: 31s is out of range; write a time from 100ms to 30s");
        assert!(said[4].starts_with("limits.idle: an integer where a string"), "{said:#?}");
    }
}
