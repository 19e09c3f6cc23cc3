//! Mounts of a real kcp: workspaces that are another server. Needs the feature gate `WorkspaceMounts`.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::{Kcp, WORKSPACES};
use crate::poll;

/// How long a kind may take to be known, and a mount to be ready: both take a moment.
const SETTLED: Duration = Duration::from_secs(120);
const GROUP: &str = "mounts.lab.example";
const VERSION: &str = "mounts.lab.example/v1";

impl Kcp {
    /// Mounts `url` at the workspace `parent:name` and returns once requests below it go there. An empty `url` is a mount
    /// without a target yet.
    ///
    /// Keep such a kcp for mounts alone: a Workspace with a mount of a kind that is not known yet ends kcp v0.31.2, for good.
    ///
    /// # Errors
    /// When kcp refuses it, or it is not ready within two minutes.
    pub async fn mount(&self, parent: &str, name: &str, url: &str) -> anyhow::Result<()> {
        let what = format!("the mount {parent}:{name}");
        self.apply(parent, &[kind()]).await.with_context(|| format!("the kind of {what}"))?;
        self.kind_known(parent).await?;
        let mut target = json!({"apiVersion": VERSION, "kind": "KubeCluster",
            "metadata": {"name": name, "namespace": "default"}, "spec": {}});
        if !url.is_empty() {
            target["status"] = json!({"URL": url, "phase": "Ready"});
        }
        let workspace = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name},
            "spec": {"mount": {"ref": {
                "apiVersion": VERSION, "kind": "KubeCluster", "name": name, "namespace": "default"}}}});
        self.apply(parent, &[target, workspace]).await.with_context(|| what.clone())?;
        let expected = if url.is_empty() { "Unavailable" } else { "Ready" };
        let path = format!("{WORKSPACES}/{name}");
        poll::until(&what, SETTLED, || async {
            let workspace = self.get(parent, &path).await.map_err(|error| format!("{error:#}"))?;
            let same = workspace["spec"]["URL"].as_str().unwrap_or_default() == url;
            let settled = same && workspace["status"]["phase"] == expected;
            if settled { Ok(()) } else { Err(workspace.to_string()) }
        })
        .await
    }

    /// Waits until kcp's own mapping of kinds has the kind of mounts. Its admission of CachedResources looks there, and
    /// refuses a resource that it finds there with namespaces, as ours is; what it does not find, it lets pass.
    async fn kind_known(&self, workspace: &str) -> anyhow::Result<()> {
        let client = self.admin(workspace);
        let probe = json!({"apiVersion": "cache.kcp.io/v1alpha1", "kind": "CachedResource",
            "metadata": {"name": "probe"},
            "spec": {"group": GROUP, "version": "v1", "resource": "kubeclusters"}});
        let path = "/apis/cache.kcp.io/v1alpha1/cachedresources?dryRun=All";
        poll::until(&format!("the kind of mounts to be known in {workspace}"), SETTLED, || async {
            match client.create(path, &probe).await {
                Ok(_) => Err("nobody knows it".to_owned()),
                Err(error) => {
                    let text = format!("{error:#}");
                    if text.contains("must be cluster-scoped") { Ok(()) } else { Err(text) }
                }
            }
        })
        .await
    }
}

/// The kind that mounts refer to. kcp reads `status.URL` and `status.phase`.
fn kind() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("kubeclusters.{GROUP}")},
        "spec": {"group": GROUP, "scope": "Namespaced",
            "names": {"kind": "KubeCluster", "listKind": "KubeClusterList",
                "plural": "kubeclusters", "singular": "kubecluster"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object"},
                    "status": {"type": "object", "properties": {
                        "URL": {"type": "string"}, "phase": {"type": "string"}}}}}}}]}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::{Client, Credential};
    use crate::kcp::KcpConfig;
    use crate::tap::Tap;

    #[tokio::test]
    #[ignore = "needs real control planes: scripts/test"]
    async fn a_mount_forwards_before_it_asks_who() {
        let mut config = KcpConfig::new("kcp-mounts");
        config.feature_gates = vec!["WorkspaceMounts=true".to_owned()];
        let kcp = Kcp::start(config).await.unwrap();
        kcp.create_workspace("root", "org").await.unwrap();
        let sink = Tap::sink("mounted", 200).await.unwrap();
        kcp.mount("root:org", "edge", &sink.url()).await.unwrap();
        kcp.mount("root:org", "pending", "").await.unwrap();

        let nobody = Credential::Token("of-nobody");
        let nobody = Client::new(&kcp.workspace_url("root:org:edge"), kcp.ca_pem(), nobody).unwrap();
        nobody.get("/api/v1/namespaces").await.unwrap();
        let [seen] = &sink.requests()[..] else { panic!("{:?}", sink.requests()) };
        assert_eq!(seen.path, "/api/v1/namespaces");
        assert_eq!(seen.authorization, Some(crate::tap::digest("of-nobody")), "credential and all");
        let pending = kcp.get("root:org:pending", "/version").await.unwrap_err().to_string();
        assert!(pending.contains("404"), "{pending}");
    }
}
