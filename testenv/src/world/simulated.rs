//! The fleet of simulators.

use std::collections::BTreeMap;

use super::fleet::{self, Contents};
use super::{Fleet, Upstream, WORKSPACES, shop};
use crate::realm::{Realms, uuid};
use crate::simulator::{JwtIssuer, Keys, Scope, SimConfig, Simulator};

/// What runs.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) all: [(&'static str, Simulator); 3],
}

pub(super) async fn start(realms: &Realms) -> anyhow::Result<Fleet> {
    let gateway_token = uuid();
    let trusting = |config: SimConfig, realm: &str, audience: &str| {
        let keys = Keys::Discovery { ca_pem: realms.ca_pem().to_owned() };
        let issuer = JwtIssuer::new(&realms.issuer(realm), keys, audience, &format!("{realm}:"));
        config.issuer(issuer).anonymous_health_only()
    };
    let groups = ["system:serviceaccounts", "system:serviceaccounts:gateway"];
    let acme = SimConfig::kubernetes().token(&gateway_token, fleet::GATEWAY, &groups);
    let (corp_1, acme_1, kcp) = tokio::try_join!(
        Simulator::start(trusting(SimConfig::kubernetes(), "corp", "corp-1")),
        Simulator::start(trusting(acme, "acme", "acme-1")),
        Simulator::start(trusting(SimConfig::kcp(), "corp", "kcp-eu")),
    )?;
    for (server, contents) in [(&corp_1, fleet::corp_1()), (&acme_1, fleet::acme_1())] {
        // As every API server has them.
        server.cluster().namespace("kube-public").namespace("kube-node-lease");
        fill(&server.cluster(), contents);
    }
    shop::play(&corp_1.cluster());
    let mut logical_clusters = BTreeMap::from([("root".to_owned(), kcp.workspace("root").name())]);
    for path in WORKSPACES {
        let workspace = kcp.workspace(path);
        logical_clusters.insert(path.to_owned(), workspace.name());
        fill(&workspace, fleet::workspace(path));
    }
    let upstream = |server: &Simulator| Upstream { url: server.url().to_owned(), ca_pem: server.ca_pem().to_owned() };
    Ok(Fleet {
        corp_1: upstream(&corp_1),
        acme_1: upstream(&acme_1),
        kcp: upstream(&kcp),
        logical_clusters,
        gateway_token,
        servers: super::Servers::Simulated {
            all: Box::new(Servers { all: [("corp-1", corp_1), ("acme-1", acme_1), ("kcp-eu", kcp)] }),
        },
    })
}

fn fill(place: &Scope, contents: Contents) {
    let mut made = Vec::new();
    for mut object in contents.objects {
        object["metadata"]["uid"] = uuid().into();
        made.push(shop::with_owners(&object, &made));
    }
    place.put_all(made);
    for grant in contents.grants {
        place.allow(grant.rule());
    }
}
