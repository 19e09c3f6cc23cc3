//! A real kube-apiserver: an API of its own, without nodes (see [`crate::kwok`]) and without controllers unless a test
//! starts some.
//!
//! Each has its own serving CA, its own client CA and its own service account key; one etcd may serve several.
//! Without controllers a namespace that is deleted stays `Terminating`, and no namespace gets a `default` service
//! account; see [`Controllers`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rcgen::KeyPair;
use serde_json::Value;
use tempfile::TempDir;

use crate::artifacts::Program;
use crate::etcd::Etcd;
use crate::pki::Leaf;
use crate::process::{Launch, Process, files, port};

pub mod aggregation;
pub mod audit;
pub mod authentication;
pub mod client;
pub mod controllers;
pub mod kubeconfig;
pub mod network;
mod serving;

pub use authentication::{Claim, JwtIssuer};
pub use client::Client;
pub use controllers::Controllers;
pub use kubeconfig::{Credential, kubeconfig};
pub use network::ClusterNetwork;
pub(crate) use serving::Serving;

/// How long an API server may take to serve; it takes 3 s on an idle machine.
const READY: Duration = Duration::from_secs(120);

/// What an API server is to be like.
#[derive(Clone, Debug)]
pub struct ApiServerConfig<'a> {
    /// A name for its log and its kubeconfig.
    pub name: &'a str,
    /// Where it keeps its objects.
    pub etcd: &'a Etcd,
    /// The beginning of its keys in etcd, unlike that of every other server there.
    pub etcd_prefix: String,
    /// Whose tokens it accepts, besides those of its own service accounts.
    pub authentication: Vec<JwtIssuer>,
    /// Whether it writes an audit log.
    pub audit: bool,
    /// Whether a pod needs its service account, as in every real cluster.
    pub service_account_admission: bool,
    /// Whether it reaches nodes and aggregated API servers, through a [`ClusterNetwork`].
    pub network: bool,
    /// More flags, which win over those given here.
    pub flags: Vec<String>,
}

impl<'a> ApiServerConfig<'a> {
    /// A server with nothing switched on, under a prefix made from its name.
    #[must_use]
    pub fn new(name: &'a str, etcd: &'a Etcd) -> Self {
        Self {
            name,
            etcd,
            etcd_prefix: format!("/{name}"),
            authentication: Vec::new(),
            audit: false,
            service_account_admission: false,
            network: false,
            flags: Vec::new(),
        }
    }
}

/// A running API server on 127.0.0.1. It ends when this is dropped; its objects end with its etcd.
#[derive(Debug)]
pub struct ApiServer {
    name: String,
    serving: Serving,
    client: Client,
    process: Process,
    network: Option<ClusterNetwork>,
}

impl ApiServer {
    /// Starts a server and waits until an administrator can use it.
    ///
    /// # Errors
    /// When there is no program, or it does not serve within two minutes.
    pub async fn start(config: ApiServerConfig<'_>) -> anyhow::Result<Self> {
        let program = Program::KubeApiserver.path()?;
        let serving = Serving::new(config.name, port::free()?, "system:masters");
        let client = serving.admin_client(serving.url())?;
        let folder = files::folder(config.name)?;
        let mut args = args(&folder, &config, &serving)?;
        let mut network = None;
        if config.network {
            let (started, flags) = ClusterNetwork::start(&folder)?;
            network = Some(started);
            args.extend(flags);
        }
        args.extend(config.flags.iter().cloned());
        let launch = Launch { name: config.name, program: &program, args, envs: Vec::new() };
        let process = Process::start(folder, launch)?;
        let mut server = Self { name: config.name.to_owned(), serving, client, process, network };
        server.ready().await?;
        Ok(server)
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address, `https://127.0.0.1:PORT`, which is also the issuer of its service accounts' tokens.
    #[must_use]
    pub fn url(&self) -> &str {
        self.serving.url()
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.serving.port()
    }

    /// The CA of its server certificate, which is for `127.0.0.1` and `localhost`.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.serving.ca_pem()
    }

    /// A client certificate that it accepts for `user` with up to two `groups`.
    #[must_use]
    pub fn client_certificate(&self, user: &str, groups: &[&str]) -> Leaf {
        self.serving.client_certificate(user, groups)
    }

