//! Workspaces of a real kcp, made by its administrator.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{Kcp, WORKSPACES};
use crate::apiserver::JwtIssuer;
use crate::poll;

/// How long a workspace may take to be ready; it takes a second or two.
const WORKSPACE: Duration = Duration::from_secs(120);

impl Kcp {
    /// Makes a workspace of type `universal` below `parent` and returns its logical cluster once it is ready.
    ///
    /// # Errors
    /// When kcp refuses it, or it is not ready within two minutes.
    pub async fn create_workspace(&self, parent: &str, name: &str) -> anyhow::Result<String> {
        self.create_workspace_of_type(parent, name, "universal").await
    }

    /// Makes a workspace of a type that `root` has: `universal`, `organization` (only below `root`), `team`, …
    ///
    /// # Errors
    /// When kcp refuses it, or it is not ready within two minutes.
    pub async fn create_workspace_of_type(&self, parent: &str, name: &str, kind: &str) -> anyhow::Result<String> {
        self.create_workspace_of(parent, name, json!({"name": kind, "path": "root"})).await
    }

    /// Makes a workspace that accepts the tokens of `issuer` beside those that all workspaces accept, and returns its
    /// logical cluster once it is ready. Type and configuration have its name too and are in `parent`.
    ///
    /// Needs the feature gate `WorkspaceAuthentication`. `audiences` of the issuer are what it accepts there.
    ///
    /// # Errors
    /// When kcp refuses one of them, or the workspace is not ready within two minutes.
    pub async fn create_world(&self, parent: &str, name: &str, issuer: &JwtIssuer) -> anyhow::Result<String> {
        let objects = [
            json!({
                "apiVersion": "tenancy.kcp.io/v1alpha1",
                "kind": "WorkspaceAuthenticationConfiguration",
                "metadata": {"name": name},
                "spec": {"jwt": [issuer.authenticator()]},
            }),
            json!({
                "apiVersion": "tenancy.kcp.io/v1alpha1",
                "kind": "WorkspaceType",
                "metadata": {"name": name},
                "spec": {
                    "extend": {"with": [{"name": "universal", "path": "root"}]},
                    "authenticationConfigurations": [{"name": name}],
                },
            }),
        ];
        self.apply(parent, &objects).await.with_context(|| format!("the type of {parent}:{name}"))?;
        self.create_workspace_of(parent, name, json!({"name": name, "path": parent})).await
    }

    /// Begins to delete a workspace. What is in it goes first, the Workspace last, which may take minutes.
    ///
    /// # Errors
    /// When kcp refuses it.
    pub async fn delete_workspace(&self, parent: &str, name: &str) -> anyhow::Result<()> {
        self.admin(parent).delete(&format!("{WORKSPACES}/{name}")).await.map(drop)
    }

    async fn create_workspace_of(&self, parent: &str, name: &str, kind: Value) -> anyhow::Result<String> {
        let what = format!("workspace {parent}:{name}");
        let workspace = json!({
            "apiVersion": "tenancy.kcp.io/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": name},
            "spec": {"type": kind},
        });
        let client = self.admin(parent);
        client.apply(&[workspace]).await.with_context(|| what.clone())?;
        let path = format!("{WORKSPACES}/{name}");
        let ready = poll::until(&what, WORKSPACE, || async {
            let workspace = client.get(&path).await;
            let workspace = workspace.map_err(|error| format!("{error:#}"))?;
            if workspace["status"]["phase"] == "Ready" {
                return Ok(workspace);
            }
            Err(workspace["status"].to_string())
        })
        .await?;
        let Some(cluster) = ready["spec"]["cluster"].as_str() else {
            bail!("{what} is ready but names no logical cluster");
        };
        Ok(cluster.to_owned())
    }
}
