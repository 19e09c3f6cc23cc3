//! What this process counts, for Prometheus.
//!
//! There is no global: whoever counts holds the one [`Metrics`]. Every label comes from a closed set or is capped, and
//! none says who called or which workspace was meant, so neither callers nor clusters can make the number of series grow.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::metric::{self, Spec};

/// Names of clusters in labels, at most; later ones are counted as `other`.
const CLUSTERS: usize = 500;
/// The label value for whatever is outside its closed set.
const OTHER: &str = "other";
const ROUTES: [&str; 6] =
    ["/mcp", "/livez", "/healthz", "/readyz", "/metrics", "/.well-known/oauth-protected-resource"];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Seconds; a warm small call takes a few milliseconds, and the deadline of a call is 60 s.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0, 15.0, 60.0];

type Counts<L> = Family<L, Counter>;
type Times<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    tool: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tool {
    tool: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolName {
    tool_name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: &'static str,
    status_class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpRequest {
    http_request_method: &'static str,
    http_response_status_class: &'static str,
    url_path: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Upstream {
    cluster: Arc<str>,
    verb: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Destination {
    cluster: Arc<str>,
    verb: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cluster {
    cluster: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cache {
    cache: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exchange {
    realm: Arc<str>,
    leg: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExchangeLeg {
    realm: Arc<str>,
    leg: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

/// Whether requests may leave for a cluster, as the gauge shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// They may.
    Closed,
    /// Those of one call, to find out.
    HalfOpen,
    /// They may not.
    Open,
}

impl BreakerState {
    fn value(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// What is read at the moment of a scrape rather than counted.
#[derive(Debug)]
pub struct Scrape<'a> {
    /// The generation that new calls get.
    pub generation: u64,
    /// Whether the last reload was refused.
    pub reload_failed: bool,
    /// Each cluster of the inventory with the state of its breaker.
    pub breakers: Vec<(&'a str, BreakerState)>,
}

/// An open connection; counted until dropped.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The counts of one process.
#[derive(Debug)]
pub struct Metrics {
    /// Locked for a whole scrape, because the states of breakers are written anew for each.
    registry: Mutex<Registry>,
    calls: Counts<Call>,
    call_times: Times<Tool>,
    requests: Counts<Request>,
    request_times: Times<Route>,
    connections: Gauge,
    refused: Counter,
    shed: Counter,
    decisions: Counts<Outcome>,
    upstream: Counts<Upstream>,
    upstream_times: Times<Destination>,
    breakers: Family<Cluster, Gauge>,
    hits: Counts<Cache>,
    misses: Counts<Cache>,
    exchanges: Counts<Exchange>,
    exchange_times: Times<ExchangeLeg>,
    generation: Gauge,
    reloads: Counts<Reload>,
    reload_failed: Gauge,
    alias_calls: Counts<ToolName>,
    alias_errors: Counts<ToolName>,
    alias_times: Times<ToolName>,
    alias_requests: Counts<HttpRequest>,
    clusters: RwLock<HashSet<Arc<str>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let version = || Version { version: env!("CARGO_PKG_VERSION") };
        register(&mut registry, metric::BUILD, Info::new(version()));
        register(&mut registry, metric::ALIAS_SERVER, Info::new(version()));
        Self {
            calls: add(&mut registry, metric::CALLS, Family::default()),
            call_times: add(&mut registry, metric::CALL_DURATION, times()),
            requests: add(&mut registry, metric::HTTP_REQUESTS, Family::default()),
            request_times: add(&mut registry, metric::HTTP_DURATION, times()),
            connections: add(&mut registry, metric::CONNECTIONS, Gauge::default()),
            refused: add(&mut registry, metric::CONNECTIONS_REFUSED, Counter::default()),
            shed: add(&mut registry, metric::REQUESTS_SHED, Counter::default()),
            decisions: add(&mut registry, metric::DECISIONS, Family::default()),
            upstream: add(&mut registry, metric::UPSTREAM_REQUESTS, Family::default()),
            upstream_times: add(&mut registry, metric::UPSTREAM_DURATION, times()),
            breakers: add(&mut registry, metric::BREAKER, Family::default()),
            hits: add(&mut registry, metric::CACHE_HITS, Family::default()),
            misses: add(&mut registry, metric::CACHE_MISSES, Family::default()),
            exchanges: add(&mut registry, metric::EXCHANGES, Family::default()),
            exchange_times: add(&mut registry, metric::EXCHANGE_DURATION, times()),
            generation: add(&mut registry, metric::GENERATION, Gauge::default()),
            reloads: add(&mut registry, metric::RELOADS, Family::default()),
            reload_failed: add(&mut registry, metric::RELOAD_FAILED, Gauge::default()),
            alias_calls: add(&mut registry, metric::ALIAS_CALLS, Family::default()),
            alias_errors: add(&mut registry, metric::ALIAS_ERRORS, Family::default()),
            alias_times: add(&mut registry, metric::ALIAS_DURATION, times()),
            alias_requests: add(&mut registry, metric::ALIAS_HTTP, Family::default()),
            clusters: RwLock::default(),
            registry: Mutex::new(registry),
        }
    }
}

impl Metrics {
    /// One tool call. `tool` is a name of the catalog, or `unknown`; `outcome` is `ok`, `cancelled`, or the word of a
    /// failure's kind.
    pub fn call(&self, tool: &'static str, outcome: &'static str, took: Duration) {
        self.calls.get_or_create(&Call { tool, outcome }).inc();
        self.call_times.get_or_create(&Tool { tool }).observe(took.as_secs_f64());
        let name = ToolName { tool_name: tool };
        self.alias_calls.get_or_create(&name).inc();
        self.alias_times.get_or_create(&name).observe(took.as_secs_f64());
        if outcome != "ok" {
            self.alias_errors.get_or_create(&name).inc();
        }
    }

    /// One HTTP request; unknown methods and paths are counted as `other`.
    pub fn request(&self, method: &str, path: &str, status: u16, took: Duration) {
        let (route, status_class) = (route(path), class(status));
        self.requests.get_or_create(&Request { route, status_class }).inc();
        self.request_times.get_or_create(&Route { route }).observe(took.as_secs_f64());
        let alias = HttpRequest {
            http_request_method: METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER),
            http_response_status_class: status_class,
            url_path: route,
        };
        self.alias_requests.get_or_create(&alias).inc();
    }

    /// A connection that was taken in.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// A connection that was turned away.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// A request that was turned away with 503.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// A decision of policy: `allowed`, or the code of the refusal.
    pub fn decision(&self, outcome: &'static str) {
        self.decisions.get_or_create(&Outcome { outcome }).inc();
    }

    /// One request to an API server. `code` is from a closed set: a status, or why there is none.
    pub fn upstream(&self, cluster: &str, verb: &'static str, code: &'static str, took: Duration) {
        let cluster = self.cluster(cluster);
        self.upstream.get_or_create(&Upstream { cluster: Arc::clone(&cluster), verb, code }).inc();
        self.upstream_times.get_or_create(&Destination { cluster, verb }).observe(took.as_secs_f64());
    }

    /// One look-up in a cache.
    pub fn cache(&self, cache: &'static str, hit: bool) {
        let counts = if hit { &self.hits } else { &self.misses };
        counts.get_or_create(&Cache { cache }).inc();
    }

    /// One reload: published, or refused.
    pub fn reload(&self, published: bool) {
        let result = if published { "ok" } else { "refused" };
        self.reloads.get_or_create(&Reload { result }).inc();
    }

    /// One request to a realm's token endpoint. `leg` and `result` come from closed sets.
    pub fn exchange(&self, realm: &str, leg: &'static str, result: &'static str, took: Duration) {
        let realm = self.cluster(realm);
        self.exchanges.get_or_create(&Exchange { realm: Arc::clone(&realm), leg, result }).inc();
        self.exchange_times.get_or_create(&ExchangeLeg { realm, leg }).observe(took.as_secs_f64());
    }

    /// Everything, as OpenMetrics 1.0 text.
    pub fn scrape(&self, now: &Scrape<'_>) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.set(i64::try_from(now.generation).unwrap_or(i64::MAX));
        self.reload_failed.set(now.reload_failed.into());
        // Clusters that left the inventory must not stay.
        self.breakers.clear();
        for (cluster, state) in &now.breakers {
            let gauge = self.breakers.get_or_create_owned(&Cluster { cluster: self.cluster(cluster) });
            gauge.set(gauge.get().max(state.value()));
        }
        let mut exposition = String::new();
        text::encode(&mut exposition, &registry).expect("writing to a String cannot fail");
        exposition
    }

    /// The label for a cluster or a realm: its name while there is room for another.
    fn cluster(&self, name: &str) -> Arc<str> {
        if let Some(known) = self.clusters.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let mut clusters = self.clusters.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clusters.get(name) {
            return Arc::clone(known);
        }
        if clusters.len() >= CLUSTERS {
            return OTHER.into();
        }
        let label: Arc<str> = name.into();
        clusters.insert(Arc::clone(&label));
        label
    }
}

/// Registers a metric and gives back the handle to count with.
fn add<M: Metric + Clone>(registry: &mut Registry, spec: Spec, metric: M) -> M {
    register(registry, spec, metric.clone());
    metric
}

/// Registers a metric under its name; the encoder adds `_total`, `_info` and the unit.
fn register(registry: &mut Registry, spec: Spec, metric: impl Metric) {
    let base = ["_total", "_info"].into_iter().find_map(|end| spec.name.strip_suffix(end)).unwrap_or(spec.name);
    match base.strip_suffix("_seconds") {
        Some(base) => registry.register_with_unit(base, spec.help, Unit::Seconds, metric),
        None => registry.register(base, spec.help, metric),
    }
}

fn times<L: Clone + std::hash::Hash + Eq>() -> Times<L> {
    Family::new_with_constructor(|| Histogram::new(BUCKETS))
}

fn route(path: &str) -> &'static str {
    let below = |route: &str| path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest == "/");
    let metadata = path.strip_prefix(ROUTES[5]).is_some_and(|rest| matches!(rest, "" | "/mcp"));
    if metadata { ROUTES[5] } else { ROUTES.into_iter().find(|route| below(route)).unwrap_or(OTHER) }
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
