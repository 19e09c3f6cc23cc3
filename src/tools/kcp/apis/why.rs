//! Why a kind is here, or is not: each cause with what shows it, the next step, and who can take it.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::super::part::{Condition, Part, line};
use super::binding::{Binding, Trouble};
use super::claims::State;
use super::export::Export;
use super::found::{Found, Origin, Resource};
use super::wanted::Wanted;
use crate::tools::age;

/// After so many seconds a binding that only waits is not young any more; it takes 5 to 6 on an idle kcp.
const YOUNG: i64 = 60;
/// Things of one kind that are named, at most.
const NAMED: usize = 5;

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) served: bool,
    /// In one sentence.
    pub(super) verdict: String,
    pub(super) causes: Vec<Cause>,
    /// What could not be read.
    pub(super) unread: Vec<String>,
}

/// One cause.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// A stable code, `snake_case`.
    pub(super) code: &'static str,
    what: String,
    evidence: Option<String>,
    /// What to do.
    next: String,
    /// Who can do it.
    who: &'static str,
}

impl Cause {
    fn new(cause: &'static str, what: impl Into<String>, who: &'static str, next: impl Into<String>) -> Self {
        Self { code: cause, what: what.into(), evidence: None, next: next.into(), who }
    }

    fn shown_by(self, condition: &Condition) -> Self {
        Self { evidence: Some(condition.evidence()), ..self }
    }
}

impl Answer {
    /// As text.
    pub(super) fn print(&self) -> String {
        let mut text = format!("{}\n", self.verdict);
        for cause in &self.causes {
            text.push_str(&format!("- {}: {}\n", cause.code, cause.what));
            if let Some(evidence) = &cause.evidence {
                text.push_str(&format!("  evidence: {evidence}\n"));
            }
            text.push_str(&format!("  next ({}): {}\n", cause.who, cause.next));
        }
        for unread in &self.unread {
            text.push_str(&format!("- not known: {unread}\n"));
        }
        text
    }

    /// For programs.
    pub(super) fn structured(&self) -> Value {
        let cause = |cause: &Cause| json!({"cause": cause.code, "what": cause.what, "evidence": cause.evidence, "next": cause.next, "who": cause.who});
        json!({
            "served": self.served,
            "verdict": self.verdict,
            "causes": self.causes.iter().map(cause).collect::<Vec<_>>(),
            "unread": self.unread,
        })
    }
}

/// Explains what is wanted from what was read.
pub(super) fn explain(wanted: &Wanted, found: &Found, exports: &Part<Export>, now: Timestamp) -> Answer {
    let resources = found.resources();
    let meant: Vec<&Resource<'_>> = resources.iter().filter(|resource| wanted.is_kind(resource.kind)).collect();
    let in_version = |resource: &&&Resource<'_>| {
        wanted.version.as_deref().is_none_or(|version| resource.versions.contains(&version))
    };
    let here: Vec<&&Resource<'_>> = meant.iter().filter(in_version).collect();
    let mut causes = Vec::new();
    if here.is_empty() {
        causes.extend(meant.iter().map(|resource| other_version(resource)));
    }
    let asked =
        |resource: &str| wanted.is_resource(resource) || meant.iter().any(|meant| meant.kind.qualified() == resource);
    for binding in found.bindings.items() {
        let brings = meant.iter().any(|resource| binding.brings(&resource.kind.plural, &resource.kind.group));
        if brings || binding.missing().iter().any(|resource| asked(resource)) {
            causes.extend(of_binding(binding, brings, &asked, now));
        }
    }
    if meant.is_empty() {
        causes.extend(found.crds.items().iter().filter(|crd| wanted.is_crd(crd)).map(|crd| {
            let evidence: Vec<String> = crd.troubles().map(Condition::evidence).collect();
            let cause = Cause::new(
                "crd_not_served",
                format!("the CRD {} here defines it and is not served", crd.name()),
                "workspace admin",
                "mend the CRD, or wait if it is new",
            );
            Cause { evidence: Some(evidence.join("; ")).filter(|text| !text.is_empty()), ..cause }
        }));
    }
    if causes.is_empty() && meant.is_empty() {
        causes.extend(nobody(wanted, found, exports));
    }
    let verdict = verdict(wanted, &here, &meant, found);
    let unread = found.missing().chain(exports.missing("apiexports").filter(|_| meant.is_empty()));
    Answer { served: !here.is_empty(), verdict, causes, unread: unread.collect() }
}

