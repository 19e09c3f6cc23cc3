//! The workspaces of a kcp, as each caller sees them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Called, Client, Era};
use testenv::simulator::{Fault, JwtIssuer, Keys, ResourceType, Rule, SimConfig, Simulator};
use testenv::tap::Tap;

use crate::lab::bench::{bad, good, names, next};
use crate::lab::scene::Scene;
use crate::lab::shard::entry;

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
    let handle = next(&first).expect("there is another page");
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

/// The workspaces of a tree as they stand there, with what is said of them.
fn rows(tree: &str) -> Vec<String> {
    let lines = tree.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines.map(|line| line.trim_end().replace("\tuniversal", "").replace('\t', "|")).collect()
}

/// The tree is each caller's own; what lies in a workspace that may not be entered is not an error; a second look asks nothing.
pub async fn a_tree_is_its_callers_own(scene: &Scene) -> anyhow::Result<()> {
    let (alice, bob) = (scene.client("corp", "alice").await?, scene.client("corp", "bob").await?);
    let tree = "kcp_workspace_tree";
    let org = json!({"cluster": "kcp-eu:root:org"});
    let seen = good(&alice, tree, org.clone()).await?;
    assert_eq!(rows(&seen.text), ["root:org", "  team-a", "  team-b||no access"]);
    assert!(seen.text.starts_with("# 3 workspaces, 1 of at most 3 levels; 1 without access\n"), "{}", seen.text);
    assert!(
        seen.text.contains("# next: resources_list cluster=kcp-eu:root:org:team-a kind=configmaps"),
        "{}",
        seen.text
    );
    let before = scene.world.kcp.tap.requests().len();
    assert_eq!(good(&alice, tree, org.clone()).await?.text, seen.text);
    assert_eq!(scene.world.kcp.tap.requests().len(), before, "what was seen is not asked again");

    let from_root = good(&alice, tree, json!({"cluster": "kcp-eu", "depth": 1})).await?;
    assert_eq!(rows(&from_root.text), ["root", "  org"]);
    let under = good(&alice, tree, json!({"cluster": "kcp-eu", "under": "org"})).await?;
    assert_eq!(rows(&under.text), rows(&seen.text));
    let bobs = good(&bob, tree, json!({"cluster": "kcp-eu"})).await?;
    assert_eq!(rows(&bobs.text), ["root", "  org||no access"]);
    for (who, question) in [
        (&bob, org.clone()),
        (&alice, json!({"cluster": "kcp-eu:root:org:team-b"})),
        (&alice, json!({"cluster": "kcp-eu", "depth": 0})),
        (&alice, json!({"cluster": "kcp-eu", "depth": 33})),
        (&alice, json!({"cluster": "kcp-eu", "under": "../org"})),
        (&alice, json!({"cluster": "kcp-eu", "under": "org:nothing"})),
    ] {
        bad(who, tree, question).await?;
    }

    let first = good(&alice, tree, json!({"cluster": "kcp-eu:root:org", "limit": 2})).await?;
    assert_eq!(rows(&first.text), ["root:org", "  team-a"]);
    let handle = next(&first).expect("there is more");
    let rest = json!({"cluster": "kcp-eu:root:org", "limit": 2, "continue": handle});
    let second = good(&alice, tree, rest.clone()).await?;
    assert_eq!(rows(&second.text), ["  team-b||no access"]);
    assert!(second.text.contains("# goes on in root:org\n"), "{}", second.text);
    let refused = bad(&bob, tree, rest).await?;
    assert!(!refused.text.contains("team-b"), "{}", refused.text);
    no_path_was_sent(scene);
    Ok(())
}

