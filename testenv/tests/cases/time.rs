//! Streams that end early, and clocks that differ.

use std::time::Duration;

use serde_json::json;
use testenv::mcp::{Client, Era};
use testenv::poll;
use testenv::simulator::{Fault, SimConfig, samples};
use testenv::world::RESOURCE;

use crate::lab::bench::{bad, good};
use crate::lab::case::Case;

/// How far clocks differ, in seconds.
const SKEW: i32 = 600;
/// The same in minutes, for events.
const MINUTES: i64 = 10;

/// R24: a log is followed, some lines come, then the stream breaks.
pub async fn r24_a_cut_stream_says_why_it_ended(case: &Case) -> anyhow::Result<()> {
    const NAMESPACE: &str = "dev";
    let simulator = case.simulator().await?;
    let cluster = simulator.cluster();
    cluster.put(samples::node("node-1", true));
    cluster.put(samples::pod(NAMESPACE, "web", "web", "node-1"));
    let log = cluster.log(NAMESPACE, "web", "app");
    log.append_all("first\nsecond\n");
    let ferry = case.ferry(&case.cluster("odd", simulator.url(), simulator.ca_pem())?).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    let question =
        json!({"cluster": "odd", "namespace": NAMESPACE, "name": "web", "container": "app", "follow": "20s"});
    let followed = good(&client, "pods_log", question.clone());
    let ends = async {
        let seen = || async {
            if simulator.requests().iter().any(|seen| seen.target.contains("/log")) {
                Ok(())
            } else {
                Err("no request".to_owned())
            }
        };
        poll::until("the log to be followed", Duration::from_secs(10), seen).await?;
        log.append("third");
        log.close();
        anyhow::Ok(())
    };
    let (followed, ended) = futures::join!(followed, ends);
    ended?;
    let followed = followed?;
    assert!(followed.text.starts_with("# the stream ended: "), "{}", followed.text);
    assert!(followed.text.contains("first") && followed.text.contains("third"), "{}", followed.text);
    let log = cluster.log(NAMESPACE, "web", "app");
    log.append_all(&(0..40).map(|number| format!("line {number}\n")).collect::<String>());
    simulator.inject("/log", Fault::Reset { after: 64 }, None);
    let cut = good(&client, "pods_log", question).await?;
    assert!(cut.text.starts_with("# the stream was cut by the API server: "), "{}", cut.text);
    Ok(())
}

/// R25: API servers ten minutes ahead and ten minutes behind.
pub async fn r25_a_clock_that_is_off_costs_short_tokens_only(case: &Case) -> anyhow::Result<()> {
    let ahead = case.simulator_at(SimConfig::kubernetes(), SKEW).await?;
    let behind = case.simulator_at(SimConfig::kubernetes(), -SKEW).await?;
    for simulator in [&ahead, &behind] {
        simulator.cluster().put(samples::event("dev", "web", "Warning", "BackOff", "from the future", -MINUTES));
        simulator.cluster().put(samples::event("dev", "job", "Normal", "Pulled", "from the past", MINUTES));
    }
    let clusters = case.cluster("ahead", ahead.url(), ahead.ca_pem())?;
    let clusters = clusters + &case.cluster("behind", behind.url(), behind.ca_pem())?;
    let ferry = case.ferry(&clusters).await?;
    let client = case.client(&ferry, "corp", "alice").await?;
    for cluster in ["ahead", "behind"] {
        good(&client, "namespaces_list", json!({"cluster": cluster})).await?;
        let events = good(&client, "events_list", json!({"cluster": cluster})).await?;
        assert!(events.text.contains("from the future") && events.text.contains("from the past"), "{}", events.text);
        assert!(!events.text.contains("-10m") && !events.text.contains("\t-"), "no negative age: {}", events.text);
    }
    let token = case.world.realms.token("corp", "alice", RESOURCE).audiences(&[RESOURCE, "corp-1"]).aged(0, 300).mint();
    case.remember(&token);
    let short = Client::http(ferry.url(), Some(&token), Era::Modern).await?;
    good(&short, "namespaces_list", json!({"cluster": "behind"})).await?;
    let refused = bad(&short, "namespaces_list", json!({"cluster": "ahead"})).await?;
    assert!(
        refused.text.starts_with("ahead: ") && refused.text.contains("does not accept the credential"),
        "{}",
        refused.text
    );
    Ok(())
}
