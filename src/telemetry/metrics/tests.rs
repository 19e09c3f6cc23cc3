use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::{BreakerState, CLUSTERS, Metrics, Scrape, class, route};
use crate::telemetry::metric;

const TOOK: Duration = Duration::from_millis(3);

fn scrape(metrics: &Metrics, breakers: Vec<(&str, BreakerState)>) -> String {
    metrics.scrape(&Scrape { generation: 7, reload_failed: true, breakers })
}

/// A `Metrics` in which everything was counted once.
fn counted() -> Metrics {
    let metrics = Metrics::default();
    metrics.call("pods_list", "ok", TOOK);
    metrics.call("pods_list", "denied", TOOK);
    metrics.request("POST", "/mcp", 200, TOOK);
    metrics.refused();
    metrics.shed();
    metrics.decision("allowed");
    metrics.upstream("c1", "list", "200", TOOK);
    metrics.exchange("corp", "1", "ok", TOOK);
    metrics.cache("discovery", true);
    metrics.cache("discovery", false);
    metrics.reload(true);
    metrics.reload(false);
    metrics
}

#[test]
fn the_exposition_holds_the_list_and_nothing_else() {
    let text = scrape(&counted(), vec![("c1", BreakerState::Open)]);
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let listed: BTreeSet<&str> =
        metric::ALL.iter().map(|spec| spec.name.trim_end_matches("_total").trim_end_matches("_info")).collect();
    assert_eq!(families, listed);
    for spec in metric::ALL {
        let sample = |line: &str| line.strip_prefix(spec.name).is_some_and(|rest| rest.starts_with(['{', ' ', '_']));
        assert!(text.lines().any(sample), "{} has no sample in\n{text}", spec.name);
        assert_eq!(spec.unit == "seconds", spec.name.ends_with("_seconds"), "{}", spec.name);
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn calls_are_counted_under_both_names() {
    let text = scrape(&counted(), Vec::new());
    for line in [
        "kubeferry_tool_calls_total{tool=\"pods_list\",outcome=\"ok\"} 1",
        "kubeferry_tool_calls_total{tool=\"pods_list\",outcome=\"denied\"} 1",
        "kubeferry_tool_call_duration_seconds_count{tool=\"pods_list\"} 2",
        "k8s_mcp_tool_calls_total{tool_name=\"pods_list\"} 2",
        "k8s_mcp_tool_errors_total{tool_name=\"pods_list\"} 1",
        "k8s_mcp_http_requests_total{http_request_method=\"POST\",http_response_status_class=\"2xx\",url_path=\"/mcp\"} 1",
        "kubeferry_inventory_generation 7",
        "kubeferry_inventory_reload_total{result=\"refused\"} 1",
        "kubeferry_reload_failed 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn labels_are_bounded_whatever_is_asked() {
    let metrics = Metrics::default();
    for n in 0..CLUSTERS + 50 {
        metrics.upstream(&format!("c{n}"), "list", "200", TOOK);
        metrics.request(&format!("M{n}"), &format!("/no/such/{n}"), 404, TOOK);
    }
    let text = scrape(&metrics, Vec::new());
    let series = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
    assert_eq!(series("kubeferry_upstream_requests_total"), CLUSTERS + 1);
    assert!(text.contains("kubeferry_upstream_requests_total{cluster=\"other\",verb=\"list\",code=\"200\"} 50\n"));
    assert_eq!(series("kubeferry_http_requests_total"), 1);
    assert_eq!(series("k8s_mcp_http_requests_total"), 1);
    assert_eq!((route("/mcp/"), route("/mcp/x"), route("/metrics")), ("/mcp", "other", "/metrics"));
    assert_eq!(route("/.well-known/oauth-protected-resource/mcp"), "/.well-known/oauth-protected-resource");
    assert_eq!((class(101), class(204), class(431), class(503)), ("1xx", "2xx", "4xx", "5xx"));
}

#[test]
fn a_connection_is_open_until_dropped() {
    let metrics = Metrics::default();
    let open = metrics.connection();
    assert!(scrape(&metrics, Vec::new()).contains("kubeferry_connections 1\n"));
    drop(open);
    assert!(scrape(&metrics, Vec::new()).contains("kubeferry_connections 0\n"));
}

#[test]
fn breakers_are_those_of_the_inventory_at_the_scrape() {
    let metrics = Metrics::default();
    let first = scrape(&metrics, vec![("c1", BreakerState::Open), ("c2", BreakerState::HalfOpen)]);
    assert!(first.contains("kubeferry_breaker_state{cluster=\"c1\"} 2\n"), "{first}");
    assert!(first.contains("kubeferry_breaker_state{cluster=\"c2\"} 1\n"), "{first}");
    let second = scrape(&metrics, vec![("c1", BreakerState::Closed)]);
    assert!(second.contains("kubeferry_breaker_state{cluster=\"c1\"} 0\n") && !second.contains("c2"), "{second}");
}

#[test]
fn the_guide_for_operators_names_every_metric() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    for spec in metric::ALL {
        assert!(page.contains(&format!("`{}`", spec.name)), "docs/guides/operations.md does not name {}", spec.name);
    }
}
