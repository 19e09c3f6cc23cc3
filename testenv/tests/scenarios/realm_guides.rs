//! The guides to one realm and to several are followed from their first line to their last: each block is run or written to
//! its file, with a real Keycloak and real API servers, and what a guide shows as output is what is printed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tempfile::TempDir;
use testenv::apiserver::{ApiServer, ApiServerConfig};
use testenv::etcd::Etcd;
use testenv::ferry;
use testenv::keycloak::Keycloak;
use testenv::pki::Ca;
use testenv::poll;
use testenv::process::port;
use tokio::process::Command;

use crate::lab::bench::secret_file;
use crate::lab::guide::{Block, blocks_of};

const GUIDES: [(&str, &str); 2] = [
    ("one-realm", include_str!("../../../docs/guides/one-realm.md")),
    ("several-realms", include_str!("../../../docs/guides/several-realms.md")),
];
const RESOURCE: &str = "https://mcp.example.com/mcp";
/// Time for all commands of both guides; an API server alone takes 10 s to see a new file, twice.
const WALK: Duration = Duration::from_secs(300);
/// An audit log may be behind.
const LOGGED: Duration = Duration::from_secs(30);
/// What stands between two blocks in the output.
const MARK: char = '\u{1e}';
/// What the guides run beside kubeferry and the usual programs of a shell.
const PROGRAMS: [&str; 3] = ["curl", "jq", "kubectl"];
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

    /// Runs the script as a shell does on the reader's machine. What it started ends with it.
    async fn run(&self, script: &str) -> anyhow::Result<(bool, String)> {
        let folder = self.folder.path();
        let file = folder.join("guide.sh");
        std::fs::write(&file, script)?;
        let mut shell = Command::new("timeout");
        shell.args(["--kill-after=10", &WALK.as_secs().to_string(), "/bin/sh", "-e"]).arg(&file);
        shell.env_clear().env("PATH", path(folder)?).env("HOME", folder).env("NO_PROXY", "*").current_dir(folder);
        shell.env("CURL_CA_BUNDLE", folder.join("keycloak-ca.pem"));
        shell.env("KUBECONFIG", kubeconfigs(&self.clusters, folder)?);
        shell.stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(WALK + Duration::from_secs(30), shell.output()).await;
        let output = ended.context("the shell does not end")?.context("starting a shell")?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
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

/// The folder with kubeferry first.
fn path(folder: &Path) -> anyhow::Result<OsString> {
    let given = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&given).collect();
    for program in PROGRAMS {
        ensure!(folders.iter().any(|folder| folder.join(program).is_file()), "the guides need {program} in PATH");
    }
    Ok(std::env::join_paths(std::iter::once(folder.to_owned()).chain(folders))?)
}

fn kubeconfigs(clusters: &[ApiServer; 2], folder: &Path) -> anyhow::Result<OsString> {
    let files = clusters.iter().map(|cluster| folder.join(format!("{}.kubeconfig", cluster.name())));
    Ok(std::env::join_paths(files)?)
}

/// One script of all blocks, with a mark before each: shell lines as they are, files written at once.
fn script(blocks: &[(&str, Block)]) -> anyhow::Result<String> {
    let mut script = "exec 2>&1\ntrap 'kill $! 2>/dev/null || true' EXIT\n".to_owned();
    for (guide, Block { kind, text }) in blocks {
        script.push_str("printf '\\036'\n");
        match kind.split_once(' ') {
            None if kind == "sh" => script.push_str(text),
            Some(("toml" | "yaml", file)) => {
                let folder =
                    Path::new(file).parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
                let folder = folder.display();
                write!(script, "mkdir -p {folder}\ncat >{file}.new <<'GUIDE'\n{text}\nGUIDE\nmv {file}.new {file}")?;
            }
            // It is compared with the output.
            None if kind == "text" => {}
            _ => bail!("{guide}: nothing here knows what to do with a block {kind:?}:\n{text}"),
        }
        script.push('\n');
    }
    Ok(script)
}

/// Each line of a `text` block is printed by the block before it, in that order; `…` stands for anything.
fn check_printed(blocks: &[(&str, Block)], printed: &[&str]) -> anyhow::Result<()> {
    for (at, (guide, block)) in blocks.iter().enumerate().filter(|(_, (_, block))| block.kind == "text") {
        let before = at.checked_sub(1).filter(|before| blocks[*before].1.kind == "sh");
        let output = printed[before.with_context(|| format!("{guide}: no command prints\n{}", block.text))?];
        let mut lines = output.lines();
        for line in block.text.lines().filter(|line| *line != "…") {
            ensure!(lines.any(|found| fits(found, line)), "{guide}: {line:?} is not printed there:\n{output}");
        }
    }
    Ok(())
}

/// Whether a line is as the guide shows it.
fn fits(found: &str, shown: &str) -> bool {
    let Some((first, others)) = shown.split_once('…') else { return found == shown };
    let Some(rest) = found.strip_prefix(first) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| fits(&rest[at..], others))
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
    let (succeeded, output) = reader.run(&script(&blocks).unwrap()).await.unwrap();
    let printed: Vec<&str> = output.split(MARK).skip(1).collect();
    let last = blocks.get(printed.len().wrapping_sub(1));
    assert!(succeeded && printed.len() == blocks.len(), "it ends in {last:?} of {}:\n{output}", blocks.len());
    check_printed(&blocks, &printed).unwrap();
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

#[test]
fn a_line_fits_with_anything_at_an_ellipsis() {
    assert!(fits("all 7 things are as they should be", "all … things are as they should be"));
    assert!(fits("user: corp:alice", "user: corp:alice") && fits("ok  realm corp", "ok  …"));
    assert!(!fits("user: corp:alice2", "user: corp:alice") && !fits("no 7 things", "all … things"));
    assert!(!fits("all 7 things differ", "all … things"));
}

#[test]
fn a_block_that_nobody_runs_is_a_mistake() {
    let blocks =
        |page: &str| -> Vec<(&str, Block)> { blocks_of(page).into_iter().map(|block| ("guide", block)).collect() };
    assert!(
        script(&blocks("a\n```sh\ntrue\n```\n```toml conf.d/a.toml\na = 1\n```\n"))
            .unwrap()
            .contains("conf.d/a.toml.new")
    );
    assert!(script(&blocks("a\n```json\n{}\n```\n")).is_err());
    let shown = blocks("a\n```sh\necho a\n```\n\n```text\na\n```\n");
    assert!(check_printed(&shown, &["a\n", ""]).is_ok());
    assert!(check_printed(&shown, &["b\n", ""]).is_err());
}
