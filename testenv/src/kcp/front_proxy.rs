//! A real kcp-front-proxy: what most people meet instead of a shard.
//!
//! It finds the shard of each workspace, passes bearer tokens on unread, and turns client certificates into headers that
//! its own certificate vouches for. A workspace that is not there, or not there yet, is a 403 to everybody.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::{Kcp, WORKSPACES};
use crate::apiserver::{Client, Credential, kubeconfig};
use crate::artifacts::Program;
use crate::process::{Launch, Process, files, port};

/// How long it may take to serve: less than two seconds on an idle machine.
const READY: Duration = Duration::from_secs(120);

/// A running front-proxy on 127.0.0.1, before one shard. It ends when this is dropped, which should be before the shard.
#[derive(Debug)]
pub struct FrontProxy {
    url: String,
    ca_pem: String,
    client: Client,
    process: Process,
}

impl FrontProxy {
    /// Starts a proxy before `kcp` and waits until the root workspace can be used through it.
    ///
    /// # Errors
    /// When there is no program, or it does not serve within two minutes.
    pub async fn start(kcp: &Kcp) -> anyhow::Result<Self> {
        let name = format!("{}-front-proxy", kcp.name);
        let program = Program::KcpFrontProxy.path()?;
        let port = port::free()?;
        let folder = files::folder(&name)?;
        let launch = Launch { name: &name, program: &program, args: args(&folder, kcp, port)?, envs: Vec::new() };
        let process = Process::start(folder, launch)?;
        let url = format!("https://127.0.0.1:{port}");
        // Its certificate is signed by the shard's CA, and it takes the shard's client certificates.
        let client = kcp.client.at(url.clone());
        let mut proxy = Self { url, ca_pem: kcp.ca_pem().to_owned(), client, process };
        proxy.ready().await?;
        Ok(proxy)
    }

    /// Its address without a workspace, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of a workspace, named by path or by logical cluster.
    #[must_use]
    pub fn workspace_url(&self, workspace: &str) -> String {
        format!("{}/clusters/{workspace}", self.url)
    }

    /// The CA of its server certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The administrator's client at a workspace, through the proxy.
    #[must_use]
    pub fn admin(&self, workspace: &str) -> Client {
        self.client.at(self.workspace_url(workspace))
    }

    /// The file with what the proxy printed.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let (host, root) = (self.client.clone(), self.admin("root"));
        let look = || {
            let (host, root) = (host.clone(), root.clone());
            async move {
                // The second waits for the proxy's index of workspaces too.
                for (client, path) in [(&host, "/readyz"), (&root, WORKSPACES)] {
                    client.get(path).await.map_err(|error| format!("{error:#}"))?;
                }
                Ok(())
            }
        };
        self.process.until_ready(READY, look).await
    }
}

/// Writes the files of the proxy and returns all of its arguments.
fn args(folder: &TempDir, kcp: &Kcp, port: u16) -> anyhow::Result<Vec<String>> {
    let shard_ca = files::write(folder, "shard-ca.crt", kcp.ca_pem())?;
    let client_ca = files::write(folder, "client-ca.crt", kcp.serving.client_ca_pem())?;
    let own = kcp.proxies.client("kcp-front-proxy", &[]);
    let own_cert = files::write(folder, "requestheader.crt", &own.cert_pem)?;
    let own_key = files::write(folder, "requestheader.key", &own.key_pem)?;
    let mapping = |path: &str| {
        json!({"path": path, "backend": kcp.url(), "backend_server_ca": shard_ca,
            "proxy_client_cert": own_cert, "proxy_client_key": own_key})
    };
    // JSON is YAML.
    let mappings = json!([mapping("/services/"), mapping("/clusters/")]).to_string();
    let mappings = files::write(folder, "mapping.yaml", &mappings)?;
    // It watches the shards and all of their workspaces.
    let master = kcp.client_certificate("kcp-front-proxy", &["system:masters"]);
    let shards = kubeconfig("shards", kcp.url(), kcp.ca_pem(), Credential::Certificate(&master));
    let shards = files::write(folder, "shards.kubeconfig", &shards)?;

    let mut args = kcp.serving.socket_flags(folder, port)?;
    args.extend([
        format!("--root-directory={}", folder.path().display()),
        format!("--mapping-file={mappings}"),
        format!("--root-kubeconfig={shards}"),
        format!("--shards-kubeconfig={shards}"),
        format!("--client-ca-file={client_ca}"),
    ]);
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::{Claim, JwtIssuer};
    use crate::kcp::KcpConfig;
    use crate::poll;
    use crate::realm::{RealmConfig, Realms, RealmsConfig, User};

    const RBAC: &str = "rbac.authorization.k8s.io/v1";

    #[tokio::test]
    #[ignore = "needs real control planes: scripts/test"]
    async fn tokens_pass_unread_and_what_is_not_there_is_forbidden() {
        let corp = RealmConfig::new("corp").user(User::new("alice", &["dev"]));
        let realms = Realms::start(RealmsConfig { realms: vec![corp] }).await.unwrap();
        let mut config = KcpConfig::new("kcp-proxied");
        let issuer = JwtIssuer::new(&realms.issuer("corp"), realms.ca_pem(), "kcp", "corp:");
        config.authentication = vec![JwtIssuer { username: Claim::new("preferred_username", "corp:"), ..issuer }];
        let kcp = Kcp::start(config).await.unwrap();
        let proxy = FrontProxy::start(&kcp).await.unwrap();
        let name = kcp.create_workspace("root", "org").await.unwrap();
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"});
        let alice = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "corp:alice"});
        let binding = json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": "alice"},
            "roleRef": role, "subjects": [alice]});
        kcp.apply("root:org", &[binding]).await.unwrap();

        let token = realms.mint("corp", "alice", "kcp");
        let at = |workspace: &str, token: &str| {
            Client::new(&proxy.workspace_url(workspace), proxy.ca_pem(), Credential::Token(token)).unwrap()
        };
        for workspace in ["root:org", name.as_str()] {
            let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
            let question = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
            let alice = at(workspace, &token);
            let answer = poll::until("alice to enter root:org", READY, || async {
                alice.create(review, &question).await.map_err(|error| format!("{error:#}"))
            });
            assert_eq!(answer.await.unwrap()["status"]["userInfo"]["username"], "corp:alice", "{workspace}");
        }
        for (workspace, token, expected) in [
            ("root:nope", token.as_str(), "403 Forbidden: forbidden: User \"\" cannot get path"),
            ("root:Org", &token, "403 Forbidden: forbidden: User \"\" cannot get path"),
            ("1zzzzzzzzzzzzzz1", &token, "403 Forbidden: forbidden: User \"\" cannot get path"),
            ("root:org", "worthless", "401 Unauthorized"),
        ] {
            let refused = format!("{:#}", at(workspace, token).get("/version").await.unwrap_err());
            assert!(refused.contains(expected), "{workspace}: {refused}");
        }
        proxy.admin("root:org").get("/version").await.unwrap();
    }
}