fn verdict(wanted: &Wanted, here: &[&&Resource<'_>], meant: &[&Resource<'_>], found: &Found) -> String {
    if here.is_empty() {
        let near = if meant.is_empty() { wanted.near(found.kinds.iter()) } else { Vec::new() };
        let near = if near.is_empty() { String::new() } else { format!("; served here: {}", near.join(", ")) };
        return format!("{} is not served here{near}", wanted.named());
    }
    let each = |resource: &&&Resource<'_>| {
        let (kind, versions) = (resource.kind, resource.versions.join(", "));
        let from = match &resource.origin {
            Origin::BuiltIn => "built in".to_owned(),
            Origin::Bound(binding) => format!("from export {} by binding {}", binding.export(), binding.name()),
            Origin::Crd => "by a CRD of this workspace".to_owned(),
            Origin::Unknown => "from where cannot be told".to_owned(),
        };
        format!("{} ({}) is served here in {versions}, {from}", kind.qualified(), kind.kind)
    };
    here.iter().take(NAMED).map(each).collect::<Vec<_>>().join("\n")
}

fn other_version(resource: &Resource<'_>) -> Cause {
    let (kind, versions) = (resource.kind, resource.versions.join(", "));
    let what = format!("{} is served here in {versions} only, {}", kind.qualified(), resource.origin.words());
    Cause::new("other_version", what, "you", format!("use apiVersion={}", kind.api_version()))
}

/// What a binding says of a resource that it brings, or would bring.
fn of_binding(binding: &Binding, brings: bool, asked: &dyn Fn(&str) -> bool, now: Timestamp) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    for (trouble, condition) in binding.troubles() {
        let mut cause = of_trouble(binding, brings, &trouble.of(asked), now).shown_by(condition);
        cause.what.push_str(&whose(&trouble, brings, asked));
        let known = causes.iter().any(|known| (known.code, &known.what) == (cause.code, &cause.what));
        if !known {
            causes.push(cause);
        }
    }
    causes.extend(of_claims(binding));
    causes
}

/// Whose trouble it is, where it is not that of the resource that was asked for.
fn whose(trouble: &Trouble, brings: bool, asked: &dyn Fn(&str) -> bool) -> String {
    let resources = trouble.resources();
    if matches!(trouble, Trouble::NoExport | Trouble::Claims) || resources.iter().any(|resource| asked(resource)) {
        String::new()
    } else if !resources.is_empty() {
        format!("; that is the trouble of {}, and not of what you asked for", resources.join(", "))
    } else if brings {
        "; what it brought before is served all the same".to_owned()
    } else {
        String::new()
    }
}

