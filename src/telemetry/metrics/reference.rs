//! docs/reference/metrics.md: every metric with its labels, from a process in which everything was counted once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::reference::hold;
use crate::telemetry::{BreakerState, Metrics, Scrape, metric};

/// The label names of each sample, `le` of buckets left out.
fn labels(exposition: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once([' ', '{']) else { continue };
        let inside = rest.split_once('}').map_or("", |(inside, _)| inside);
        let names = inside.split("\",").filter_map(|pair| pair.split_once('=')).map(|(name, _)| name.to_owned());
        found.insert(name.to_owned(), names.filter(|name| name != "le").collect());
    }
    found
}

#[test]
fn reference_metrics() {
    let metrics = Metrics::default();
    let took = Duration::from_millis(3);
    metrics.call("pods_list", "denied", took);
    metrics.request("POST", "/mcp", 200, took);
    metrics.decision("allowed");
    metrics.upstream("c1", "list", "200", took);
    metrics.exchange("corp", "1", "ok", took);
    metrics.cache("discovery", true);
    metrics.cache("discovery", false);
    metrics.reload(true);
    let exposition =
        metrics.scrape(&Scrape { reload_failed: false, generation: 1, breakers: vec![("c1", BreakerState::Closed)] });
    let labels = labels(&exposition);
    let kinds: BTreeMap<&str, &str> =
        exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut page = String::from(
        "# Metrics\n\nWhat `/metrics` has. Labels have few values, said in [guides/operations.md](../guides/operations.md#metrics), with who\n\
         may read them. Names that begin with `k8s_mcp_` are those of kubernetes-mcp-server.\n\n\
         | metric | kind | unit | labels | what it counts |\n|---|---|---|---|---|\n",
    );
    for spec in metric::ALL {
        let base = spec.name.trim_end_matches("_total").trim_end_matches("_info");
        let kind = kinds.get(base).unwrap_or_else(|| panic!("{} is not exposed", spec.name));
        let of =
            labels.iter().find(|(name, _)| name.as_str() == spec.name || **name == format!("{}_bucket", spec.name));
        let names = of.map(|(_, names)| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "));
        let names = names.unwrap_or_else(|| panic!("{} has no sample", spec.name));
        let unit = if spec.unit == "1" { "" } else { spec.unit };
        page.push_str(&format!("| `{}` | {kind} | {unit} | {names} | {} |\n", spec.name, spec.help));
    }
    hold("metrics", &page);
}
