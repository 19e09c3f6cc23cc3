use std::path::{Path, PathBuf};

use crate::config::{Environment, Loaded, parse, report};
use crate::model::Access;
use crate::policy::Effect;

const FLEET: &str = r#"[server]
resource = "https://mcp.example/mcp"
home_realms = ["corp"]
[realms.corp]
issuer = "https://kc.example/realms/corp"
[clusters.kcp-eu]
kind = "kcp"
server = "https://kcp.example"
strategy = "none"
"#;

fn read(rules: &str) -> Loaded {
    let environment = Environment::of(&[], Some(PathBuf::from("/nonexistent")));
    parse(&format!("{FLEET}{rules}"), Path::new("/nonexistent/c.toml"), &environment)
}

#[test]
fn rules_are_read_in_their_order() {
    let loaded = read(
        r#"[[policy.rules]]
name = "prod-needs-oncall"
match = { tier = "prod", access = ["write", "exec"], not_groups = ["corp:platform-oncall"], labels = { region = "fra*" } }
effect = "deny"
[[policy.rules]]
name = "team-a"
match = { workspace = ["root:org:team-a", "root:org:team-a:*"], cluster = "kcp-*", realm = "corp", access = "read" }
effect = "allow"
"#,
    );
    assert_eq!(report(&loaded.problems, &loaded.map), "");
    let [first, second] = loaded.config.policy.rules.as_slice() else { panic!("{:?}", loaded.config.policy) };
    assert_eq!(
        (first.name.as_str(), first.origin.as_str(), first.effect),
        ("prod-needs-oncall", "policy.rules[0]", Effect::Deny)
    );
    assert_eq!(first.matches.access, [Access::Write, Access::Exec]);
    assert_eq!(first.matches.tier[0].whole(), Some("prod"));
    assert_eq!(
        (first.matches.not_groups[0].realm.as_str(), first.matches.not_groups[0].name.as_str()),
        ("corp", "platform-oncall")
    );
    assert!(first.matches.labels["region"].fits("fra-3") && first.matches.groups.is_empty());
    assert_eq!(second.effect, Effect::Allow);
    assert_eq!((second.matches.workspace.len(), second.matches.cluster[0].as_str()), (2, "kcp-*"));
    assert_eq!(second.matches.access, [Access::Read]);
}

/// All of them at once, each with its line and what to write.
#[test]
fn mistakes_in_rules_are_reported_with_their_lines() {
    let loaded = read(
        r#"[[policy.rules]]
match = { cluster = "kcp-us" }
effect = "deny"
[[policy.rules]]
name = "No Name"
match = { realm = "corq", groups = ["oncall", "acme:x"], not_groups = [], workspce = "root:org" }
effect = "preview"
[[policy.rules]]
name = "twice"
match = {}
effect = "denny"
[[policy.rules]]
name = "twice"
match = { workspace = ["2gr4s8eyy3n1rqtl", "root:*:a"], kind = "Secret", namespace = "a", access = "reed", tier = "a*b" }
[[policy.rules]]
name = "wide"
matches = { cluster = "*" }
effect = "person"
[[policy.rules]]
name = "typed"
match = { cluster = 1, labels = { a = "b*c" }, tool = ["x", 2] }
effect = "allow"
"#,
    );
    insta::assert_snapshot!(report(&loaded.problems, &loaded.map).replace("/nonexistent/c.toml:", ""), @r##"
10: policy.rules[0]: name is missing; write a name that a denied caller is told, as prod-needs-oncall
11: policy.rules[0].match.cluster: no cluster "kcp-us" is configured; did you mean kcp-eu?
14: policy.rules[1].name: "No Name" is not a rule's name; use lower-case letters, digits and '-', at most 63 characters
15: policy.rules[1].match.groups: no realm "acme" is configured; write one of corp
15: policy.rules[1].match.groups[0]: group "oncall" is not valid: write realm:group, as corp:platform-oncall; there are no wildcards; write realm:group, as corp:platform-oncall
15: policy.rules[1].match.not_groups: is empty; name at least one, or leave the key out
15: policy.rules[1].match.realm: no realm "corq" is configured; did you mean corp?
15: policy.rules[1].match.workspce: unknown key; did you mean workspace?
16: policy.rules[1].effect: preview comes with the tools that change things, and all tools here read; write allow or deny
19: policy.rules[2].match: has no condition; write one; cluster = "*" is every call to a cluster
20: policy.rules[2].effect: "denny" is not known; did you mean deny?
21: policy.rules[3]: effect is missing; write allow or deny
22: policy.rules[3].name: the rule name "twice" is taken; give each rule its own name
23: policy.rules[3].match.access: "reed" is not a class of access; write read, write, delete or exec
23: policy.rules[3].match.kind: a rule decides before it is known which kinds a call is about; remove it: policy.denied has kinds and policy.namespaces has namespaces, for every cluster
23: policy.rules[3].match.namespace: a rule decides before it is known which namespaces a call is about; remove it: policy.denied has kinds and policy.namespaces has namespaces, for every cluster
23: policy.rules[3].match.tier: pattern "a*b" is not valid: write the whole text, or its beginning with one '*' at the end; write a name, or its beginning with '*' at the end
23: policy.rules[3].match.workspace[0]: workspace pattern "2gr4s8eyy3n1rqtl" is not valid: write a path as root:org:team; with '*' at the end its beginning: root:org:* is all that is below root:org; write paths that begin with root, or * for every workspace
23: policy.rules[3].match.workspace[1]: pattern "root:*:a" is not valid: write a path as root:org:team; with '*' at the end its beginning: root:org:* is all that is below root:org; write paths that begin with root, or * for every workspace
24: policy.rules[4]: match is missing; say which calls it is about
26: policy.rules[4].matches: unknown key; did you mean match?
27: policy.rules[4].effect: person comes with the tools that change things, and all tools here read; write allow or deny
30: policy.rules[5].match.cluster: an integer where a list of strings is expected; write a list of strings
30: policy.rules[5].match.labels.a: pattern "b*c" is not valid: write the whole text, or its beginning with one '*' at the end; write a value, or its beginning with '*' at the end
30: policy.rules[5].match.tool[1]: an integer where a string in quotes is expected; write a string in quotes
"##);
}