/// Workspaces are found at any depth, by name and by what they serve.
pub async fn workspaces_are_found_at_any_depth(scene: &Scene) -> anyhow::Result<()> {
    let alice = scene.client("corp", "alice").await?;
    let (org, team_a, team_b) = ("root:org", "root:org:team-a", "root:org:team-b");
    for (question, expected) in [
        (json!({"name": "team"}), vec![team_a, team_b]),
        (json!({"name": "M-B"}), vec![team_b]),
        (json!({"serves": "configmaps"}), vec![org, team_a]),
        (json!({"serves": "apibindings.apis.kcp.io", "name": "team"}), vec![team_a]),
        (json!({"serves": "apis.kcp.io"}), vec![org, team_a]),
        (json!({"serves": "widgets.example.io"}), vec![]),
        (json!({"serves": "widgets.apis.kcp.io"}), vec![]),
        (json!({"under": "org", "type": "universal"}), vec![team_a, team_b]),
        (json!({"labelSelector": "nothing"}), vec![]),
    ] {
        let mut asked = question.clone();
        asked["cluster"] = "kcp-eu".into();
        let found = good(&alice, "kcp_workspaces_find", asked).await?;
        assert_eq!(names(&found.text), expected, "{question}: {}", found.text);
        assert!(found.text.starts_with("# searched ") && found.text.contains("; 1 without access"), "{}", found.text);
    }
    let found = good(&alice, "kcp_workspaces_find", json!({"cluster": "kcp-eu", "name": "team-b"})).await?;
    assert_eq!(cell(&found.text, team_b, "ACCESS"), "no");
    assert_eq!(cell(&found.text, team_b, "CLUSTER"), scene.world.logical_cluster(team_b));
    for wrong in [json!({"serves": "../x"}), json!({"serves": "a b"}), json!({"labelSelector": "a=b=c"})] {
        let mut asked = wrong.clone();
        asked["cluster"] = "kcp-eu".into();
        bad(&alice, "kcp_workspaces_find", asked).await?;
    }
    no_path_was_sent(scene);
    Ok(())
}

fn no_path_was_sent(scene: &Scene) {
    crate::lab::shard::assert_names_only(&scene.world.kcp.tap);
}

/// alice at a simulated kcp of the scenario's own, and the program before it.
struct Own {
    kcp: Simulator,
    tap: Tap,
    _ferry: Ferry,
    alice: Client,
}

impl Own {
    async fn start(scene: &Scene, fill: impl FnOnce(&Simulator)) -> anyhow::Result<Self> {
        let realms = &scene.world.realms;
        let keys = Keys::Discovery { ca_pem: realms.ca_pem().to_owned() };
        let issuer = JwtIssuer::new(&realms.issuer("corp"), keys, "kcp-eu", "corp:");
        let kcp = Simulator::start(SimConfig::kcp().issuer(issuer)).await?;
        fill(&kcp);
        let (tap, config) = entry(scene, "kcp-o", kcp.url(), kcp.ca_pem()).await?;
        let ferry = Ferry::start(Some(&scene.world.config_with(&config)), &[]).await?;
        let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
        Ok(Self { kcp, tap, _ferry: ferry, alice })
    }

    /// All pages of a tree.
    async fn pages(&self, question: &Value) -> anyhow::Result<Vec<Called>> {
        let mut pages = vec![good(&self.alice, "kcp_workspace_tree", question.clone()).await?];
        while let Some(handle) = pages.last().and_then(next) {
            anyhow::ensure!(pages.len() < 200, "it has no end");
            let mut further = question.clone();
            further["continue"] = handle.into();
            pages.push(good(&self.alice, "kcp_workspace_tree", further).await?);
        }
        Ok(pages)
    }
}

fn alice() -> Rule {
    Rule::user("corp:alice").everything()
}

/// The rows of all pages.
fn all(pages: &[Called]) -> Vec<String> {
    pages.iter().flat_map(|page| rows(&page.text)).collect()
}

