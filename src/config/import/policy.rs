//! Tools and kinds, and the keys that have no place here.

use toml::{Table, Value};

use super::{From, Ours, list};
use crate::tools::{Catalog, TOOLSETS};

pub(super) fn policy(from: &mut From<'_>, ours: &mut Ours) {
    for key in ["read_only", "disable_destructive"] {
        if from.flag(key) == Some(true) {
            ours.set("policy", key, true);
        }
    }
    let offers = toolsets(from, ours);
    let all: Vec<String> = TOOLSETS.iter().map(|toolset| toolset.name.to_owned()).collect();
    let catalog = Catalog::new(&all).ok();
    let known = |tool: &String| catalog.as_ref().is_some_and(|catalog| catalog.get(tool).is_some());
    for key in ["enabled_tools", "disabled_tools"] {
        let written = from.texts(key);
        let (here, strange): (Vec<String>, Vec<String>) = written.into_iter().partition(|tool| known(tool));
        if !strange.is_empty() {
            let what = format!("{} are not tools of this version", strange.join(", "));
            from.leave(key, what, "see `kubeferry tools`");
        }
        if key == "enabled_tools" && !offers {
            ours.set("policy", key, list(["whoami"]));
        } else if !here.is_empty() {
            ours.set("policy", key, list(here));
        } else if key == "enabled_tools" && !strange.is_empty() {
            // An empty list would allow everything.
            ours.set("policy", key, list(["whoami"]));
        }
    }
    denied(from, ours);
}

/// False when toolsets are named of which none is here: then the default ones must not be offered instead.
fn toolsets(from: &mut From<'_>, ours: &mut Ours) -> bool {
    let written = from.texts("toolsets");
    let named = !written.is_empty();
    let known = |name: &String| TOOLSETS.iter().any(|toolset| toolset.name == name);
    let (mut here, strange): (Vec<String>, Vec<String>) = written.into_iter().partition(known);
    for name in strange {
        from.leave("toolsets", format!("there is no toolset {name:?} in this version"), "nothing for now");
    }
    if here.is_empty() {
        return !named;
    }
    if !here.iter().any(|name| name == "fleet") {
        here.push("fleet".to_owned());
    }
    ours.set("server", "toolsets", list(here));
    true
}

/// Kinds there, plurals here. All versions are denied, which is more than there.
fn denied(from: &mut From<'_>, ours: &mut Ours) {
    let Some(Value::Array(items)) = from.take("denied_resources") else { return };
    let mut denied = Vec::new();
    for item in items {
        let Value::Table(keys) = item else { continue };
        let text = |key: &str| keys.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (group, kind) = (text("group"), text("kind"));
        let resource = if kind.is_empty() { "*".to_owned() } else { plural(&kind) };
        if !kind.is_empty() && !KINDS.iter().any(|(known, _)| *known == kind) {
            let what = format!("kind {kind} became the plural {resource:?}, by the usual rule");
            from.leave("denied_resources", what, "compare it with `kubeferry call api_resources_list`");
        }
        let mut ours = Table::new();
        ours.insert("group".to_owned(), group.into());
        ours.insert("resource".to_owned(), resource.into());
        denied.push(Value::Table(ours));
    }
    if !denied.is_empty() {
        ours.set("policy", "denied", Value::Array(denied));
    }
}

/// Kinds whose plural is certain.
const KINDS: [(&str, &str); 16] = [
    ("Secret", "secrets"),
    ("ConfigMap", "configmaps"),
    ("Pod", "pods"),
    ("Node", "nodes"),
    ("Namespace", "namespaces"),
    ("Service", "services"),
    ("ServiceAccount", "serviceaccounts"),
    ("Endpoints", "endpoints"),
    ("Role", "roles"),
    ("RoleBinding", "rolebindings"),
    ("ClusterRole", "clusterroles"),
    ("ClusterRoleBinding", "clusterrolebindings"),
    ("Deployment", "deployments"),
    ("Ingress", "ingresses"),
    ("NetworkPolicy", "networkpolicies"),
    ("CustomResourceDefinition", "customresourcedefinitions"),
];

fn plural(kind: &str) -> String {
    if let Some((_, plural)) = KINDS.iter().find(|(known, _)| *known == kind) {
        return (*plural).to_owned();
    }
    // What is no name of a kind stays one that matches nothing worse than it says.
    let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let before_y = kind.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
    match before_y {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with(['s', 'x']) || kind.ends_with("ch") || kind.ends_with("sh") => format!("{kind}es"),
        None => format!("{kind}s"),
    }
}

/// Keys that nothing here stands for, each with what to do.
pub(super) fn not_here(from: &mut From<'_>) {
    for (key, usual, what, fix) in [
        (
            "list_output",
            "table",
            "the form of a list is an argument of each call",
            "pass format = yaml where it is wanted",
        ),
        ("log_level", "0", "the log is set by a flag", "start with --log info, or --log kubeferry=debug"),
        ("log_file", "stderr", "the log goes to standard error", "redirect it there"),
        ("server_instructions", "", "the instructions are kubeferry's own", "nothing"),
        (
            "confirmation_fallback",
            "",
            "nothing is asked before a call here",
            "set policy.disable_destructive = true, or name tools in policy.disabled_tools",
        ),
    ] {
        if from.text(key).is_some_and(|text| text != usual) {
            from.leave(key, what, fix);
        }
    }
    for (key, what, fix) in [
        (
            "confirmation_rules",
            "nothing is asked before a call here",
            "set policy.disable_destructive = true, or name tools in policy.disabled_tools and kinds in policy.denied",
        ),
        ("prompts", "there are no prompts here", "keep them in the client"),
        ("tool_overrides", "descriptions are kubeferry's own", "nothing"),
        (
            "cluster_provider_configs",
            "is for providers that are not here",
            "write the clusters as [clusters.<name>] tables",
        ),
        ("toolset_configs", "is for toolsets that are not in this version", "nothing for now"),
        ("telemetry", "traces are not exported by this version", "scrape /metrics; it also has the k8s_mcp_ names"),
        ("validation_enabled", "the API server checks every write", "nothing"),
        ("experimental_enable_target_compatibility_tool_filters", "tools are the same for all targets", "nothing"),
    ] {
        if from.take(key).is_some_and(|value| value != Value::Boolean(false)) {
            from.leave(key, what, fix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, plural};

    #[test]
    fn plurals() {
        for (kind, expected) in
            [("Gateway", "gateways"), ("Policy", "policies"), ("Mesh", "meshes"), ("Status", "statuses")]
        {
            assert_eq!(plural(kind), expected);
        }
        assert!(KINDS.iter().all(|(kind, known)| plural(kind) == *known));
    }
}
