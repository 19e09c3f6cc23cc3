//! `[realms.*]` and `[links.*]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kubeconfig::{check_certificates, read_bounded};
use crate::model::RealmName;
use crate::model::names::quote;
use crate::realm::{Algorithm, Profile, RealmClient, RealmConfig};

use super::read::{Table, one_of};
use super::settings::LinkSettings;
use super::urls::https_url;

/// Names that other tables may refer to; a broken realm or link counts, so that it is reported once.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub realms: Vec<RealmName>,
    pub links: Vec<String>,
    /// A realm was written whose name cannot be used: this is no local mode, whatever else is there.
    pub nameless_realm: bool,
}

impl Known {
    /// True in local mode.
    pub fn is_local(&self) -> bool {
        self.realms.is_empty() && !self.nameless_realm
    }

    /// Reads the realm named by `key`.
    pub fn realm(&self, table: &mut Table<'_>, key: &'static str) -> Option<RealmName> {
        let text = table.text(key)?;
        let found = self.realms.iter().find(|realm| realm.as_str() == text).cloned();
        if found.is_none() {
            let (what, fix) = self.unknown(&text);
            table.report(key, what, fix);
        }
        found
    }

    /// Reads the list of realms at `key`. `local`, the realm of local mode, is known where `local` says so.
    pub fn realm_list(&self, table: &mut Table<'_>, key: &'static str, local: bool) -> Vec<RealmName> {
        let mut found = Vec::new();
        for (index, text) in table.indexed_texts(key) {
            match self.realms.iter().find(|realm| realm.as_str() == text) {
                Some(realm) => found.push(realm.clone()),
                None if local && text == RealmName::LOCAL => found.push(RealmName::local()),
                None => {
                    let (what, fix) = self.unknown(&text);
                    table.report(&format!("{key}[{index}]"), what, fix);
                }
            }
        }
        found
    }

    /// What is wrong with a realm that is not configured, and what to write.
    pub fn unknown(&self, text: &str) -> (String, String) {
        let fix = if self.realms.is_empty() {
            "declare it as a [realms.<name>] table".to_owned()
        } else {
            one_of(text, self.realms.iter().map(RealmName::as_str))
        };
        (format!("no realm {} is configured", quote(text)), fix)
    }
}

/// Reads all realms.
pub(super) fn realms(root: &mut Table<'_>, known: &mut Known) -> Vec<RealmConfig> {
    let mut realms = Vec::new();
    let mut issuers: BTreeMap<String, String> = BTreeMap::new();
    for (name, mut table) in root.named("realms") {
        let name = match RealmName::parse(name) {
            Ok(name) if name.as_str() == RealmName::LOCAL => {
                let fix = "give it another name";
                known.nameless_realm = true;
                table.sink.report(table.path(), "local is the built-in realm of local mode", fix);
                continue;
            }
            Ok(name) => name,
            Err(error) => {
                known.nameless_realm = true;
                table.sink.report(table.path(), error.to_string(), "give it another name");
                continue;
            }
        };
        known.realms.push(name.clone());
        let realm = realm(&mut table, name);
        if let Some(realm) = &realm
            && let Some(first) = issuers.insert(realm.issuer.clone(), table.path().to_owned())
        {
            table.report("issuer", format!("{first} has the same issuer"), "one realm per issuer: merge the two");
        }
        realms.extend(realm);
        table.done();
    }
    realms
}