fn of_trouble(binding: &Binding, brings: bool, trouble: &Trouble, now: Timestamp) -> Cause {
    let (name, export) = (binding.name(), binding.export());
    let admin = "workspace admin";
    match trouble {
        Trouble::Crd(crd) => Cause::new(
            "local_crd",
            format!(
                "binding {name} (export {export}) cannot bind, because the CRD {crd} of this workspace has the same name"
            ),
            admin,
            format!("delete the CRD {crd}, with all of its objects, or else the binding {name}"),
        ),
        Trouble::Clash(with) => Cause::new(
            "name_clash",
            format!(
                "binding {name} (export {export}) cannot bind, because a name of one of its kinds clashes with the {with} of this workspace"
            ),
            admin,
            format!("delete the {with}, with all objects of its kinds, or else the binding {name}"),
        ),
        Trouble::Taken(taken) => {
            let holders: BTreeSet<String> =
                taken.iter().map(|(resource, by)| holder(resource, by.as_deref())).collect();
            let holders: Vec<String> = holders.into_iter().collect();
            let by = holders.join(" and ");
            let have = if holders.len() > 1 { "have" } else { "has" };
            let it =
                if taken.len() > 1 { taken.keys().cloned().collect::<Vec<_>>().join(", ") } else { "it".to_owned() };
            let what = format!("binding {name} (export {export}) cannot bind, because {by} {have} {it} already");
            let next = format!(
                "delete binding {name} or else {by}: the other heals by itself; with a CRD go all of its objects"
            );
            Cause::new("bound_twice", what, admin, next)
        }
        Trouble::NoSchema(schema) => Cause::new(
            "schema_missing",
            format!(
                "binding {name} cannot bind, because export {export} names the APIResourceSchema {schema}, which is not there"
            ),
            "export owner",
            format!("create the APIResourceSchema {schema} in the export's workspace, or correct the export"),
        ),
        Trouble::NoExport if brings => Cause::new(
            "export_deleted",
            format!(
                "export {export} is not there any more; what binding {name} bound is still served, and nobody may care for it"
            ),
            "export owner",
            format!(
                "create the export again; or, as workspace admin, delete binding {name}, with all objects of its kinds"
            ),
        ),
        Trouble::NoExport => Cause::new(
            "export_missing",
            format!("binding {name} refers to export {export}, which is not there"),
            "export owner",
            "create the export; or, as workspace admin, correct the binding's reference",
        ),
        Trouble::BadExport => Cause::new(
            "export_invalid",
            format!("binding {name} cannot use export {export}"),
            "export owner",
            "mend the export as the evidence says",
        ),
        Trouble::Waiting(_) => of_waiting(binding, now),
        Trouble::Claims => Cause::new(
            "claims_failed",
            format!("the permission claims of binding {name} are not in force"),
            admin,
            format!("look at the claims in spec.permissionClaims of binding {name}"),
        ),
        Trouble::Other => Cause::new(
            "binding_not_well",
            format!("binding {name} (export {export}, phase {}) is not well", binding.phase()),
            admin,
            "do as the evidence says, or show it to the operator of kcp",
        ),
    }
}

/// Who has a resource.
fn holder(resource: &str, by: Option<&str>) -> String {
    by.map_or_else(|| format!("the CRD {resource}"), |binding| format!("binding {binding}"))
}

fn of_waiting(binding: &Binding, now: Timestamp) -> Cause {
    let since = binding.created();
    let age = age::ago(since, now);
    let what = format!("binding {} (export {}) is being bound, for {age} by now", binding.name(), binding.export());
    if since.is_none_or(|since| now.as_second().saturating_sub(since.as_second()) < YOUNG) {
        return Cause::new("binding", what, "you", "ask again in some seconds: it takes about 6");
    }
    Cause::new("binding_stuck", what, "operator of kcp", "look into the log of the shard: it should take about 6 s")
}

/// Claims hide no kind. What a provider may not read it cannot act on, so that objects of its kinds seem to be ignored.
fn of_claims(binding: &Binding) -> Vec<Cause> {
    let claims = binding.claims();
    let of = |state: State| {
        let named = claims.iter().filter(|claim| claim.state == state);
        named.map(|claim| format!("{} [{}]", claim.resource, claim.verbs)).collect::<Vec<_>>().join(", ")
    };
    let (pending, rejected, accepted) = (of(State::Pending), of(State::Rejected), of(State::Accepted));
    let name = binding.name();
    let cause = |code, resources: &str, how: &str, next: String| {
        let what = format!(
            "the provider {} asks for {resources}, {how}; the kind is served all the same, and its objects may stay undone",
            binding.export()
        );
        (!resources.is_empty()).then(|| Cause::new(code, what, "workspace admin", next))
    };
    let set = |state: &str| {
        format!("to allow it, set state: {state} for it, with these verbs, in spec.permissionClaims of binding {name}")
    };
    let difference = "spec.permissionClaims lacks what status.exportPermissionClaims asks; no condition says so";
    let pending = cause("claims_pending", &pending, "which nobody accepted or rejected", set("Accepted"));
    let pending = pending.map(|cause| Cause { evidence: Some(difference.to_owned()), ..cause });
    let rejected = cause("claims_rejected", &rejected, "which was rejected", set("Accepted"));
    let late = "accepted and not in force yet";
    let accepted = cause("claims_not_in_force", &accepted, late, "ask again in some seconds".to_owned());
    [pending, rejected, accepted].into_iter().flatten().collect()
}