/// What cannot be entered is a leaf and says why: a mount, one that is being deleted, one that waits, one without a logical
/// cluster, one that was met before; and one that may be entered but not listed.
pub async fn what_is_odd_in_a_tree_is_said(scene: &Scene) -> anyhow::Result<()> {
    let sink = Tap::sink("mount", 200).await?;
    let own = Own::start(scene, |kcp| {
        let org = kcp.workspace("root:org");
        org.allow(alice());
        kcp.workspace("root:org:inner").allow(Rule::user("corp:alice").access());
        kcp.workspace("root:org:open").allow(alice());
        kcp.mount("root:org:edge", &sink.url());
        kcp.mount("root:org:late", "");
        let object = |name: &str, cluster: &str, metadata: Value, status: Value| {
            let mut object = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace",
                "metadata": metadata, "spec": {"type": {"name": "universal", "path": "root"}}, "status": status});
            object["metadata"]["name"] = name.into();
            if !cluster.is_empty() {
                object["spec"]["cluster"] = cluster.into();
            }
            object
        };
        let waits = json!({"phase": "Initializing", "initializers": ["system:apibindings"]});
        let remains = json!({"phase": "Ready", "conditions": [
            {"type": "WorkspaceContentDeleted", "status": "False", "message": "2 objects remain"}]});
        org.put(object("again", &org.name(), json!({}), json!({"phase": "Ready"})));
        org.put(object("going", "gone0gone0gone00", json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), remains));
        org.put(object("new", "", json!({}), json!({"phase": "Scheduling"})));
        org.put(object("stuck", "stuck0stuck0stuc", json!({}), waits));
    })
    .await?;
    let tree = good(&own.alice, "kcp_workspace_tree", json!({"cluster": "kcp-o:root:org"})).await?;
    let found = rows(&tree.text);
    let row = |name: &str| {
        let found = found.iter().find(|row| row.trim_start().split('|').next() == Some(name));
        found.unwrap_or_else(|| panic!("no row {name}: {}", tree.text)).as_str()
    };
    assert_eq!(row("again"), "  again|cycle: met before");
    assert_eq!(row("edge"), "  edge||mount");
    assert!(row("late").starts_with("  late||unavailable") && row("late").ends_with("; mount"), "{}", row("late"));
    assert!(row("going").contains("|deleting for ") && row("going").contains("2 objects remain|no access"));
    assert_eq!(row("inner"), "  inner||yes, but its workspaces are not listed for you");
    assert_eq!(row("new"), "  new|scheduling");
    assert_eq!(row("stuck"), "  stuck|initializing: waits for system:apibindings|no access");
    assert_eq!(row("open"), "  open");
    assert!(
        tree.text.starts_with("# 9 workspaces, 1 of at most 3 levels; 2 without access; 4 not ready\n"),
        "{}",
        tree.text
    );
    let listed = good(&own.alice, "kcp_workspaces_list", json!({"cluster": "kcp-o:root:org"})).await?.text;
    assert_eq!(
        (cell(&listed, "root:org:edge", "CLUSTER"), cell(&listed, "root:org:edge", "ACCESS")),
        ("(mount)", "unknown")
    );
    assert_eq!(cell(&listed, "root:org:new", "ACCESS"), "unknown: it has no logical cluster yet");
    good(&own.alice, "kcp_workspaces_find", json!({"cluster": "kcp-o", "serves": "configmaps"})).await?;
    let under = json!({"cluster": "kcp-o:root:org", "under": "edge"});
    assert!(bad(&own.alice, "kcp_workspace_tree", under).await?.text.contains("mount"));
    assert_eq!((sink.connections(), sink.requests().len()), (0, 0), "the mount's target saw something");
    crate::lab::shard::assert_names_only(&own.tap);
    Ok(())
}

