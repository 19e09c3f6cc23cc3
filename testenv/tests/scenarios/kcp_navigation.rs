//! From "what can I reach" to an object in one's team's workspace, with nothing but what earlier answers say.

use std::collections::{BTreeSet, VecDeque};

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};
use testenv::mcp::Client;

use crate::lab::bench::{bad, good};
use crate::lab::scene::Scene;

/// Calls that the way may take.
const CALLS: usize = 13;

/// A call as a `next` line has it: `tool key=value key="a value in JSON"`.
fn call(line: &str) -> anyhow::Result<(String, Value)> {
    let (tool, mut rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut arguments = Map::new();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=').with_context(|| format!("no argument: {rest}"))?;
        let (value, end) = if behind.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(behind).into_iter::<String>();
            let value = values.next().context("a value")??;
            (value, values.byte_offset())
        } else {
            let end = behind.find(' ').unwrap_or(behind.len());
            (behind[..end].to_owned(), end)
        };
        arguments.insert(name.to_owned(), value.into());
        rest = behind[end..].trim_start();
    }
    Ok((tool.to_owned(), Value::Object(arguments)))
}

fn nexts(answer: &str) -> anyhow::Result<Vec<(String, Value)>> {
    answer.lines().filter_map(|line| line.strip_prefix("# next: ")).map(call).collect()
}

/// Follows the lines of answers, the oldest first, until an object is read; the call and its answer.
async fn wander(client: &Client) -> anyhow::Result<(Value, String)> {
    let mut open = VecDeque::from([("clusters_list".to_owned(), json!({}))]);
    let mut called = BTreeSet::new();
    let mut way = Vec::new();
    while let Some((tool, arguments)) = open.pop_front() {
        if !called.insert(format!("{tool} {arguments}")) {
            continue;
        }
        ensure!(called.len() <= CALLS, "the way is too long: {way:?}");
        way.push(format!("{tool} {arguments}"));
        let answer = good(client, &tool, arguments.clone()).await?.text;
        if tool == "resources_get" {
            return Ok((arguments, answer));
        }
        for next in nexts(&answer)? {
            // An object is where the way ends.
            if next.0 == "resources_get" { open.push_front(next) } else { open.push_back(next) }
        }
    }
    anyhow::bail!("the way ends: {way:?}")
}

/// A script that knows no name gets to an object of its team.
pub async fn a_script_finds_its_way_by_what_answers_say(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let (there, read) = wander(&alice).await?;
    assert_eq!(there["cluster"], "kcp-eu:root:org:team-a", "{read}");
    let name = there["name"].as_str().context("an object has a name")?;
    assert!(read.contains("kind: ConfigMap") && read.contains(&format!("name: {name}")), "{there}: {read}");
    // Whoever has no right to anything on the way is not led astray.
    let bob = scene.client("corp", "bob").await?;
    assert!(wander(&bob).await.is_err_and(|error| error.to_string().contains("the way ends")));
    let hidden = json!({"cluster": "kcp-eu:root:org:team-a", "kind": "configmaps"});
    bad(&bob, "resources_list", hidden).await?;
    Ok(())
}

#[test]
fn lines_are_read_as_they_are_written() {
    let (tool, arguments) = call(r#"resources_list cluster=kcp-eu:root labelSelector="a in (b)" kind=x"#).unwrap();
    assert_eq!(tool, "resources_list");
    assert_eq!(arguments, json!({"cluster": "kcp-eu:root", "labelSelector": "a in (b)", "kind": "x"}));
    assert!(call("tool argument").is_err());
}
