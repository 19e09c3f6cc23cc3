//! The names of spans, fields and metrics in one list, the set-up of the log, and the counts of this process.
//!
//! The log goes to standard error only: standard output belongs to MCP over stdio. Some libraries write whole messages at
//! their lower levels: rmcp logs parameters and results at DEBUG, kube logs response bodies at WARN. No directive can
//! open these (see [`init_logging`]).

use std::io::{IsTerminal, stderr};
use std::str::FromStr;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

mod metrics;

pub use metrics::{BreakerState, Metrics, OpenConnection, Scrape};

/// Names of spans.
pub mod span {
    /// One HTTP request, from the accepted head to the answer's head.
    pub const REQUEST: &str = "request";
    /// One tool call, on any transport.
    pub const CALL: &str = "call";
}

/// Names of fields in spans and events.
pub mod field {
    /// The request id that kubeferry made; also the header `x-request-id` of the answer.
    pub const REQUEST_ID: &str = "request_id";
    /// The request id that the client claims, cut and cleaned; for correlation only.
    pub const CLIENT_REQUEST_ID: &str = "client_request_id";
    /// The name of the tool.
    pub const TOOL: &str = "tool";
    /// The realm of the caller.
    pub const REALM: &str = "realm";
    /// The generation of `Live` that served the call.
    pub const GENERATION: &str = "generation";
}

/// The metrics in one list. docs/guides/operations.md has the same list for operators; a test compares them.
pub mod metric {
    /// What is known of a metric before it is counted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Spec {
        /// The name in the exposition, with its unit and `_total`.
        pub name: &'static str,
        /// `seconds`, or `1` for plain numbers.
        pub unit: &'static str,
        /// One line without a full stop.
        pub help: &'static str,
    }

    const fn count(name: &'static str, help: &'static str) -> Spec {
        Spec { name, unit: "1", help }
    }

    const fn time(name: &'static str, help: &'static str) -> Spec {
        Spec { name, unit: "seconds", help }
    }

    /// Tool calls by tool and outcome.
    pub const CALLS: Spec = count("kubeferry_tool_calls_total", "Tool calls by tool and outcome");
    /// Time of a tool call, by tool.
    pub const CALL_DURATION: Spec = time("kubeferry_tool_call_duration_seconds", "Time of tool calls by tool");
    /// HTTP requests by route and class of status.
    pub const HTTP_REQUESTS: Spec =
        count("kubeferry_http_requests_total", "HTTP requests by route and class of status");
    /// Time from a request's head to the answer's head, by route.
    pub const HTTP_DURATION: Spec =
        time("kubeferry_http_request_duration_seconds", "Time from the head of a request to that of its answer");
    /// Open connections.
    pub const CONNECTIONS: Spec = count("kubeferry_connections", "Open connections");
    /// Connections turned away at the cap.
    pub const CONNECTIONS_REFUSED: Spec =
        count("kubeferry_connections_refused_total", "Connections turned away because all were taken");
    /// Requests turned away with 503 because too many were in flight.
    pub const REQUESTS_SHED: Spec =
        count("kubeferry_requests_shed_total", "Requests turned away with 503 because too many were in flight");
    /// Decisions of policy by outcome.
    pub const DECISIONS: Spec =
        count("kubeferry_decisions_total", "Decisions of policy: allowed, or the code of the refusal");
    /// Requests to API servers by cluster, verb and code.
    pub const UPSTREAM_REQUESTS: Spec =
        count("kubeferry_upstream_requests_total", "Requests to API servers by cluster, verb and code");
    /// Time of requests to API servers, by cluster and verb.
    pub const UPSTREAM_DURATION: Spec =
        time("kubeferry_upstream_request_duration_seconds", "Time of requests to API servers, whole answers read");
    /// State of the breaker of a cluster.
    pub const BREAKER: Spec = count("kubeferry_breaker_state", "0 closed, 1 one call is trying, 2 open");
    /// Look-ups that found what they looked for, by cache.
    pub const CACHE_HITS: Spec = count("kubeferry_cache_hits_total", "Look-ups answered from a cache");
    /// Look-ups that had to ask a cluster, by cache.
    pub const CACHE_MISSES: Spec = count("kubeferry_cache_misses_total", "Look-ups that asked a cluster");
    /// Requests to token endpoints by realm, leg and result.
    pub const EXCHANGES: Spec =
        count("kubeferry_exchanges_total", "Requests to the token endpoints of realms by leg and result");
    /// Time of requests to token endpoints, by realm and leg.
    pub const EXCHANGE_DURATION: Spec =
        time("kubeferry_exchange_duration_seconds", "Time of requests to the token endpoints of realms");
    /// The generation of `Live` that new calls get.
    pub const GENERATION: Spec = count("kubeferry_inventory_generation", "The generation that new calls are served by");
    /// Reloads by result.
    pub const RELOADS: Spec =
        count("kubeferry_inventory_reload_total", "Reloads of the configuration: ok, or refused for mistakes");
    /// Whether the last reload was refused.
    pub const RELOAD_FAILED: Spec =
        count("kubeferry_reload_failed", "1 while the last good generation stays because a reload was refused");
    /// Which build this is.
    pub const BUILD: Spec = count("kubeferry_build_info", "Which build this is");
    /// As [`CALLS`], under the name that dashboards of kubernetes-mcp-server read.
    pub const ALIAS_CALLS: Spec = count("k8s_mcp_tool_calls_total", "Tool calls by tool");
    /// Calls that did not succeed, results with `isError` among them.
    pub const ALIAS_ERRORS: Spec = count("k8s_mcp_tool_errors_total", "Tool calls that failed, isError counted");
    /// As [`CALL_DURATION`].
    pub const ALIAS_DURATION: Spec = time("k8s_mcp_tool_duration_seconds", "Time of tool calls by tool");
    /// As [`HTTP_REQUESTS`], by method, route and class of status.
    pub const ALIAS_HTTP: Spec =
        count("k8s_mcp_http_requests_total", "HTTP requests by method, class of status and route");
    /// As [`BUILD`].
    pub const ALIAS_SERVER: Spec = count("k8s_mcp_server_info", "Which build this is");

    /// All of them.
    pub const ALL: [Spec; 24] = [
        CALLS,
        CALL_DURATION,
        HTTP_REQUESTS,
        HTTP_DURATION,
        CONNECTIONS,
        CONNECTIONS_REFUSED,
        REQUESTS_SHED,
        DECISIONS,
        UPSTREAM_REQUESTS,
        UPSTREAM_DURATION,
        BREAKER,
        CACHE_HITS,
        CACHE_MISSES,
        EXCHANGES,
        EXCHANGE_DURATION,
        GENERATION,
        RELOADS,
        RELOAD_FAILED,
        BUILD,
        ALIAS_CALLS,
        ALIAS_ERRORS,
        ALIAS_DURATION,
        ALIAS_HTTP,
        ALIAS_SERVER,
    ];
}

