//! Names that could change a URL, and words that mean something elsewhere: refused before anything is sent.

use serde_json::{Value, json};
use testenv::simulator::SimConfig;

use crate::lab::bench::{bad, good};
use crate::lab::case::Case;
use crate::lab::kcp::{Kcp, configmaps};

/// Strings of the row, and others that could leave `/clusters/<workspace>`.
fn bad_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "root:..%2f",
        "root:%2e%2e",
        "root:%2e%2e%2fversion",
        "root::a",
        "root:a/../../clusters/root",
        "root:a/../version",
        "?",
        "root:a?x=y",
        "#",
        "root:a#x",
        "\\",
        "root:a\\..\\b",
        "r\u{43e}\u{43e}t",
        "root:\u{ff41}",
        "root:a\u{202e}b",
        "root:a b",
        "root:a\r\nX-Remote-User: b",
        "root:\0",
        "root:Org",
        "root:a.b",
        "root:-a",
        "root:@",
        "%",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("a".repeat(10 * 1024));
    names.push(format!("root{}", ":a".repeat(5 * 1024)));
    names.push(format!("root{}", ":a".repeat(32)));
    names
}

/// Words that `kubectl ws` or a URL knows, and what is said of them.
const WORDS: [(&str, &str); 9] = [
    ("~", "a home workspace is named by its logical cluster"),
    ("root:~", "a home workspace is named by its logical cluster"),
    ("-", "no call knows of a previous workspace"),
    ("*", "'*' would be many workspaces"),
    ("root:*", "'*' would be many workspaces"),
    ("/services/apiexport/root/widgets/clusters/root", "a virtual workspace"),
    ("services/initializingworkspaces/root:a", "a virtual workspace"),
    ("/clusters/root:org", "a path of a URL"),
    ("https://127.0.0.1/clusters/root", "a path of a URL"),
];

/// Everywhere where a workspace is named.
fn questions(name: &str) -> Vec<(&'static str, Value)> {
    let list = |mut arguments: Value| {
        arguments["kind"] = "configmaps".into();
        ("resources_list", arguments)
    };
    vec![
        list(json!({"cluster": format!("kcp:{name}")})),
        list(json!({"cluster": "kcp", "workspace": name})),
        list(json!({"cluster": name, "from": "kcp:root:org"})),
        list(json!({"cluster": "kcp", "workspace": name, "from": "kcp:root:org"})),
        list(json!({"cluster": "..", "from": format!("kcp:{name}")})),
        list(json!({"from": format!("kcp:{name}")})),
        ("kcp_workspaces_list", json!({"cluster": format!("kcp:{name}")})),
        ("kcp_workspace_tree", json!({"cluster": "kcp", "under": name})),
        ("kcp_workspaces_find", json!({"cluster": "kcp", "under": name})),
    ]
}

/// K14; a property test in `src/model/address.rs` tries whatever may come.
pub async fn k14_a_name_outside_the_grammar_is_refused_before_there_is_a_url(case: &Case) -> anyhow::Result<()> {
    let kcp = Kcp::start(case, SimConfig::kcp()).await?;
    kcp.workspace("root:org:team");
    kcp.workspace("root:org");
    let ferry = kcp.ferry().await?;
    let alice = kcp.alice(&ferry).await?;
    for name in bad_names() {
        for (tool, question) in questions(&name) {
            let refused = bad(&alice, tool, question.clone()).await?;
            let shown: String = question.to_string().chars().take(120).collect();
            assert_eq!(
                refused.structured.unwrap_or_default()["code"],
                "invalid_arguments",
                "{tool} {shown}: {}",
                refused.text
            );
            assert!(refused.text.chars().all(|c| !c.is_control()), "{tool} {shown}: {:?}", refused.text);
        }
    }
    for (word, said) in WORDS {
        for (tool, question) in questions(word) {
            // Beside `from`, what has a `://` is an address of another cluster.
            let refused = bad(&alice, tool, question.clone()).await?;
            assert!(refused.text.contains(said), "{tool} {question}: {}", refused.text);
        }
    }
    for above in ["..:..:..", "../../..", "..:..:..:root"] {
        let question = json!({"cluster": above, "from": "kcp:root:org", "kind": "configmaps"});
        let refused = bad(&alice, "resources_list", question).await?;
        assert!(refused.text.contains("climbs above the top"), "{above}: {}", refused.text);
    }
    assert_eq!((kcp.tap.connections(), kcp.asked()), (0, Vec::new()), "something was sent");
    understood(&kcp, &alice).await
}

/// The notation of `kubectl ws` that does name a workspace.
async fn understood(kcp: &Kcp<'_>, alice: &testenv::mcp::Client) -> anyhow::Result<()> {
    let team = |arguments: Value| {
        let mut question = configmaps("");
        question.as_object_mut().expect("arguments are an object").remove("cluster");
        for (name, value) in arguments.as_object().into_iter().flatten() {
            question[name] = value.clone();
        }
        question
    };
    for target in [
        json!({"cluster": "kcp", "workspace": ":root:org:team"}),
        json!({"cluster": "kcp", "workspace": "root/org/team"}),
        json!({"cluster": "kcp", "workspace": "root:org:team:"}),
        json!({"cluster": "team", "from": "kcp:root:org"}),
        json!({"cluster": "./team/", "from": "kcp:root:org"}),
        json!({"cluster": "../team", "from": "kcp:root:org:other"}),
        json!({"cluster": ":root:org:team", "from": "kcp:root"}),
    ] {
        let listed = good(alice, "resources_list", team(target.clone())).await?;
        assert!(listed.text.contains("here"), "{target}: {}", listed.text);
    }
    for root in [":", "/", "root:", "root", ":root"] {
        let listed = good(alice, "kcp_workspaces_list", json!({"cluster": "kcp", "workspace": root})).await?;
        assert!(listed.text.contains("root:org"), "{root}: {}", listed.text);
    }
    crate::lab::shard::assert_names_only(&kcp.tap);
    Ok(())
}
