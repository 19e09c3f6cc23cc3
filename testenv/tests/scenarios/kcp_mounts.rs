//! Workspaces that are another server: no credential is ever sent there, whatever a mount is called by.

use serde_json::{Value, json};
use testenv::apiserver;
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era};
use testenv::tap::{Tap, digest};

use crate::lab::bench::{bad, good, names};
use crate::lab::scene::Scene;
use crate::lab::shard::{Right, Shard, assert_names_only, entry};

/// Every way to name the mount `mounted`, something below it, or the mount `pending`.
fn spellings() -> Vec<Value> {
    vec![
        json!({"cluster": "kcp-m:root:org:mounted"}),
        json!({"cluster": "kcp-m", "workspace": "root:org:mounted"}),
        json!({"cluster": "kcp-m", "workspace": ":root:org:mounted"}),
        json!({"cluster": "kcp-m:root:org:mounted:below"}),
        json!({"cluster": "kcp-m", "workspace": "root:org:mounted:below:deeper"}),
        json!({"cluster": "mounted", "from": "kcp-m:root:org"}),
        json!({"cluster": "mounted:below", "from": "kcp-m:root:org"}),
        json!({"cluster": "../mounted", "from": "kcp-m:root:org:team"}),
        json!({"cluster": ".", "from": "kcp-m:root:org:mounted"}),
        json!({"cluster": "..", "from": "kcp-m:root:org:mounted:below"}),
        json!({"from": "kcp-m:root:org:mounted"}),
        json!({"cluster": "kcp-m:root:org:pending"}),
        json!({"cluster": "below", "from": "kcp-m:root:org:pending"}),
    ]
}

/// Tools that need a workspace to ask, with the rest of their arguments.
fn tools() -> Vec<(&'static str, Value)> {
    vec![
        ("namespaces_list", json!({})),
        ("whoami", json!({})),
        ("resources_list", json!({"kind": "configmaps"})),
        ("resources_get", json!({"kind": "configmap", "namespace": "default", "name": "here"})),
        ("events_list", json!({})),
        ("kcp_workspaces_list", json!({})),
        ("kcp_workspace_tree", json!({})),
        ("kcp_workspaces_find", json!({"name": "e"})),
        ("kcp_workspace_describe", json!({})),
        ("kcp_apis_list", json!({})),
    ]
}

/// Calls of tools that walk down to a mount by themselves.
fn below_a_start() -> Vec<(&'static str, Value)> {
    vec![
        ("kcp_workspace_tree", json!({"cluster": "kcp-m:root", "under": "org:mounted"})),
        ("kcp_workspace_tree", json!({"cluster": "kcp-m:root:org", "under": "mounted:below"})),
        ("kcp_workspaces_find", json!({"cluster": "kcp-m:root:org", "under": "mounted", "name": "e"})),
    ]
}

/// Calls that show the mounts, which is not to visit them.
fn looks() -> Vec<(&'static str, Value)> {
    vec![
        ("kcp_workspaces_list", json!({"cluster": "kcp-m:root:org"})),
        ("kcp_workspace_tree", json!({"cluster": "kcp-m:root", "depth": 9})),
        ("kcp_workspaces_find", json!({"cluster": "kcp-m:root", "name": "mounted"})),
    ]
}

