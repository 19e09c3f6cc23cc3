//! The guides to one realm and to several are followed from their first line to their last: each block is run or written to
//! its file, with a real Keycloak and real API servers, and what a guide shows as output is what is printed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tempfile::TempDir;
use testenv::apiserver::{ApiServer, ApiServerConfig};
use testenv::etcd::Etcd;
use testenv::ferry;
use testenv::keycloak::Keycloak;
use testenv::pki::Ca;
use testenv::poll;
use testenv::process::port;

use crate::lab::bench::secret_file;
use crate::lab::guide::{Block, blocks_of};
use crate::lab::walk::Machine;

const GUIDES: [(&str, &str); 2] = [
    ("one-realm", include_str!("../../../docs/guides/one-realm.md")),
    ("several-realms", include_str!("../../../docs/guides/several-realms.md")),
];
const RESOURCE: &str = "https://mcp.example.com/mcp";
/// An audit log may be behind.
const LOGGED: Duration = Duration::from_secs(30);
/// An API server's file before the guide: it trusts nobody.
const NOBODY: &str =
    r#"{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": []}"#;

/// What the reader of the guides has.
struct Reader {
    keycloak: Keycloak,
    clusters: [ApiServer; 2],
    folder: TempDir,
    listen: String,
    _etcd: Etcd,
}

impl Reader {
    async fn start() -> anyhow::Result<Self> {
        let person = json!({
            "username": "alice", "enabled": true, "email": "alice@corp.test", "emailVerified": true, "firstName": "Alice",
            "lastName": "A", "credentials": [{"type": "password", "value": "${USERS_PASSWORD}"}],
        });
        let login = json!({"clientId": "mcp-client", "publicClient": true, "directAccessGrantsEnabled": true});
        let corp = json!({"realm": "corp", "enabled": true, "users": [&person], "clients": [login]}).to_string();
        let plant = json!({"realm": "plant", "enabled": true, "users": [person]}).to_string();
        let realms = [("corp", corp.as_str()), ("plant", plant.as_str())];
        let folder = tempfile::tempdir()?;
        let (keycloak, etcd) = tokio::try_join!(Keycloak::start(RESOURCE, &realms), Etcd::start())?;
        let (corp_1, plant_1) =
            tokio::try_join!(cluster("corp-1", &etcd, folder.path()), cluster("plant-1", &etcd, folder.path()))?;
        let listen = format!("127.0.0.1:{}", port::free()?);
        let reader = Self { keycloak, clusters: [corp_1, plant_1], folder, listen, _etcd: etcd };
        reader.write_files()?;
        Ok(reader)
    }

    /// The files that the guides ask for.
    fn write_files(&self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        secret_file(folder, "admin-password", self.keycloak.admin_credentials().1)?;
        secret_file(folder, "alice-password", self.keycloak.password())?;
        std::fs::write(folder.join("keycloak-ca.pem"), self.keycloak.ca_pem())?;
        for cluster in &self.clusters {
            std::fs::write(folder.join(format!("{}-ca.pem", cluster.name())), cluster.ca_pem())?;
            secret_file(folder, &format!("{}.kubeconfig", cluster.name()), &cluster.kubeconfig())?;
        }
        std::os::unix::fs::symlink(ferry::binary()?, folder.join("kubeferry")).context("linking kubeferry")
    }

    /// The text of a guide with the addresses, and the certificate, of this reader.
    fn own(&self, text: &str) -> String {
        let ca = self.keycloak.ca_pem().trim_end().replace('\n', "\n      ");
        let example = "-----BEGIN CERTIFICATE-----\n      …\n      -----END CERTIFICATE-----";
        let mut own = text.replace(example, &ca).replace("https://kc.example.com", self.keycloak.url());
        for cluster in &self.clusters {
            own = own.replace(&format!("https://{}.example.com:6443", cluster.name()), cluster.url());
        }
        own.replace("127.0.0.1:8080", &self.listen)
    }

