//! Credentials that a kubeconfig holds: the local caller's own, and the gateway's own.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use tokio::sync::Mutex;

use super::exec;
use super::{Credential, CredentialError, TlsIdentity};
use crate::kubeconfig::{Context, Kubeconfig, User, read_bounded, same_certificates};
use crate::model::{ClusterKey, Endpoint, KeyHasher};

/// What was read from disk is used this long; a rotated token or certificate is picked up after it.
const REREAD: Duration = Duration::from_secs(60);

/// A kubeconfig user, bound to one endpoint: its credential is never taken for another server.
pub(super) struct KubeconfigUser {
    files: Vec<PathBuf>,
    /// `None`: the context whose server and CA equal the endpoint's.
    context: Option<String>,
    endpoint: Endpoint,
    /// Held while a plugin runs: concurrent callers wait for one run.
    cached: Mutex<Option<(Credential, Instant)>>,
}

impl fmt::Debug for KubeconfigUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeconfigUser")
            .field("files", &self.files)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl KubeconfigUser {
    /// The user of a named context of merged files.
    pub(super) fn context(files: Vec<PathBuf>, context: String, endpoint: Endpoint) -> Self {
        Self { files, context: Some(context), endpoint, cached: Mutex::new(None) }
    }

    /// The user of the context that names the endpoint.
    pub(super) fn matching(file: PathBuf, endpoint: Endpoint) -> Self {
        Self { files: vec![file], context: None, endpoint, cached: Mutex::new(None) }
    }

    /// Digest of what the files hold for this user now: part of the cluster key, so that another gateway credential is
    /// another destination. A rotated token file or plugin result is the same credential.
    ///
    /// # Errors
    /// When the context or the user is not there, or cannot be used.
    pub(super) fn digest(&self) -> Result<[u8; 32], CredentialError> {
        let (_, user) = self.read()?;
        let exec = user.exec.as_ref();
        Ok(KeyHasher::new("kubeconfig-user")
            .optional("token", user.token.as_ref().map(|token| token.expose().to_owned()))
            .optional("token-file", user.token_file.as_ref().map(|file| file.as_os_str().as_encoded_bytes().to_vec()))
            .optional("certificate", user.client_certificate.as_deref())
            .optional("username", user.username.as_deref())
            .optional("password", user.password.as_ref().map(|password| password.expose().to_owned()))
            .optional("exec", exec.map(|exec| exec.command.clone()))
            .list("args", exec.iter().flat_map(|exec| exec.args.iter().map(|arg| arg.expose().to_owned())))
            .finish())
    }

    fn read(&self) -> Result<(Context, User), CredentialError> {
        let kubeconfig = Kubeconfig::read_all(&self.files).map_err(CredentialError::Kubeconfig)?;
        let context = match &self.context {
            Some(name) => kubeconfig.context(name),
            None => kubeconfig.context_for(&self.endpoint),
        };
        let context = context.map_err(CredentialError::Kubeconfig)?;
        let now = context.cluster.endpoint();
        if now.server != self.endpoint.server || !same_certificates(now.ca.as_deref(), self.endpoint.ca.as_deref()) {
            return Err(CredentialError::User(
                "the kubeconfig context names another server or CA than when it was loaded",
            ));
        }
        if context.cluster.proxy_url.is_some() {
            return Err(CredentialError::User("the kubeconfig cluster has a proxy-url, which is not supported"));
        }
        let name = context.user.as_deref().ok_or(CredentialError::User("the kubeconfig context has no user"))?;
        let user = kubeconfig.user(name).map_err(CredentialError::Kubeconfig)?;
        if user.auth_provider {
            return Err(CredentialError::User(
                "the kubeconfig user has an auth-provider, which Kubernetes removed in 1.26; use an exec plugin",
            ));
        }
        if user.acts_as {
            return Err(CredentialError::User(
                "the kubeconfig user impersonates somebody (as: …), which is not supported here",
            ));
        }
        Ok((context, user))
    }

    /// The credential, for the cluster `key`.
    pub(super) async fn credential(&self, key: ClusterKey) -> Result<Credential, CredentialError> {
        let mut cached = self.cached.lock().await;
        if let Some((credential, until)) = cached.as_ref()
            && *until > Instant::now()
        {
            return Ok(credential.clone());
        }
        let (_, user) = self.read()?;
        let credential = self.obtain(key, &user).await?;
        let left = credential.expires.map(|expires| expires.duration_since(SystemTime::now()).unwrap_or_default());
        let keep = match left {
            Some(left) => left.saturating_sub(Duration::from_secs(15)),
            None => REREAD,
        };
        *cached = Some((credential.clone(), Instant::now() + keep));
        Ok(credential)
    }

    async fn obtain(&self, key: ClusterKey, user: &User) -> Result<Credential, CredentialError> {
        let mut credential = match (&user.client_certificate, &user.client_key) {
            (Some(certificate), Some(private)) => {
                Credential::certificate(key, Arc::new(TlsIdentity::new(certificate.clone(), private.expose())))
            }
            _ => Credential { key, headers: Vec::new(), identity: None, expires: None },
        };
        if let Some(file) = &user.token_file {
            let token = read_bounded(file).map_err(CredentialError::File)?;
            let token = String::from_utf8_lossy(&token);
            credential = credential.with(AUTHORIZATION, &format!("Bearer {}", token.trim()))?;
        } else if let Some(token) = &user.token {
            credential = credential.with(AUTHORIZATION, &format!("Bearer {}", token.expose()))?;
        } else if let (Some(name), Some(password)) = (&user.username, &user.password) {
            let basic = STANDARD.encode(format!("{name}:{}", password.expose()));
            credential = credential.with(AUTHORIZATION, &format!("Basic {basic}"))?;
        } else if let Some(plugin) = &user.exec {
            return self.run(key, plugin).await;
        }
        if credential.headers.is_empty() && credential.identity.is_none() {
            return Err(CredentialError::User(
                "the kubeconfig user has no token, certificate, password or exec plugin",
            ));
        }
        Ok(credential)
    }

    async fn run(
        &self,
        key: ClusterKey,
        plugin: &crate::kubeconfig::ExecConfig,
    ) -> Result<Credential, CredentialError> {
        let issued = exec::run(plugin, &self.endpoint).await.map_err(CredentialError::Exec)?;
        let credential = match (&issued.certificate, &issued.key) {
            (Some(certificate), Some(private)) => {
                let identity = TlsIdentity::new(certificate.clone().into_bytes(), private.expose());
                Credential::certificate(key, Arc::new(identity))
            }
            _ => Credential { key, headers: Vec::new(), identity: None, expires: None },
        };
        let credential = match &issued.token {
            Some(token) => credential.with(AUTHORIZATION, &format!("Bearer {}", token.expose()))?,
            None => credential,
        };
        Ok(credential.until(issued.expires))
    }
}