fn realm(table: &mut Table<'_>, name: RealmName) -> Option<RealmConfig> {
    let issuer = table.required("issuer", "write the issuer exactly as it is in tokens");
    let issuer = issuer.filter(|issuer| checked_url(table, "issuer", issuer));
    let discovery_url = table.text("discovery_url").filter(|url| checked_url(table, "discovery_url", url));
    let jwks_file = table.file("jwks_file");
    if discovery_url.is_some() && jwks_file.is_some() {
        table.report("jwks_file", "stands beside discovery_url", "keep one of the two");
    }
    let algorithm =
        |text: &str| Algorithm::parse(text).ok_or_else(|| format!("{} is not an accepted algorithm", quote(text)));
    let algorithms = table.list("algorithms", "write asymmetric ones only, as RS256, PS256, ES256, EdDSA", algorithm);
    let there = issuer.is_some();
    let defaults = RealmConfig::new(name, issuer.unwrap_or_default());
    let profile = table.word("profile", &Profile::ALL.map(Profile::word)).and_then(Profile::parse);
    let realm = RealmConfig {
        discovery_url,
        jwks_file,
        ca: certificates(table, "ca_file"),
        allow_private: table.flag("allow_private"),
        algorithms: if algorithms.is_empty() { defaults.algorithms } else { algorithms },
        username_claim: table.text("username_claim").unwrap_or(defaults.username_claim),
        groups_claim: table.text("groups_claim").unwrap_or(defaults.groups_claim),
        profile: profile.unwrap_or_default(),
        allowed_clients: table.texts("allowed_clients"),
        max_token_lifetime: table.duration("max_token_lifetime").unwrap_or(defaults.max_token_lifetime),
        accept_id_token: table.flag("accept_id_token"),
        client: table.table("client").and_then(client),
        name: defaults.name,
        issuer: defaults.issuer,
    };
    there.then_some(realm)
}

fn client(mut table: Table<'_>) -> Option<RealmClient> {
    let id = table.required("id", "write our client id at this realm");
    let fix = "write client_secret_basic, client_secret_post, private_key_jwt, federated_file or none";
    let there = table.has("auth");
    let auth = table.word("auth", &RealmClient::AUTH);
    if !there {
        table.sink.report(table.path(), "auth is missing", fix);
    }
    let secret_file = table.file("secret_file");
    let key_file = table.file("key_file");
    // A projected token appears when the pod runs; the strategy reads it anew each time and says if it is not there.
    let token_file = table.text("token_file").map(|text| table.sink.environment.resolve(&text, &table.sink.folder));
    for (key, wanted_by) in [
        ("secret_file", &["client_secret_basic", "client_secret_post"][..]),
        ("key_file", &["private_key_jwt"]),
        ("token_file", &["federated_file"]),
    ] {
        let Some(auth) = auth else { break };
        match (wanted_by.contains(&auth), table.has(key)) {
            (true, false) => {
                table.sink.report(table.path(), format!("{key} is missing"), format!("auth = \"{auth}\" reads it"))
            }
            (false, true) => {
                table.report(key, format!("is not used by auth = \"{auth}\""), "remove it, or choose another auth")
            }
            _ => {}
        }
    }
    table.done();
    Some(RealmClient { id: id?, auth: auth?.to_owned(), secret_file, key_file, token_file })
}

/// Reads all links.
pub(super) fn links(root: &mut Table<'_>, known: &mut Known) -> Vec<LinkSettings> {
    let mut links = Vec::new();
    for (name, mut table) in root.named("links") {
        known.links.push(name.to_owned());
        for key in ["from", "to"] {
            if !table.has(key) {
                table.sink.report(table.path(), format!("{key} is missing"), "name a realm");
            }
        }
        let (from, to) = (known.realm(&mut table, "from"), known.realm(&mut table, "to"));
        if from.is_some() && from == to {
            table.report(
                "to",
                "is the realm that from names",
                "inside one realm use strategy exchange, without a link",
            );
        }
        let mut request = table.section("request");
        let (audience, scope) = (request.text("audience"), request.text("scope"));
        request.done();
        table.done();
        if let (Some(from), Some(to)) = (from, to) {
            links.push(LinkSettings { name: name.to_owned(), from, to, audience, scope });
        }
    }
    links
}

/// Reads a file of PEM certificates.
pub(super) fn certificates(table: &mut Table<'_>, key: &'static str) -> Option<Arc<[u8]>> {
    let path = table.file(key)?;
    let pem = read_bounded(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()));
    let checked = pem.and_then(|pem| match check_certificates(&pem) {
        Ok(()) => Ok(pem),
        Err(why) => Err(format!("{}: {why}", path.display())),
    });
    checked.map(Arc::from).map_err(|why| table.report(key, why, "name a file of PEM certificates")).ok()
}

fn checked_url(table: &Table<'_>, key: &str, url: &str) -> bool {
    let checked = https_url(url, false);
    if let Err(why) = checked {
        table.report(key, why, "write an https URL without user, query and fragment");
    }
    checked.is_ok()
}
