//! The YAML of a kubeconfig, as written. Keys that nothing here uses are ignored, as kubectl does.

use serde::{Deserialize, Deserializer};

use crate::model::Secret;

/// One kubeconfig file.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RawConfig {
    #[serde(rename = "current-context")]
    pub current: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub contexts: Vec<NamedContext>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub clusters: Vec<NamedCluster>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub users: Vec<NamedUser>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NamedContext {
    pub name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub context: RawContext,
}

#[derive(Debug, Deserialize)]
pub(super) struct NamedCluster {
    pub name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub cluster: RawCluster,
}

#[derive(Debug, Deserialize)]
pub(super) struct NamedUser {
    pub name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub user: RawUser,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct RawContext {
    pub cluster: Option<String>,
    pub user: Option<String>,
    pub namespace: Option<String>,
}

/// `server` and `proxy-url` may hold a password, so neither prints.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RawCluster {
    #[serde(default, deserialize_with = "secret")]
    pub server: Option<Secret>,
    pub certificate_authority: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub certificate_authority_data: Option<Secret>,
    pub tls_server_name: Option<String>,
    pub insecure_skip_tls_verify: Option<bool>,
    #[serde(default, deserialize_with = "secret")]
    pub proxy_url: Option<Secret>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct RawUser {
    #[serde(default, deserialize_with = "secret")]
    pub token: Option<Secret>,
    #[serde(rename = "tokenFile")]
    pub token_file: Option<String>,
    #[serde(rename = "client-certificate")]
    pub client_certificate: Option<String>,
    #[serde(rename = "client-certificate-data", default, deserialize_with = "secret")]
    pub client_certificate_data: Option<Secret>,
    #[serde(rename = "client-key")]
    pub client_key: Option<String>,
    #[serde(rename = "client-key-data", default, deserialize_with = "secret")]
    pub client_key_data: Option<Secret>,
    pub username: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub password: Option<Secret>,
    pub exec: Option<RawExec>,
    #[serde(rename = "auth-provider")]
    pub auth_provider: Option<serde::de::IgnoredAny>,
    #[serde(rename = "as")]
    pub act_as: Option<serde::de::IgnoredAny>,
    #[serde(rename = "as-uid")]
    pub act_as_uid: Option<serde::de::IgnoredAny>,
    #[serde(rename = "as-groups")]
    pub act_as_groups: Option<serde::de::IgnoredAny>,
    #[serde(rename = "as-user-extra")]
    pub act_as_extra: Option<serde::de::IgnoredAny>,
}

/// Arguments and variables of a plugin may hold secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawExec {
    pub api_version: Option<String>,
    pub command: Option<String>,
    #[serde(default, deserialize_with = "secrets")]
    pub args: Vec<Secret>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub env: Vec<RawVariable>,
    pub interactive_mode: Option<String>,
    pub provide_cluster_info: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RawVariable {
    pub name: String,
    #[serde(default, deserialize_with = "secret")]
    pub value: Option<Secret>,
}

/// Where a text is not a kubeconfig. The parser's own words are dropped: they may quote a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub line: u64,
    pub column: u64,
}

/// Reads one file's text: one document, few aliases, bounded depth.
pub(super) fn parse(text: &str) -> Result<RawConfig, At> {
    let budget = serde_saphyr::budget! {
        max_depth: 32,
        max_documents: 1,
        max_aliases: 100,
        max_anchors: 100,
        max_merge_keys: 100,
        max_events: 200_000,
        max_nodes: 100_000,
    };
    let limits = serde_saphyr::alias_limits! {
        max_total_replayed_events: 10_000,
        max_replay_stack_depth: 8,
        max_alias_expansions_per_anchor: 100,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        alias_limits: limits,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Option<RawConfig>>(text, options) {
        Ok(raw) => Ok(raw.unwrap_or_default()),
        Err(error) => {
            let at = error.location();
            Err(At { line: at.as_ref().map_or(1, |at| at.line()), column: at.as_ref().map_or(1, |at| at.column()) })
        }
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Secret::new))
}

fn secrets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Secret>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(from)?.unwrap_or_default().into_iter().map(Secret::new).collect())
}
