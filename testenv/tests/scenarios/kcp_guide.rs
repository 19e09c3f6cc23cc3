//! The guide to kcp is followed from its first line to its last, with a real Keycloak and a real kcp that trusts it,
//! behind its front-proxy: each block is run or written to its file, and what the guide shows as output is what is printed.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use testenv::ferry;
use testenv::kcp::{FrontProxy, Kcp, KcpConfig};
use testenv::keycloak::Keycloak;
use testenv::pki::Ca;
use testenv::poll;
use testenv::process::port;

use crate::lab::bench::secret_file;
use crate::lab::guide::{Block, blocks_of};
use crate::lab::walk::Machine;

const GUIDE: &str = include_str!("../../../docs/guides/kcp.md");
/// The configuration that the guide installs.
const CONFIG_MAP: &str = include_str!("../../../clusters/install/configmap.yaml");
const RESOURCE: &str = "https://mcp.example.com/mcp";
/// The file of kcp that the guide writes first.
const AUTHENTICATION: &str = "yaml kcp-authentication.yaml";
/// How a block begins that only a reader can run.
const UNRUN: &str = "# Not run by the test: ";
/// An audit log may be behind.
const LOGGED: Duration = Duration::from_secs(30);

/// What the reader of the guide has.
struct Reader {
    keycloak: Keycloak,
    /// What the guide calls the kcp.
    proxy: FrontProxy,
    kcp: Kcp,
    folder: TempDir,
    listen: String,
}

impl Reader {
    async fn start() -> anyhow::Result<Self> {
        let alice = json!({
            "username": "alice", "enabled": true, "email": "alice@corp.test", "emailVerified": true, "firstName": "Alice",
            "lastName": "A", "credentials": [{"type": "password", "value": "${USERS_PASSWORD}"}],
        });
        let client = |id: &str| json!({"clientId": id, "publicClient": true, "directAccessGrantsEnabled": true});
        let clients = [client("mcp-client"), client("kcp")];
        let corp = json!({"realm": "corp", "enabled": true, "users": [alice], "clients": clients}).to_string();
        let keycloak = Keycloak::start(RESOURCE, &[("corp", corp.as_str())]).await?;
        let folder = tempfile::tempdir()?;
        // kcp reads the guide's own file.
        let file = folder.path().join("kcp-authentication.yaml");
        let block = blocks_of(GUIDE).into_iter().find(|block| block.kind == AUTHENTICATION);
        std::fs::write(&file, of_keycloak(&keycloak, &block.context("the guide has no file for kcp")?.text))?;
        let mut config = KcpConfig::new("kcp-guide");
        config.flags = vec![format!("--authentication-config={}", file.display())];
        config.audit = true;
        let kcp = Kcp::start(config).await?;
        let proxy = FrontProxy::start(&kcp).await?;
        let listen = format!("127.0.0.1:{}", port::free()?);
        let reader = Self { keycloak, proxy, kcp, folder, listen };
        reader.write_files()?;
        Ok(reader)
    }

    /// The files that the guide asks for.
    fn write_files(&self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        secret_file(folder, "admin-password", self.keycloak.admin_credentials().1)?;
        secret_file(folder, "alice-password", self.keycloak.password())?;
        secret_file(folder, "kcp-admin.kubeconfig", &self.kcp.kubeconfig("root"))?;
        std::fs::write(folder.join("keycloak-ca.pem"), self.keycloak.ca_pem())?;
        // The reader wrote their own addresses into it.
        let config = self.own(CONFIG_MAP).replace("# allow_private = true", "allow_private = true");
        std::fs::create_dir_all(folder.join("clusters/install"))?;
        std::fs::write(folder.join("clusters/install/configmap.yaml"), config)?;
        std::os::unix::fs::symlink(ferry::binary()?, folder.join("kubeferry")).context("linking kubeferry")
    }

    /// The text of the guide with the addresses, and the certificates, of this reader.
    fn own(&self, text: &str) -> String {
        let own = of_keycloak(&self.keycloak, text).replace("https://kcp.example.com:6443", self.proxy.url());
        own.replace("<CA_DATA>", &STANDARD.encode(self.proxy.ca_pem())).replace("127.0.0.1:8080", &self.listen)
    }

