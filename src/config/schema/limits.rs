//! `[limits]`. The defaults are those of the modules that hold the bounds; the ranges are those of the reader, which a test
//! compares.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::read::shown;
use crate::config::settings::LimitSettings;

fn limits() -> LimitSettings {
    LimitSettings::default()
}

/// A time as `500ms`, `30s`, `5m`, `24h` or `7d`.
pub(super) struct Span;

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"})
    }
}

/// Bounds of everything. Sizes are in bytes, times have a unit. Those of the listener need a restart; those of calls and
/// clusters change with a reload.
#[derive(JsonSchema, Default)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
pub(super) struct Limits {
    /// Open connections; more are told 503 and closed. Needs a restart.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = limits().listener.connections))]
    connections: Option<usize>,
    /// HTTP/2 streams of one connection. Needs a restart.
    #[schemars(range(min = 1, max = 10_000), extend("default" = limits().listener.streams))]
    streams: Option<usize>,
    /// MCP requests in flight; more are told 503 with `Retry-After`. Needs a restart.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = limits().listener.in_flight))]
    requests_in_flight: Option<usize>,
    /// Bytes of a request's head. Needs a restart.
    #[schemars(range(min = 8_192, max = 1_048_576), extend("default" = limits().listener.header_bytes))]
    header_bytes: Option<usize>,
    /// Time for a request's head, 1s to 5m. Needs a restart.
    #[schemars(extend("default" = shown(limits().listener.header_read)))]
    header_read: Option<Span>,
    /// Bytes of a request's body. Needs a restart.
    #[schemars(range(min = 1_024, max = 67_108_864), extend("default" = limits().listener.body_bytes))]
    body_bytes: Option<usize>,
    /// Time for a request's body, 1s to 10m. Needs a restart.
    #[schemars(extend("default" = shown(limits().listener.body_read)))]
    body_read: Option<Span>,
    /// Time that a connection may stay without a request, 1s to 1d. Needs a restart.
    #[schemars(extend("default" = shown(limits().listener.idle)))]
    idle: Option<Span>,
    /// Time that a client may take no bytes of its answer, 1s to 10m. Needs a restart.
    #[schemars(extend("default" = shown(limits().listener.write_stall)))]
    write_stall: Option<Span>,
    /// Nesting of JSON in a request. Needs a restart.
    #[schemars(range(min = 8, max = 120), extend("default" = limits().listener.json_depth))]
    json_depth: Option<usize>,
    /// Time for a client's TLS handshake, 1s to 1m. Needs a restart.
    #[schemars(extend("default" = shown(limits().listener.handshake)))]
    handshake: Option<Span>,
    /// Time for calls in flight after SIGTERM, 1s to 10m. Needs a restart.
    #[schemars(extend("default" = shown(limits().listener.drain)))]
    drain: Option<Span>,
    /// MCP sessions, where `server.legacy_sessions` is on. Needs a restart.
    #[schemars(range(min = 1, max = 100_000), extend("default" = limits().listener.sessions))]
    sessions: Option<usize>,
    /// Time for one tool call, 1s to 10m.
    #[schemars(extend("default" = shown(limits().calls.deadline)))]
    call_deadline: Option<Span>,
    /// Tool calls per second of one caller, on average. A change starts everybody's count afresh.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = limits().calls.per_second))]
    caller_calls_per_second: Option<usize>,
    /// Tool calls that one caller may make in one burst after a pause.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = limits().calls.burst))]
    caller_burst: Option<usize>,
    /// Tool calls of one caller in flight.
    #[schemars(range(min = 1, max = 10_000), extend("default" = limits().calls.in_flight))]
    caller_in_flight: Option<usize>,
    /// Requests to one cluster in flight; more wait for their turn. A changed limit of clusters makes new connections.
    #[schemars(range(min = 1, max = 10_000), extend("default" = limits().clusters.in_flight))]
    cluster_in_flight: Option<usize>,
    /// Time for connecting to a cluster, TLS included, 100ms to 30s.
    #[schemars(extend("default" = shown(limits().clusters.connect)))]
    cluster_connect: Option<Span>,
    /// Time until a cluster's answer begins, 100ms to 5m.
    #[schemars(extend("default" = shown(limits().clusters.first_byte)))]
    cluster_first_byte: Option<Span>,
    /// Time for a cluster's whole answer, 100ms to 10m.
    #[schemars(extend("default" = shown(limits().clusters.answer)))]
    cluster_answer: Option<Span>,
    /// Bytes of a cluster's answer.
    #[schemars(range(min = 1_048_576, max = 268_435_456), extend("default" = limits().clusters.answer_bytes))]
    cluster_answer_bytes: Option<usize>,
}

/// A default that is a time.
pub(super) fn time(span: Duration) -> String {
    shown(span)
}
