//! `[clusters.*]`, and the settings that `[[bind]]` shares with it.

use crate::inventory::{ClusterSettings, Entry, ImpersonateSettings};
use crate::kubeconfig::{Kubeconfig, ServerUrl};
use crate::model::names::quote;
use crate::model::{ClusterKind, ClusterName, Endpoint, PathTrust, Tier, WorkspacePath, chain};

use super::read::{Table, one_of};
use super::realms::{Known, certificates};
use super::settings::STRATEGIES;

/// Strategies that carry a person's identity, for which the server's certificate must be checked.
const OF_A_PERSON: [&str; 5] = ["exchange", "chain", "impersonate", "passthrough", "local"];

/// Reads all of the operator's own clusters.
pub(super) fn clusters(root: &mut Table<'_>, known: &Known) -> Vec<Entry> {
    let mut clusters = Vec::new();
    for (name, mut table) in root.named("clusters") {
        let checked = match ClusterName::parse(name) {
            Ok(name) if name.as_str().contains('@') => Err("'@' is for discovered clusters".to_owned()),
            Ok(name) => Ok(name),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = &checked {
            let fix = format!("call it {}", ClusterName::slug(name));
            table.sink.report(table.path(), why.clone(), fix);
        }
        let entry = cluster(&mut table, checked.ok(), known);
        table.done();
        clusters.extend(entry);
    }
    clusters
}

fn cluster(table: &mut Table<'_>, name: Option<ClusterName>, known: &Known) -> Option<Entry> {
    let kind = match table.word("kind", &["kubernetes", "kind", "kcp"]) {
        Some("kind") => ClusterKind::Kind,
        Some("kcp") => ClusterKind::Kcp,
        _ => ClusterKind::Kubernetes,
    };
    let endpoint = endpoint(table, kind, known.is_local());
    if !table.has("strategy") {
        table.sink.report(table.path(), "strategy is missing", one_of("", STRATEGIES.into_iter()));
    }
    let settings = settings(table, known, endpoint.as_ref());
    if endpoint.as_ref().is_some_and(|endpoint| endpoint.insecure) && OF_A_PERSON.contains(&settings.strategy.as_str())
    {
        table.report(
            "insecure_skip_tls_verify",
            format!("strategy {} carries a person's identity to a server that nobody checked", settings.strategy),
            "remove it and set ca_file",
        );
    }
    let written = table.has("entry");
    let entry = table.list("entry", "write workspace paths, as root:org", WorkspacePath::parse);
    if written && kind != ClusterKind::Kcp {
        table.report("entry", "only a kcp has workspaces", "remove it, or set kind = \"kcp\"");
    }
    Some(Entry {
        origin: Some(table.path().to_owned()),
        aliases: Vec::new(),
        source: "file".to_owned(),
        kind,
        settings,
        labels: table.map("labels"),
        tier: tier(table),
        advertise: table.flag("advertise"),
        entry,
        paths: paths(table),
        namespace: None,
        current: false,
        name: name?,
        endpoint: endpoint?,
    })
}

fn endpoint(table: &mut Table<'_>, kind: ClusterKind, local_mode: bool) -> Option<Endpoint> {
    let server = table.required("server", "write the API server's URL, as https://10.1.2.3:6443");
    let ca = certificates(table, "ca_file");
    let tls_server_name = table.text("tls_server_name");
    let insecure = table.flag("insecure_skip_tls_verify");
    let server = match ServerUrl::parse(&server?) {
        Ok(server) => server,
        Err(why) => {
            table.report("server", why, "write an https URL without user, query and fragment");
            return None;
        }
    };
    let plain_is_fine = local_mode && server.is_loopback();
    if !server.is_https() && !plain_is_fine {
        table.report(
            "server",
            "is not https",
            "write an https URL; http is only for loopback when no realm is configured",
        );
    }
    if kind == ClusterKind::Kcp && server.path().starts_with("/clusters/") {
        table.report("server", "names a workspace", "write the host alone, and the workspace in entry");
    }
    if insecure && table.has("ca_file") {
        table.report("insecure_skip_tls_verify", "stands beside ca_file", "keep ca_file and remove this");
    }
    if table.has("ca_file") && ca.is_none() {
        return None; // reported; without its CA this would be another endpoint
    }
    Some(Endpoint { server: server.text().to_owned(), ca, tls_server_name, insecure })
}

/// Reads how a credential is had. For an own cluster the gateway's kubeconfig must have a context of this `endpoint`.
pub(super) fn settings(table: &mut Table<'_>, known: &Known, endpoint: Option<&Endpoint>) -> ClusterSettings {
    // One that is wrong or missing was reported; nothing more is to be said of it.
    let strategy = table.word("strategy", &STRATEGIES).unwrap_or("none");
    let link = table.text("link");
    if let Some(link) = link.as_ref().filter(|link| !known.links.contains(link)) {
        let fix = if known.links.is_empty() {
            "declare it as a [links.<name>] table".to_owned()
        } else {
            one_of(link, known.links.iter().map(String::as_str))
        };
        table.report("link", format!("no link {} is configured", quote(link)), fix);
    }
    ClusterSettings {
        strategy: strategy.to_owned(),
        realm: known.realm(table, "realm"),
        audiences: table.texts("audiences"),
        link,
        scope: table.text("scope"),
        realms: known.realm_list(table, "realms", true),
        gateway_kubeconfig: table.table("gateway_credentials").and_then(|inner| gateway_credentials(inner, endpoint)),
        impersonate: table.table("impersonate").and_then(impersonate),
        i_accept_token_passthrough: table.flag("i_accept_token_passthrough"),
        allow_shared_identity: table.flag("allow_shared_identity"),
        expect_username: table.text("expect_username"),
        local: None,
    }
}

fn gateway_credentials(mut table: Table<'_>, endpoint: Option<&Endpoint>) -> Option<std::path::PathBuf> {
    if !table.has("kubeconfig") {
        table.sink.report(
            table.path(),
            "kubeconfig is missing",
            "name the kubeconfig file with kubeferry's own credential",
        );
    }
    let file = table.file("kubeconfig");
    if let Some(file) = &file {
        let usable = Kubeconfig::read(file).and_then(|read| match endpoint {
            Some(endpoint) => read.context_for(endpoint).map(|_| ()),
            None => Ok(()),
        });
        if let Err(error) = usable {
            let fix = "give it a context whose server and CA equal the cluster's";
            table.report("kubeconfig", chain(&error), fix);
        }
    }
    table.done();
    file
}

fn impersonate(mut table: Table<'_>) -> Option<ImpersonateSettings> {
    let user = table.required("user", "write a template, as \"{realm}:{username}\"");
    let settings = ImpersonateSettings {
        user: user.clone().unwrap_or_default(),
        groups: table.text("groups"),
        uid: table.text("uid"),
        extra: table.map("extra"),
    };
    table.done();
    user.map(|_| settings)
}

pub(super) fn tier(table: &mut Table<'_>) -> Tier {
    table.text("tier").map(Tier::set).unwrap_or_default()
}

pub(super) fn paths(table: &mut Table<'_>) -> PathTrust {
    match table.word("paths", &["resolve", "trusted"]) {
        Some("trusted") => PathTrust::Trusted,
        _ => PathTrust::Resolve,
    }
}
