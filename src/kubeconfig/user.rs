//! Users of a kubeconfig.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::model::Secret;

use super::{Held, beside, bytes, yaml};

/// A user: what kubectl would identify itself with.
#[derive(Clone, Default)]
pub struct User {
    /// Bearer token. When `token_file` is set too, kubectl lets the file's content win.
    pub token: Option<Secret>,
    /// A file with the bearer token, to be read anew each time.
    pub token_file: Option<PathBuf>,
    /// Client certificate, PEM.
    pub client_certificate: Option<Vec<u8>>,
    /// Its key, PEM.
    pub client_key: Option<Secret>,
    /// Name for basic authentication.
    pub username: Option<String>,
    /// Password for basic authentication.
    pub password: Option<Secret>,
    /// A credential plugin.
    pub exec: Option<ExecConfig>,
    /// True with an `auth-provider`, which Kubernetes removed in 1.26.
    pub auth_provider: bool,
    /// True with one of the `as…` keys: kubectl would impersonate somebody, so the bare user is not who is meant.
    pub acts_as: bool,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("token", &self.token.is_some())
            .field("token_file", &self.token_file)
            .field("client_certificate", &self.client_certificate.is_some())
            .field("client_key", &self.client_key.is_some())
            .field("username", &self.username)
            .field("password", &self.password.is_some())
            .field("exec", &self.exec)
            .field("auth_provider", &self.auth_provider)
            .field("acts_as", &self.acts_as)
            .finish()
    }
}

/// A credential plugin (`client.authentication.k8s.io`). Its arguments and variables may hold secrets.
#[derive(Debug, Clone)]
pub struct ExecConfig {
    /// The command; one with a path separator is resolved against the file's folder, as kubectl does.
    pub command: String,
    /// Its arguments.
    pub args: Vec<Secret>,
    /// Variables that are added to its environment.
    pub env: Vec<(String, Secret)>,
    /// `client.authentication.k8s.io/v1` or `/v1beta1`.
    pub api_version: Option<String>,
    /// `Never`, `IfAvailable` or `Always`.
    pub interactive_mode: Option<String>,
    /// Whether `KUBERNETES_EXEC_INFO` describes the cluster.
    pub provide_cluster_info: bool,
}

pub(super) fn user(held: &Held<yaml::RawUser>) -> Result<User, String> {
    let raw = &held.raw;
    let certificate =
        bytes(held, "client-certificate", raw.client_certificate_data.as_ref(), raw.client_certificate.as_deref())?;
    let key = bytes(held, "client-key", raw.client_key_data.as_ref(), raw.client_key.as_deref())?;
    let key = key.map(|pem| String::from_utf8(pem).map_err(|_| "client-key: not PEM".to_owned())).transpose()?;
    Ok(User {
        token: raw.token.clone().filter(|token| !token.expose().is_empty()),
        token_file: raw.token_file.as_deref().filter(|file| !file.is_empty()).map(|file| beside(&held.file, file)),
        client_certificate: certificate,
        client_key: key.map(Secret::new),
        username: raw.username.clone().filter(|name| !name.is_empty()),
        password: raw.password.clone(),
        exec: raw.exec.as_ref().map(|exec| exec_config(exec, &held.file)).transpose()?,
        auth_provider: raw.auth_provider.is_some(),
        acts_as: raw.act_as.is_some()
            || raw.act_as_uid.is_some()
            || raw.act_as_groups.is_some()
            || raw.act_as_extra.is_some(),
    })
}

fn exec_config(raw: &yaml::RawExec, file: &Path) -> Result<ExecConfig, String> {
    let command = raw.command.clone().filter(|command| !command.is_empty()).ok_or("exec: no command")?;
    let has_folder = command.contains(std::path::MAIN_SEPARATOR);
    let command = if has_folder { beside(file, &command).display().to_string() } else { command };
    let value = |variable: &yaml::RawVariable| variable.value.clone().unwrap_or_else(|| Secret::new(""));
    Ok(ExecConfig {
        command,
        args: raw.args.clone(),
        env: raw.env.iter().map(|variable| (variable.name.clone(), value(variable))).collect(),
        api_version: raw.api_version.clone(),
        interactive_mode: raw.interactive_mode.clone(),
        provide_cluster_info: raw.provide_cluster_info.unwrap_or(false),
    })
}
