//! People of one organisation in a kcp: each sees what is theirs and nothing else, at a shard and behind a front-proxy.
//!
//! | who   | may                                                                                  |
//! |-------|--------------------------------------------------------------------------------------|
//! | alice | everything in the organisation and in `team-a`; being above gives nothing below       |
//! | bob   | enter `team-b` and read its configmaps, nothing above                                 |
//! | carol | nothing                                                                              |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};
use testenv::realm::User;
use testenv::tap::{Tap, digest};

use crate::lab::bench::{bad, good, names, without};
use crate::lab::scene::{Scene, say};
use crate::lab::shard::{Right, Shard, another_entry, assert_names_only, entry, front_proxy, place};

const ORG: &str = "root:org-x";
const TEAMS: [&str; 3] = ["root:org-x:team-a", "root:org-x:team-b", "root:org-x:team-c"];
const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
/// A path where nothing is.
const MISSING: &str = "root:org-x:team-q";
/// The tool that tells of a workspace what its parent says, too.
const DESCRIBE: &str = "kcp_workspace_describe";
/// A logical cluster name that no kcp gave, as long as those that it gives.
const UNKNOWN: &str = "1zzzzzzzzzzzzzz1";

/// One way to the organisation's kcp: a shard or its front-proxy, with kubeferry before it.
struct Door<'a> {
    scene: &'a Scene,
    tap: Tap,
    ferry: Ferry,
    people: BTreeMap<&'static str, Client>,
    /// By path.
    clusters: &'a BTreeMap<&'static str, String>,
}

impl<'a> Door<'a> {
    /// Two entries of one server: `kcp-x` resolves paths, `kcp-t` trusts them.
    async fn open(
        scene: &'a Scene,
        (url, ca_pem): (&str, &str),
        clusters: &'a BTreeMap<&'static str, String>,
    ) -> anyhow::Result<Self> {
        let (tap, resolving) = entry(scene, "kcp-x", url, ca_pem).await?;
        let trusting = another_entry(scene, "kcp-t", &tap)?;
        let config = format!("{resolving}{trusting}paths = \"trusted\"\n");
        let ferry = Ferry::start(Some(&scene.world.config_with(&config)), &[("KUBEFERRY_LOG", "trace")]).await?;
        let mut people = BTreeMap::new();
        for person in PEOPLE {
            let token = scene.token("corp", person);
            people.insert(person, Client::http(ferry.url(), Some(&token), Era::Modern).await?);
        }
        Ok(Self { scene, tap, ferry, people, clusters })
    }

    fn name(&self, path: &str) -> &str {
        &self.clusters[path]
    }

    /// Fails when something was sent elsewhere than to a logical cluster or to a path that somebody asked for.
    fn sent_where_it_was_told(&self) -> anyhow::Result<()> {
        let told = TEAMS.into_iter().chain([ORG, "root:org-q", MISSING]).collect::<BTreeSet<_>>();
        for request in self.tap.requests() {
            let place = place(&request.path);
            ensure!(!place.contains(':') || told.contains(place), "{} {}", request.method, request.path);
        }
        Ok(())
    }

    /// Fails when another credential than theirs was sent.
    fn sent_only_theirs(&self) -> anyhow::Result<()> {
        let theirs: BTreeSet<String> = PEOPLE.iter().map(|person| digest(&self.scene.token("corp", person))).collect();
        for request in self.tap.requests() {
            let one_of_theirs = request.credentials.len() == 1 && request.credentials.is_subset(&theirs);
            ensure!(one_of_theirs, "{} saw {:?}", request.path, request.credentials);
        }
        Ok(())
    }
}

/// Three people, once at a bare shard and once behind a front-proxy.
pub async fn each_sees_their_own_and_nothing_else(scene: &Scene) -> anyhow::Result<()> {
    scene.world.realms.add_user("corp", User::new("carol", &[]));
    let kcp = Shard::start(scene, "kcp-x", &[]).await?;
    let clusters = fill(scene, &kcp).await?;
    play("shard", Door::open(scene, (kcp.url(), kcp.ca_pem()), &clusters).await?).await?;
    match &kcp {
        // The same kcp: starting one takes most of the time.
        Shard::Real(kcp) => {
            let proxy = front_proxy(kcp, &[ORG, TEAMS[0], TEAMS[1], TEAMS[2]]).await?;
            play("front-proxy", Door::open(scene, (proxy.url(), proxy.ca_pem()), &clusters).await?).await
        }
        Shard::Simulated(_) => {
            let kcp = Shard::behind_front_proxy(scene).await?;
            let clusters = fill(scene, &kcp).await?;
            play("front-proxy", Door::open(scene, (kcp.url(), kcp.ca_pem()), &clusters).await?).await
        }
    }
}

