//! `can_i`: whether the caller may do something at a target, or what the caller may do in a namespace, as the API server
//! says. One request, with the caller's own credential. The answer is text, not a failure, for "no" as well; a workspace of
//! a kcp that refuses the question itself is one that the caller has no access to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::model::{Access, Failure, Row, Way, names};
use crate::output::{Body, Output};
use crate::pool::{ClusterClient, On, Rules, Wish};
use crate::tools::{Cx, Spec, TargetNeed, Tool, arguments, rows};

/// Longest verb, in bytes.
const MAX_VERB: usize = 63;
/// Longest path, in bytes.
const MAX_PATH: usize = 256;
/// What one cell of the table of rules may take, in bytes: less than `output` shows of one.
const MAX_CELL: usize = 200;

/// Which call a rule denies depends on the tool.
const BY_RULES: &str = "so says the API server; rules of kubeferry's policy deny you some tools here all the same";

/// `can_i`.
pub(super) struct CanI;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Args {
    verb: Option<String>,
    #[schemars(description = "As pods, or /path")]
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

impl Tool for CanI {
    const SPEC: Spec = Spec {
        name: "can_i",
        title: "Can I",
        description: "Whether you may do verb on kind; without verb: all you may do",
        toolset: "fleet",
        access: Access::Read,
        target: TargetNeed::One,
        list: false,
        idempotent: true,
        open_world: true,
    };
    type Args = Args;

    async fn call(&self, cx: &Cx, client: &ClusterClient, args: Args) -> Result<Output, Failure> {
        let question = Question::read(args)?;
        let who = match client.way() {
            Way::Shared => "the shared identity".to_owned(),
            Way::Local => "your kubeconfig's user".to_owned(),
            Way::Passthrough { .. } | Way::Exchange | Way::Chain { .. } | Way::Impersonate | Way::Unbound => {
                format!("{} of realm {}", cx.principal.username, cx.principal.realm)
            }
        };
        let answered = match question {
            Question::Rules { namespace } => rules(client, &who, namespace).await,
            Question::Wish(wanted) => wish(client, &who, wanted).await,
        };
        answered.map_err(|failure| failure.doing("asking what you may do"))
    }
}

/// Checked arguments.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    Rules { namespace: Option<String> },
    Wish(Wanted),
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    verb: String,
    /// Kind, plural, short name, `plural.group`, or a path.
    kind: String,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

impl Question {
    fn read(args: Args) -> Result<Self, Failure> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let namespace = arguments::namespace(args.namespace)?;
        let (kind, name, subresource) = (given(args.kind), given(args.name), given(args.subresource));
        let Some(verb) = given(args.verb) else {
            if kind.is_some() || name.is_some() || subresource.is_some() {
                return Err(Failure::arguments("kind, name and subresource need a verb")
                    .hint("Give verb too; without it only namespace counts"));
            }
            return Ok(Self::Rules { namespace });
        };
        if verb != "*" && (verb.len() > MAX_VERB || !verb.bytes().all(|c| c.is_ascii_lowercase() || c == b'-')) {
            return Err(Failure::arguments(format!("verb {} is not valid", names::quote(&verb)))
                .hint("Write it as get, list, create or delete"));
        }
        let kind = kind.ok_or_else(|| Failure::arguments("missing argument: kind"))?;
        if kind.starts_with('/') {
            let plain = kind.len() <= MAX_PATH && kind.bytes().all(|c| c.is_ascii_graphic());
            if !plain || namespace.is_some() || name.is_some() || subresource.is_some() {
                return Err(Failure::arguments("a path is plain text of at most 256 bytes and stands alone")
                    .hint("Write it as /version, without namespace, name and subresource"));
            }
            return Ok(Self::Wish(Wanted { verb, kind, namespace, name, subresource }));
        }
        // As RBAC and kubectl write it.
        let (kind, subresource) = match (kind.split_once('/'), subresource) {
            (Some((kind, behind)), None) => (kind.to_owned(), Some(behind.to_owned())),
            (_, subresource) => (kind, subresource),
        };
        arguments::kind(&kind, None)?;
        let wrong = |error: names::NameError| Failure::arguments(error.to_string());
        subresource.as_deref().map(names::plural).transpose().map_err(wrong)?;
        name.as_deref().map(names::object).transpose().map_err(wrong)?;
        Ok(Self::Wish(Wanted { verb, kind, namespace, name, subresource }))
    }
}