/// Nothing here brings what is wanted, or nothing that may be read does.
fn nobody(wanted: &Wanted, found: &Found, exports: &Part<Export>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let offered = |export: &&Export| export.resources().iter().any(|resource| wanted.is_resource(resource));
    causes.extend(exports.items().iter().filter(offered).map(|export| {
        let what =
            format!("this workspace offers it to others by its export {}, and binds it itself nowhere", export.name());
        let next = format!("to use it here as well, create an APIBinding to {} of this workspace", export.name());
        Cause::new("offered_not_bound", what, "workspace admin", next)
    }));
    let unclear: Vec<&Binding> = found.bindings.items().iter().filter(|binding| is_unclear(binding, found)).collect();
    causes.extend(unclear.iter().take(NAMED).map(|binding| of_unclear(binding)));
    if !found.bindings.is_whole() {
        let what = "whether a binding is to bring it cannot be told".to_owned();
        let next = "give you get and list on apibindings.apis.kcp.io, or look for you";
        causes.push(Cause::new("bindings_unread", what, "workspace admin", next));
        return causes;
    }
    let and = if found.crds.is_whole() { " and no CRD here defines it" } else { "" };
    // What is bound and well is served, under all of its names: only the others can hide a kind.
    let (code, what) = if unclear.is_empty() {
        ("not_bound", format!("no APIBinding here brings it{and}"))
    } else {
        let count = unclear.len();
        let hedge = format!("no APIBinding here is known to bring it{and}; that of {count} is not clear");
        ("perhaps_not_bound", format!("{hedge}. What is not served is known by its plural only, as plural.group"))
    };
    causes.push(Cause::new(
        code,
        what,
        "workspace admin",
        "create an APIBinding to the export that offers it, with the verb bind on that apiexport, which the export owner grants. \
         A 403 \"no permission to bind\" says that the right, the export or its workspace is missing, and not which of them: even \
         an administrator of kcp gets the same",
    ));
    causes
}

/// kcp stops at the first conflict and at the first schema that is missing: it names what lacks there, and nothing of what the
/// export has after it.
fn is_unclear(binding: &Binding, found: &Found) -> bool {
    let serves = |name: &str| found.kinds.iter().any(|kind| kind.qualified() == name);
    !binding.is_bound()
        || binding.troubles().iter().any(|(trouble, _)| *trouble != Trouble::Claims)
        || binding.resources().any(|name| !serves(&name))
}

fn of_unclear(binding: &Binding) -> Cause {
    let what = format!(
        "binding {} (export {}, phase {}) is not well, and need not name all that it lacks: it may be meant for this one",
        binding.name(),
        binding.export(),
        binding.phase()
    );
    let said: Vec<String> = binding.troubles().iter().map(|(_, condition)| condition.evidence()).collect();
    let next = "mend what the evidence says; show=bindings lists the conditions";
    let cause = Cause::new("binding_unclear", what, "workspace admin", next);
    Cause { evidence: Some(said.join("; ")).filter(|text| !text.is_empty()), ..cause }
}

/// A name for a row: the resource's kinds of trouble.
pub(super) fn words(binding: &Binding) -> String {
    let mut words: Vec<String> =
        binding.troubles().iter().map(|(trouble, condition)| trouble.words(condition)).collect();
    words.sort();
    words.dedup();
    line(&words.join("; "))
}

#[cfg(test)]
mod tests;
