//! `[[policy.rules]]`: what they deny, however it is named.

use std::time::Duration;

use serde_json::{Value, json};
use testenv::apiserver::{Client as Direct, Credential};
use testenv::ferry::Ferry;
use testenv::mcp::{Client, Era, raw};
use testenv::poll;
use testenv::simulator::{JwtIssuer, Keys, Rule, SimConfig, Simulator};
use testenv::tap::{Tap, TapConfig};

use crate::lab::bench::{bad, good};
use crate::lab::scene::Scene;

/// Time for a reload on a busy machine.
const RELOADED: Duration = Duration::from_secs(20);
const NO_TEAM_A: &str =
    "[[policy.rules]]\nname = \"no-team-a\"\nmatch = { workspace = \"root:org:team-a*\" }\neffect = \"deny\"\n";
const LOGICAL_CLUSTER: &str = "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster";
const WORKSPACES: &str = "/apis/tenancy.kcp.io/v1alpha1/workspaces";

/// A program with rules.
async fn ruled(scene: &Scene, rules: &str) -> anyhow::Result<Ferry> {
    Ferry::start(Some(&scene.world.config_with(rules)), &[("KUBEFERRY_LOG", "debug")]).await
}

async fn person(scene: &Scene, ferry: &Ferry, user: &str) -> anyhow::Result<Client> {
    Client::http(ferry.url(), Some(&scene.token("corp", user)), Era::Modern).await
}

fn configmaps(mut target: Value) -> Value {
    (target["kind"], target["namespace"]) = ("configmaps".into(), "default".into());
    target
}

/// The refusal of a rule: it is named, and not where it stands.
async fn denied(client: &Client, target: Value, rule: &str) -> anyhow::Result<String> {
    let refused = bad(client, "resources_list", configmaps(target.clone())).await?;
    let twin = refused.structured.unwrap_or_default();
    assert_eq!((&twin["code"], &twin["kind"]), (&json!("policy"), &json!("denied")), "{target}: {}", refused.text);
    assert!(refused.text.contains(&format!("rule {rule} ")), "{target} names the rule: {}", refused.text);
    for telling in ["policy.rules", ".toml"] {
        assert!(!refused.text.contains(telling), "{target} tells where the rule stands: {}", refused.text);
    }
    Ok(refused.text)
}

fn paths(tap: &Tap) -> Vec<String> {
    tap.requests().into_iter().map(|request| request.path).collect()
}

/// By path nothing is sent at all; by name, and by a path that begins with one, the workspace is only asked where it is.
pub async fn a_rule_denies_a_workspace_however_it_is_named(scene: &Scene) -> anyhow::Result<()> {
    let ferry = ruled(scene, NO_TEAM_A).await?;
    let (alice, bob) = (person(scene, &ferry, "alice").await?, person(scene, &ferry, "bob").await?);
    let name = |path: &str| scene.world.logical_cluster(path);
    let tap = &scene.world.kcp.tap;
    scene.clear();
    for target in [
        json!({"cluster": "kcp-eu:root:org:team-a"}),
        json!({"cluster": "kcp-eu", "workspace": ":root:org:team-a"}),
        json!({"cluster": "kcp-eu", "workspace": "root/org/team-a"}),
        json!({"cluster": "team-a", "from": "kcp-eu:root:org"}),
        json!({"cluster": "../team-a", "from": "kcp-eu:root:org:team-b"}),
        json!({"from": "kcp-eu:root:org:team-a"}),
        // Nobody learns from the answer what is there.
        json!({"cluster": "kcp-eu:root:org:team-a:below"}),
        json!({"cluster": "kcp-eu:root:org:team-a-of-nobody"}),
    ] {
        denied(&alice, target, "no-team-a").await?;
    }
    let whoami = bad(&alice, "whoami", json!({"cluster": "kcp-eu:root:org:team-a"})).await?;
    assert!(whoami.text.contains("no-team-a"), "{}", whoami.text);
    scene.assert_untouched("a path says where it leads");

    for target in [
        json!({"cluster": format!("kcp-eu:{}", name("root:org:team-a"))}),
        json!({"cluster": "kcp-eu", "workspace": name("root:org:team-a")}),
        json!({"cluster": format!("kcp-eu:{}:team-a", name("root:org"))}),
        json!({"cluster": "team-a", "from": format!("kcp-eu:{}", name("root:org"))}),
    ] {
        let said = denied(&alice, target.clone(), "no-team-a").await?;
        assert!(!said.contains("not known"), "{target}: alice can read where it is: {said}");
    }
    let read = paths(tap).into_iter().find(|path| !path.ends_with(LOGICAL_CLUSTER) && !path.contains(WORKSPACES));
    assert_eq!(read, None, "something was read");

    // Another workspace is read, and named by its logical cluster it costs a look at its path once.
    let org = json!({"cluster": format!("kcp-eu:{}", name("root:org"))});
    for target in [json!({"cluster": "kcp-eu:root:org"}), org.clone()] {
        good(&alice, "resources_list", configmaps(target)).await?;
    }
    scene.clear();
    good(&alice, "resources_list", configmaps(org)).await?;
    assert_eq!(paths(tap).len(), 1, "a warm call is one request: {:?}", paths(tap));
    good(&alice, "namespaces_list", json!({"cluster": "corp-1"})).await?;

    // A list shows what is there, and asks nothing of a workspace that is denied: by its path or by what is found of it.
    scene.clear();
    for org in ["root:org".to_owned(), name("root:org")] {
        let listed = good(&alice, "kcp_workspaces_list", json!({"cluster": format!("kcp-eu:{org}")})).await?;
        let row = |name: &str| {
            listed.text.lines().find(|line| line.starts_with(&format!("{org}:{name}\t"))).unwrap_or_default()
        };
        assert!(row("team-a").contains("\tno\t"), "{}", listed.text);
        assert!(row("team-b").contains("\tno\t"), "{}", listed.text);
    }
    let asked = paths(tap).into_iter().find(|path| path.contains(&name("root:org:team-a")));
    assert_eq!(asked, None, "a list asks nothing of a denied workspace");

    // Whoever cannot read where a workspace is does not get in by its name.
    let team_b = json!({"cluster": format!("kcp-eu:{}", name("root:org:team-b"))});
    let said = denied(&bob, team_b, "no-team-a").await?;
    assert!(said.contains("not known"), "{said}");
    let metrics = raw::get(&format!("{}/metrics", ferry.base()), &[]).await?.text;
    let counted = metrics.lines().any(|line| line == "kubeferry_decisions_total{outcome=\"policy\"} 14");
    assert!(counted, "nine by path, four by name, and bob's: {metrics}");
    scene.assert_no_secret(&ferry.log());
    Ok(())
}

