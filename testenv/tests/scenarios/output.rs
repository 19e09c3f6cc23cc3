//! What callers read.

use serde_json::{Value, json};
use testenv::mcp::Client;

use crate::lab::bench::{bad, good, names};
use crate::lab::scene::{CANARIES, Scene};

/// Tab-separated, one header, and other forms on request.
pub async fn lists_are_narrow_tables_unless_asked(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let ask = |more: Value| {
        let mut question = json!({"cluster": "corp-1", "kind": "deployments", "namespace": "team-a"});
        for (name, value) in more.as_object().into_iter().flatten() {
            question[name] = value.clone();
        }
        question
    };
    let list = async |more: Value| anyhow::Ok(good(&alice, "resources_list", ask(more)).await?.text);
    let table = list(json!({})).await?;
    let header = table.lines().next().unwrap_or_default().to_owned();
    let columns: Vec<&str> = header.split('\t').collect();
    assert!(columns.first() == Some(&"NAME") && columns.contains(&"READY"), "{table}");
    assert!(!columns.contains(&"IMAGES"), "narrow: {table}");
    let row = table.lines().nth(1).unwrap_or_default();
    assert_eq!((row.split('\t').count(), row.split('\t').next()), (columns.len(), Some("web")), "{table}");
    assert_eq!(table.lines().count(), 2, "nothing else: {table}");

    let wide = list(json!({"format": "wide"})).await?;
    assert!(wide.contains("IMAGES") && wide.contains("registry.lab.example/web:1.0"), "{wide}");
    let picked = list(json!({"columns": "name,images"})).await?;
    assert_eq!(picked, "NAME\tIMAGES\nweb\tregistry.lab.example/web:1.0");
    let picked = bad(&alice, "resources_list", ask(json!({"columns": "colour"}))).await?;
    assert!(picked.text.contains("colour") && picked.text.contains("READY"), "{}", picked.text);
    let all = good(&alice, "resources_list", json!({"cluster": "corp-1", "kind": "deployments"})).await?.text;
    // Before the header stands how many of them are not well, where some are.
    let header = all.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    assert!(header.starts_with("NAMESPACE\tNAME\t"), "{all}");
    assert!(all.contains("team-a\tweb\t") && all.contains("team-b\tweb\t"), "{all}");

    let json = list(json!({"format": "json"})).await?;
    let read: Value = serde_json::from_str(&json).map_err(|error| anyhow::anyhow!("no JSON ({error}): {json}"))?;
    let items = read.as_array().or_else(|| read["items"].as_array()).unwrap_or_else(|| panic!("no list: {json}"));
    assert_eq!(items.len(), 1, "{json}");
    assert_eq!(items[0]["metadata"]["name"], "web", "{json}");
    assert!(items[0]["metadata"].get("managedFields").is_none(), "no noise: {json}");
    let yaml = list(json!({"format": "yaml"})).await?;
    assert!(yaml.contains("name: web") && !yaml.contains("managedFields"), "{yaml}");
    assert_eq!(list(json!({"labelSelector": "app=nothing"})).await?, "no deployments.apps in namespace team-a");
    Ok(())
}

/// Masked at one place that every form goes through.
pub async fn secret_values_never_leave(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let get = |kind: &str| json!({"cluster": "corp-1", "kind": kind, "namespace": "team-a", "name": "db"});
    for kind in ["secret", "Secret", "secrets"] {
        let object = good(&alice, "resources_get", get(kind)).await?;
        assert_clean(&format!("{} {:?}", object.text, object.structured));
        assert!(object.text.contains("password"), "the key is there: {}", object.text);
    }
    for format in ["table", "wide", "json", "yaml"] {
        for namespace in [json!("team-a"), Value::Null] {
            let question = json!({"cluster": "corp-1", "kind": "secrets", "namespace": namespace, "format": format});
            let listed = good(&alice, "resources_list", question).await?;
            assert_clean(&format!("{} {:?}", listed.text, listed.structured));
            assert!(listed.text.contains("db"), "{format}: {}", listed.text);
        }
    }
    assert_clean(&scene.ferry.log());
    Ok(())
}

fn assert_clean(text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "a Secret's value: {text}");
    }
}

