//! A kcp of a scenario's own, simulated or real, filled by the same words.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use testenv::apiserver::{Claim, Client, Credential, JwtIssuer};
use testenv::kcp::{FrontProxy, Kcp, KcpConfig};
use testenv::poll;
use testenv::simulator::{self, Keys, Rule, SimConfig, Simulator};
use testenv::tap::{Tap, TapConfig};
use testenv::world::Lab;

use super::scene::Scene;

/// The audience of its tokens: that of the world's kcp, so that the tokens of the world are good here.
const AUDIENCE: &str = "kcp-eu";
const RBAC: &str = "rbac.authorization.k8s.io";
/// How long a kcp may take to see new roles, and its proxy to see new workspaces.
const SETTLED: Duration = Duration::from_secs(120);

/// A kcp that accepts realm corp, with the prefix `corp:`.
pub enum Shard {
    Simulated(Box<Simulator>),
    Real(Box<Kcp>),
}

/// What a user of realm corp may do in one workspace.
#[derive(Clone, Copy)]
pub enum Right {
    Everything,
    /// To enter, and to read configmaps.
    Configmaps,
}

impl Shard {
    /// An empty one of the scene's kind. A real one takes half a minute.
    pub async fn start(scene: &Scene, name: &str, feature_gates: &[&str]) -> anyhow::Result<Self> {
        match scene.world.lab() {
            Lab::Simulated => simulated(scene, SimConfig::kcp()).await,
            Lab::Real => {
                let realms = &scene.world.realms;
                let issuer = JwtIssuer::new(&realms.issuer("corp"), realms.ca_pem(), AUDIENCE, "corp:");
                let mut config = KcpConfig::new(name);
                config.authentication =
                    vec![JwtIssuer { username: Claim::new("preferred_username", "corp:"), ..issuer }];
                config.feature_gates = feature_gates.iter().map(|gate| (*gate).to_owned()).collect();
                Ok(Self::Real(Box::new(Kcp::start(config).await?)))
            }
        }
    }

    /// An empty simulated one that answers as if a front-proxy stood before it.
    pub async fn behind_front_proxy(scene: &Scene) -> anyhow::Result<Self> {
        simulated(scene, SimConfig::kcp().behind_front_proxy()).await
    }

    /// Makes a workspace with a ConfigMap `here`, whose data name the workspace, and returns its logical cluster once
    /// everybody of `rights` may enter.
    pub async fn workspace(&self, scene: &Scene, path: &str, rights: &[(&str, Right)]) -> anyhow::Result<String> {
        let (parent, name) = path.rsplit_once(':').context("a workspace has a parent")?;
        let here = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"where": name},
            "metadata": {"name": "here", "namespace": "default"}});
        match self {
            Self::Simulated(simulator) => {
                let workspace = simulator.workspace(path);
                workspace.put(here);
                for rule in rights.iter().flat_map(|(user, right)| right.rules(user)) {
                    workspace.allow(rule);
                }
                Ok(workspace.name())
            }
            Self::Real(kcp) => {
                let cluster = kcp.create_workspace(parent, name).await?;
                let mut objects = vec![here];
                objects.extend(rights.iter().flat_map(|(user, right)| right.objects(user)));
                kcp.apply(path, &objects).await.with_context(|| format!("filling {path}"))?;
                for (user, _) in rights {
                    let token = scene.token("corp", user);
                    entered(&kcp.workspace_url(path), kcp.ca_pem(), Credential::Token(&token), user).await?;
                }
                Ok(cluster)
            }
        }
    }

    /// Mounts `url` at a workspace; an empty one is a mount without a target yet. A real kcp needs the feature gate
    /// `WorkspaceMounts`.
    pub async fn mount(&self, parent: &str, name: &str, url: &str) -> anyhow::Result<()> {
        match self {
            Self::Simulated(simulator) => simulator.mount(&format!("{parent}:{name}"), url),
            Self::Real(kcp) => kcp.mount(parent, name, url).await?,
        }
        Ok(())
    }

    /// Begins to delete a workspace; a simulated one is gone then.
    pub async fn delete(&self, parent: &str, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Simulated(simulator) => simulator.remove_workspace(&format!("{parent}:{name}")),
            Self::Real(kcp) => kcp.delete_workspace(parent, name).await?,
        }
        Ok(())
    }

    /// `https://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        match self {
            Self::Simulated(simulator) => simulator.url(),
            Self::Real(kcp) => kcp.url(),
        }
    }

    /// The CA of its certificate.
    pub fn ca_pem(&self) -> &str {
        match self {
            Self::Simulated(simulator) => simulator.ca_pem(),
            Self::Real(kcp) => kcp.ca_pem(),
        }
    }
}