/// The way to what a rule denies is not walked: who asks for it learns nothing of what is in a denied workspace.
pub async fn what_lies_in_a_denied_workspace_is_not_looked_for(scene: &Scene) -> anyhow::Result<()> {
    let ferry = ruled(scene, NO_TEAM_A).await?;
    let alice = person(scene, &ferry, "alice").await?;
    let team_a = scene.world.logical_cluster("root:org:team-a");
    let tap = &scene.world.kcp.tap;
    scene.clear();
    let mut said = Vec::new();
    for child in ["below", "of-nobody"] {
        let refused = denied(&alice, json!({"cluster": format!("kcp-eu:{team_a}:{child}")}), "no-team-a").await?;
        assert!(!refused.contains("not known"), "alice can read where it is: {refused}");
        said.push(refused.replace(child, "CHILD"));
    }
    assert_eq!(said[0], said[1]);
    let elsewhere = paths(tap).into_iter().find(|path| path.contains(&team_a) && !path.ends_with(LOGICAL_CLUSTER));
    assert_eq!(elsewhere, None, "it was only asked where it is");

    let org = scene.world.logical_cluster("root:org");
    // So that the rest of the call has nothing to look up.
    good(&alice, "kcp_workspace_tree", json!({"cluster": format!("kcp-eu:{org}"), "depth": 1})).await?;
    scene.clear();
    for start in ["root:org".to_owned(), org] {
        for under in ["team-a", "team-a:below", "team-a/of-nobody"] {
            let question = json!({"cluster": format!("kcp-eu:{start}"), "under": under});
            let refused = bad(&alice, "kcp_workspace_tree", question).await?;
            assert!(refused.text.contains("rule no-team-a "), "{start} {under}: {}", refused.text);
        }
    }
    let asked = paths(tap).into_iter().find(|path| path.contains("/team-a") || path.contains(&team_a));
    assert_eq!(asked, None, "the names say where it is");
    Ok(())
}

/// Who has no rule about workspaces pays nothing: a name is used as it is.
pub async fn without_such_a_rule_a_name_is_not_looked_at(scene: &Scene) -> anyhow::Result<()> {
    let rules = "[[policy.rules]]\nname = \"not-for-carol\"\n\
                 match = { groups = [\"acme:dev\"], workspace = \"root:org:*\" }\neffect = \"deny\"\n\
                 [[policy.rules]]\nname = \"no-dev\"\nmatch = { tier = \"dev\", not_groups = [\"corp:ops\"] }\neffect = \"deny\"\n";
    let ferry = ruled(scene, rules).await?;
    let (alice, bob) = (person(scene, &ferry, "alice").await?, person(scene, &ferry, "bob").await?);
    let team_b = json!({"cluster": format!("kcp-eu:{}", scene.world.logical_cluster("root:org:team-b"))});
    scene.clear();
    good(&bob, "resources_list", configmaps(team_b)).await?;
    let looked = paths(&scene.world.kcp.tap).into_iter().find(|path| path.ends_with(LOGICAL_CLUSTER));
    assert_eq!(looked, None, "bob is in no group that the rule is about");
    // alice is in ops, bob is not.
    good(&alice, "namespaces_list", json!({"cluster": "dev"})).await?;
    scene.clear();
    let refused = bad(&bob, "namespaces_list", json!({"cluster": "dev"})).await?;
    assert!(refused.text.contains("rule no-dev "), "{}", refused.text);
    scene.assert_untouched("the rule is about the whole cluster");
    Ok(())
}

