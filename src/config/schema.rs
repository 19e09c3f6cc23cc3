//! The JSON Schema (draft 2020-12) of the configuration, for editors, and for the generated page of all keys.
//!
//! The types here have the shape of the file and hold nothing: `config` reads with its own reader, which reports every
//! mistake with its line. Tests hold the two together: both know the same keys, the same words and the same ranges.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::settings::ServerConfig;

mod clusters;
mod limits;
mod policy;
mod realms;

use clusters::{Bind, Cluster, Source};
use limits::Limits;
use realms::{Link, Realm};

/// The schema of a whole configuration.
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<Document>().to_value();
    close(&mut schema);
    schema
}

/// An unknown key is a mistake in every table that has keys of its own, and TOML has no null: an optional key is left out.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Array(kinds)) = members.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [kind] = kinds.as_slice() {
                    let kind = kind.clone();
                    members.insert("type".to_owned(), kind);
                }
            }
            if let Some(Value::Array(forms)) = members.get_mut("anyOf") {
                forms.retain(|form| form["type"] != "null");
            }
            // A member called `properties` may also be a property; only a schema has a type beside it.
            if members.get("type").is_some_and(|kind| kind == "object") && members.contains_key("properties") {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The configuration of kubeferry: one TOML file, then `conf.d/*.toml` beside it, then the environment.
#[derive(JsonSchema)]
#[schemars(title = "kubeferry", rename = "kubeferry")]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Document {
    #[schemars(default)]
    server: Server,
    #[schemars(default)]
    gateway: Gateway,
    /// Identity realms (OIDC issuers), by name. Without any, kubeferry is in local mode: the caller is the person at this
    /// machine.
    #[schemars(default)]
    realms: BTreeMap<String, Realm>,
    /// How a caller of one realm gets a token of another, by name: one per pair of realms, for all clusters of the second.
    #[schemars(default)]
    links: BTreeMap<String, Link>,
    /// Your own clusters, by name.
    #[schemars(default)]
    clusters: BTreeMap<String, Cluster>,
    /// Where clusters are discovered: endpoint and CA are taken, users are not (except in local mode).
    #[schemars(default)]
    sources: Vec<Source>,
    /// How discovered clusters are reached; the first rule that matches a cluster binds it.
    #[schemars(default)]
    bind: Vec<Bind>,
    #[schemars(default)]
    policy: Policy,
    #[schemars(default)]
    limits: Limits,
}

/// The listener, and who may come in.
#[derive(JsonSchema, Default)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Server {
    /// Address and port to listen on. Needs a restart.
    #[schemars(extend("default" = ServerConfig::default().listen.to_string()))]
    listen: Option<Text>,
    /// Address and port of a second listener that serves `/metrics` alone, over plain HTTP and without asking for a token,
    /// to whoever reaches it. Without it, `/metrics` is on the main listener, for this machine only. Needs a restart.
    metrics_listen: Option<Text>,
    /// The URL under which clients reach `/mcp`: the RFC 9728 resource, and an audience that tokens may carry. Needs a
    /// restart.
    resource: Option<Text>,
    /// Further accepted audiences, as the name that an MCP gateway gives us.
    #[schemars(default)]
    audiences: Vec<Text>,
    /// Realms whose tokens are accepted at the door.
    #[schemars(default)]
    home_realms: Vec<Text>,
    /// Accepted `Host` values beside loopback names and the host of `resource`. Needs a restart.
    #[schemars(default)]
    allowed_hosts: Vec<Text>,
    /// Accepted `Origin` values of browsers. Needs a restart.
    #[schemars(default)]
    allowed_origins: Vec<Text>,
    /// Scopes that every token must have.
    #[schemars(default)]
    required_scopes: Vec<Text>,
    /// The server's certificate; none = plain HTTP. The files are read again when they change, other paths need a restart.
    tls: Option<Tls>,
    /// A proxy in front ends TLS, so that plain HTTP beyond loopback is meant.
    #[schemars(default)]
    tls_terminated_upstream: bool,
    /// Key files of 32 bytes or more for sealed handles; the first seals, all open. None = a random key, which a restart
    /// changes.
    #[schemars(default)]
    seal_key_files: Vec<Text>,
    /// Toolsets that are offered; empty = the usual ones.
    #[schemars(default)]
    toolsets: Vec<Text>,
    /// Keep MCP sessions for clients of protocol revisions before 2026-07-28. Needs a restart.
    #[schemars(default)]
    legacy_sessions: bool,
    /// Without realms: whoever comes from `allowed_addresses` is served without a token. Needs a restart.
    #[schemars(default)]
    i_accept_unauthenticated_clients: bool,
    /// Such clients may also write.
    #[schemars(default)]
    i_accept_unauthenticated_writes: bool,
    /// Addresses or ranges, as `10.0.0.0/8`, that such clients may come from.
    #[schemars(default)]
    allowed_addresses: Vec<Text>,
}

/// PEM files of the server.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Tls {
    /// Certificates, ours first.
    cert_file: Text,
    /// The private key.
    key_file: Text,
}

/// An MCP gateway in front of us.
#[derive(JsonSchema, Default)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Gateway {
    /// Our names there. When a token's audience is one of them, only the tools in `resource_access[<name>].roles` can be
    /// called.
    #[schemars(default)]
    server_names: Vec<Text>,
}

/// Hard limits for everybody, and rules.
#[derive(JsonSchema, Default)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Policy {
    /// Nothing but reads.
    #[schemars(default)]
    read_only: bool,
    /// No deletes, and nothing that executes.
    #[schemars(default)]
    disable_destructive: bool,
    /// When not empty: these tools and no others.
    #[schemars(default)]
    enabled_tools: Vec<Text>,
    /// Never these tools.
    #[schemars(default)]
    disabled_tools: Vec<Text>,
    /// Kinds that are out of bounds.
    #[schemars(default)]
    denied: Vec<Denied>,
    #[schemars(default)]
    namespaces: Namespaces,
    /// Which calls to clusters are denied beyond the limits; the first rule whose conditions hold decides, and what none is
    /// about is allowed.
    #[schemars(default)]
    rules: Vec<policy::Rule>,
}

/// A kind that is out of bounds.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Denied {
    /// The API group; empty = the core group.
    #[schemars(default)]
    group: String,
    /// The plural, as `secrets`; `*` = all of the group.
    resource: Text,
    /// What is denied; empty = everything.
    #[schemars(default)]
    access: Vec<AccessWord>,
}

/// Namespaces; there are no wildcards.
#[derive(JsonSchema, Default)]
#[expect(dead_code, reason = "the fields are read by the derived schema only")]
struct Namespaces {
    /// When not empty: these and no others.
    #[schemars(default)]
    allow: Vec<Text>,
    /// Never these.
    #[schemars(default)]
    deny: Vec<Text>,
}

/// A text that is not empty.
struct Text;

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1})
    }
}

/// One of some words.
fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Schema {
    json_schema!({"type": "string", "enum": words.into_iter().collect::<Vec<_>>()})
}

/// A class of access.
struct AccessWord;

impl JsonSchema for AccessWord {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Access".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        use crate::model::Access::{Delete, Exec, Read, Write};
        words([Read, Write, Delete, Exec].map(crate::model::Access::word))
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