/// One yes or no.
async fn wish(client: &ClusterClient, who: &str, wanted: Wanted) -> Result<Output, Failure> {
    let (wish, mut notes) = resolve(client, wanted).await?;
    if let Some(refusal) = client.policy_against(&wish) {
        let text = format!("no: kubeferry's policy does not let {who} {wish}: {refusal}");
        return Ok(Output { notes, ..verdict(text, false, "policy") });
    }
    let found = client.may(&wish).await?;
    let mut text = match found.allowed {
        true => format!("yes: {who} may {wish}"),
        false => format!("no: {who} may not {wish}"),
    };
    if !found.reason.is_empty() {
        text.push_str(&format!("\nreason: {}", found.reason));
    }
    if !found.error.is_empty() {
        notes.push(format!("the API server could not evaluate everything: {}", found.error));
    }
    let reads = matches!(wish.verb.as_str(), "get" | "list" | "watch");
    if found.allowed && !reads {
        notes.push("so says the API server; kubeferry's own policy and tools may allow less".to_owned());
    } else if found.allowed && client.rules_may_deny(Some(Access::Read)) {
        // Several tools read the same, and a rule is about tools.
        notes.push(BY_RULES.to_owned());
    }
    let mut output = Output { notes, ..verdict(text, found.allowed, "cluster") };
    if let (Some(twin), false) = (&mut output.structured, found.reason.is_empty()) {
        twin["reason"] = found.reason.into();
    }
    Ok(output)
}

fn verdict(text: String, allowed: bool, by: &str) -> Output {
    let structured = Some(json!({"allowed": allowed, "decidedBy": by}));
    Output { structured, ..Output::new(Body::Text(text)) }
}

/// Finds the kind. What is not served may still stand in RBAC, and is asked about as it was written.
async fn resolve(client: &ClusterClient, wanted: Wanted) -> Result<(Wish, Vec<String>), Failure> {
    let Wanted { verb, kind, mut namespace, name, subresource } = wanted;
    if kind.starts_with('/') {
        return Ok((Wish { verb, on: On::Path(kind) }, Vec::new()));
    }
    let mut notes = Vec::new();
    let (group, resource, cluster_scoped) = match client.kind(&kind, None).await {
        Ok(served) => (served.group, served.plural, !served.namespaced),
        Err(failure) if failure.code == "kind_not_served" && !kind.contains(|c: char| c.is_ascii_uppercase()) => {
            notes.push(format!("not served here: {kind}; asked as RBAC names it"));
            let (resource, group) = kind.split_once('.').unwrap_or((&kind, ""));
            (group.to_owned(), resource.to_owned(), false)
        }
        Err(failure) => return Err(failure),
    };
    if cluster_scoped && namespace.take().is_some() {
        notes.push(format!("{resource} are in no namespace: namespace was ignored"));
    }
    if group.is_empty() && resource == "namespaces" {
        // A role in a namespace counts for the Namespace of that name.
        namespace.clone_from(&name);
    }
    let on = On::Objects { group, resource, subresource, namespace, name, cluster_scoped };
    Ok((Wish { verb, on }, notes))
}

/// All that is allowed in one namespace.
async fn rules(client: &ClusterClient, who: &str, namespace: Option<String>) -> Result<Output, Failure> {
    let mut notes = Vec::new();
    let namespace = namespace.unwrap_or_else(|| {
        let default = client.default_namespace().to_owned();
        notes.push(format!("namespace {default}, as none was given"));
        default
    });
    if let Some(refusal) = client.policy_against_namespace(&namespace) {
        return Ok(verdict(format!("no: kubeferry's policy: {refusal}"), false, "policy"));
    }
    let found = client.rules(&namespace).await?;
    notes.push(format!("what {who} may do in namespace {namespace} and outside of namespaces"));
    if found.incomplete {
        let why =
            if found.evaluation_error.is_empty() { String::new() } else { format!(": {}", found.evaluation_error) };
        notes.push(format!("incomplete, there may be more{why}"));
    }
    let denied = client.kinds_out_of_bounds();
    if !denied.is_empty() {
        notes.push(format!("out of bounds by kubeferry's policy all the same: {}", denied.join(", ")));
    }
    if client.rules_may_deny(None) {
        notes.push(BY_RULES.to_owned());
    }
    let rows = table(&found);
    let all = rows.len();
    let (body, shown) = rows::first("rules", &["verbs", "resources", "names"], rows);
    notes.extend(shown.map(|shown| format!("the first {shown} of {all} rows: verb and kind ask about one")));
    Ok(Output { notes, ..Output::new(body) })
}

