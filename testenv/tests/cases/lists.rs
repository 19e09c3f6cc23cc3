//! Lists that are long, and that change while they are read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use testenv::simulator::{Fault, samples};

use crate::lab::bench::{bad, good, names, next};
use crate::lab::case::Case;
use crate::lab::proc::holds;

/// R09.
pub async fn r09_a_list_that_changed_too_much_is_started_again(case: &Case) -> anyhow::Result<()> {
    let simulator = case.simulator().await?;
    simulator.cluster().put_all((0..30).map(|number| samples::config_map("dev", &format!("map-{number:02}"), &[])));
    let ferry = case.ferry(&case.cluster("odd", simulator.url(), simulator.ca_pem())?).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let mut question = json!({"cluster": "odd", "kind": "configmaps", "namespace": "dev", "limit": 10});
    let first = good(&client, "resources_list", question.clone()).await?;
    assert_eq!(names(&first.text).len(), 10, "{}", first.text);
    let handle = next(&first);
    assert!(handle.is_some(), "there is a second page: {:?} {}", first.structured, first.text);
    question["continue"] = handle.into();
    simulator.inject("configmaps", Fault::ExpiredContinue, None);
    let failed = bad(&client, "resources_list", question).await?;
    assert_eq!(failed.structured.clone().unwrap_or_default()["code"], "expired", "{}", failed.text);
    assert!(failed.text.contains("Start again without continue"), "{}", failed.text);
    Ok(())
}

/// R13: all pages of 10,000 pods of a usual size, one after the other.
pub async fn r13_a_list_of_ten_thousand_is_paged_in_bounded_memory(case: &Case) -> anyhow::Result<()> {
    const ALL: usize = 10_000;
    let simulator = case.simulator().await?;
    simulator.cluster().add_many(samples::many_pods(ALL, 1));
    let ferry = case.ferry(&case.cluster("odd", simulator.url(), simulator.ca_pem())?).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    good(&client, "namespaces_list", json!({"cluster": "odd"})).await?;
    let before = holds(&ferry).await?;
    let mut question = json!({"cluster": "odd", "kind": "pods", "namespace": "ns-000", "limit": 500});
    let asked = Instant::now();
    let mut page = good(&client, "resources_list", question.clone()).await?;
    assert!(asked.elapsed() < Duration::from_secs(5), "the first page took {:?}", asked.elapsed());
    let total = [ALL.to_string(), "10,000".to_owned()];
    assert!(total.iter().any(|total| page.text.contains(total)), "how many there are: {}", page.text);
    // Of each page, what is not well stands first, and comes again in its place.
    let (mut seen, mut times, mut well) = (0, BTreeMap::<_, usize>::new(), Vec::new());
    loop {
        let rows = names(&page.text);
        assert!(!rows.is_empty(), "a page without rows after {seen}: {}", page.text);
        seen += rows.len();
        rows.into_iter().for_each(|row| *times.entry(row).or_default() += 1);
        well.extend(page.text.lines().filter(|line| line.contains("\t1/1\tRunning\t")).map(str::to_owned));
        assert!(seen <= ALL + ALL / 10, "{seen} rows of {ALL} pods");
        let Some(handle) = next(&page) else { break };
        question["continue"] = handle.into();
        page = good(&client, "resources_list", question.clone()).await?;
    }
    assert_eq!(times.len(), ALL, "names in {seen} rows; the last page: {}", page.text);
    assert!(times.values().all(|times| *times <= 2), "at most ahead and in its place");
    let all_well = well.len();
    well.sort();
    well.dedup();
    assert!(all_well > ALL / 2 && well.len() == all_well, "what is well comes once: {} of {all_well}", well.len());
    let grown = holds(&ferry).await?.peak.saturating_sub(before.peak);
    assert!(grown < 32 << 10, "{grown} KiB more at most");
    Ok(())
}
