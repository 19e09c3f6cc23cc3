//! A workspace as text and for programs, and what to call next.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::super::part::line;
use super::facts::Facts;
use super::state;
use super::way::Step;
use crate::pool::workspaces::Entry;
use crate::tools::age;
use crate::tools::next::Next;

/// As lines.
pub(super) fn text(facts: &Facts, now: Timestamp) -> String {
    let mut lines: Vec<(&str, String)> = vec![("workspace", facts.address.clone())];
    match state::said(facts, now) {
        Some(said) => {
            lines.push(("state", format!("{}: {}", said.word, said.what)));
            lines.extend(said.next.map(|next| ("to do", next)));
            lines.extend(said.conditions.into_iter().map(|condition| ("condition", condition)));
        }
        None => lines.push(("state", "not known: you cannot read what says so".to_owned())),
    }
    lines.extend(facts.cluster.as_ref().map(|cluster| ("logical cluster", cluster.to_string())));
    lines.extend(facts.access.map(|access| ("access", access.word().to_owned())));
    lines.push(("path", crumbs(facts)));
    lines.extend(facts.kind().map(|kind| ("type", kind)));
    lines.extend(facts.owner().map(|owner| ("owner", owner)));
    if let Some(created) = facts.text("/metadata/creationTimestamp") {
        let ago = age::ago(age::parse(&created), now);
        lines.push(("created", format!("{created} ({ago} ago)")));
    }
    let labels: Vec<String> = facts.labels().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !labels.is_empty() {
        lines.push(("labels", labels.join(", ")));
    }
    lines.extend(mount(facts).into_iter().map(|(name, value)| (name, line(&value))));
    lines.extend(serves(facts));
    if facts.access == Some(Entry::Yes) {
        lines.push(("children", children(facts)));
    }
    lines.extend(facts.authentication.clone().map(|text| ("authentication", text)));
    lines.extend(facts.unread.iter().map(|unread| ("not known", unread.clone())));
    lines.into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

fn mount(facts: &Facts) -> Vec<(&'static str, String)> {
    let Some(mount) = facts.way.mount() else { return Vec::new() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reference = &mount["ref"];
    let what = format!("{} {} {}", text(&reference["apiVersion"]), text(&reference["kind"]), text(&reference["name"]));
    let url = facts.text("/spec/URL").map(|url| ("its server", url));
    std::iter::once(("mount of", what)).chain(url).collect()
}

fn serves(facts: &Facts) -> Vec<(&'static str, String)> {
    let Some(serves) = &facts.serves else { return Vec::new() };
    let mut lines = vec![("serves", format!("{} kinds", serves.kinds))];
    lines.extend(serves.from.iter().map(|(from, kinds)| ("not built in", format!("{} from {from}", kinds.join(", ")))));
    if serves.more > 0 {
        lines.push(("not built in", format!("and from {} more", serves.more)));
    }
    lines.extend(serves.missing.iter().map(|missing| ("not known", missing.clone())));
    lines
}

fn children(facts: &Facts) -> String {
    match facts.children {
        Some((count, false)) => count.to_string(),
        Some((count, true)) => format!("more than {count}"),
        None => "cannot be listed by you".to_owned(),
    }
}

/// `root (kcp-eu:root) > org (kcp-eu:root:org, 2ab…) > …`
fn crumbs(facts: &Facts) -> String {
    let mut shown = places(facts).into_iter().map(|(step, address)| match &step.cluster {
        Some(cluster) if !address.ends_with(&format!(":{cluster}")) => format!("{} ({address}, {cluster})", step.name),
        _ => format!("{} ({address})", step.name),
    });
    let first = shown.next();
    let Some(first) = first else { return "not known: you cannot read its parents".to_owned() };
    let path = shown.fold(first, |path, step| format!("{path} > {step}"));
    if facts.way.arrives() { path } else { format!("{path} > … which you cannot read") }
}

/// Each workspace on the way, with its address: by path below `root`, or else by name; one that has no logical cluster, as a
/// mount, at the end of the way by the address that led there.
fn places(facts: &Facts) -> Vec<(&Step, String)> {
    let kcp = facts.address.split(':').next().unwrap_or_default();
    let steps = &facts.way.steps;
    let by_path = steps.first().is_some_and(|step| step.name == "root");
    let mut path = String::new();
    let mut all = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        path = if path.is_empty() { step.name.clone() } else { format!("{path}:{}", step.name) };
        let address = match (&step.cluster, by_path) {
            (Some(cluster), false) => format!("{kcp}:{cluster}"),
            (None, _) if at + 1 == steps.len() && facts.way.arrives() => facts.address.clone(),
            _ => format!("{kcp}:{path}"),
        };
        all.push((step, address));
    }
    all
}

/// What to call next.
pub(super) fn next(facts: &Facts) -> Vec<String> {
    let mut next = Vec::new();
    if facts.access == Some(Entry::Yes) {
        next.push(Next::at("kcp_apis_list", &facts.address));
        let has_children = facts.children.is_some_and(|(count, _)| count > 0);
        next.extend(has_children.then(|| Next::at("kcp_workspaces_list", &facts.address)));
    }
    let places = places(facts);
    let parent = places.len().checked_sub(2).and_then(|at| places.get(at)).filter(|_| facts.way.object().is_some());
    next.extend(parent.map(|(_, address)| Next::at("kcp_workspace_describe", address)));
    next.iter().map(ToString::to_string).collect()
}

/// For programs.
pub(super) fn structured(facts: &Facts, now: Timestamp) -> Value {
    let said = state::said(facts, now);
    let said = said
        .map(|said| json!({"state": said.word, "what": said.what, "next": said.next, "conditions": said.conditions}));
    let path: Vec<Value> = places(facts)
        .into_iter()
        .map(|(step, address)| {
            let cluster = step.cluster.as_ref().map(ToString::to_string);
            json!({"name": step.name, "address": address, "logicalCluster": cluster})
        })
        .collect();
    let serves = facts.serves.as_ref().map(|serves| json!({"kinds": serves.kinds, "notBuiltIn": serves.from}));
    json!({
        "address": facts.address,
        "state": said,
        "logicalCluster": facts.cluster.as_ref().map(ToString::to_string),
        "access": facts.access.map(Entry::word),
        "path": path,
        "type": facts.kind(),
        "owner": facts.owner(),
        "created": facts.text("/metadata/creationTimestamp"),
        "labels": facts.labels(),
        "mount": facts.way.mount().map(|mount| mount["ref"].clone()),
        "serves": serves,
        "children": facts.children.map(|(count, _)| count),
        "authentication": facts.authentication,
        "unread": facts.unread,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{crumbs, places};
    use crate::tools::kcp::describe::facts::Facts;
    use crate::tools::kcp::describe::way::Way;

    #[test]
    fn a_mount_has_the_address_that_led_there() {
        let mount = json!({"spec": {"mount": {"ref": {"kind": "KubeCluster", "name": "edge"}}}});
        for object in [mount, json!({"spec": {}, "status": {"phase": "Scheduling"}})] {
            let mut way = Way::default();
            way.step("edge", object);
            let facts = Facts { address: "kcp-eu:2abc:edge".into(), way, ..Facts::default() };
            assert_eq!(places(&facts)[0].1, "kcp-eu:2abc:edge");
            assert_eq!(crumbs(&facts), "edge (kcp-eu:2abc:edge)");
        }
        let mut way = Way::default();
        way.step("root", json!({"spec": {"cluster": "root"}}));
        way.step("team", json!({"spec": {"cluster": "def"}}));
        let facts = Facts { address: "kcp-eu:def".into(), way, ..Facts::default() };
        assert_eq!(crumbs(&facts), "root (kcp-eu:root) > team (kcp-eu:root:team, def)");
    }
}
