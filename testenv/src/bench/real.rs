//! A real kube-apiserver with as many namespaces as the simulator, and pods that no kubelet runs.

use anyhow::Context;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::backend::{NAME, NAMESPACES, Place, pod, team};
use super::target::Cluster;
use crate::apiserver::{ApiServer, ApiServerConfig, Claim, Client, Credential, JwtIssuer};
use crate::etcd::Etcd;
use crate::poll;

/// Objects that are created at once.
const AT_ONCE: usize = 16;
/// Those that a kube-apiserver makes by itself.
const OWN_NAMESPACES: usize = 4;
const SETTLED: std::time::Duration = std::time::Duration::from_secs(60);

/// The running server. It ends when this is dropped, before its store.
#[derive(Debug)]
pub struct Real {
    /// How servers reach it.
    pub cluster: Cluster,
    /// What `/version` says.
    pub version: String,
    _server: ApiServer,
    _etcd: Etcd,
}

impl Real {
    /// Starts one that trusts the realm of `place` and has `pods` pods.
    ///
    /// # Errors
    /// When `scripts/controlplanes` did not run, or something is refused.
    pub async fn start(place: &Place, pods: usize) -> anyhow::Result<Self> {
        let etcd = Etcd::start().await?;
        let mut config = ApiServerConfig::new(NAME, &etcd);
        let issuer = JwtIssuer::new(&place.issuer, &place.realm_ca_pem, NAME, &format!("{NAME}:"));
        config.authentication =
            vec![JwtIssuer { username: Claim::new("preferred_username", format!("{NAME}:")), ..issuer }];
        let server = ApiServer::start(config).await?;
        fill(server.admin(), pods).await.context("filling the API server")?;
        let token = place.tokens.first().context("no tokens")?;
        let reader = Client::new(server.url(), server.ca_pem(), Credential::Token(token))?;
        poll::until("the callers to read pods", SETTLED, || async {
            reader.get("/api/v1/pods?limit=1").await.map_err(|error| format!("{error:#}"))
        })
        .await?;
        let version = server.get("/version").await?["gitVersion"].as_str().unwrap_or("unknown").to_owned();
        let cluster = Cluster {
            url: server.url().to_owned(),
            ca_pem: server.ca_pem().to_owned(),
            issuer: place.issuer.clone(),
            realm_ca_pem: place.realm_ca_pem.clone(),
        };
        Ok(Self { cluster, version, _server: server, _etcd: etcd })
    }
}

async fn fill(admin: &Client, pods: usize) -> anyhow::Result<()> {
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": NAME},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": format!("{NAME}:everyone")}]});
    // The ones that the server makes a moment after it is ready are waited for by making them.
    let mut objects = vec![role, binding];
    objects.extend(["kube-system", "kube-public", "kube-node-lease"].map(namespace));
    objects.extend((0..NAMESPACES - OWN_NAMESPACES).map(|number| namespace(&team(number))));
    admin.apply(&objects).await?;
    let path = format!("/api/v1/namespaces/{}/pods", team(0));
    let create = |number| {
        let (path, object) = (&path, written(pod(&team(0), number)));
        async move { admin.create(path, &object).await.map(drop) }
    };
    stream::iter((0..pods).map(create)).buffer_unordered(AT_ONCE).try_collect::<()>().await
}

/// A pod as a client writes it: without what the server adds.
fn written(mut pod: Value) -> Value {
    for pointer in ["/status", "/metadata/managedFields", "/metadata/creationTimestamp"] {
        let (parent, field) = pointer.rsplit_once('/').unwrap_or_default();
        if let Some(object) = pod.pointer_mut(parent).and_then(Value::as_object_mut) {
            object.remove(field);
        }
    }
    pod
}
