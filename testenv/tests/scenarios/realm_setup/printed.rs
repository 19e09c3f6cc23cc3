//! What `kubeferry realm setup --print` says, done by a shell.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use testenv::artifacts::Program;
use tokio::process::Command;

use super::{Set, called, claims};

/// kcadm.sh starts a Java or more for each step.
const SCRIPT: Duration = Duration::from_secs(600);

/// The text of `--print`, given to a shell, sets another pair up with all that can be asked for, and needs nothing of
/// kubeferry; the last step links a person, and then a token is chained.
pub(super) async fn the_printed_steps_do_the_same(set: &Set) -> anyhow::Result<()> {
    let pair = ["--home", "west", "--target", "south", "--login-client", "mcp-client", "--dynamic-registration"];
    let pair = [&pair[..], &["--registration-host", "mcp.example"]].concat();
    let ran =
        set.setup(&[&pair[..], &["--print", "--admin-user", set.keycloak.admin_credentials().0]].concat()).await?;
    ensure!(ran.code == 0 && ran.stderr.is_empty(), "{ran:?}");
    let home = set.folder.path();
    let script = home.join("steps.sh");
    std::fs::write(&script, &ran.stdout)?;
    let kcadm = Program::Keycloak.path()?.ancestors().nth(2).context("Keycloak's home")?.join("bin");
    let keys = home.join("trust.p12").display().to_string();
    let ca = home.join("ca.pem").display().to_string();
    let import = ["-importcert", "-noprompt", "-alias", "ca", "-storetype", "PKCS12", "-storepass", "changeit"];
    shell(set, &kcadm, "keytool", &[&import[..], &["-file", &ca, "-keystore", &keys]].concat()).await?;
    shell(set, &kcadm, "sh", &["-c", &format!("kcadm.sh config truststore --trustpass changeit {keys}")]).await?;
    ensure!(set.setup(&[&pair[..], &["--check"]].concat()).await?.code == 1);
    shell(set, &kcadm, "sh", &["-eu", &script.display().to_string()]).await?;
    let checked = set.setup(&[&pair[..], &["--check"]].concat()).await?;
    ensure!(checked.code == 0, "{checked:?}");

    let sub =
        claims(&set.keycloak.login("west", "mcp-client", "alice").await?)?["sub"].as_str().context("sub")?.to_owned();
    let account = set.keycloak.admin().user("south", "alice").await?;
    let account = account.rsplit('/').next().context("an id")?;
    let link = ran.stdout.lines().find_map(|line| line.strip_prefix("#    ")).context("the linking command")?;
    let link = link.replace("ACCOUNT-ID", account).replace("SUB", &sub).replace("NAME", "alice");
    shell(set, &kcadm, "sh", &["-euc", &link]).await?;
    called(set, &set.config, "west", &set.clusters[2]).await?;
    Ok(())
}

/// Runs a command with `kcadm.sh` in its path, in a home of its own.
async fn shell(set: &Set, kcadm: &Path, program: &str, args: &[&str]) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let java = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin"));
    let path = std::env::join_paths(std::iter::once(kcadm.to_owned()).chain(java).chain(std::env::split_paths(&path)))?;
    let mut command = Command::new(program);
    command.args(args).env("PATH", path).env("HOME", set.folder.path()).kill_on_drop(true);
    command.env("KC_CLI_PASSWORD", set.keycloak.admin_credentials().1).stdin(std::process::Stdio::null());
    let ended = tokio::time::timeout(SCRIPT, command.output()).await;
    let output = ended.with_context(|| format!("{program} takes too long"))?.with_context(|| program.to_owned())?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(output.status.success(), "{program} {args:?}: {said}");
    Ok(())
}
