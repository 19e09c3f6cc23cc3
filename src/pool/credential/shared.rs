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
use crate::kubeconfig::{Context, Kubeconfig, User, read_bounded, same_endpoint};
use crate::model::{ClusterKey, Endpoint, KeyHasher};

/// What was read from disk is used this long; a rotated token or certificate is picked up after it.
const REREAD: Duration = Duration::from_secs(60);
/// A plugin's credential is not used in its last seconds.
const MARGIN: Duration = Duration::from_secs(15);
/// A failure is not tried again before this.
const FAILED: Duration = Duration::from_secs(5);
/// A refused credential is dropped at most once in this time.
const FORGET: Duration = Duration::from_secs(10);

/// Of a client certificate and anything else, kube-apiserver reads the certificate alone, which in a kubeconfig of Kind or
/// kubeadm is the administrator's.
const SEVERAL: &str = "the kubeconfig user has several kinds of credential, of which the API server reads the client certificate first and passes over the rest; give it a user with the token alone";

/// A kubeconfig user, bound to one endpoint: its credential is never taken for another server.
pub(super) struct KubeconfigUser {
    files: Vec<PathBuf>,
    /// `None`: the context whose server and CA equal the endpoint's.
    context: Option<String>,
    endpoint: Endpoint,
    /// The gateway's own: whom the API server takes it for must not depend on which of several credentials it reads first.
    sole: bool,
    /// Held while a plugin runs: concurrent callers wait for one run.
    kept: Mutex<Kept>,
}

