//! Workspaces that are gone, made anew or become something else while a caller knows them.

use std::time::Duration;

use serde_json::json;
use testenv::mcp::Client;
use testenv::poll;
use testenv::simulator::{Fault, ResourceType, SimConfig};
use testenv::tap::Tap;

use crate::lab::bench::{bad, good};
use crate::lab::case::Case;
use crate::lab::kcp::{Kcp, cell, configmaps};
use crate::lab::shard::assert_names_only;

/// What is said of a workspace that cannot be entered, whatever the reason.
const GONE: &str = "this workspace is not there, or you have no access to it";

/// What the list of workspaces in `root:org` says of one: its state, and whether it may be entered.
async fn listed(alice: &Client, path: &str) -> anyhow::Result<(String, String)> {
    let table = good(alice, "kcp_workspaces_list", json!({"cluster": "kcp:root:org"})).await?.text;
    let said = |column| cell(&table, path, column).unwrap_or_else(|| panic!("{path} is listed: {table}")).to_owned();
    Ok((said("STATE"), said("ACCESS")))
}

/// K07.
pub async fn k07_a_workspace_that_is_gone_and_still_listed_is_said_so(case: &Case) -> anyhow::Result<()> {
    gone_and_listed(case).await?;
    not_ready(case).await
}

/// The logical cluster goes first, and its Workspace says `Ready` for minutes.
async fn gone_and_listed(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    let path = |name: &str| format!("root:org:{name}");
    let (by_path, by_name, walked) = (path("by-path"), path("by-name"), path("walked"));
    kcp.workspace("root:org");
    let name = [&by_path, &by_name, &walked].map(|path| kcp.workspace(path).name())[1].clone();
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    for (gone, place) in [(&by_path, &by_path), (&by_name, &name)] {
        good(&alice, "resources_list", configmaps(place)).await?;
        assert_eq!(listed(&alice, gone).await?, ("ready".to_owned(), "yes".to_owned()), "{gone}");
        kcp.simulator.lose_workspace(gone);
        let refused = bad(&alice, "resources_list", configmaps(place)).await?;
        assert!(refused.text.contains(GONE) && refused.text.contains(place), "{}", refused.text);
        // What the caller was shown is out of date, so it is looked at again.
        assert_eq!(listed(&alice, gone).await?, ("ready".to_owned(), "no".to_owned()), "{gone}");
    }
    kcp.simulator.lose_workspace(&walked);
    let refused = bad(&alice, "kcp_workspaces_list", json!({"cluster": format!("kcp:{walked}")})).await?;
    assert!(refused.text.contains(GONE), "{}", refused.text);
    assert_eq!(listed(&alice, &walked).await?.1, "no", "a look that was refused is known");
    // The Workspace goes as well, in the end.
    kcp.simulator.remove_workspace(&by_path);
    for said in [GONE, "workspace by-path in root:org is not there, or you cannot read it"] {
        let refused = bad(&alice, "resources_list", configmaps(&by_path)).await?;
        assert!(refused.text.contains(said), "{said:?}: {}", refused.text);
    }
    assert_names_only(&kcp.tap);
    Ok(())
}

/// Its Workspace tells it: on the way out, or never ready.
async fn not_ready(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    for name in ["going", "coming", "stuck", "away"] {
        kcp.workspace(&format!("root:org:{name}"));
    }
    kcp.workspace("root:org");
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    let change = |name: &str, change| kcp.simulator.change_workspace(&format!("root:org:{name}"), &change);
    let waits = json!([{"type": "WorkspaceContentDeleted", "status": "False", "message": "2 objects remain"}]);
    change(
        "going",
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"conditions": waits}}),
    );
    // Its content goes first, and until then it can be read.
    good(&alice, "resources_list", configmaps("root:org:going")).await?;
    kcp.simulator.lose_workspace("root:org:going");
    change("coming", json!({"spec": {"cluster": null}, "status": {"phase": "Scheduling", "conditions": null}}));
    let initializers = json!(["system:apibindings"]);
    let stuck = json!({"phase": "Initializing", "conditions": null, "initializers": initializers});
    change("stuck", json!({"spec": {"cluster": null}, "status": stuck}));
    kcp.simulator.lose_workspace("root:org:away");
    change("away", json!({"status": {"phase": "Unavailable", "conditions": null}}));
    for (name, said, state) in [
        ("going", "is being deleted: WorkspaceContentDeleted: 2 objects remain", "deleting for"),
        ("coming", "has no logical cluster yet", "scheduling"),
        ("stuck", "is initializing: waits for system:apibindings", "initializing: waits for system:apibindings"),
        ("away", "is unavailable", "unavailable"),
    ] {
        let path = format!("root:org:{name}");
        let refused = bad(&alice, "resources_list", configmaps(&path)).await?;
        assert!(refused.text.contains(&format!("workspace {path} {said}")), "{name}: {}", refused.text);
        let look = format!("kcp_workspace_describe cluster=kcp:root:org name={name}");
        assert!(refused.text.contains(&look), "{name}: {}", refused.text);
        assert_eq!(refused.structured.unwrap_or_default()["code"], "workspace_not_ready", "{name}");
        let (listed, _) = listed(&alice, &path).await?;
        assert!(listed.starts_with(state), "{name} is listed as {listed}");
    }
    Ok(())
}