/// The organisation; the logical clusters by path.
async fn fill(scene: &Scene, kcp: &Shard) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let mut clusters = BTreeMap::new();
    for (path, rights) in [
        (ORG, &[("alice", Right::Everything)][..]),
        (TEAMS[0], &[("alice", Right::Everything)]),
        (TEAMS[1], &[("bob", Right::Configmaps)]),
        (TEAMS[2], &[]),
    ] {
        clusters.insert(path, kcp.workspace(scene, path, rights).await?);
    }
    Ok(clusters)
}

async fn play(name: &str, door: Door<'_>) -> anyhow::Result<()> {
    let began = Instant::now();
    let all = async {
        each_lists_their_own(&door).await.context("listing")?;
        each_uses_their_own(&door).await.context("using")?;
        what_is_foreign_is_as_what_is_not_there(&door, "kcp-x", &[]).await.context("resolving")?;
        ensure!(!door.tap.requests().is_empty(), "kubeferry asked this kcp");
        assert_names_only(&door.tap);
        door.sent_only_theirs()?;

        door.tap.clear();
        a_trusted_path_is_used_as_it_is(&door).await.context("trusting")?;
        // Everybody may look around in root: where paths are resolved, they see what is there.
        let top = [(ORG, "root:org-q")];
        what_is_foreign_is_as_what_is_not_there(&door, "kcp-t", &top).await.context("trusting")?;
        door.sent_where_it_was_told()?;
        door.sent_only_theirs()
    };
    all.await.with_context(|| format!("at the {name}"))?;
    door.scene.assert_no_secret(&door.ferry.log());
    say(&format!("{name}: {:?}", began.elapsed()));
    Ok(())
}

async fn each_lists_their_own(door: &Door<'_>) -> anyhow::Result<()> {
    let at = |place: &str| json!({"cluster": format!("kcp-x:{place}"), "kind": "workspaces"});
    for (person, client) in &door.people {
        // Everybody who is authenticated may look around in root.
        let listed = good(client, "resources_list", at("root")).await?;
        ensure!(names(&listed.text) == ["org-x"], "{person}: {}", listed.text);
        let org = client.call("resources_list", at(ORG)).await?;
        if *person == "alice" {
            let mut found = names(&org.text);
            found.sort();
            ensure!(found == ["team-a", "team-b", "team-c"], "{person}: {}", org.text);
        } else {
            ensure!(org.is_error && !org.text.contains("team-"), "{person}: {}", org.text);
        }
        let (in_root, below, teams): (_, &[_], _) = match *person {
            "alice" => ("yes", &[(TEAMS[0], "yes"), (TEAMS[1], "no"), (TEAMS[2], "no")], 3),
            _ => ("no", &[], 0),
        };
        let list = [(ORG, in_root)];
        let tree: Vec<_> = [("root", "yes"), (ORG, in_root)].iter().chain(below).copied().collect();
        for (tool, expected) in [("kcp_workspaces_list", &list[..]), ("kcp_workspace_tree", &tree)] {
            let shown = good(client, tool, json!({"cluster": "kcp-x:root", "format": "json"})).await?.text;
            let seen = entered(&shown)?;
            let seen: Vec<_> = seen.iter().map(|(path, access)| (path.as_str(), access.as_str())).collect();
            ensure!(seen == expected, "{person}: {tool}: {shown}");
        }
        let found = good(client, "kcp_workspaces_find", json!({"cluster": "kcp-x:root", "name": "team-"})).await?;
        ensure!(names(&found.text).len() == teams, "{person}: {}", found.text);
        for path in TEAMS {
            let team = client.call("resources_list", at(door.name(path))).await?;
            ensure!(team.is_error == ((*person, path) != ("alice", TEAMS[0])), "{person} at {path}: {}", team.text);
        }
    }
    Ok(())
}

/// Paths and whether the caller may enter.
fn entered(shown: &str) -> anyhow::Result<Vec<(String, String)>> {
    let lines: Vec<&str> = shown.lines().filter(|line| !line.starts_with('#')).collect();
    let read: Value = serde_json::from_str(&lines.join("\n")).with_context(|| shown.to_owned())?;
    let items = read.as_array().or_else(|| read["items"].as_array()).with_context(|| format!("no list: {shown}"))?;
    let text = |item: &Value, field: &str| item[field].as_str().map(str::to_owned);
    let entry = |item| text(item, "path").zip(text(item, "access"));
    items.iter().map(|item| entry(item).with_context(|| format!("no path: {item}"))).collect()
}

