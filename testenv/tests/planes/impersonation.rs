//! Both manifests for a gateway that impersonates, as `clusters/` has them, at real API servers.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use testenv::apiserver::{ApiServer, ApiServerConfig, Client, Credential, kubeconfig};
use testenv::etcd::Etcd;
use testenv::ferry::Ferry;
use testenv::mcp::{self, Era};
use testenv::poll;
use testenv::realm::{self, RealmConfig, Realms, RealmsConfig, User};
use testenv::world::RESOURCE;

use crate::lab::bench::{bad, good, names};

const PLAIN: &str = include_str!("../../../clusters/impersonator.yaml");
const CONSTRAINED: &str = include_str!("../../../clusters/impersonator-constrained.yaml");
const GATEWAY: &str = "system:serviceaccount:kubeferry:gateway";
const RBAC: &str = "rbac.authorization.k8s.io/v1";
/// How long an API server may take to see a new role.
const SETTLED: Duration = Duration::from_secs(60);

/// Two API servers, each with one manifest as it is, and a kubeferry before both. Whom it serves: alice, of the group
/// `developers` that may do everything there, and dave, of no group, who reads.
struct Stage {
    ferry: Ferry,
    realms: Realms,
    plain: ApiServer,
    constrained: ApiServer,
    _etcd: Etcd,
    _folder: TempDir,
}

impl Stage {
    async fn start() -> anyhow::Result<Self> {
        let corp = RealmConfig::new("corp").user(User::new("alice", &["developers"])).user(User::new("dave", &[]));
        let corp = corp.client(realm::Client::public("mcp-client", &[RESOURCE]));
        let realms = Realms::start(RealmsConfig { realms: vec![corp] }).await?;
        let etcd = Etcd::start().await?;
        let (plain, constrained) =
            tokio::try_join!(server(&etcd, "plain", PLAIN), server(&etcd, "constrained", CONSTRAINED))?;

        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("realms-ca.pem"), realms.ca_pem())?;
        let mut config = format!(
            "[server]\nresource = \"{RESOURCE}\"\nhome_realms = [\"corp\"]\n\n[realms.corp]\nissuer = \"{}\"\n\
             ca_file = \"realms-ca.pem\"\nallow_private = true\nusername_claim = \"preferred_username\"\n",
            realms.issuer("corp")
        );
        let ways = [
            ("plain", &plain, "gateway"),
            ("constrained", &constrained, "gateway"),
            ("bare", &plain, "bare"),
            ("half", &plain, "half"),
        ];
        for (name, server, account) in ways {
            let token = server.service_account_token("kubeferry", account).await?;
            let credential = Credential::Token(&token);
            std::fs::write(folder.path().join(format!("{name}-ca.pem")), server.ca_pem())?;
            let gateway = kubeconfig(name, server.url(), server.ca_pem(), credential);
            std::fs::write(folder.path().join(format!("{name}.kubeconfig")), gateway)?;
            let uid = if account == "gateway" { ", uid = \"{iss}#{sub}\"" } else { "" };
            write!(
                config,
                "\n[clusters.{name}]\nserver = \"{}\"\nca_file = \"{name}-ca.pem\"\nstrategy = \"impersonate\"\n\
                 realms = [\"corp\"]\ngateway_credentials = {{ kubeconfig = \"{name}.kubeconfig\" }}\n\
                 impersonate = {{ user = \"{{realm}}:{{username}}\", groups = \"{{realm}}:{{group}}\"{uid} }}\n",
                server.url()
            )?;
        }
        let file = folder.path().join("kubeferry.toml");
        std::fs::write(&file, config)?;
        let ferry = Ferry::start(Some(&file), &[]).await?;
        Ok(Self { ferry, realms, plain, constrained, _etcd: etcd, _folder: folder })
    }

    async fn client(&self, user: &str) -> anyhow::Result<mcp::Client> {
        let token = self.realms.mint("corp", user, RESOURCE);
        mcp::Client::http(self.ferry.url(), Some(&token), Era::Modern).await
    }
}

