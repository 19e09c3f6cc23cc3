//! The calls of the walk, and what their answers must and must not say.

use anyhow::Context;
use serde_json::{Value, json};

use super::screen::Screen;
use super::{Door, Stage};
use crate::mcp::raw;

/// One call.
pub(super) struct Step {
    who: &'static str,
    tool: &'static str,
    arguments: Value,
    why: &'static str,
    /// Whether the result must say `isError`.
    error: bool,
    says: Vec<String>,
    never: Vec<&'static str>,
}

impl Step {
    pub(super) fn new(who: &'static str, tool: &'static str, arguments: Value, why: &'static str) -> Self {
        Self { who, tool, arguments, why, error: false, says: Vec::new(), never: Vec::new() }
    }

    pub(super) fn says<const N: usize>(mut self, says: [&str; N]) -> Self {
        self.says = says.map(str::to_owned).into();
        self
    }

    pub(super) fn never<const N: usize>(mut self, never: [&'static str; N]) -> Self {
        self.never = never.into();
        self
    }

    pub(super) fn fails(mut self) -> Self {
        self.error = true;
        self
    }

    /// As a person would type it.
    fn shown(&self) -> String {
        let mut shown = self.tool.to_owned();
        for (name, value) in self.arguments.as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            shown.push_str(&format!(" {name}={text}"));
        }
        shown
    }

    /// Why the answer is not as expected.
    fn complaint(&self, answer: &Answer) -> Option<String> {
        if answer.error != self.error {
            let (is, should) = if answer.error { ("an error", "a result") } else { ("a result", "an error") };
            return Some(format!("it is {is} and should be {should}"));
        }
        let missing = self.says.iter().find(|text| !answer.text.contains(*text));
        let leaked = self.never.iter().find(|text| answer.text.contains(**text));
        missing
            .map(|text| format!("it should say {text:?}"))
            .or_else(|| leaked.map(|text| format!("it must not say {text:?}")))
    }
}

/// The result of a tool.
struct Answer {
    text: String,
    error: bool,
}

/// Makes all calls; `false` when an answer was not as expected.
///
/// # Errors
/// When kubeferry does not answer in MCP.
pub(super) async fn walk(stage: &Stage, screen: &mut Screen) -> anyhow::Result<bool> {
    screen.title("A walk through calls");
    let door = &stage.door;
    Ok(tools(door, screen).await? & play(door, steps(stage), screen).await? & unknown_alike(door, screen).await?)
}

/// Makes these calls; `false` when an answer was not as expected.
///
/// # Errors
/// As [`walk`].
pub(super) async fn play(door: &Door, steps: Vec<Step>, screen: &mut Screen) -> anyhow::Result<bool> {
    let mut passed = true;
    for step in steps {
        screen.call(step.who, &step.shown(), step.why);
        let answer = call(door, step.who, step.tool, &step.arguments).await?;
        screen.answer(&answer.text);
        if let Some(why) = step.complaint(&answer) {
            if answer.error || step.error {
                screen.say(&answer.text);
            }
            screen.wrong(&why);
            passed = false;
        }
    }
    Ok(passed)
}

fn steps(stage: &Stage) -> Vec<Step> {
    let here = |workspace: &str| json!({"cluster": format!("kcp-eu:{workspace}"), "kind": "ConfigMap", "namespace": "default", "name": "here"});
    let team_b = stage.world.logical_cluster("root:org:team-b");
    vec![
        Step::new(
            "alice",
            "clusters_list",
            json!({}),
            "She sees what her realm, corp, reaches. acme-1 is not there for her.",
        )
        .says(["corp-1", "dev", "kcp-eu"])
        .never(["acme-1"]),
        Step::new(
            "alice",
            "namespaces_list",
            json!({"cluster": "corp-1"}),
            "Her own token goes to corp-1, whose RBAC decides.",
        )
        .says(["team-a", "team-b"]),
        Step::new(
            "carol",
            "namespaces_list",
            json!({"cluster": "acme-1"}),
            "Another realm, another server, at the same endpoint: carol's token goes to acme-1.",
        )
        .says(["team-a", "team-b"]),
        Step::new("alice", "resources_get", here("root:org:team-a"), "A workspace of the kcp, by its path.")
            .says(["where: team-a"]),
        Step::new(
            "bob",
            "resources_get",
            here(&team_b),
            "bob may not look at the parent workspaces, but he knows the name of the logical cluster.",
        )
        .says(["where: team-b"]),
        Step::new(
            "alice",
            "whoami",
            json!({"cluster": "dev"}),
            "dev trusts neither realm: kubeferry's service account impersonates alice there.",
        )
        .says(["corp:alice", "corp:dev"]),
        Step::new(
            "alice",
            "resources_get",
            json!({"cluster": "corp-1", "kind": "Secret", "namespace": "team-a", "name": "db"}),
            "She may read secrets; a model never sees their values.",
        )
        .says(["password"])
        .never(["canary-value", "Y2FuYXJ5LXZhbHVl"]),
        Step::new(
            "bob",
            "namespaces_list",
            json!({"cluster": "corp-1"}),
            "corp-1 refuses him, since there he may only read in namespace team-b; kubeferry adds no rights.",
        )
        .says(["forbidden"])
        .fails(),
    ]
}