    /// Whether kcp wrote down that `user` read `path` in the workspace `place`.
    async fn has_seen(&self, user: &str, place: &str, path: &str) -> anyhow::Result<()> {
        poll::until(&format!("{user} in the audit log of kcp"), LOGGED, || async {
            let events = self.kcp.audit_events().map_err(|error| format!("{error:#}"))?;
            let asked = |event: &&Value| {
                let uri = event["requestURI"].as_str().and_then(|uri| uri.split('?').next());
                uri == Some(path) && event["annotations"]["kcp.io/path"] == place
            };
            let users: BTreeSet<&str> =
                events.iter().filter(asked).filter_map(|event| event["user"]["username"].as_str()).collect();
            if users.contains(user) { Ok(()) } else { Err(format!("{path} of {place} was read by {users:?}")) }
        })
        .await
    }
}

fn of_keycloak(keycloak: &Keycloak, text: &str) -> String {
    let ca = keycloak.ca_pem().trim_end().replace('\n', "\n      ");
    let example = "-----BEGIN CERTIFICATE-----\n      …\n      -----END CERTIFICATE-----";
    text.replace(example, &ca).replace("https://kc.example.com", keycloak.url())
}

/// The blocks that are run in order: not those that need what no test has, nor those of `installation.rs`.
fn blocks() -> Vec<Block> {
    let of_readers = |kind: &str| ["sh unrun", "sh install", "dockerfile"].contains(&kind);
    let run = blocks_of(GUIDE).into_iter().filter(|block| !of_readers(&block.kind));
    run.map(|block| match block.kind.as_str() {
        "sh keys" | "sh realm" => Block { kind: "sh".to_owned(), ..block },
        _ => block,
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs real control planes: scripts/test"]
async fn who_follows_the_guide_reaches_workspaces_as_themselves() {
    let reader = Reader::start().await.unwrap();
    let own = |block: Block| ("kcp", Block { text: reader.own(&block.text), ..block });
    let blocks: Vec<(&str, Block)> = blocks().into_iter().map(own).collect();
    let folder = reader.folder.path();
    let machine = Machine { folder, kubeconfig: folder.join("kcp-admin.kubeconfig").into() };
    let output = machine.follow(&blocks).await.unwrap();
    for secret in ["corp.secret", "corp.key", "admin-password", "alice-password", "token", "id-token"] {
        let secret = std::fs::read_to_string(folder.join(secret)).unwrap();
        assert!(!output.contains(secret.trim()), "a secret was printed:\n{output}");
    }
    let path = "/api/v1/namespaces/default/configmaps";
    reader.has_seen("corp:alice", "root:org:team", path).await.unwrap();
    // By the ID token, whose way the guide shows with another tool.
    reader.has_seen("corp:alice", "root:org:team", &format!("{path}/hours")).await.unwrap();
}

/// A block that is not run says so, and why, to whoever reads it.
#[test]
fn blocks_that_are_not_run_say_so() {
    let all = blocks_of(GUIDE);
    let unrun: Vec<&Block> = all.iter().filter(|block| block.kind == "sh unrun").collect();
    assert!(!unrun.is_empty() && unrun.iter().all(|block| block.text.starts_with(UNRUN)), "{unrun:?}");
    let run = blocks();
    assert!(run.iter().all(|block| !block.text.contains(UNRUN)));
    assert!(run.iter().filter(|block| block.kind == "sh").count() >= 10, "the guide has commands");
}

/// The codes of the table of failures are codes of the reference.
#[test]
fn the_failures_of_the_guide_are_those_of_the_reference() {
    let codes = |page: &str| -> BTreeSet<String> {
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        rows.flat_map(|(codes, _)| codes.split("`, `")).map(str::to_owned).collect()
    };
    let known = codes(include_str!("../../../docs/reference/errors.md"));
    let (_, table) = GUIDE.split_once("\nThen each call, by its code:\n").unwrap();
    let named = codes(table);
    assert!(named.len() >= 8, "the guide names {named:?}");
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "the guide names {unknown:?}");
}

/// Without any server: the configuration of the guide has no mistake.
#[tokio::test]
async fn the_configuration_of_the_guide_is_good() {
    let folder = tempfile::tempdir().unwrap();
    secret_file(folder.path(), "corp.secret", "a secret").unwrap();
    let ca = Ca::new("guide");
    for file in ["keycloak-ca.pem", "kcp-ca.pem"] {
        std::fs::write(folder.path().join(file), ca.pem()).unwrap();
    }
    let block = blocks().into_iter().find(|block| block.kind == "toml kubeferry.toml").unwrap();
    let config = folder.path().join("kubeferry.toml");
    std::fs::write(&config, block.text).unwrap();
    let ran = ferry::run(&["--config", &config.display().to_string(), "config", "check"], &[], None).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
}
