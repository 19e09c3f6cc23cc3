//! The fleet of real control planes: two API servers on one etcd, a node with metrics at the first, and a kcp.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::fleet::{self, Contents};
use super::{Fleet, Upstream, WORKSPACES, shop};
use crate::apiserver::{ApiServer, ApiServerConfig, Claim, Client, Credential, JwtIssuer};
use crate::etcd::Etcd;
use crate::kcp::{Kcp, KcpConfig};
use crate::kubelet::SimulatedNode;
use crate::kwok::{Kwok, KwokConfig};
use crate::metrics_server::MetricsServer;
use crate::poll;
use crate::realm::Realms;

/// How long a server may take to read the keys of its realm and to see a new role.
const SETTLED: Duration = Duration::from_secs(60);

/// What runs. Fields end in this order: clients before servers, servers before their store.
#[derive(Debug)]
pub(super) struct Servers {
    _metrics: MetricsServer,
    _kwok: Kwok,
    _apiservers: [ApiServer; 2],
    _etcd: Etcd,
    _kcp: Kcp,
}

pub(super) async fn start(realms: &Realms) -> anyhow::Result<Fleet> {
    let clusters = async {
        let etcd = Etcd::start().await?;
        let corp_1 = async {
            let server = cluster(&etcd, realms, ("corp", "corp-1"), fleet::corp_1()).await?;
            let node = open_shop(&server).await.context("the node of corp-1")?;
            anyhow::Ok((server, node))
        };
        let acme_1 = async {
            let server = cluster(&etcd, realms, ("acme", "acme-1"), fleet::acme_1()).await?;
            let token = gateway(&server).await.context("the gateway's service account")?;
            anyhow::Ok((server, token))
        };
        let (corp_1, acme_1) = tokio::try_join!(corp_1, acme_1)?;
        anyhow::Ok((etcd, corp_1, acme_1))
    };
    let workspaces = async {
        let mut config = KcpConfig::new("kcp-eu");
        config.authentication = vec![issuer(realms, "corp", "kcp-eu")];
        let kcp = Kcp::start(config).await?;
        let logical_clusters = workspaces(&kcp, realms).await?;
        anyhow::Ok((kcp, logical_clusters))
    };
    let (clusters, (kcp, logical_clusters)) = tokio::try_join!(clusters, workspaces)?;
    let (etcd, (corp_1, (kwok, metrics)), (acme_1, gateway_token)) = clusters;
    let upstream = |url: &str, ca_pem: &str| Upstream { url: url.to_owned(), ca_pem: ca_pem.to_owned() };
    Ok(Fleet {
        corp_1: upstream(corp_1.url(), corp_1.ca_pem()),
        acme_1: upstream(acme_1.url(), acme_1.ca_pem()),
        kcp: upstream(kcp.url(), kcp.ca_pem()),
        logical_clusters,
        gateway_token,
        servers: super::Servers::Real {
            _all: Box::new(Servers {
                _metrics: metrics,
                _kwok: kwok,
                _apiservers: [corp_1, acme_1],
                _etcd: etcd,
                _kcp: kcp,
            }),
        },
    })
}

/// The users and groups of `realm`, with its name before both.
fn issuer(realms: &Realms, realm: &str, audience: &str) -> JwtIssuer {
    let prefix = format!("{realm}:");
    let issuer = JwtIssuer::new(&realms.issuer(realm), realms.ca_pem(), audience, &prefix);
    JwtIssuer { username: Claim::new("preferred_username", prefix), uid: Some("sub".to_owned()), ..issuer }
}

async fn cluster(
    etcd: &Etcd,
    realms: &Realms,
    (realm, name): (&str, &str),
    contents: Contents,
) -> anyhow::Result<ApiServer> {
    let mut config = ApiServerConfig::new(name, etcd);
    config.network = true;
    config.authentication = vec![issuer(realms, realm, name)];
    let server = ApiServer::start(config).await?;
    fill(server.admin(), &contents).await.with_context(|| format!("filling {name}"))?;
    settled(name, server.url(), server.ca_pem(), realms, (name, &contents)).await?;
    Ok(server)
}