/// A server with the manifest, and with what the people may.
async fn server(etcd: &Etcd, name: &str, manifest: &str) -> anyhow::Result<ApiServer> {
    let server = ApiServer::start(ApiServerConfig { audit: true, ..ApiServerConfig::new(name, etcd) }).await?;
    server.admin().apply_manifest(manifest).await.with_context(|| format!("the manifest of {name}"))?;
    let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kubeferry"}});
    let role = |name: &str, rule: Value| json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]});
    let bound = |name: &str, subject: Value| {
        json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": name}, "subjects": [subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}})
    };
    let person = |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let users = json!({"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]});
    server
        .apply(&[
            account("bare"),
            account("half"),
            role("half", users),
            bound("half", json!({"kind": "ServiceAccount", "name": "half", "namespace": "kubeferry"})),
            role("everything", json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})),
            bound("everything", person("Group", "corp:developers")),
            role("reads", json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list"]})),
            bound("reads", person("User", "corp:dave")),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kept", "namespace": "default"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "here", "namespace": "default"}}),
        ])
        .await?;
    let gateway = gateway(&server).await?;
    for (user, groups) in [("corp:alice", &["corp:developers"][..]), ("corp:dave", &[])] {
        let person = gateway.acting_for(user, groups);
        poll::until(&format!("{user} to read at {name}"), SETTLED, || async {
            person.get("/api/v1/namespaces").await.map_err(|error| format!("{error:#}"))
        })
        .await?;
    }
    Ok(server)
}

/// kubeferry's own user, without kubeferry.
async fn gateway(server: &ApiServer) -> anyhow::Result<Client> {
    let token = server.service_account_token("kubeferry", "gateway").await?;
    Client::new(server.url(), server.ca_pem(), Credential::Token(&token))
}

#[tokio::test]
#[ignore = "needs real control planes: scripts/test"]
async fn each_manifest_lets_kubeferry_read_as_the_person() {
    let stage = Stage::start().await.unwrap();
    let (alice, dave) = (stage.client("alice").await.unwrap(), stage.client("dave").await.unwrap());
    for (cluster, server) in [("plain", &stage.plain), ("constrained", &stage.constrained)] {
        reads(&alice, &dave, cluster).await.unwrap_or_else(|error| panic!("{cluster}: {error:#}"));
        let constraint = if cluster == "plain" { Value::Null } else { json!("impersonate:user-info") };
        let events = server.audit_events().unwrap();
        let lists: Vec<_> = events
            .iter()
            .filter(|event| event["objectRef"]["resource"] == "configmaps" && event["verb"] == "list")
            .filter(|event| event["user"]["username"] == GATEWAY && event["responseStatus"]["code"] == 200)
            .collect();
        assert!(!lists.is_empty(), "{cluster}: no list of configmaps in the audit log");
        for event in lists {
            assert_eq!(event["impersonatedUser"]["username"], "corp:alice", "{event}");
            assert_eq!(
                event["impersonatedUser"]["groups"],
                json!(["corp:developers", "system:authenticated"]),
                "{event}"
            );
            assert_eq!(event["authenticationMetadata"]["impersonationConstraint"], constraint, "{event}");
        }
    }
    nothing_else_is_possible(&stage.constrained).await.unwrap();
    constrained_is_said(&alice).await.unwrap();
    a_missing_verb_is_named(&alice, &dave).await.unwrap();
}

async fn reads(alice: &mcp::Client, dave: &mcp::Client, cluster: &str) -> anyhow::Result<()> {
    for client in [alice, dave] {
        let listed = good(client, "namespaces_list", json!({"cluster": cluster})).await?;
        ensure!(names(&listed.text).contains(&"kubeferry".to_owned()), "{}", listed.text);
    }
    let here = json!({"cluster": cluster, "kind": "configmaps", "namespace": "default"});
    let listed = good(alice, "resources_list", here.clone()).await?;
    ensure!(names(&listed.text).contains(&"here".to_owned()), "{}", listed.text);
    let refused = bad(dave, "resources_list", here).await?;
    ensure!(refused.structured.as_ref().is_some_and(|twin| twin["code"] == "forbidden"), "{refused:?}");
    ensure!(refused.text.contains("corp:dave"), "RBAC looks at the person: {}", refused.text);

    let whoami = good(alice, "whoami", json!({"cluster": cluster})).await?;
    ensure!(whoami.text.contains("corp:alice") && whoami.text.contains("corp:developers"), "{}", whoami.text);
    Ok(())
}