/// A list of what is allowed, and the rest denied: what is not known is of the rest.
pub async fn a_list_of_workspaces_admits_no_other(scene: &Scene) -> anyhow::Result<()> {
    let rules = "[[policy.rules]]\nname = \"team-a\"\n\
                 match = { workspace = [\"root:org:team-a\", \"root:org:team-a:*\"] }\neffect = \"allow\"\n\
                 [[policy.rules]]\nname = \"no-other\"\nmatch = { cluster = \"kcp-*\" }\neffect = \"deny\"\n";
    let ferry = ruled(scene, rules).await?;
    let (alice, bob) = (person(scene, &ferry, "alice").await?, person(scene, &ferry, "bob").await?);
    let name = |path: &str| json!({"cluster": format!("kcp-eu:{}", scene.world.logical_cluster(path))});
    for target in [json!({"cluster": "kcp-eu:root:org:team-a"}), name("root:org:team-a")] {
        good(&alice, "resources_list", configmaps(target)).await?;
    }
    for target in [json!({"cluster": "kcp-eu:root:org"}), json!({"cluster": "kcp-eu:root"}), name("root:org")] {
        let said = denied(&alice, target.clone(), "no-other").await?;
        assert!(!said.contains("not known"), "{target}: {said}");
    }
    let said = denied(&bob, name("root:org:team-b"), "no-other").await?;
    assert!(said.contains("not known") && said.contains("by its path"), "{said}");
    good(&alice, "namespaces_list", json!({"cluster": "corp-1"})).await?;
    // A look at the way says that this is not decided yet.
    let look = good(&alice, "auth_explain", name("root:org:team-a")).await?;
    assert!(look.text.contains("a rule asks for the path"), "{}", look.text);
    Ok(())
}

/// The administrator of a workspace can write its annotation `kcp.io/path`.
pub async fn what_a_workspace_says_of_its_own_path_is_no_proof(scene: &Scene) -> anyhow::Result<()> {
    let name = scene.world.logical_cluster("root:org:team-a");
    let tap = &scene.world.kcp.tap;
    let base = format!("{}/clusters/{name}", tap.url());
    let own = Direct::new(&base, tap.ca_pem(), Credential::Token(&scene.token("corp", "alice")))?;
    let claim = async |path: &str| {
        let annotations = json!({"metadata": {"annotations": {"kcp.io/path": path}}});
        let written = own.merge(LOGICAL_CLUSTER, &annotations).await?;
        anyhow::ensure!(written["metadata"]["annotations"]["kcp.io/path"] == path, "{written}");
        anyhow::Ok(())
    };
    let by_name = json!({"cluster": format!("kcp-eu:{name}")});
    for lie in ["root:org", "root:org:team-b", "root:elsewhere", "root"] {
        claim(lie).await?;
        // A program of its own for each, so that nothing was seen before.
        let ferry = ruled(scene, NO_TEAM_A).await?;
        let alice = person(scene, &ferry, "alice").await?;
        let tried = denied(&alice, by_name.clone(), "no-team-a").await;
        claim("root:org:team-a").await?;
        assert!(tried?.contains("not known"), "{lie}");
        ferry.stop().await;
    }
    let ferry = ruled(scene, NO_TEAM_A).await?;
    let said = denied(&person(scene, &ferry, "alice").await?, by_name, "no-team-a").await?;
    assert!(!said.contains("not known"), "{said}");
    Ok(())
}

