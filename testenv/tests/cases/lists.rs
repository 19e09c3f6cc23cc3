//! Lists that are long, and that change while they are read.

use std::time::{Duration, Instant};

use serde_json::json;
use testenv::mcp::Called;
use testenv::simulator::{Fault, samples};

use crate::lab::bench::{bad, good, names};
use crate::lab::case::Case;
use crate::lab::proc::holds;

/// The handle of the next page, as an answer tells it.
fn next(answer: &Called) -> Option<String> {
    let rest = answer.text.split_once("continue=")?.1;
    Some(rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).next()?.to_owned())
}

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

/// R13: pages of 10,000 objects, one after the other.
pub async fn r13_a_list_of_ten_thousand_is_paged_in_bounded_memory(case: &Case) -> anyhow::Result<()> {
    const ALL: usize = 10_000;
    let simulator = case.simulator().await?;
    simulator
        .cluster()
        .put_all((0..ALL).map(|number| samples::config_map("dev", &format!("map-{number:05}"), &[("k", "v")])));
    let ferry = case.ferry(&case.cluster("odd", simulator.url(), simulator.ca_pem())?).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    good(&client, "namespaces_list", json!({"cluster": "odd"})).await?;
    let before = holds(&ferry).await?;
    let mut question = json!({"cluster": "odd", "kind": "configmaps", "namespace": "dev"});
    let asked = Instant::now();
    let mut page = good(&client, "resources_list", question.clone()).await?;
    assert!(asked.elapsed() < Duration::from_secs(5), "the first page took {:?}", asked.elapsed());
    let total = [ALL.to_string(), "10,000".to_owned()];
    assert!(total.iter().any(|total| page.text.contains(total)), "how many there are: {}", page.text);
    let mut seen = names(&page.text);
    for _ in 0..10 {
        question["continue"] = next(&page).into();
        page = good(&client, "resources_list", question.clone()).await?;
        seen.extend(names(&page.text));
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert!(
        seen.len() >= 500 && once.len() == seen.len(),
        "{} of {} rows are there twice",
        seen.len() - once.len(),
        seen.len()
    );
    let grown = holds(&ferry).await?.memory.saturating_sub(before.memory);
    assert!(grown < 32 << 10, "{grown} KiB more");
    Ok(())
}
