//! Each cause, from what a real kcp answered.

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::{Answer, Export, Found, Part, Wanted, explain};
use crate::model::ApiResource;
use crate::tools::kcp::apis::binding::tests::recorded;

fn kind(group: &str, version: &str, plural: &str, kind: &str) -> ApiResource {
    ApiResource {
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        kind: kind.into(),
        short_names: vec![],
        namespaced: true,
        verbs: vec![],
    }
}

/// The workspace in which the bindings were recorded; `young` is left out unless it is asked for.
fn found(young: bool) -> Found {
    let kinds = [
        kind("", "v1", "configmaps", "ConfigMap"),
        kind("", "v1", "services", "Service"),
        kind("lab.example", "v1", "bolts", "Bolt"),
        kind("lab.example", "v1", "sprockets", "Sprocket"),
        kind("lab.example", "v1", "widgets", "Widget"),
        kind("lab.example", "v1alpha1", "gadgets", "Gadget"),
    ];
    let crd = json!({"metadata": {"name": "gadgets.lab.example"},
        "spec": {"group": "lab.example", "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"}},
        "status": {"conditions": [
            {"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]}});
    let items = recorded().into_iter().filter(|binding| young == (binding.name() == "young"));
    Found {
        kinds: kinds.iter().filter(|kind| !young || kind.group.is_empty()).cloned().collect(),
        bindings: Part::Read { items: items.collect(), cut: false },
        crds: Part::Read { items: vec![serde_json::from_value(crd).unwrap()], cut: false },
    }
}

fn none() -> Part<Export> {
    Part::Read { items: vec![], cut: false }
}

/// When the bindings were recorded, and so many seconds later.
fn later(seconds: i64) -> Timestamp {
    let made: Timestamp = "2026-11-21T22:38:20Z".parse().unwrap();
    Timestamp::from_second(made.as_second() + seconds).unwrap()
}

fn ask(found: &Found, kind: &str, version: Option<&str>) -> Answer {
    explain(&Wanted::parse(kind, version).unwrap(), found, &none(), later(10))
}

fn codes(answer: &Answer) -> Vec<&'static str> {
    answer.causes.iter().map(|cause| cause.code).collect()
}

#[test]
fn each_cause_of_a_binding_has_its_answer() {
    let found = found(false);
    for (kind, served, cause, says) in [
        ("gadgets", true, "local_crd", "the CRD gadgets.lab.example of this workspace has the same name"),
        ("Sprocket", true, "", "by binding sprockets-b"),
        ("sprockets.lab.example", true, "", "from export root:providers:widgets:sprockets-b"),
        ("Cog", false, "schema_missing", "APIResourceSchema v1.cogs.lab.example"),
        ("bolts", true, "export_deleted", "still served"),
        ("services", true, "", "services (Service) is served here in v1, from export root:providers:widgets:services"),
        ("configmaps", true, "", "built in"),
        ("cars", false, "binding_unclear", "no APIBinding here is known to bring it and no CRD here defines it"),
    ] {
        let answer = ask(&found, kind, None);
        let text = answer.print();
        assert_eq!(answer.served, served, "{kind}: {text}");
        assert!(text.contains(says), "{kind}: {text}");
        match cause {
            "" => assert!(!text.contains("evidence") || codes(&answer) == ["bound_twice"], "{kind}: {text}"),
            cause => assert_eq!(codes(&answer)[0], cause, "{kind}: {text}"),
        }
    }
    let twice = ask(&found, "Sprocket", None);
    assert_eq!(codes(&twice), ["bound_twice"]);
    let text = twice.print();
    assert!(text.contains("binding sprockets-a") && text.contains("binding sprockets-b has it already"), "{text}");
    assert!(text.contains("evidence: Ready=False NamingConflicts: Unable to bind APIs"), "{text}");
}

#[test]
fn claims_that_nobody_answered_are_said_where_all_looks_well() {
    let answer = ask(&found(false), "wd", None);
    assert!(!answer.served, "the recorded kinds have no short names");
    let answer = ask(&found(false), "widgets", None);
    assert!(answer.served);
    assert_eq!(codes(&answer), ["claims_pending", "claims_rejected"]);
    let text = answer.print();
    assert!(text.contains("events [get list watch], which nobody accepted or rejected"), "{text}");
    assert!(text.contains("secrets [get list watch], which was rejected"), "{text}");
    assert_eq!(answer.structured()["causes"][1]["who"], "workspace admin");
}

#[test]
fn another_version_and_a_young_binding_are_told() {
    let answer = ask(&found(false), "Gadget", Some("lab.example/v1"));
    assert!(!answer.served);
    assert_eq!(codes(&answer), ["other_version", "local_crd"]);
    assert!(answer.print().contains("use apiVersion=lab.example/v1alpha1"), "{}", answer.print());
    let young = found(true);
    let wanted = Wanted::parse("Widget", None).unwrap();
    let at = |seconds| explain(&wanted, &young, &none(), later(seconds));
    assert_eq!(codes(&at(3))[0], "binding");
    assert!(at(3).print().contains("ask again in some seconds"), "{}", at(3).print());
    assert_eq!(codes(&at(300))[0], "binding_stuck");
}

#[test]
fn what_may_not_be_read_is_never_absent() {
    let found = Found { bindings: Part::Unread("you cannot read apibindings here".into()), ..found(false) };
    let answer = ask(&found, "cars", None);
    assert_eq!(codes(&answer), ["bindings_unread"], "nothing is known of bindings that were not read");
    assert!(answer.print().contains("not known: you cannot read apibindings here"), "{}", answer.print());
    let answer = ask(&found, "Widget", None);
    assert!(answer.served && answer.verdict.ends_with("from where cannot be told"), "{}", answer.verdict);
    let found = Found {
        crds: Part::Unread("you cannot read customresourcedefinitions here".into()),
        ..super::tests::found(false)
    };
    let answer = ask(&found, "cars", None);
    assert!(!answer.print().contains("no CRD here"), "{}", answer.print());
}

#[test]
fn an_export_of_the_workspace_itself_is_named() {
    let export =
        json!({"metadata": {"name": "cars"}, "spec": {"resources": [{"group": "lab.example", "name": "cars"}]}});
    let exports = Part::Read { items: vec![serde_json::from_value(export).unwrap()], cut: false };
    let answer = explain(&Wanted::parse("Car", None).unwrap(), &well(), &exports, later(10));
    assert_eq!(codes(&answer), ["offered_not_bound", "not_bound"]);
}

/// The same workspace without the bindings that are not well.
fn well() -> Found {
    let mut found = found(false);
    let Part::Read { items, .. } = &mut found.bindings else { unreachable!("it was read") };
    items.retain(|binding| binding.troubles().is_empty() && !binding.name().contains(".kcp.io"));
    found
}

#[test]
fn a_binding_that_is_not_well_may_bring_more_than_it_names() {
    // kcp stopped at gadgets: that the export has gears, too, shows nowhere.
    let found = found(false);
    for kind in ["Gear", "gears.lab.example", "gr"] {
        let answer = ask(&found, kind, None);
        let codes = codes(&answer);
        assert_eq!(codes.last(), Some(&"perhaps_not_bound"), "{kind}");
        assert!(codes[..codes.len() - 1].iter().all(|code| *code == "binding_unclear"), "{kind}: {codes:?}");
        let text = answer.print();
        assert!(text.contains("binding gadgets (export root:providers:widgets:gadgets, phase Binding)"), "{text}");
        assert!(text.contains("evidence: Ready=False") && text.contains("NamingConflicts: Unable to bind"), "{text}");
    }
    for kind in ["Gear", "gears.lab.example", "gr"] {
        assert_eq!(codes(&ask(&well(), kind, None)), ["not_bound"], "{kind}");
    }
    // Bound, and not served: nothing knows its short names.
    let mut stale = well();
    stale.kinds = stale.kinds.iter().filter(|kind| kind.plural != "widgets").cloned().collect();
    assert_eq!(codes(&ask(&stale, "wd", None)), ["binding_unclear", "perhaps_not_bound"]);
}

/// A workspace with the usual kinds and this binding alone.
fn with_binding(status: &serde_json::Value) -> Found {
    let binding = json!({"metadata": {"name": "all"}, "status": status,
        "spec": {"reference": {"export": {"path": "root:p", "name": "all"}}}});
    let bindings = Part::Read { items: vec![serde_json::from_value(binding).unwrap()], cut: false };
    Found { bindings, ..found(false) }
}

#[test]
fn who_has_the_resource_that_was_asked_for_is_named_and_nobody_else() {
    let map =
        "map[a.lab.example:{two false} b.lab.example:{ true} c.lab.example:{one false} d.lab.example:{two false}]";
    let message = format!("Unable to bind APIs because they are bound by other APIBindings or CRDs: {map}");
    let found = with_binding(&json!({"phase": "Binding", "conditions": [
        {"type": "Ready", "status": "False", "reason": "NamingConflicts", "message": message}]}));
    for (asked, says) in [
        ("a.lab.example", "because binding two has it already"),
        ("b.lab.example", "because the CRD b.lab.example has it already"),
        ("c.lab.example", "delete binding all or else binding one: the other heals by itself"),
    ] {
        let answer = ask(&found, asked, None);
        assert_eq!(codes(&answer), ["bound_twice"], "{asked}");
        assert!(answer.print().contains(says), "{asked}: {}", answer.print());
    }
}

#[test]
fn trouble_of_a_sibling_is_said_to_be_its_own() {
    let bound = json!([{"group": "lab.example", "resource": "widgets"}]);
    let with = |condition: serde_json::Value| {
        with_binding(&json!({"phase": "Bound", "boundResources": bound, "conditions": [condition]}))
    };
    let schema = json!({"type": "APIExportValid", "status": "False", "reason": "InternalError",
        "message": "Invalid APIExport. APIResourceSchema \"v1.gears.lab.example\" not found"});
    let answer = ask(&with(schema), "widgets", None);
    assert!(answer.served && codes(&answer) == ["schema_missing"]);
    let text = answer.print();
    assert!(text.contains("that is the trouble of gears.lab.example, and not of what you asked for"), "{text}");
    let map = "map[x.lab.example:{two false} y.lab.example:{ true} z.lab.example:{two false}]";
    let taken = json!({"type": "BindingUpToDate", "status": "False", "reason": "NamingConflicts", "message": map});
    let text = ask(&with(taken), "widgets", None).print();
    let both = "because binding two and the CRD y.lab.example have x.lab.example, y.lab.example, z.lab.example already";
    assert!(text.contains(both), "{text}");
    let clash = json!({"type": "BindingUpToDate", "status": "False", "reason": "NamingConflicts",
        "message": "naming conflict with CustomResourceDefinition \"gears.lab.example\": spec.names.singular=gear is forbidden"});
    let answer = ask(&with(clash), "widgets", None);
    assert_eq!(codes(&answer), ["name_clash"]);
    let text = answer.print();
    assert!(
        text.contains("clashes with the CRD gears.lab.example of this workspace; what it brought before"),
        "{text}"
    );
}
