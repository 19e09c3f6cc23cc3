//! `[policy]`: the hard limits.

use crate::model::Access;
use crate::model::names::{group, namespace, plural, quote};

use super::read::Table;
use super::settings::{DeniedSettings, PolicySettings};

/// Reads `[policy]`.
pub(super) fn policy(root: &mut Table<'_>) -> PolicySettings {
    let mut table = root.section("policy");
    let mut settings = PolicySettings {
        read_only: table.flag("read_only"),
        disable_destructive: table.flag("disable_destructive"),
        enabled_tools: table.texts("enabled_tools"),
        disabled_tools: table.texts("disabled_tools"),
        denied: table.tables("denied").into_iter().filter_map(denied).collect(),
        ..PolicySettings::default()
    };
    let mut namespaces = table.section("namespaces");
    let fix = "write a namespace's name; there are no wildcards";
    let read = |text: &str| namespace(text).map(str::to_owned);
    settings.allowed_namespaces = namespaces.list("allow", fix, read);
    settings.denied_namespaces = namespaces.list("deny", fix, read);
    namespaces.done();
    table.unsupported(
        "rules",
        "rules are not supported by this version",
        "remove them and use the hard limits: read_only, disable_destructive, enabled_tools, disabled_tools, denied, namespaces",
    );
    table.done();
    settings
}

fn denied(mut table: Table<'_>) -> Option<DeniedSettings> {
    let api_group = table.optional_text("group").unwrap_or_default();
    if let Err(error) = group(&api_group) {
        table.report("group", error.to_string(), "write an API group, or \"\" for the core group");
    }
    let resource = table.required("resource", "write a plural name, as secrets, or \"*\" for all of the group");
    if let Some(Err(error)) = resource.as_deref().filter(|resource| *resource != "*").map(plural) {
        table.report(
            "resource",
            error.to_string(),
            "write a plural name in lower case, without version and subresource",
        );
    }
    let words = [Access::Read, Access::Write, Access::Delete, Access::Exec];
    let access = table.list("access", "write read, write, delete or exec", |text| {
        words
            .into_iter()
            .find(|access| access.word() == text)
            .ok_or_else(|| format!("{} is not a class of access", quote(text)))
    });
    table.done();
    Some(DeniedSettings { group: api_group, resource: resource?, access })
}