/// Brings the namespace `shop` to life. The kubelet's simulator has the objects as the server made them.
async fn open_shop(server: &ApiServer) -> anyhow::Result<(Kwok, MetricsServer)> {
    let node = SimulatedNode::start(shop::NODE).await?;
    let cluster = node.cluster();
    let read = format!("/api/v1/nodes/{}", shop::NODE);
    let pods = shop::PODS.map(|pod| format!("/api/v1/namespaces/{}/pods/{pod}", shop::NAMESPACE));
    for path in [read].iter().chain(&pods) {
        cluster.put(server.get(path).await?);
    }
    shop::play(&cluster);
    let config = KwokConfig {
        node,
        namespace: shop::NAMESPACE,
        log: shop::WEB_LOG,
        usage: shop::CONTAINER_USAGE,
        node_usage: shop::NODE_USAGE,
    };
    let kwok = Kwok::start(server, config).await?;
    kwok.settled(server, shop::NAMESPACE).await?;
    let metrics = MetricsServer::start(server, shop::NODE).await?;
    Ok((kwok, metrics))
}

async fn workspaces(kcp: &Kcp, realms: &Realms) -> anyhow::Result<BTreeMap<String, String>> {
    let mut logical_clusters = BTreeMap::from([("root".to_owned(), "root".to_owned())]);
    for path in WORKSPACES {
        let (parent, name) = path.rsplit_once(':').expect("every workspace here has a parent");
        logical_clusters.insert(path.to_owned(), kcp.create_workspace(parent, name).await?);
        let contents = fleet::workspace(path);
        fill(&kcp.admin(path), &contents).await.with_context(|| format!("filling {path}"))?;
        settled(path, &kcp.workspace_url(path), kcp.ca_pem(), realms, ("kcp-eu", &contents)).await?;
    }
    Ok(logical_clusters)
}

async fn fill(admin: &Client, contents: &Contents) -> anyhow::Result<()> {
    let mut made = Vec::new();
    for object in &contents.objects {
        let object = unplayed(shop::with_owners(object, &made));
        made.extend(admin.apply(&[object]).await?);
    }
    for (number, grant) in contents.grants.iter().enumerate() {
        admin.apply(&grant.objects(&format!("world-{number}"))).await?;
    }
    Ok(())
}

/// The object without what kwok says of its node and of the pods there.
fn unplayed(mut object: Value) -> Value {
    let is_node = object["kind"] == "Node" && object["metadata"]["name"] == shop::NODE;
    if is_node || (object["kind"] == "Pod" && object["spec"]["nodeName"] == shop::NODE) {
        object["status"] = Value::Null;
    }
    object
}

/// Waits until everybody can read what they may: keys of realms and roles arrive a moment after the server is ready.
async fn settled(
    name: &str,
    base: &str,
    ca_pem: &str,
    realms: &Realms,
    (audience, contents): (&str, &Contents),
) -> anyhow::Result<()> {
    for (realm, user, path) in contents.probes {
        let token = realms.mint(realm, user, audience);
        let client = Client::new(base, ca_pem, Credential::Token(&token))?;
        poll::until(&format!("{user} to read {path} at {name}"), SETTLED, || async {
            client.get(path).await.map_err(|error| format!("{error:#}"))
        })
        .await?;
    }
    Ok(())
}

/// The token of the gateway's service account, once it may impersonate.
async fn gateway(server: &ApiServer) -> anyhow::Result<String> {
    let token = server.service_account_token("gateway", "ferry").await?;
    let client = Client::new(server.url(), server.ca_pem(), Credential::Token(&token))?;
    let question = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "impersonate", "resource": "users"}},
    });
    poll::until("the gateway to impersonate", SETTLED, || async {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let review = client.create(path, &question).await.map_err(|error| format!("{error:#}"))?;
        if review["status"]["allowed"] == true { Ok(()) } else { Err(review["status"].to_string()) }
    })
    .await?;
    Ok(token)
}
