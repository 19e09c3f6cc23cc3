//! The end of a workspace, as its callers hear of it.

use std::time::Duration;

use serde_json::json;
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};
use testenv::poll;

use crate::lab::bench::{bad, good};
use crate::lab::scene::Scene;
use crate::lab::shard::{Right, Shard, assert_names_only, entry};

/// A real kcp empties a workspace within half a minute, on a busy machine within a few.
const EMPTIED: Duration = Duration::from_secs(240);

/// While it is deleted a workspace can be read, until its content is gone; then it is said to be on its way out as long as
/// its Workspace is there, and to be not there after that, or by its name.
pub async fn a_workspace_that_is_deleted_ends_in_words(scene: &Scene) -> anyhow::Result<()> {
    let kcp = Shard::start(scene, "kcp-life", &[]).await?;
    let alice = [("alice", Right::Everything)];
    kcp.workspace(scene, "root:org", &alice).await?;
    let name = kcp.workspace(scene, "root:org:team", &alice).await?;
    let (tap, entry) = entry(scene, "kcp-life", kcp.url(), kcp.ca_pem()).await?;
    let ferry = Ferry::start(Some(&scene.world.config_with(&entry)), &[("KUBEFERRY_LOG", "debug")]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;
    let maps =
        |place: &str| json!({"cluster": format!("kcp-life:{place}"), "kind": "configmaps", "namespace": "default"});
    good(&alice, "resources_list", maps("root:org:team")).await?;
    good(&alice, "kcp_workspaces_list", json!({"cluster": "kcp-life:root:org"})).await?;

    kcp.delete("root:org", "team").await?;
    let gone = "this workspace is not there, or you have no access to it";
    let going = "workspace root:org:team is being deleted";
    let last = poll::until("the workspace to end", EMPTIED, || async {
        let called = alice.call("resources_list", maps("root:org:team")).await;
        let called = called.map_err(|error| format!("{error:#}"))?;
        let ended = called.text.contains("not there") || called.text.contains(going);
        if called.is_error && ended { Ok(called.text) } else { Err(called.text) }
    })
    .await?;
    let in_its_parent = "workspace team in root:org is not there, or you cannot read it";
    assert!([going, gone, in_its_parent].iter().any(|said| last.contains(said)), "{last}");
    let refused = bad(&alice, "resources_list", maps(&name)).await?;
    assert!(refused.text.contains(gone), "{}", refused.text);
    let unknown = bad(&alice, "resources_list", maps("1zzzzzzzzzzzzzz1")).await?;
    assert_eq!(refused.text.replace(&name, "X"), unknown.text.replace("1zzzzzzzzzzzzzz1", "X"));
    assert_names_only(&tap);
    scene.assert_no_secret(&ferry.log());
    Ok(())
}
