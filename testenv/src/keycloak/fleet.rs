//! A fleet across two real realms: one Keycloak and two real API servers that trust one realm each.
//!
//! | Cluster   | Trusts                                      | Strategy             | Who may what                          |
//! |-----------|---------------------------------------------|----------------------|---------------------------------------|
//! | `corp-1`  | realm corp, audience `kubernetes-corp-1`    | exchange             | group `corp:dev` lists namespaces     |
//! | `plant-1` | realm plant, audience `kubernetes-plant-1`  | chain, corp to plant | group `plant:operators` lists namespaces, user `plant:alice` configmaps in `line` |
//!
//! Before each stands a [`Tap`], both write audit logs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{FERRY_CLIENT, Keycloak, LOGIN_CLIENT, REALMS};
use crate::apiserver::{ApiServer, ApiServerConfig, Claim, Client, Credential, JwtIssuer};
use crate::etcd::Etcd;
use crate::poll;
use crate::process::files;
use crate::tap::{Tap, TapConfig};
use crate::world::RESOURCE;

/// How long a server may take to read the keys of its realm and to see a new role.
const SETTLED: Duration = Duration::from_secs(60);
const RBAC: &str = "rbac.authorization.k8s.io";

/// A running fleet. It ends when this is dropped.
#[derive(Debug)]
pub struct Fleet {
    /// The realms corp and plant, see [`REALMS`].
    pub keycloak: Keycloak,
    /// Trusts realm corp.
    pub corp_1: Cluster,
    /// Trusts realm plant.
    pub plant_1: Cluster,
    folder: TempDir,
    files: AtomicU32,
    _etcd: Etcd,
}

/// An API server and what stands before it.
#[derive(Debug)]
pub struct Cluster {
    /// Its name in the configuration.
    pub name: &'static str,
    /// What kubeferry reaches it through.
    pub tap: Tap,
    /// The server itself.
    pub server: ApiServer,
}

impl Fleet {
    /// Starts everything and waits until alice can do what she may.
    ///
    /// # Errors
    /// When something does not start, as when `scripts/controlplanes` did not run.
    pub async fn start() -> anyhow::Result<Self> {
        let (keycloak, etcd) = tokio::try_join!(Keycloak::start(RESOURCE, &REALMS), Etcd::start())?;
        let (corp_1, plant_1) = tokio::try_join!(
            Cluster::start(&keycloak, &etcd, ("corp", "corp-1"), corp_1()),
            Cluster::start(&keycloak, &etcd, ("plant", "plant-1"), plant_1()),
        )?;
        let folder = files::lab_folder("keycloak-fleet")?;
        files::write(&folder, "keycloak-ca.pem", keycloak.ca_pem())?;
        for cluster in [&corp_1, &plant_1] {
            files::write(&folder, &format!("{}-ca.pem", cluster.name), cluster.tap.ca_pem())?;
        }
        let fleet = Self { keycloak, corp_1, plant_1, folder, files: AtomicU32::new(0), _etcd: etcd };
        fleet.settled().await?;
        Ok(fleet)
    }

    /// Both clusters.
    #[must_use]
    pub const fn clusters(&self) -> [&Cluster; 2] {
        [&self.corp_1, &self.plant_1]
    }

    /// A user's access token of realm corp, for kubeferry's door.
    ///
    /// # Errors
    /// When the realm refuses.
    pub async fn sign_in(&self, user: &str) -> anyhow::Result<String> {
        self.keycloak.login("corp", LOGIN_CLIENT, user).await
    }