async fn each_uses_their_own(door: &Door<'_>) -> anyhow::Result<()> {
    let (alice, bob) = (&door.people["alice"], &door.people["bob"]);
    for address in [TEAMS[0], door.name(TEAMS[0])] {
        reads_here(alice, &format!("kcp-x:{address}"), "team-a").await?;
    }
    let address = format!("kcp-x:{}", door.name(TEAMS[1]));
    reads_here(bob, &address, "team-b").await?;
    let whoami = good(bob, "whoami", json!({"cluster": address})).await?;
    ensure!(whoami.text.contains("corp:bob"), "{}", whoami.text);
    // He cannot read the parent, so the path is no way; the answer names both that are.
    let refused = bad(bob, "whoami", json!({"cluster": format!("kcp-x:{}", TEAMS[1])})).await?;
    for word in ["logical cluster name", "trusted"] {
        ensure!(refused.text.contains(word), "it says {word:?}: {}", refused.text);
    }
    Ok(())
}

async fn a_trusted_path_is_used_as_it_is(door: &Door<'_>) -> anyhow::Result<()> {
    reads_here(&door.people["bob"], &format!("kcp-t:{}", TEAMS[1]), "team-b").await?;
    reads_here(&door.people["alice"], &format!("kcp-t:{}", TEAMS[0]), "team-a").await?;
    let paths: Vec<String> = door.tap.requests().into_iter().map(|request| request.path).collect();
    ensure!(paths.iter().any(|path| path.starts_with("/clusters/root:org-x:team-b/")), "{paths:?}");
    Ok(())
}

async fn reads_here(client: &Client, cluster: &str, team: &str) -> anyhow::Result<()> {
    let list = json!({"cluster": cluster, "kind": "configmaps", "namespace": "default"});
    let listed = good(client, "resources_list", list).await?;
    ensure!(names(&listed.text).contains(&"here".to_owned()), "{cluster}: {}", listed.text);
    let get = json!({"cluster": cluster, "kind": "configmap", "namespace": "default", "name": "here"});
    let read = good(client, "resources_get", get).await?;
    ensure!(read.text.contains(&format!("where: {team}")), "{cluster}: {}", read.text);
    Ok(())
}

/// By path and by logical cluster name, in every tool: nobody learns what is there from what they are refused.
async fn what_is_foreign_is_as_what_is_not_there(
    door: &Door<'_>,
    cluster: &str,
    more: &[(&str, &str)],
) -> anyhow::Result<()> {
    let by_path = [(TEAMS[0], MISSING), (TEAMS[2], MISSING)].into_iter().chain(more.iter().copied());
    let by_name = [(door.name(ORG), UNKNOWN), (door.name(TEAMS[0]), UNKNOWN), (door.name(TEAMS[2]), UNKNOWN)];
    let mut asked: Vec<(&str, &str, &str)> = vec![("alice", door.name(TEAMS[2]), UNKNOWN)];
    for (foreign, missing) in by_path.chain(by_name) {
        asked.extend(["bob", "carol"].map(|person| (person, foreign, missing)));
    }
    ensure!(door.name(ORG).len() == UNKNOWN.len(), "names are alike: {}", door.name(ORG));
    for (person, foreign, missing) in asked {
        // Of a workspace in root everybody may know what root says.
        let known = more.iter().any(|(path, _)| *path == foreign);
        for (tool, rest) in questions().into_iter().filter(|(tool, _)| !known || *tool != DESCRIBE) {
            let ask = async |workspace: &str| {
                let mut question = rest.clone();
                question["cluster"] = format!("{cluster}:{workspace}").into();
                bad(&door.people[person], tool, question).await
            };
            let (one, other) = (ask(foreign).await?, ask(missing).await?);
            let (one, other) = (without(&one, foreign), without(&other, missing));
            ensure!(one == other, "{person}: {tool} at {foreign}\n{one:#?}\nand at {missing}\n{other:#?}");
        }
    }
    Ok(())
}

/// Tools that ask a workspace, with the rest of their arguments.
fn questions() -> Vec<(&'static str, Value)> {
    vec![
        ("whoami", json!({})),
        ("namespaces_list", json!({})),
        ("resources_list", json!({"kind": "configmaps", "namespace": "default"})),
        ("resources_list", json!({"kind": "workspaces"})),
        ("kcp_workspaces_list", json!({})),
        ("kcp_workspace_tree", json!({})),
        ("kcp_workspaces_find", json!({"name": "team"})),
        ("kcp_apis_list", json!({})),
        ("kcp_apis_list", json!({"kind": "configmaps"})),
        (DESCRIBE, json!({})),
        ("resources_get", json!({"kind": "configmap", "namespace": "default", "name": "here"})),
    ]
}