/// What the log is filtered by before the operator's own directives. Directives match by prefix, so `kube=…` would hold
/// for `kubeferry` too: kube is closed by [`may_hold_content`] alone.
pub const DEFAULT_DIRECTIVES: &str =
    "info,rmcp=warn,hyper=warn,hyper_util=warn,h2=warn,rustls=warn,reqwest=warn,tower=warn";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One JSON object per line.
    Json,
    /// One line of text per event.
    Text,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(LogError::Format(text.to_owned())),
        }
    }
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// An unknown format.
    #[error("unknown log format {0:?}: write auto, json or text")]
    Format(String),
    /// Directives that cannot be read.
    #[error("the log directives {directives:?} cannot be read")]
    Directives {
        /// As written.
        directives: String,
        /// What is wrong with them.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else set up the log of this process.
    #[error("the log is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends the log to standard error. `directives` (as `debug` or `kubeferry=trace,info`) come after
/// [`DEFAULT_DIRECTIVES`]; what [`may_hold_content`] says stays closed whatever they say.
///
/// # Errors
/// When the directives cannot be read, or a log is set up already.
pub fn init_logging(format: LogFormat, directives: &str) -> Result<(), LogError> {
    let json = match format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_target(true);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if json {
        Box::new(lines.json().flatten_event(true))
    } else {
        Box::new(lines.with_ansi(stderr().is_terminal()))
    };
    let closed = filter_fn(|metadata| !may_hold_content(metadata));
    tracing_subscriber::registry()
        .with(lines.with_filter(filter(directives)?.and(closed)))
        .try_init()
        .map_err(LogError::Twice)
}

fn filter(directives: &str) -> Result<EnvFilter, LogError> {
    let all = if directives.is_empty() {
        DEFAULT_DIRECTIVES.to_owned()
    } else {
        format!("{DEFAULT_DIRECTIVES},{directives}")
    };
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(all)
        .map_err(|source| LogError::Directives { directives: directives.to_owned(), source })
}

/// True for events that may carry parameters, results, bodies or headers of other people's requests.
pub fn may_hold_content(metadata: &Metadata<'_>) -> bool {
    too_low(metadata.target(), *metadata.level())
}

fn too_low(target: &str, level: Level) -> bool {
    let library = target.split("::").next().unwrap_or(target);
    match library {
        "rmcp" => level > Level::WARN,
        "kube" | "kube_client" => level > Level::ERROR,
        "h2" | "hyper" | "hyper_util" | "reqwest" | "rustls" | "tokio_tungstenite" | "tungstenite" => {
            level > Level::INFO
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{LogFormat, filter, too_low};
    use tracing::Level;

    #[test]
    fn no_default_directive_matches_our_own_modules() {
        let targets = super::DEFAULT_DIRECTIVES.split(',').filter_map(|directive| directive.split_once('='));
        assert!(targets.into_iter().all(|(target, _)| !"kubeferry".starts_with(target)));
    }

    #[test]
    fn libraries_that_log_content_stay_closed() {
        assert!(too_low("rmcp::service", Level::DEBUG) && too_low("rmcp", Level::INFO));
        assert!(!too_low("rmcp::service", Level::WARN));
        assert!(too_low("kube_client::client", Level::WARN) && !too_low("kube_client::client", Level::ERROR));
        assert!(!too_low("kubeferry::server", Level::TRACE));
    }

    #[test]
    fn directives_are_read_after_the_defaults() {
        let all = filter("debug,kubeferry=trace").unwrap().to_string();
        assert!(all.contains("rmcp=warn") && all.contains("kubeferry=trace") && all.contains("debug"), "{all}");
        assert!(filter("kubeferry=loud").is_err());
        assert!("yaml".parse::<LogFormat>().is_err());
    }
}