    /// A new file with kubeferry's configuration for this fleet, and a file with our secret at each realm, corp and
    /// plant, of its own.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn config(&self) -> anyhow::Result<(PathBuf, [PathBuf; 2])> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let mut secrets = Vec::new();
        for realm in ["corp", "plant"] {
            let name = format!("{realm}-{number}.secret");
            secrets.push(files::write(&self.folder, &name, self.keycloak.client_secret(realm))?.into());
        }
        let config = files::write(&self.folder, &format!("kubeferry-{number}.toml"), &self.text(number))?;
        let secrets = <[PathBuf; 2]>::try_from(secrets).ok().context("two realms have two secrets")?;
        Ok((config.into(), secrets))
    }

    /// The folder of the configurations.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Forgets what the taps have seen.
    pub fn clear(&self) {
        for cluster in self.clusters() {
            cluster.tap.clear();
        }
    }

    fn text(&self, number: u32) -> String {
        let realm = |name: &str| {
            format!(
                "[realms.{name}]\nissuer = \"{}\"\nca_file = \"keycloak-ca.pem\"\nallow_private = true\n\
                 username_claim = \"preferred_username\"\nprofile = \"keycloak\"\n\
                 [realms.{name}.client]\nid = \"{FERRY_CLIENT}\"\nauth = \"client_secret_basic\"\n\
                 secret_file = \"{name}-{number}.secret\"\n\n",
                self.keycloak.issuer(name)
            )
        };
        let cluster = |cluster: &Cluster, realm: &str, strategy: &str| {
            let Cluster { name, tap, .. } = cluster;
            format!(
                "[clusters.{name}]\nserver = \"{}\"\nca_file = \"{name}-ca.pem\"\nrealm = \"{realm}\"\n\
                 audiences = [\"kubernetes-{name}\"]\nscope = \"k8s-{name}\"\n{strategy}\n\
                 expect_username = \"{realm}:{{username}}\"\n\n",
                tap.url()
            )
        };
        [
            format!("[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"corp\"]\n\n"),
            realm("corp"),
            realm("plant"),
            format!(
                "[links.corp-to-plant]\nfrom = \"corp\"\nto = \"plant\"\n\
                 request = {{ audience = \"{}\", scope = \"access-plant\" }}\n\n",
                self.keycloak.issuer("plant")
            ),
            cluster(&self.corp_1, "corp", "strategy = \"exchange\""),
            cluster(&self.plant_1, "plant", "strategy = \"chain\"\nlink = \"corp-to-plant\""),
        ]
        .concat()
    }

    /// Waits until both servers take alice's tokens: keys of realms and roles arrive a moment after a server is ready.
    async fn settled(&self) -> anyhow::Result<()> {
        let keycloak = &self.keycloak;
        let token = self.sign_in("alice").await?;
        let same = keycloak.exchange("corp", &token, "kubernetes-corp-1", "k8s-corp-1").await?.access_token()?;
        let grant = keycloak.exchange("corp", &token, &keycloak.issuer("plant"), "access-plant").await?;
        let other = keycloak.bearer("plant", &grant.access_token()?, "k8s-plant-1").await?.access_token()?;
        for (cluster, token) in [(&self.corp_1, same), (&self.plant_1, other)] {
            let client = Client::new(cluster.server.url(), cluster.server.ca_pem(), Credential::Token(&token))?;
            poll::until(&format!("alice to list namespaces at {}", cluster.name), SETTLED, || async {
                client.get("/api/v1/namespaces").await.map_err(|error| format!("{error:#}"))
            })
            .await?;
        }
        Ok(())
    }
}

impl Cluster {
    async fn start(
        keycloak: &Keycloak,
        etcd: &Etcd,
        (realm, name): (&str, &'static str),
        objects: Vec<Value>,
    ) -> anyhow::Result<Self> {
        let prefix = format!("{realm}:");
        let issuer = JwtIssuer::new(&keycloak.issuer(realm), keycloak.ca_pem(), &format!("kubernetes-{name}"), &prefix);
        let issuer =
            JwtIssuer { username: Claim::new("preferred_username", prefix), uid: Some("sub".to_owned()), ..issuer };
        let mut config = ApiServerConfig::new(name, etcd);
        config.authentication = vec![issuer];
        config.audit = true;
        let server = ApiServer::start(config).await?;
        server.apply(&objects).await.with_context(|| format!("filling {name}"))?;
        let address = server.url().trim_start_matches("https://");
        let tap = Tap::start(TapConfig::new(name, address, server.ca_pem())).await?;
        Ok(Self { name, tap, server })
    }
}

fn corp_1() -> Vec<Value> {
    let mut objects = vec![namespace("office")];
    objects.extend(may_list(("Group", "corp:dev"), "namespaces", None));
    objects
}

fn plant_1() -> Vec<Value> {
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "speed", "namespace": "line"}, "data": {"belt": "2"}});
    let mut objects = vec![namespace("line"), settings];
    objects.extend(may_list(("Group", "plant:operators"), "namespaces", None));
    objects.extend(may_list(("User", "plant:alice"), "configmaps", Some("line")));
    objects
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A role and its binding.
fn may_list((kind, who): (&str, &str), resource: &str, namespace: Option<&str>) -> [Value; 2] {
    let (role, binding) = match namespace {
        Some(_) => ("Role", "RoleBinding"),
        None => ("ClusterRole", "ClusterRoleBinding"),
    };
    let mut metadata = json!({"name": format!("list-{resource}")});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    let version = format!("{RBAC}/v1");
    [
        json!({"apiVersion": version, "kind": role, "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get", "list"]}]}),
        json!({"apiVersion": version, "kind": binding, "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": role, "name": metadata["name"]},
            "subjects": [{"apiGroup": RBAC, "kind": kind, "name": who}]}),
    ]
}
