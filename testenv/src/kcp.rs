//! A real kcp: one shard with its own store, which needs no front-proxy and may have one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::apiserver::{Client, JwtIssuer, Serving, audit, kubeconfig};
use crate::artifacts::Program;
use crate::pki::{Ca, Leaf};
use crate::process::{Launch, Process, files, port};

mod front_proxy;
mod mounts;
mod workspaces;

pub use front_proxy::FrontProxy;

/// How long kcp may take to serve; it takes 25 s on an idle machine.
const READY: Duration = Duration::from_secs(300);
/// Where workspaces of a workspace live.
const WORKSPACES: &str = "/apis/tenancy.kcp.io/v1alpha1/workspaces";

/// What a kcp is to be like.
#[derive(Clone, Debug)]
pub struct KcpConfig<'a> {
    /// A name for its log and its kubeconfig.
    pub name: &'a str,
    /// Whose tokens it accepts in every workspace, besides those of its service accounts.
    pub authentication: Vec<JwtIssuer>,
    /// Feature gates such as `WorkspaceAuthentication=true`.
    pub feature_gates: Vec<String>,
    /// Whether it writes an audit log. Its `requestURI` has no `/clusters/…`; the annotations `kcp.io/cluster` and
    /// `kcp.io/path` name the workspace.
    pub audit: bool,
    /// More flags, which win over those given here.
    pub flags: Vec<String>,
}

impl<'a> KcpConfig<'a> {
    /// A kcp with nothing switched on.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self { name, authentication: Vec::new(), feature_gates: Vec::new(), audit: false, flags: Vec::new() }
    }
}

/// A running kcp on 127.0.0.1. It ends, with its data, when this is dropped.
#[derive(Debug)]
pub struct Kcp {
    name: String,
    serving: Serving,
    /// Signs the certificates of proxies, whose headers name the user. Never the authority of people's certificates: a
    /// proxy's own certificate would then be the user of every request that it passes on with somebody's token.
    proxies: Ca,
    client: Client,
    process: Process,
}

impl Kcp {
    /// Starts an empty kcp and waits until its root workspace can be used.
    ///
    /// # Errors
    /// When there is no program, or it does not serve within five minutes.
    pub async fn start(config: KcpConfig<'_>) -> anyhow::Result<Self> {
        let program = Program::Kcp.path()?;
        let serving = Serving::new(config.name, port::free()?, "system:kcp:admin");
        let client = serving.admin_client(serving.url())?;
        let proxies = Ca::new(&format!("{} proxies", config.name));
        let folder = files::folder(config.name)?;
        let launch = Launch {
            name: config.name,
            program: &program,
            args: args(&folder, &config, &serving, &proxies)?,
            envs: vec![("UNSAFE_E2E_HACK_DISABLE_ETCD_FSYNC", "true")],
        };
        let process = Process::start(folder, launch)?;
        let mut kcp = Self { name: config.name.to_owned(), serving, proxies, client, process };
        kcp.ready().await?;
        Ok(kcp)
    }