    /// The kubeconfig (YAML) of the administrator, a client certificate in group `system:masters`.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let admin = self.serving.admin();
        kubeconfig(&self.name, self.url(), self.ca_pem(), admin)
    }

    /// How the administrator proves who it is.
    pub(crate) fn admin_credential(&self) -> Credential<'_> {
        self.serving.admin()
    }

    /// Its way to nodes and aggregated API servers, when it was started with `network`.
    #[must_use]
    pub const fn network(&self) -> Option<&ClusterNetwork> {
        self.network.as_ref()
    }

    /// The administrator's client.
    #[must_use]
    pub const fn admin(&self) -> &Client {
        &self.client
    }

    /// Applies objects as the administrator; see [`Client::apply`].
    ///
    /// # Errors
    /// When the server refuses one.
    pub async fn apply(&self, objects: &[Value]) -> anyhow::Result<Vec<Value>> {
        self.client.apply(objects).await
    }

    /// Reads a path as the administrator; see [`Client::get`].
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.client.get(path).await
    }

    /// Posts an object as the administrator; see [`Client::create`].
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn create(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        self.client.create(path, object).await
    }

    /// A token of the service account `name`, valid for an hour, for this server's own audience.
    ///
    /// # Errors
    /// When there is no such service account.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        });
        let answer = self.create(&path, &request).await?;
        let token = answer["status"]["token"].as_str();
        Ok(token.context("the answer holds no token")?.to_owned())
    }

    /// What the server saw so far, oldest first, when it was started with `audit`.
    ///
    /// # Errors
    /// When there is no audit log.
    pub fn audit_events(&self) -> anyhow::Result<Vec<Value>> {
        audit::events(&self.audit_log())
    }

    /// The file of the audit log.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.process.folder().join("audit.log")
    }

    /// The file with what the server printed.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let client = self.client.clone();
        let look = || {
            let client = client.clone();
            async move {
                // The namespace comes from a hook that readyz does not wait for.
                for path in ["/readyz", "/api/v1/namespaces/default"] {
                    let answer = client.get(path).await;
                    answer.map_err(|error| format!("{error:#}"))?;
                }
                Ok(())
            }
        };
        self.process.until_ready(READY, look).await
    }
}

/// Writes the files of the server and returns the flags for them.
fn args(folder: &TempDir, config: &ApiServerConfig<'_>, serving: &Serving) -> anyhow::Result<Vec<String>> {
    let accounts = KeyPair::generate().context("making the service account key")?;
    let public = files::write(folder, "accounts.pub", &accounts.public_key_pem())?;
    let private = files::write(folder, "accounts.key", &accounts.serialize_pem())?;
    let mut args = serving.flags(folder, &config.authentication, config.audit)?;
    args.extend([
        format!("--etcd-servers={}", config.etcd.url()),
        format!("--etcd-prefix={}", config.etcd_prefix),
        "--authorization-mode=RBAC".to_owned(),
        format!("--service-account-issuer={}", serving.url()),
        format!("--service-account-key-file={public}"),
        format!("--service-account-signing-key-file={private}"),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--allow-privileged=true".to_owned(),
    ]);
    if !config.service_account_admission {
        args.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Ca;
    use serde_json::json;

    #[tokio::test]
    #[ignore = "needs real control planes: scripts/test"]
    async fn an_administrator_sets_up_a_cluster() {
        let etcd = Etcd::start().await.unwrap();
        let mut config = ApiServerConfig::new("apiserver-test", &etcd);
        config.audit = true;
        config.service_account_admission = true;
        // Nothing answers there: the file is accepted, and the server starts all the same.
        let issuer = JwtIssuer::new("https://127.0.0.1:1", Ca::new("realm").pem(), "lab", "lab:");
        config.authentication = vec![issuer];
        let server = ApiServer::start(config).await.unwrap();

        let namespaces = server.get("/api/v1/namespaces").await.unwrap();
        let names: Vec<_> = namespaces["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap())
            .collect();
        assert!(names.contains(&"default"), "{names:?}");

        server.apply(&objects()).await.unwrap();
        let token = server.service_account_token("lab", "reader").await.unwrap();
        let reader = Client::new(server.url(), server.ca_pem(), Credential::Token(&token)).unwrap();
        reader.get("/api/v1/namespaces/lab/configmaps").await.unwrap();
        let refused = reader.get("/api/v1/namespaces/lab/secrets").await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("403"), "{refused}");

        let events = server.audit_events().unwrap();
        let seen = events.iter().find(|event| event["requestURI"] == "/api/v1/namespaces/lab/configmaps").unwrap();
        assert_eq!(seen["user"]["username"], "system:serviceaccount:lab:reader");
        assert!(!serde_json::to_string(&events).unwrap().contains(&token));
    }

    #[tokio::test]
    #[ignore = "needs real control planes: scripts/test"]
    async fn two_servers_share_an_etcd_and_nothing_else() {
        let etcd = Etcd::start().await.unwrap();
        let (one, two) = futures::future::try_join(
            ApiServer::start(ApiServerConfig::new("one", &etcd)),
            ApiServer::start(ApiServerConfig::new("two", &etcd)),
        )
        .await
        .unwrap();
        one.apply(&objects()).await.unwrap();
        one.get("/api/v1/namespaces/lab").await.unwrap();
        let missing = two.get("/api/v1/namespaces/lab").await;
        assert!(missing.unwrap_err().to_string().contains("404"));

        let stranger = one.client_certificate("bob", &[]);
        let stranger = Credential::Certificate(&stranger);
        let stranger = Client::new(two.url(), two.ca_pem(), stranger).unwrap();
        let refused = stranger.get("/api/v1/namespaces").await;
        assert!(refused.unwrap_err().to_string().contains("401"));

        let _controllers = Controllers::start(&one, &["namespace-controller"]).await.unwrap();
        one.admin().delete("/api/v1/namespaces/lab").await.unwrap();
        crate::poll::until("the namespace to go", Duration::from_secs(60), || async {
            match one.get("/api/v1/namespaces/lab").await {
                Err(error) if error.to_string().contains("404") => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await
        .unwrap();
    }

    fn objects() -> [Value; 4] {
        [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab"}}),
            json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "reader", "namespace": "lab"},
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "reader", "namespace": "lab"},
                "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "reader", "namespace": "lab"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "lab"}],
            }),
        ]
    }
}