    /// Whether an API server wrote down a request of this user.
    async fn has_seen(&self, name: &str, user: &str, path: &str) -> anyhow::Result<()> {
        let cluster = self.clusters.iter().find(|cluster| cluster.name() == name).context("no such cluster")?;
        poll::until(&format!("{user} in the audit log of {name}"), LOGGED, || async {
            let events = cluster.audit_events().map_err(|error| format!("{error:#}"))?;
            let asked = |event: &&serde_json::Value| {
                event["requestURI"].as_str().is_some_and(|uri| uri.split('?').next() == Some(path))
            };
            let users: BTreeSet<&str> =
                events.iter().filter(asked).filter_map(|event| event["user"]["username"].as_str()).collect();
            if users.contains(user) { Ok(()) } else { Err(format!("{path} was read by {users:?}")) }
        })
        .await
    }
}

async fn cluster(name: &str, etcd: &Etcd, folder: &Path) -> anyhow::Result<ApiServer> {
    let file = folder.join(format!("{name}-authentication.yaml"));
    std::fs::write(&file, NOBODY)?;
    let mut config = ApiServerConfig::new(name, etcd);
    config.flags = vec![format!("--authentication-config={}", file.display())];
    config.audit = true;
    ApiServer::start(config).await
}

fn kubeconfigs(clusters: &[ApiServer; 2], folder: &Path) -> anyhow::Result<OsString> {
    let files = clusters.iter().map(|cluster| folder.join(format!("{}.kubeconfig", cluster.name())));
    Ok(std::env::join_paths(files)?)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs real control planes: scripts/test"]
async fn who_follows_the_guides_calls_clusters_of_two_realms() {
    let reader = Reader::start().await.unwrap();
    let blocks = GUIDES.iter().flat_map(|(guide, page)| {
        let own = |block: Block| Block { text: reader.own(&block.text), ..block };
        blocks_of(page).into_iter().map(move |block| (*guide, own(block)))
    });
    let blocks: Vec<(&str, Block)> = blocks.collect();
    let machine = Machine {
        folder: reader.folder.path(),
        kubeconfig: kubeconfigs(&reader.clusters, reader.folder.path()).unwrap(),
    };
    let output = machine.follow(&blocks).await.unwrap();
    for secret in ["corp.secret", "plant.secret", "admin-password", "alice-password", "token"] {
        let secret = std::fs::read_to_string(reader.folder.path().join(secret)).unwrap();
        assert!(!output.contains(secret.trim()), "a secret was printed:\n{output}");
    }
    let [corp, plant] = ["shop", "line"].map(|namespace| format!("/api/v1/namespaces/{namespace}/configmaps"));
    reader.has_seen("corp-1", "corp:alice", &corp).await.unwrap();
    reader.has_seen("plant-1", "plant:alice", &plant).await.unwrap();
}

/// The codes of the tables of failures are codes of the reference.
#[test]
fn the_failures_of_the_guides_are_those_of_the_reference() {
    let codes = |page: &str| -> BTreeSet<String> {
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        rows.flat_map(|(codes, _)| codes.split("`, `")).map(str::to_owned).collect()
    };
    let known = codes(include_str!("../../../docs/reference/errors.md"));
    for (guide, page) in GUIDES {
        let (_, table) = page.split_once("\n## What goes wrong\n").unwrap();
        let named = codes(table);
        assert!(named.len() >= 5, "{guide} names {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{guide} names {unknown:?}");
    }
}

/// Without any server: the files of both guides together have no mistake.
#[tokio::test]
async fn the_configurations_of_the_guides_are_good() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    for file in ["corp.secret", "plant.secret"] {
        secret_file(folder.path(), file, "a secret").unwrap();
    }
    let ca = Ca::new("guides");
    for file in ["keycloak-ca.pem", "corp-1-ca.pem", "plant-1-ca.pem"] {
        std::fs::write(folder.path().join(file), ca.pem()).unwrap();
    }
    let config = folder.path().join("kubeferry.toml").display().to_string();
    let mut files = 0;
    for (guide, page) in GUIDES {
        for Block { kind, text } in blocks_of(page) {
            let Some(file) = kind.strip_prefix("toml ") else { continue };
            std::fs::write(folder.path().join(file), text).unwrap();
            files += 1;
        }
        let ran = ferry::run(&["--config", &config, "config", "check"], &[], None).await.unwrap();
        assert_eq!(ran.code, 0, "{guide}: {ran:?}");
    }
    assert_eq!(files, GUIDES.len(), "each guide has a file");
}
