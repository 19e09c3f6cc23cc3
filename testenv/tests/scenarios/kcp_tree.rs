//! The workspaces of a kcp, as each caller sees them.

use serde_json::{Value, json};

use crate::lab::bench::{bad, good, names};
use crate::lab::scene::Scene;

/// A cell of the row that begins with `first`.
fn cell<'a>(table: &'a str, first: &str, column: &str) -> &'a str {
    let mut lines = table.lines().filter(|line| !line.starts_with('#'));
    let header = lines.next().unwrap_or_default();
    let at = header.split('\t').position(|name| name == column);
    let row = lines.find(|line| line.split('\t').next() == Some(first));
    let found = at.and_then(|at| row?.split('\t').nth(at));
    found.unwrap_or_else(|| panic!("no cell {column} of {first}: {table}"))
}

/// Each caller sees the children that the server lists for it, and which of them it may enter; a second look asks nothing.
pub async fn a_list_of_workspaces_shows_who_may_enter(scene: &Scene) -> anyhow::Result<()> {
    let (alice, bob) = (scene.client("corp", "alice").await?, scene.client("corp", "bob").await?);
    let org = json!({"cluster": "kcp-eu:root:org"});
    let listed = good(&alice, "kcp_workspaces_list", org.clone()).await?;
    let (team_a, team_b) = ("root:org:team-a", "root:org:team-b");
    assert_eq!(names(&listed.text), [team_a, team_b]);
    for (team, access) in [(team_a, "yes"), (team_b, "no")] {
        assert_eq!(cell(&listed.text, team, "ACCESS"), access);
        assert_eq!(cell(&listed.text, team, "STATE"), "ready");
        assert_eq!(cell(&listed.text, team, "TYPE"), "universal");
        assert_eq!(cell(&listed.text, team, "CLUSTER"), scene.world.logical_cluster(team));
    }
    assert!(listed.text.contains("# next: kcp_workspaces_list cluster=kcp-eu:root:org:team-a\n"), "{}", listed.text);
    let before = scene.world.kcp.tap.requests().len();
    let again = good(&alice, "kcp_workspaces_list", org.clone()).await?;
    assert_eq!(again.text, listed.text);
    let since = scene.world.kcp.tap.requests().split_off(before);
    // The path is resolved once in its own time, by the cache of places.
    assert!(since.is_empty(), "{:?}", since.iter().map(|request| &request.path).collect::<Vec<_>>());

    // What one caller has seen shows another nothing.
    bad(&bob, "kcp_workspaces_list", org).await?;
    let name = scene.world.logical_cluster("root:org");
    let gone = bad(&bob, "kcp_workspaces_list", json!({"cluster": format!("kcp-eu:{name}")})).await?;
    let unknown = bad(&bob, "kcp_workspaces_list", json!({"cluster": "kcp-eu:1zzzzzzzzzzzzzz1"})).await?;
    assert_eq!(gone.text.replace(&name, "X"), unknown.text.replace("1zzzzzzzzzzzzzz1", "X"));
    let own = scene.world.logical_cluster(team_b);
    let closed = bad(&bob, "kcp_workspaces_list", json!({"cluster": format!("kcp-eu:{own}")})).await?;
    assert!(closed.text.contains("may enter") && closed.text.contains("verb list"), "{}", closed.text);
    let root = good(&bob, "kcp_workspaces_list", json!({"cluster": "kcp-eu"})).await?;
    assert_eq!(cell(&root.text, "root:org", "ACCESS"), "no");
    Ok(())
}

/// Pages are cut by name, filters come before pages, and a handle opens for its own caller only.
pub async fn lists_of_workspaces_have_pages_and_filters(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let ask = |more: Value| {
        let mut question = json!({"cluster": "kcp-eu:root:org"});
        for (name, value) in more.as_object().into_iter().flatten() {
            question[name] = value.clone();
        }
        question
    };
    let first = good(&alice, "kcp_workspaces_list", ask(json!({"limit": 1}))).await?;
    assert_eq!(names(&first.text), ["root:org:team-a"]);
    assert!(first.text.contains("1 of 2 workspaces shown"), "{}", first.text);
    let handle = crate::lab::bench::next(&first).expect("there is another page");
    let second = good(&alice, "kcp_workspaces_list", ask(json!({"limit": 1, "continue": handle}))).await?;
    assert_eq!(names(&second.text), ["root:org:team-b"]);
    bad(&scene.client("corp", "bob").await?, "kcp_workspaces_list", json!({"cluster": "kcp-eu", "continue": handle}))
        .await?;

    for (filter, expected) in [
        (json!({"text": "M-B"}), vec!["root:org:team-b"]),
        (json!({"type": "root:universal"}), vec!["root:org:team-a", "root:org:team-b"]),
        (json!({"state": "deleting"}), vec![]),
        (json!({"labelSelector": "!nothing"}), vec!["root:org:team-a", "root:org:team-b"]),
        (json!({"labelSelector": "nothing"}), vec![]),
    ] {
        let found = good(&alice, "kcp_workspaces_list", ask(filter.clone())).await?;
        assert_eq!(names(&found.text), expected, "{filter}");
    }
    let wrong = bad(&alice, "kcp_workspaces_list", ask(json!({"state": "gone"}))).await?;
    assert!(wrong.text.contains("States are ready"), "{}", wrong.text);
    let whole = good(&alice, "kcp_workspaces_list", ask(json!({"format": "json", "text": "team-a"}))).await?;
    let body: String = whole.text.lines().filter(|line| !line.starts_with('#')).collect();
    let items: Value = serde_json::from_str(&body)?;
    let item = items.pointer("/items/0").or_else(|| items.get(0)).unwrap_or(&items);
    assert_eq!(
        (&item["path"], &item["access"], &item["mount"]),
        (&"root:org:team-a".into(), &"yes".into(), &false.into())
    );
    assert_eq!(item["address"], "kcp-eu:root:org:team-a");
    Ok(())
}
