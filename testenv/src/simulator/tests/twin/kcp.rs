//! Against a kcp shard, and through a front-proxy.

use super::super::TABLE;
use super::openapi::openapi;
use super::{Side, compare};
use crate::kcp::{FrontProxy, Kcp, KcpConfig};
use crate::pki::Ca;
use crate::simulator::{SimConfig, Simulator};

#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn a_kcp_shard_and_a_front_proxy_answer_the_same() {
    let kcp = Kcp::start(KcpConfig::new("twin")).await.unwrap();
    let name = kcp.create_workspace("root", "org-a").await.unwrap();
    assert!(!name.is_empty());
    // The Workspace is ready a moment before a read of its logical cluster says so too.
    let ready = async || {
        let path = "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster";
        let cluster = kcp.get("root:org-a", path).await.map_err(|error| error.to_string())?;
        let phase = cluster["status"]["phase"].as_str().unwrap_or("no phase").to_owned();
        if phase == "Ready" { Ok(()) } else { Err(phase) }
    };
    crate::poll::until("the logical cluster to be ready", std::time::Duration::from_secs(30), ready).await.unwrap();
    let proxy = FrontProxy::start(&kcp).await.unwrap();
    let real = Side::new(kcp.url(), kcp.ca_pem(), |user, groups| kcp.client_certificate(user, groups));
    let proxied = Side::new(proxy.url(), proxy.ca_pem(), |user, groups| kcp.client_certificate(user, groups));
    let clients = Ca::new("clients");
    let config = SimConfig::kcp().client_ca(clients.pem()).anonymous_health_only();
    let (shard, front) = (config.clone(), config.behind_front_proxy());
    let (shard, front) = tokio::try_join!(Simulator::start(shard), Simulator::start(front)).unwrap();
    let simulated = |simulator: &Simulator| {
        let _org = simulator.workspace("root:org-a");
        Side::new(simulator.url(), simulator.ca_pem(), |user, groups| clients.client(user, groups))
    };
    let simulated_shard = simulated(&shard);
    let mut differences = compare(KCP_PROBES, &real, &simulated_shard).await;
    differences.extend(openapi(&real, &simulated_shard, "/clusters/root:org-a").await);
    let through = compare(FRONT_PROXY_PROBES, &proxied, &simulated(&front)).await;
    differences.extend(through.into_iter().map(|difference| format!("through the front-proxy: {difference}")));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

const KCP_PROBES: &[(&str, &str, &str)] = &[
    ("bob", "/clusters/root:Org_A/version", "*/*"),
    ("nobody", "/clusters/root:nope/version", "*/*"),
    ("bob", "/clusters/root:org-a:nope/version", "*/*"),
    ("bob", "/clusters/nope/version", "*/*"),
    ("nobody", "/clusters/nope/version", "*/*"),
    ("bob", "/clusters/root:org-a/version", "*/*"),
    ("bob", "/clusters/root:org-a/openapi/v3", "*/*"),
    ("nobody", "/clusters/root:org-a/version", "*/*"),
    ("bob", "/clusters/root:org-a/healthz", "*/*"),
    ("nobody", "/clusters/root:org-a/healthz", "*/*"),
    ("bob", "/clusters/root:org-a/api/v1/configmaps", "*/*"),
    ("bob", "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces/x", "*/*"),
    ("bob", "/version", "*/*"),
    ("nobody", "/version", "*/*"),
    ("nobody", "/healthz", "*/*"),
    ("bob", "/clusters//version", "*/*"),
    ("bob", "/clusters/*/version", "*/*"),
    ("bob", "/clusters/system:admin/version", "*/*"),
    ("nobody", "/clusters/root:org-a/%2e%2e%2fversion", "*/*"),
    ("bob", "/clusters/root/api", "*/*"),
    ("bob", "/clusters/root/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ("bob", "/clusters/root/apis/tenancy.kcp.io", "*/*"),
    ("bob", "/clusters/root/apis/unknown.example/v1", "*/*"),
    ("bob", "/clusters/root/apis/unknown.example", "*/*"),
    ("bob", "/clusters/root/apis/tenancy.kcp.io/v1alpha7", "*/*"),
    ("bob", "/clusters/root/api/v7", "*/*"),
    ("admin", "/clusters/root:org-a/apis/unknown.example/v1/things", "*/*"),
    ("admin", "/clusters/root:org-a/api/v1/pods", "*/*"),
    ("admin", "/clusters/root:org-a/apis/core.kcp.io/v1alpha1/gadgets", "*/*"),
    ("admin", "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces/none", "*/*"),
    ("admin", "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces", TABLE),
    ("admin", "/clusters/root:org-a/apis/apis.kcp.io/v1alpha1/apiexports", TABLE),
    ("bob", "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces?includeObject=None", TABLE),
    ("admin", "/clusters/root:org-a/apis/core.kcp.io/v1alpha1/logicalclusters?includeObject=None", TABLE),
    ("admin", "/clusters/root:org-a/api/v1/namespaces/default", "*/*"),
    ("admin", "/clusters/root:org-a/api/v1/configmaps?limit=many", "*/*"),
    ("admin", "/clusters/root:org-a/apis/tenancy.kcp.io/v1alpha1/workspaces?fieldSelector=spec.x%3Dy", "*/*"),
    ("admin", "/clusters/root:org-a/nowhere", "*/*"),
    ("bob", "/clusters/root:org-a/nowhere", "*/*"),
    ("bob", "/clusters/root/nowhere", "*/*"),
    ("bob", "/clusters/root/api/v1/configmaps", "*/*"),
];

/// Where a front-proxy says another thing than the shard, and where the shard's answer must come through.
const FRONT_PROXY_PROBES: &[(&str, &str, &str)] = &[
    ("bob", "/clusters/root:Org_A/version", "*/*"),
    ("nobody", "/clusters/root:nope/version", "*/*"),
    ("bob", "/clusters/root:nope/api/v1/configmaps?limit=5", "*/*"),
    ("bob", "/clusters/root:nope/apis/tenancy.kcp.io/v1alpha1/workspaces/x", "*/*"),
    ("bob", "/clusters/root:org-a:nope/version", "*/*"),
    ("bob", "/clusters/nope/version", "*/*"),
    ("nobody", "/clusters/nope/version", "*/*"),
    ("bob", "/clusters/*/version", "*/*"),
    ("bob", "/clusters/system:admin/version", "*/*"),
    ("bob", "/clusters/root:org-a/version", "*/*"),
    ("nobody", "/clusters/root:org-a/version", "*/*"),
    ("bob", "/clusters/root:org-a/healthz", "*/*"),
    ("nobody", "/clusters/root:org-a/healthz", "*/*"),
    ("bob", "/clusters/root:org-a/api/v1/configmaps", "*/*"),
    ("bob", "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/none", "*/*"),
    ("bob", "/clusters/root/api", "*/*"),
    ("admin", "/clusters/root:org-a/version", "*/*"),
    ("admin", "/clusters/root:org-a/api/v1/configmaps", "*/*"),
    ("bob", "/version", "*/*"),
    ("nobody", "/version", "*/*"),
    ("nobody", "/readyz", "*/*"),
    ("nobody", "/livez", "*/*"),
    ("bob", "/api/v1/namespaces", "*/*"),
];