/// A cluster of another realm answers as one that does not exist: with the same words, but for the name.
async fn unknown_alike(door: &Door, screen: &mut Screen) -> anyhow::Result<bool> {
    let why = "A cluster that only others reach answers as one that does not exist, and nothing is sent to it.";
    let mut texts = Vec::new();
    for name in ["corp-1", "corp-7"] {
        let arguments = json!({"cluster": name});
        screen.call("carol", &format!("namespaces_list cluster={name}"), why);
        let answer = call(door, "carol", "namespaces_list", &arguments).await?;
        screen.answer(&answer.text);
        if !answer.error {
            screen.wrong("it should be an error");
            return Ok(false);
        }
        texts.push(answer.text.replace(name, "<name>"));
    }
    let alike = texts[0] == texts[1];
    if !alike {
        screen.wrong(&format!("the answers differ:\n{}\n{}", texts[0], texts[1]));
    }
    Ok(alike)
}

async fn tools(door: &Door, screen: &mut Screen) -> anyhow::Result<bool> {
    screen.call(
        "alice",
        "tools/list",
        "What a client offers to its model: few tools with short descriptions; the cluster is an argument.",
    );
    let result = rpc(door, "alice", "tools/list", json!({})).await?;
    let tools = result["tools"].as_array().context("the answer has no list of tools")?;
    let name = |tool: &Value| tool["name"].as_str().unwrap_or_default().to_owned();
    let line = |tool: &Value| format!("{}: {}", name(tool), tool["description"].as_str().unwrap_or_default());
    screen.answer(&tools.iter().map(line).collect::<Vec<_>>().join("\n"));
    let missing = ["clusters_list", "namespaces_list", "resources_get", "resources_list", "whoami"]
        .into_iter()
        .find(|wanted| !tools.iter().any(|tool| name(tool) == *wanted));
    if let Some(missing) = missing {
        screen.wrong(&format!("there should be a tool {missing}"));
    }
    Ok(missing.is_none())
}

async fn call(door: &Door, who: &str, tool: &str, arguments: &Value) -> anyhow::Result<Answer> {
    let result = rpc(door, who, "tools/call", json!({"name": tool, "arguments": arguments})).await?;
    let blocks = result["content"].as_array().context("the result has no content")?;
    let text: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    Ok(Answer { text: text.join("\n"), error: result["isError"] == true })
}

/// One JSON-RPC request, which needs nothing before it; the same as `connect` shows for curl.
async fn rpc(door: &Door, who: &str, method: &str, params: Value) -> anyhow::Result<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let reply = raw::post(&door.url, Some(door.token(who)), &[], body.to_string()).await?;
    let mut answer = reply.json().with_context(|| format!("{method} as {who}: {}", reply.status))?;
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => anyhow::bail!("{method} as {who}: {} {}", reply.status, reply.text),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Step, json};

    #[test]
    fn an_answer_is_checked_for_what_it_says_and_must_not_say() {
        let step = Step::new("alice", "whoami", json!({"cluster": "dev"}), "").says(["alice"]).never(["secret"]);
        assert_eq!(step.shown(), "whoami cluster=dev");
        let complaint = |text: &str, error| step.complaint(&Answer { text: text.to_owned(), error });
        assert_eq!(complaint("user alice", false), None);
        assert!(complaint("user bob", false).unwrap().contains("should say \"alice\""));
        assert!(complaint("alice: a secret", false).unwrap().contains("must not say \"secret\""));
        assert!(complaint("user alice", true).unwrap().contains("is an error"));
    }
}