/// K08: each time the caller has used the workspace before.
pub async fn k08_a_workspace_made_anew_is_found_with_one_more_walk(case: &Case) -> anyhow::Result<()> {
    made_anew(case).await?;
    became_a_mount(case).await
}

async fn made_anew(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    let (anew, renamed, moved) = ("root:org:anew", "root:org:renamed", "root:org:moved");
    kcp.workspace("root:org");
    let [first, _, at] = [anew, renamed, moved].map(|path| kcp.workspace(path).name());
    let other = kcp.workspace("root:org:other").name();
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    for path in [anew, renamed, moved] {
        good(&alice, "resources_list", configmaps(path)).await?;
    }
    kcp.simulator.remove_workspace(anew);
    let second = kcp.workspace(anew).name();
    assert_ne!(first, second, "it has another logical cluster");
    kcp.simulator.lose_workspace(renamed);
    kcp.simulator.change_workspace(renamed, &json!({"spec": {"cluster": other}}));
    for (path, now) in [(anew, &second), (renamed, &other)] {
        kcp.asked();
        good(&alice, "resources_list", configmaps(path)).await?;
        let asked = kcp.asked();
        let walks = asked.iter().filter(|asked| asked.contains("/workspaces/")).count();
        assert_eq!(walks, 2, "one walk, from the top: {asked:?}");
        assert!(asked.len() <= 2 + 3 && asked.last().is_some_and(|last| last.contains(now.as_str())), "{asked:?}");
        good(&alice, "resources_list", configmaps(path)).await?;
        let asked = kcp.asked();
        assert!(
            asked.len() <= 2 && !asked.iter().any(|asked| asked.contains("/workspaces/")),
            "then it is known: {asked:?}"
        );
    }
    // Between two shards a workspace is nowhere for a moment.
    let nowhere = Fault::Text { code: 429, retry_after: Some(1), text: "Not found on this shard\n" };
    kcp.simulator.inject(&format!("/clusters/{at}/"), nowhere, Some(1));
    good(&alice, "resources_list", configmaps(moved)).await?;
    assert_eq!(kcp.asked().len(), 2, "one more request");
    Ok(())
}

/// What stands at the address now is another server.
async fn became_a_mount(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    let sink = Tap::sink("mount", 200).await?;
    kcp.workspace("root:org");
    kcp.workspace("root:org:team");
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    good(&alice, "resources_list", configmaps("root:org:team")).await?;
    kcp.simulator.remove_workspace("root:org:team");
    kcp.simulator.mount("root:org:team", &sink.url());
    for time in ["at first", "then"] {
        let refused = bad(&alice, "resources_list", configmaps("root:org:team")).await?;
        assert!(refused.text.contains("root:org:team is a mount of another server"), "{time}: {}", refused.text);
        let below = bad(&alice, "resources_list", configmaps("root:org:team:below")).await?;
        assert!(below.text.contains("root:org:team is a mount of another server"), "{time}: {}", below.text);
    }
    assert_eq!((sink.connections(), sink.requests().len()), (0, 0), "the mount's target saw something");
    assert_names_only(&kcp.tap);
    Ok(())
}

/// K12: as an APIBinding makes it; a real one is played beside a real kcp.
pub async fn k12_a_new_kind_in_a_workspace_is_there_within_ten_seconds(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    let workspace = kcp.workspace("root:org:team");
    kcp.workspace("root:org");
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    let widgets = json!({"cluster": "kcp:root:org:team", "kind": "widgets.example.io", "namespace": "default"});
    let refused = bad(&alice, "resources_list", widgets.clone()).await?;
    assert!(refused.text.contains("this workspace does not serve widgets.example.io"), "{}", refused.text);
    workspace.register(ResourceType::custom("example.io", "v1", "Widget", "widgets"));
    poll::until("the kind to be there", Duration::from_secs(10), || async {
        good(&alice, "resources_list", widgets.clone()).await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    Ok(())
}