/// What is made anew under a path is under the rules of that path, also for callers who were there before.
pub async fn a_workspace_made_anew_is_where_it_was(scene: &Scene) -> anyhow::Result<()> {
    let realms = &scene.world.realms;
    let keys = Keys::Discovery { ca_pem: realms.ca_pem().to_owned() };
    let issuer = JwtIssuer::new(&realms.issuer("corp"), keys, "kcp-eu", "corp:");
    let kcp = Simulator::start(SimConfig::kcp().issuer(issuer)).await?;
    let make = |path: &str| {
        let workspace = kcp.workspace(path);
        workspace.allow(Rule::user("corp:alice").everything());
        workspace.name()
    };
    let (org, fine, hidden) = (make("root:org"), make("root:org:fine"), make("root:org:hidden"));
    let tap = Tap::start(TapConfig::new("kcp-n", kcp.url().trim_start_matches("https://"), kcp.ca_pem())).await?;
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, tap.ca_pem())?;
    let config = format!(
        "[clusters.kcp-n]\nkind = \"kcp\"\nserver = \"{}\"\nca_file = \"{}\"\nrealm = \"corp\"\n\
         audiences = [\"kcp-eu\"]\nstrategy = \"passthrough\"\ni_accept_token_passthrough = true\n\
         [[policy.rules]]\nname = \"hidden\"\nmatch = {{ workspace = \"root:org:hidden*\" }}\neffect = \"deny\"\n",
        tap.url(),
        ca.display()
    );
    let ferry = ruled(scene, &config).await?;
    let alice = person(scene, &ferry, "alice").await?;
    let at = |place: &str| json!({"cluster": format!("kcp-n:{place}")});
    let fine_places = ["root:org:fine".to_owned(), format!("{org}:fine"), fine.clone()];
    let hidden_places = ["root:org:hidden".to_owned(), format!("{org}:hidden"), hidden.clone()];
    for (fine, hidden) in fine_places.iter().zip(&hidden_places) {
        good(&alice, "resources_list", configmaps(at(fine))).await?;
        denied(&alice, at(hidden), "hidden").await?;
    }
    let token = scene.token("corp", "alice");
    let direct = Direct::new(&format!("{}/clusters/{org}", tap.url()), tap.ca_pem(), Credential::Token(&token))?;
    for name in ["fine", "hidden"] {
        direct.delete(&format!("{WORKSPACES}/{name}")).await?;
    }
    let (new_fine, new_hidden) = (make("root:org:fine"), make("root:org:hidden"));
    assert!(new_fine != fine && new_hidden != hidden, "made anew");
    tap.clear();
    // The name that was found for its path is that of the old one, and nobody has looked into it before.
    let tree = json!({"cluster": "kcp-n:root", "under": "org:fine"});
    good(&alice, "kcp_workspace_tree", tree).await?;
    for (fine, hidden) in [
        ("root:org:fine", "root:org:hidden"),
        (&*format!("{org}:fine"), &*format!("{org}:hidden")),
        (&*new_fine, &*new_hidden),
    ] {
        good(&alice, "resources_list", configmaps(at(fine))).await?;
        denied(&alice, at(hidden), "hidden").await?;
    }
    // What was there before is gone, and no rule lets it be anything else.
    denied(&alice, at(&hidden), "hidden").await?;
    let touched = paths(&tap).into_iter().find(|path| {
        let hidden = path.contains(&new_hidden) || path.contains(&hidden);
        hidden && !path.ends_with(LOGICAL_CLUSTER)
    });
    assert_eq!(touched, None, "the workspace was only asked where it is");
    scene.assert_no_secret(&ferry.log());
    Ok(())
}

/// The next call is under the rules of the new configuration; one with a mistake changes nothing.
pub async fn rules_change_with_a_reload(scene: &Scene) -> anyhow::Result<()> {
    let file = scene.world.config_with(NO_TEAM_A);
    let ferry = Ferry::start(Some(&file), &[]).await?;
    let alice = person(scene, &ferry, "alice").await?;
    let team_a = json!({"cluster": "kcp-eu:root:org:team-a"});
    denied(&alice, team_a.clone(), "no-team-a").await?;
    let serves = async |what: &str, line: &str| {
        let url = format!("{}/metrics", ferry.base());
        poll::until(what, RELOADED, || async {
            let reply = raw::get(&url, &[]).await.map_err(|error| format!("{error:#}"))?;
            if reply.text.lines().any(|found| found == line) { Ok(()) } else { Err(reply.text) }
        })
        .await
    };
    std::fs::write(
        &file,
        format!("{}\n{}", scene.world.config_text(), NO_TEAM_A.replace("root:org:team-a*", "team-a")),
    )?;
    serves("a mistake in a rule", "kubeferry_inventory_reload_total{result=\"refused\"} 1").await?;
    denied(&alice, team_a.clone(), "no-team-a").await?;
    std::fs::write(&file, format!("{}\n{}", scene.world.config_text(), NO_TEAM_A.replace("team-a*", "team-b*")))?;
    serves("another rule", "kubeferry_inventory_generation 2").await?;
    good(&alice, "resources_list", configmaps(team_a)).await?;
    denied(&alice, json!({"cluster": "kcp-eu:root:org:team-b"}), "no-team-a").await?;
    Ok(())
}