/// Follows `continue` until the end; each object comes once.
pub async fn pages_show_each_object_once(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    for (tool, question) in [
        ("namespaces_list", json!({"cluster": "corp-1"})),
        ("resources_list", json!({"cluster": "corp-1", "kind": "namespaces", "format": "wide"})),
        ("resources_list", json!({"cluster": "corp-1", "kind": "clusterroles"})),
    ] {
        let mut whole = question.clone();
        whole["limit"] = 500.into();
        let whole = names(&good(&alice, tool, whole).await?.text);
        for limit in [1, 2, 5] {
            if whole.len() / limit > 20 {
                continue;
            }
            let (seen, pages) = page_through(&alice, tool, &question, limit).await?;
            assert_eq!(seen, whole, "{tool} {question} by {limit}");
            assert_eq!(pages, whole.len().div_ceil(limit).max(1), "{tool} {question} by {limit}: pages");
        }
    }
    let objects = json!({"cluster": "corp-1", "kind": "namespaces", "format": "json", "limit": 1});
    let first = good(&alice, "resources_list", objects.clone()).await?.text;
    let mut next = objects;
    next["continue"] = handle(&first).unwrap_or_else(|| panic!("no handle: {first}")).into();
    let second = good(&alice, "resources_list", next).await?.text;
    assert!(first.contains("\"default\"") && !second.contains("\"name\":\"default\""), "{first}\n{second}");
    Ok(())
}

async fn page_through(
    client: &Client,
    tool: &str,
    question: &Value,
    limit: usize,
) -> anyhow::Result<(Vec<String>, usize)> {
    let (mut seen, mut pages) = (Vec::new(), 0);
    let mut question = question.clone();
    question["limit"] = limit.into();
    loop {
        let page = good(client, tool, question.clone()).await?.text;
        pages += 1;
        let rows = names(&page);
        anyhow::ensure!(rows.len() <= limit, "{} rows on a page of {limit}: {page}", rows.len());
        seen.extend(rows);
        match handle(&page) {
            Some(handle) => question["continue"] = handle.into(),
            None => return Ok((seen, pages)),
        }
        anyhow::ensure!(pages < 100, "no end: {page}");
    }
}

/// The continue handle of a page.
fn handle(page: &str) -> Option<String> {
    let rest = page.split_once("continue=")?.1;
    Some(rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).next()?.to_owned())
}

/// Not for another person, tool, target or question, and not when changed.
pub async fn a_continue_handle_is_for_its_caller_only(scene: &Scene) -> anyhow::Result<()> {
    let (alice, bob) = (scene.client("corp", "alice").await?, scene.client("corp", "bob").await?);
    let question = json!({"cluster": "corp-1", "limit": 1});
    let first = good(&alice, "namespaces_list", question.clone()).await?.text;
    let handle = handle(&first).unwrap_or_else(|| panic!("no handle: {first}"));
    assert!(handle.len() <= 512, "{} bytes", handle.len());
    let with = |mut question: Value, handle: &str| {
        question["continue"] = handle.into();
        question
    };
    let last = if handle.ends_with('A') { 'B' } else { 'A' };
    let changed = format!("{}{last}", &handle[..handle.len() - 1]);
    scene.clear();
    let cases = [
        (&bob, "namespaces_list", with(question.clone(), &handle), "another caller"),
        (
            &alice,
            "resources_list",
            with(json!({"cluster": "corp-1", "limit": 1, "kind": "namespaces"}), &handle),
            "another tool",
        ),
        (&alice, "namespaces_list", with(json!({"cluster": "dev", "limit": 1}), &handle), "another target"),
        (
            &alice,
            "namespaces_list",
            with(json!({"cluster": "corp-1", "limit": 1, "labelSelector": "a=b"}), &handle),
            "another question",
        ),
        (&alice, "namespaces_list", with(question.clone(), &changed), "a changed handle"),
        (&alice, "namespaces_list", with(question.clone(), "AAAA"), "an invented handle"),
    ];
    let mut texts = std::collections::BTreeSet::new();
    for (who, tool, question, what) in cases {
        let refused = bad(who, tool, question).await?;
        assert!(refused.text.contains("continue"), "{what}: {}", refused.text);
        texts.insert(refused.text);
    }
    assert_eq!(texts.len(), 1, "one answer for all, which says nothing of why: {texts:?}");
    scene.assert_untouched("foreign handles");
    let second = good(&alice, "namespaces_list", with(question, &handle)).await?;
    assert!(!names(&second.text).is_empty(), "for its caller it opens: {}", second.text);
    Ok(())
}