/// What the last attempt gave.
#[derive(Default)]
struct Kept {
    good: Option<(Credential, Instant)>,
    failed: Option<(Arc<CredentialError>, Instant)>,
    forgotten: Option<Instant>,
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
        Self { files, context: Some(context), endpoint, sole: false, kept: Mutex::default() }
    }

    /// The gateway's own user: that of the context that names the endpoint, which must have one kind of credential.
    pub(super) fn gateway(file: PathBuf, endpoint: Endpoint) -> Self {
        Self { files: vec![file], context: None, endpoint, sole: true, kept: Mutex::default() }
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
        if !same_endpoint(&now, &self.endpoint) {
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
        if self.sole && kinds(&user) > 1 {
            return Err(CredentialError::User(SEVERAL));
        }
        Ok((context, user))
    }

    /// The credential, for the cluster `key`. A failure is given to everybody who asks within the next seconds.
    pub(super) async fn credential(&self, key: ClusterKey) -> Result<Credential, CredentialError> {
        let mut kept = self.kept.lock().await;
        let now = Instant::now();
        if let Some((credential, _)) = kept.good.as_ref().filter(|(_, until)| *until > now) {
            return Ok(credential.clone());
        }
        if let Some((error, _)) = kept.failed.as_ref().filter(|(_, until)| *until > now) {
            return Err(CredentialError::Again(Arc::clone(error)));
        }
        let obtained = match self.read() {
            Ok((_, user)) => self.obtain(key, &user).await,
            Err(error) => Err(error),
        };
        match obtained {
            Ok((credential, keep)) => {
                kept.good = Some((credential.clone(), Instant::now() + keep));
                Ok(credential)
            }
            Err(error) => {
                let error = Arc::new(error);
                kept.failed = Some((Arc::clone(&error), Instant::now() + FAILED));
                Err(CredentialError::Again(error))
            }
        }
    }

    /// Drops the credential, at most once in [`FORGET`]: a cluster that refuses everything must not make a plugin run
    /// for every call.
    pub(super) async fn forget(&self) {
        let mut kept = self.kept.lock().await;
        if kept.forgotten.is_none_or(|at| at.elapsed() > FORGET) {
            *kept = Kept { forgotten: Some(Instant::now()), ..Kept::default() };
        }
    }

    /// The credential, and how long it may be kept.
    async fn obtain(&self, key: ClusterKey, user: &User) -> Result<(Credential, Duration), CredentialError> {
        let mut credential = match (&user.client_certificate, &user.client_key) {
            (Some(certificate), Some(private)) => {
                Credential::certificate(key, Arc::new(TlsIdentity::new(certificate.clone(), private.expose())))
            }
            _ => Credential { key, headers: Vec::new(), identity: None, expires: None, once: false },
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
        Ok((credential, REREAD))
    }

    async fn run(
        &self,
        key: ClusterKey,
        plugin: &crate::kubeconfig::ExecConfig,
    ) -> Result<(Credential, Duration), CredentialError> {
        let issued = exec::run(plugin, &self.endpoint).await.map_err(CredentialError::Exec)?;
        let credential = match (&issued.certificate, &issued.key) {
            (Some(certificate), Some(private)) => {
                let identity = TlsIdentity::new(certificate.clone().into_bytes(), private.expose());
                Credential::certificate(key, Arc::new(identity))
            }
            _ => Credential { key, headers: Vec::new(), identity: None, expires: None, once: false },
        };
        if self.sole && credential.identity.is_some() && issued.token.is_some() {
            return Err(CredentialError::User(SEVERAL));
        }
        let credential = match &issued.token {
            Some(token) => credential.with(AUTHORIZATION, &format!("Bearer {}", token.expose()))?,
            None => credential,
        };
        let left = issued.expires.map(|expires| expires.duration_since(SystemTime::now()).unwrap_or_default());
        if left.is_some_and(|left| left.is_zero()) {
            return Err(CredentialError::User("the credential plugin issued a credential that has expired already"));
        }
        let keep = left.map_or(REREAD, |left| left.saturating_sub(MARGIN));
        Ok((credential.until(issued.expires), keep))
    }
}

/// How many kinds of credential a user has; a token and a file with one are of the same kind, of which the file wins.
fn kinds(user: &User) -> usize {
    let certificate = user.client_certificate.is_some() || user.client_key.is_some();
    let token = user.token.is_some() || user.token_file.is_some();
    let password = user.username.is_some() || user.password.is_some();
    [certificate, token, password, user.exec.is_some()].into_iter().filter(|there| *there).count()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::KubeconfigUser;
    use crate::model::Endpoint;

    fn endpoint() -> Endpoint {
        Endpoint { server: "https://127.0.0.1:6443".to_owned(), ca: None, tls_server_name: None, insecure: false }
    }

    fn kubeconfig(folder: &Path, user: &str) -> PathBuf {
        let file = folder.join("kubeconfig");
        let text = format!(
            "contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:6443'}}}}]\nusers: [{{name: u, user: {user}}}]\n"
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn the_gateway_has_one_kind_of_credential() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = "client-certificate-data: YQ==, client-key-data: YQ==";
        for (user, fits) in [
            ("{token: t}".to_owned(), true),
            ("{token: t, tokenFile: t.token}".to_owned(), true),
            (format!("{{{certificate}}}"), true),
            (format!("{{{certificate}, token: t}}"), false),
            (format!("{{{certificate}, tokenFile: t.token}}"), false),
            ("{client-certificate-data: YQ==, token: t}".to_owned(), false),
            (format!("{{{certificate}, exec: {{command: x}}}}"), false),
            ("{token: t, username: a, password: b}".to_owned(), false),
        ] {
            let file = kubeconfig(folder.path(), &user);
            let said = KubeconfigUser::gateway(file.clone(), endpoint()).digest().map_err(|error| error.to_string());
            assert_eq!(said.is_ok(), fits, "{user}: {said:?}");
            assert!(said.err().is_none_or(|said| said.contains("client certificate first")), "{user}");
            // What kubectl takes from the person's own file stays as it is.
            assert!(KubeconfigUser::context(vec![file], "c".to_owned(), endpoint()).digest().is_ok(), "{user}");
        }
    }

    #[test]
    fn the_sample_of_a_gateway_can_be_used() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("clusters/kind-gateway.kubeconfig");
        KubeconfigUser::gateway(sample, endpoint()).digest().unwrap();
    }
}