/// A resource counts in whatever version of its group it is served, by its plural or singular; and a version that does not
/// answer costs the others nothing.
pub async fn every_version_of_a_group_is_looked_at(scene: &Scene) -> anyhow::Result<()> {
    let team = "root:org:team";
    let own = Own::start(scene, |kcp| {
        kcp.workspace("root:org").allow(alice());
        let types = [("v2", "Gadget", "gadgets"), ("v1", "Widget", "widgets")];
        let team = kcp.workspace(team);
        team.allow(alice());
        for (version, kind, plural) in types {
            team.register(ResourceType::custom("example.io", version, kind, plural));
        }
    })
    .await?;
    own.kcp.inject("/apis/example.io/v2", Fault::Text { code: 503, retry_after: None, text: "" }, None);
    let listed = good(&own.alice, "kcp_apis_list", json!({"cluster": format!("kcp-o:{team}")})).await?.text;
    assert!(listed.contains("widgets.example.io") && !listed.contains("gadgets"), "{listed}");
    own.kcp.heal();
    for (wanted, found) in [("gadgets", true), ("widgets", true), ("widget", true), ("things", false)] {
        let question = json!({"cluster": "kcp-o", "serves": format!("{wanted}.example.io")});
        let answer = good(&own.alice, "kcp_workspaces_find", question).await?.text;
        assert_eq!(names(&answer).contains(&team.to_owned()), found, "{wanted}: {answer}");
    }
    Ok(())
}

/// Workspaces that do not answer cost the others nothing, and that they did not is not kept.
pub async fn what_does_not_answer_delays_nobody(scene: &Scene) -> anyhow::Result<()> {
    let own = Own::start(scene, |kcp| {
        kcp.tree("root:org", &[3, 3], &alice());
        let org = kcp.workspace("root:org");
        for at in 0..8 {
            let path = format!("root:org:d{at}");
            kcp.workspace(&path).allow(alice());
            let mut dead = org.get("tenancy.kcp.io/v1alpha1", "Workspace", "", &format!("d{at}")).expect("it was made");
            dead["apiVersion"] = "tenancy.kcp.io/v1alpha1".into();
            dead["kind"] = "Workspace".into();
            dead["spec"]["type"] = json!({"name": "foreign", "path": "root:org"});
            org.put(dead);
        }
    })
    .await?;
    let name = |path: &str| own.kcp.workspace(path).name();
    for at in 0..8 {
        own.kcp.inject(&format!("/clusters/{}/", name(&format!("root:org:d{at}"))), Fault::Hang, None);
    }
    own.kcp.inject(
        &format!("/clusters/{}/", name("root:org:w002")),
        Fault::Status { code: 500, retry_after: None },
        None,
    );
    let question = json!({"cluster": "kcp-o:root:org"});
    let began = Instant::now();
    let tree = good(&own.alice, "kcp_workspace_tree", question.clone()).await?;
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    let found = rows(&tree.text);
    assert_eq!(found.len(), 1 + 3 * 4 - 3 + 8, "{}", tree.text);
    assert_eq!(found.iter().filter(|row| row.ends_with("unknown: no answer in time")).count(), 8, "{}", tree.text);
    assert!(
        tree.text.contains("# complete: false; ") && tree.text.contains("; 9 that did not answer"),
        "{}",
        tree.text
    );
    assert!(next(&tree).is_none(), "there is nothing behind it: {}", tree.text);
    let began = Instant::now();
    let listed = good(&own.alice, "kcp_workspaces_list", question.clone()).await?.text;
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    assert_eq!(cell(&listed, "root:org:w001", "ACCESS"), "yes");
    assert!(cell(&listed, "root:org:d0", "ACCESS").starts_with("unknown: "), "{listed}");
    own.kcp.heal();
    let well = good(&own.alice, "kcp_workspace_tree", question).await?;
    assert_eq!(rows(&well.text).len(), 1 + 3 * 4 + 8);
    assert!(!well.text.contains("unknown") && !well.text.contains("complete"), "{}", well.text);
    Ok(())
}