/// A shard forwards whatever is below a mount, credential and all, to any URL: nothing may be sent there.
pub async fn a_mount_never_sees_a_credential(scene: &Scene) -> anyhow::Result<()> {
    let sink = Tap::sink("mount", 200).await?;
    let kcp = Shard::start(scene, "kcp-m", &["WorkspaceMounts=true"]).await?;
    let alice = [("alice", Right::Everything)];
    kcp.workspace(scene, "root:org", &alice).await?;
    kcp.workspace(scene, "root:org:team", &alice).await?;
    kcp.mount("root:org", "mounted", &sink.url()).await?;
    kcp.mount("root:org", "pending", "").await?;
    forwards(&kcp, &sink).await?;
    let (tap, entry) = entry(scene, "kcp-m", kcp.url(), kcp.ca_pem()).await?;
    let ferry = Ferry::start(Some(&scene.world.config_with(&entry)), &[("KUBEFERRY_LOG", "trace")]).await?;
    let alice = Client::http(ferry.url(), Some(&scene.token("corp", "alice")), Era::Modern).await?;

    let listed = good(&alice, "resources_list", json!({"cluster": "kcp-m:root:org", "kind": "workspaces"})).await?;
    let mut found = names(&listed.text);
    found.sort();
    assert_eq!(found, ["mounted", "pending", "team"], "a mount is listed: {}", listed.text);
    let object = json!({"cluster": "kcp-m:root:org", "kind": "workspace", "name": "mounted"});
    good(&alice, "resources_get", object).await?;
    for (name, state) in [("mounted", "ready"), ("pending", "unavailable")] {
        let question = json!({"cluster": "kcp-m:root:org", "name": name});
        let described = good(&alice, "kcp_workspace_describe", question).await?;
        for says in [format!("state: {state}: it is a mount of"), format!("workspace: kcp-m:root:org:{name}")] {
            assert!(described.text.contains(&says), "{says}: {}", described.text);
        }
        assert!(
            !described.text.contains("logical cluster") && !described.text.contains("access:"),
            "{}",
            described.text
        );
    }
    for target in spellings() {
        for (tool, rest) in tools() {
            let refused = bad(&alice, tool, merged(&target, &rest)).await?;
            assert!(refused.text.contains("mount"), "{tool} {target} says why: {}", refused.text);
        }
    }
    for (tool, arguments) in below_a_start() {
        let refused = bad(&alice, tool, arguments.clone()).await?;
        assert!(refused.text.contains("mount"), "{tool} {arguments} says why: {}", refused.text);
    }
    for (tool, arguments) in looks() {
        let shown = good(&alice, tool, arguments.clone()).await?;
        assert!(shown.text.contains("mount"), "{tool} {arguments} shows it: {}", shown.text);
    }
    // Who serves something is asked, but for the mounts.
    good(&alice, "kcp_workspaces_find", json!({"cluster": "kcp-m:root", "serves": "configmaps"})).await?;
    // `..` of a mount is its parent, which is no mount.
    let up = json!({"cluster": "..", "from": "kcp-m:root:org:mounted", "kind": "workspaces"});
    good(&alice, "resources_list", up).await?;

    assert_eq!((sink.connections(), sink.requests().len()), (0, 0), "the mount's target saw something");
    if let Shard::Simulated(simulator) = &kcp {
        // The first one is the lab's own.
        let forwarded = simulator.requests().into_iter().filter(|request| request.forwarded);
        assert_eq!(forwarded.count(), 1, "a request was forwarded");
    }
    assert!(!tap.requests().is_empty(), "kubeferry asked this kcp");
    assert_names_only(&tap);
    scene.assert_no_secret(&ferry.log());
    Ok(())
}

/// Shows that the mount does forward, with a token of nobody, so that silence later is no accident.
async fn forwards(kcp: &Shard, sink: &Tap) -> anyhow::Result<()> {
    let token = "of-nobody";
    let below = format!("{}/clusters/root:org:mounted", kcp.url());
    let nobody = apiserver::Client::new(&below, kcp.ca_pem(), apiserver::Credential::Token(token))?;
    nobody.get("/api/v1/namespaces").await?;
    let seen = sink.requests();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((seen[0].path.as_str(), &seen[0].authorization), ("/api/v1/namespaces", &Some(digest(token))));
    sink.clear();
    Ok(())
}

fn merged(target: &Value, rest: &Value) -> Value {
    let fields = [target, rest].into_iter().filter_map(Value::as_object).flatten();
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}