/// What the gateway's token is worth to whoever steals it, with alice's rights and beyond.
async fn nothing_else_is_possible(server: &ApiServer) -> anyhow::Result<()> {
    let gateway = gateway(server).await?;
    let alice = gateway.acting_for("corp:alice", &["corp:developers"]);
    alice.get("/api/v1/namespaces/default/configmaps/here").await.context("reading")?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new", "namespace": "default"}});
    let maps = "/api/v1/namespaces/default/configmaps";
    let accounts = "/api/v1/namespaces/kubeferry/serviceaccounts/gateway/token";
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let namespaces = "/api/v1/namespaces";
    let node = gateway.acting_for("system:node:n1", &[]);
    let account = gateway.acting_for("system:serviceaccount:kube-system:default", &[]);
    let refused = [
        ("a group of masters", gateway.acting_for("corp:alice", &["system:masters"]).get(namespaces).await),
        (
            "masters beside others",
            gateway.acting_for("x", &["corp:developers", "system:masters"]).get(namespaces).await,
        ),
        ("a group that is not listed", gateway.acting_for("corp:alice", &["corp:other"]).get(namespaces).await),
        ("a node", node.get(namespaces).await),
        ("a service account", account.get(namespaces).await),
        ("create", alice.create(maps, &map).await),
        ("delete", alice.delete(&format!("{maps}/here")).await),
        ("secrets", alice.get("/api/v1/namespaces/default/secrets/kept").await),
        ("exec", alice.get("/api/v1/namespaces/default/pods/web/exec?command=id").await),
        ("a node's kubelet", alice.get("/api/v1/nodes/n1/proxy/pods").await),
        ("a token", alice.create(accounts, &request).await),
        ("metrics of the server", alice.get("/metrics").await),
        ("reading as itself", gateway.get(namespaces).await),
        ("writing as itself", gateway.create(maps, &map).await),
    ];
    for (what, outcome) in refused {
        let error = match outcome {
            Ok(answer) => anyhow::bail!("{what}: {answer}"),
            Err(error) => format!("{error:#}"),
        };
        ensure!(error.contains("403"), "{what}: {error}");
    }
    server.get(&format!("{maps}/here")).await.context("nothing was deleted")?;
    Ok(())
}

/// kubeferry says why, where alice herself may.
async fn constrained_is_said(alice: &mcp::Client) -> anyhow::Result<()> {
    let secrets = json!({"cluster": "constrained", "kind": "secrets", "namespace": "default"});
    let refused = bad(alice, "resources_list", secrets).await?;
    lacks(&refused, "impersonate-on:user-info:list on secrets")?;
    ensure!(refused.text.contains("clusters/impersonator-constrained.yaml"), "{}", refused.text);
    Ok(())
}

async fn a_missing_verb_is_named(alice: &mcp::Client, dave: &mcp::Client) -> anyhow::Result<()> {
    let refused = bad(alice, "namespaces_list", json!({"cluster": "bare"})).await?;
    lacks(&refused, "impersonate-on:user-info:create on selfsubjectreviews")?;
    ensure!(refused.text.contains("plain impersonate on users, groups"), "{}", refused.text);
    ensure!(refused.text.contains("kubeferry:bare"), "whose right is missing: {}", refused.text);

    // Once plain impersonation worked, the API server says what is missing of that.
    good(dave, "namespaces_list", json!({"cluster": "half"})).await?;
    let refused = bad(alice, "namespaces_list", json!({"cluster": "half"})).await?;
    lacks(&refused, "impersonate on groups \"corp:developers\"")?;
    ensure!(refused.text.contains("clusters/impersonator.yaml"), "{}", refused.text);
    Ok(())
}

fn lacks(refused: &mcp::Called, verb: &str) -> anyhow::Result<()> {
    let code = refused.structured.as_ref().map(|twin| twin["code"].clone());
    ensure!(code == Some(json!("cannot_impersonate")), "{refused:?}");
    ensure!(refused.text.contains(&format!("lacks the RBAC verb {verb}")), "{verb}: {}", refused.text);
    Ok(())
}