/// A large tree comes in pages that fit a conversation: each workspace once, in order, and each asked once.
pub async fn a_large_tree_comes_in_pages(scene: &Scene) -> anyhow::Result<()> {
    let own = Own::start(scene, |kcp| {
        assert_eq!(kcp.tree("root:org", &[10, 10, 10], &alice()), 1_111);
    })
    .await?;
    own.kcp.clear_requests();
    let question = json!({"cluster": "kcp-o:root:org"});
    let pages = own.pages(&question).await?;
    let found = all(&pages);
    assert_eq!(found.len(), 1_111);
    assert!(pages.iter().all(|page| page.text.len() < 4_096), "a page is small");
    // One for each workspace; beside them the Workspace `org` and the check of who the caller is.
    let asked = own.kcp.requests().len();
    assert!((1_111..=1_115 + 48 * late(&pages)).contains(&asked), "{asked} requests");
    assert!(own.kcp.most_at_once() <= 64, "{} at once", own.kcp.most_at_once());
    let expected = (0..10).flat_map(|a| {
        let inner = (0..10).flat_map(move |b| {
            let leaves = (0..10).map(|c| format!("      w{c:03}"));
            [format!("    w{b:03}")].into_iter().chain(leaves)
        });
        [format!("  w{a:03}")].into_iter().chain(inner)
    });
    assert!(found.iter().cloned().eq(["root:org".to_owned()].into_iter().chain(expected)), "each once, in order");

    own.kcp.clear_requests();
    let again = own.pages(&json!({"cluster": "kcp-o:root:org", "limit": 500})).await?;
    assert!(again[0].text.starts_with("# 1111 workspaces, 3 of at most 3 levels\n"), "{}", again[0].text);
    assert_eq!(all(&again), found);
    assert_eq!(own.kcp.requests().len(), 0, "what was seen is not asked again");
    Ok(())
}

/// Pages of which the walk ended with its time, as on a slow machine: what was under way then is asked again.
fn late(pages: &[Called]) -> usize {
    pages.iter().filter(|page| page.text.contains("as many as answered in time")).count()
}

/// More than one call looks at: every page goes on where the one before ended.
pub async fn ten_thousand_workspaces_come_in_pages(scene: &Scene) -> anyhow::Result<()> {
    let own = Own::start(scene, |kcp| {
        assert_eq!(kcp.tree("root:org", &[10, 10, 10, 10], &alice()), 11_111);
        kcp.tree("root:crowd", &[60], &alice());
    })
    .await?;
    let crowd = good(&own.alice, "kcp_workspace_tree", json!({"cluster": "kcp-o:root:crowd"})).await?;
    assert_eq!(rows(&crowd.text).len(), 51);
    assert_eq!(rows(&crowd.text)[0], "root:crowd||60 children, 50 shown");
    assert!(crowd.text.contains("# next: kcp_workspaces_list cluster=kcp-o:root:crowd"), "{}", crowd.text);
    own.kcp.clear_requests();
    let began = Instant::now();
    let pages = own.pages(&json!({"cluster": "kcp-o:root:org", "depth": 4, "limit": 500})).await?;
    // The shortest life of a view; a new one asks again what was looked at ahead of the page.
    let views = usize::try_from(began.elapsed().as_secs() / 30)?;
    let found = all(&pages);
    assert_eq!(found.len(), 11_111);
    assert!(pages[0].text.starts_with("# complete: false, as many as "), "{}", pages[0].text);
    let levels = |level: usize| found.iter().filter(|row| row.len() == "w000".len() + 2 * level).count();
    assert_eq!([levels(1), levels(3), levels(4)], [10, 1_000, 10_000]);
    let asked = own.kcp.requests();
    let places: BTreeSet<&str> = asked.iter().filter_map(|request| request.target.split('/').nth(2)).collect();
    let most = 11_115 + 48 * late(&pages) + 2_600 * views;
    assert!(asked.len() <= most && places.len() >= 11_111, "{} requests to {}", asked.len(), places.len());
    assert!(own.kcp.most_at_once() <= 64, "{} at once", own.kcp.most_at_once());
    let found = good(&own.alice, "kcp_workspaces_find", json!({"cluster": "kcp-o:root:crowd", "name": "w059"})).await?;
    assert_eq!(names(&found.text), ["root:crowd:w059"], "a search leaves no child out");
    Ok(())
}