    /// Its address without a workspace, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.serving.url()
    }

    /// The address of a workspace, named by path (`root:org`) or by logical cluster.
    #[must_use]
    pub fn workspace_url(&self, workspace: &str) -> String {
        format!("{}/clusters/{workspace}", self.url())
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

    /// The kubeconfig (YAML) of the administrator at a workspace: a client certificate in group `system:kcp:admin`.
    #[must_use]
    pub fn kubeconfig(&self, workspace: &str) -> String {
        let url = self.workspace_url(workspace);
        kubeconfig(&self.name, &url, self.ca_pem(), self.serving.admin())
    }

    /// The kubeconfig that kcp itself wrote, with tokens: contexts `root`, `base`, `system:admin`, `shard-base` and
    /// `user`, who is nobody's administrator.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.process.folder().join("kcp/admin.kubeconfig")
    }

    /// The administrator's client at a workspace, named by path or by logical cluster.
    #[must_use]
    pub fn admin(&self, workspace: &str) -> Client {
        self.client.at(self.workspace_url(workspace))
    }

    /// Applies objects in a workspace as the administrator; see [`Client::apply`].
    ///
    /// # Errors
    /// When kcp refuses one.
    pub async fn apply(&self, workspace: &str, objects: &[Value]) -> anyhow::Result<Vec<Value>> {
        self.admin(workspace).apply(objects).await
    }

    /// Reads a path of a workspace as the administrator; see [`Client::get`].
    ///
    /// # Errors
    /// When the answer is not 2xx.
    pub async fn get(&self, workspace: &str, path: &str) -> anyhow::Result<Value> {
        self.admin(workspace).get(path).await
    }

    /// What kcp saw so far, oldest first, when it was started with `audit`.
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

    /// The file with what kcp printed.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let (host, root) = (self.client.clone(), self.admin("root"));
        let look = || {
            let (host, root) = (host.clone(), root.clone());
            async move {
                let types = "/apis/tenancy.kcp.io/v1alpha1/workspacetypes/universal";
                for (client, path) in [(&host, "/readyz"), (&root, types), (&root, WORKSPACES)] {
                    let answer = client.get(path).await;
                    answer.map_err(|error| format!("{error:#}"))?;
                }
                Ok(())
            }
        };
        self.process.until_ready(READY, look).await
    }
}

/// Writes the files of kcp and returns all of its arguments.
fn args(folder: &TempDir, config: &KcpConfig<'_>, serving: &Serving, proxies: &Ca) -> anyhow::Result<Vec<String>> {
    let data = folder.path().join("kcp");
    let proxies = files::write(folder, "requestheader-ca.crt", proxies.pem())?;
    let mut args = vec!["start".to_owned()];
    args.extend(serving.flags(folder, &config.authentication, config.audit)?);
    args.extend([
        format!("--root-directory={}", data.display()),
        format!("--embedded-etcd-client-port={}", port::free()?),
        format!("--embedded-etcd-peer-port={}", port::free()?),
        "--embedded-etcd-wal-size-bytes=5000".to_owned(),
        "--batteries-included=admin,user,workspace-types".to_owned(),
        format!("--requestheader-client-ca-file={proxies}"),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
    ]);
    if !config.feature_gates.is_empty() {
        args.push(format!("--feature-gates={}", config.feature_gates.join(",")));
    }
    args.extend(config.flags.iter().cloned());
    Ok(args)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    #[ignore = "needs real control planes: scripts/test"]
    async fn an_administrator_makes_workspaces() {
        let mut config = KcpConfig::new("kcp-test");
        config.audit = true;
        config.feature_gates = vec!["WorkspaceAuthentication=true".to_owned()];
        // Nothing answers there: the file is accepted, and kcp starts all the same.
        let issuer = JwtIssuer::new("https://127.0.0.1:1", Ca::new("realm").pem(), "lab", "lab:");
        config.authentication = vec![issuer];
        let kcp = Kcp::start(config).await.unwrap();
        kcp.get("root", "/api/v1/namespaces").await.unwrap();

        let parent = kcp.create_workspace_of_type("root", "org", "organization").await.unwrap();
        let child = kcp.create_workspace("root:org", "child").await.unwrap();
        assert_ne!(parent, child);
        let read = kcp.get("root:org", &format!("{WORKSPACES}/child")).await.unwrap();
        assert_eq!(read["spec"]["cluster"], child.as_str());

        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "here", "namespace": "default"},
        });
        kcp.apply("root:org:child", &[object]).await.unwrap();
        let path = "/api/v1/namespaces/default/configmaps/here";
        kcp.get(&child, path).await.unwrap();
        let elsewhere = kcp.get(&parent, path).await.unwrap_err().to_string();
        assert!(elsewhere.contains("404"), "{elsewhere}");

        let events = kcp.audit_events().unwrap();
        let seen =
            |event: &&Value| event["requestURI"] == path && event["annotations"]["kcp.io/cluster"] == child.as_str();
        assert_eq!(events.iter().filter(seen).count(), 1);
        let own = std::fs::read_to_string(kcp.admin_kubeconfig()).unwrap();
        assert!(own.contains("shard-base") && own.contains("token:"));
    }
}