/// Rows of what has the same verbs and names; paths after kinds.
fn table(rules: &Rules) -> Vec<Row> {
    let mut grouped: BTreeMap<(bool, String, String), Vec<String>> = BTreeMap::new();
    for rule in &rules.resource_rules {
        let row = grouped.entry((false, joined(&rule.verbs), joined(&rule.resource_names))).or_default();
        for group in &rule.api_groups {
            row.extend(rule.resources.iter().map(|resource| qualified(resource, group)));
        }
    }
    for rule in &rules.non_resource_rules {
        grouped.entry((true, joined(&rule.verbs), String::new())).or_default().extend(rule.paths.iter().cloned());
    }
    let mut rows = Vec::new();
    for ((_, verbs, names), mut resources) in grouped {
        resources.sort();
        resources.dedup();
        for cell in cells(&resources) {
            rows.push(Row { namespace: None, cells: vec![verbs.clone(), cell, names.clone()] });
        }
    }
    rows
}

/// `deployments.apps/scale`, as kubectl writes it.
fn qualified(resource: &str, group: &str) -> String {
    match (group, resource.split_once('/')) {
        ("", _) => resource.to_owned(),
        (group, Some((plural, subresource))) => format!("{plural}.{group}/{subresource}"),
        (group, None) => format!("{resource}.{group}"),
    }
}

fn joined(words: &[String]) -> String {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

/// Words in as few cells as they fit.
fn cells(words: &[String]) -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    for word in words {
        match cells.last_mut() {
            Some(cell) if cell.len() + 1 + word.len() <= MAX_CELL => {
                cell.push(' ');
                cell.push_str(word);
            }
            Some(_) | None => cells.push(word.clone()),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Args, Question, Wanted, cells, table};
    use crate::pool::Rules;

    fn read(args: Value) -> Result<Question, String> {
        let args: Args = serde_json::from_value(args).unwrap();
        Question::read(args).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_question_is_one_of_three() {
        let wanted = |verb: &str, kind: &str, subresource: Option<&str>| {
            let (verb, kind, subresource) = (verb.to_owned(), kind.to_owned(), subresource.map(Into::into));
            Ok(Question::Wish(Wanted { verb, kind, namespace: None, name: None, subresource }))
        };
        assert_eq!(read(json!({"verb": "get", "kind": "pods"})), wanted("get", "pods", None));
        assert_eq!(read(json!({"verb": "*", "kind": "pods/log"})), wanted("*", "pods", Some("log")));
        assert_eq!(read(json!({"verb": "get", "kind": "/version"})), wanted("get", "/version", None));
        assert_eq!(read(json!({"verb": ""})), Ok(Question::Rules { namespace: None }));
        assert_eq!(read(json!({"namespace": "a"})), Ok(Question::Rules { namespace: Some("a".into()) }));
        for wrong in [
            json!({"kind": "pods"}),
            json!({"verb": "get"}),
            json!({"verb": "Get", "kind": "pods"}),
            json!({"verb": "get", "kind": "a b"}),
            json!({"verb": "get", "kind": "/a b"}),
            json!({"verb": "get", "kind": "/version", "name": "a"}),
            json!({"verb": "get", "kind": "pods", "namespace": "A"}),
            json!({"verb": "get", "kind": "pods", "subresource": "a/b"}),
            json!({"verb": "get", "kind": "pods", "name": "a/b"}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_of_the_same_verbs_are_one_row() {
        let rules: Rules = serde_json::from_value(json!({
            "resourceRules": [
                {"verbs": ["list", "get"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
                {"verbs": ["get", "list"], "apiGroups": ["apps", "extensions"], "resources": ["deployments/scale"]},
                {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
                {"verbs": ["update"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["b", "a"]},
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            ],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/version", "/api/*"]}],
        }))
        .unwrap();
        let rows: Vec<String> = table(&rules).into_iter().map(|row| row.cells.join(" | ")).collect();
        assert_eq!(
            rows,
            [
                "* | *.* | ",
                "get list | deployments.apps/scale deployments.extensions/scale pods pods/log | ",
                "update | configmaps | a b",
                "get | /api/* /version | ",
            ]
        );
    }

    #[test]
    fn a_long_row_becomes_several() {
        let words: Vec<String> = (0..50).map(|at| format!("resource-{at:02}")).collect();
        let cells = cells(&words);
        assert!(cells.len() == 4 && cells.iter().all(|cell| cell.len() <= 200), "{cells:?}");
        assert_eq!(cells.join(" "), words.join(" "));
    }
}