impl Right {
    fn rules(self, user: &str) -> Vec<Rule> {
        let user = || Rule::user(&format!("corp:{user}"));
        match self {
            Self::Everything => vec![user().everything()],
            Self::Configmaps => {
                vec![user().access(), user().verbs(&["get", "list", "watch"]).resources(&["configmaps"])]
            }
        }
    }

    /// Roles and bindings for a real kcp, named after the user.
    fn objects(self, user: &str) -> Vec<serde_json::Value> {
        let name = format!("lab-{user}");
        let bound = |name: &str, role: &str| {
            json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": RBAC, "kind": "User", "name": format!("corp:{user}")}]})
        };
        match self {
            Self::Everything => vec![bound(&name, "cluster-admin")],
            Self::Configmaps => {
                let rules = json!([
                    {"nonResourceURLs": ["/"], "verbs": ["access"]},
                    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
                ]);
                let role = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole",
                    "metadata": {"name": name}, "rules": rules});
                vec![role, bound(&name, &name)]
            }
        }
    }
}

async fn simulated(scene: &Scene, config: SimConfig) -> anyhow::Result<Shard> {
    let realms = &scene.world.realms;
    let keys = Keys::Discovery { ca_pem: realms.ca_pem().to_owned() };
    let issuer = simulator::JwtIssuer::new(&realms.issuer("corp"), keys, AUDIENCE, "corp:");
    Ok(Shard::Simulated(Box::new(Simulator::start(config.issuer(issuer)).await?)))
}

/// A front-proxy before a real kcp, once it knows `workspaces`.
pub async fn front_proxy(kcp: &Kcp, workspaces: &[&str]) -> anyhow::Result<FrontProxy> {
    let proxy = FrontProxy::start(kcp).await?;
    for workspace in workspaces {
        let admin = proxy.admin(workspace);
        poll::until(&format!("the front-proxy to know {workspace}"), SETTLED, || async {
            admin.get("/version").await.map_err(|error| format!("{error:#}"))
        })
        .await?;
    }
    Ok(proxy)
}

async fn entered(base: &str, ca_pem: &str, credential: Credential<'_>, user: &str) -> anyhow::Result<()> {
    let client = Client::new(base, ca_pem, credential)?;
    poll::until(&format!("{user} to enter {base}"), SETTLED, || async {
        client.get("/version").await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    Ok(())
}

/// A tap before a kcp, and the beginning of the table of a cluster entry `name` there, up to where more keys may follow.
pub async fn entry(scene: &Scene, name: &str, url: &str, ca_pem: &str) -> anyhow::Result<(Tap, String)> {
    let tap = Tap::start(TapConfig::new(name, url.trim_start_matches("https://"), ca_pem)).await?;
    let text = another_entry(scene, name, &tap)?;
    Ok((tap, text))
}

/// The table of a further entry at the same tap.
pub fn another_entry(scene: &Scene, name: &str, tap: &Tap) -> anyhow::Result<String> {
    let ca_file = scene.world.folder().join(format!("{name}-ca.pem"));
    std::fs::write(&ca_file, tap.ca_pem()).context("writing the CA of a tap")?;
    Ok(format!(
        "\n[clusters.{name}]\nkind = \"kcp\"\nserver = \"{}\"\nca_file = \"{}\"\nrealm = \"corp\"\n\
         entry = [\"root\"]\naudiences = [\"{AUDIENCE}\"]\nstrategy = \"passthrough\"\n\
         i_accept_token_passthrough = true\n",
        tap.url(),
        ca_file.display()
    ))
}

/// Fails when something was sent outside of all workspaces, or below a path of several segments, where a mount could be.
pub fn assert_names_only(tap: &Tap) {
    for request in tap.requests() {
        let place = place(&request.path);
        let is_name = place.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        assert!(is_name && !place.is_empty(), "a credential below a path: {}", request.path);
    }
}

/// The workspace that a request went to.
///
/// # Panics
/// When it went outside of all workspaces.
pub fn place(path: &str) -> &str {
    let place = path.strip_prefix("/clusters/").and_then(|rest| rest.split(['/', '?']).next());
    place.unwrap_or_else(|| panic!("a request outside all workspaces: {path}"))
}
