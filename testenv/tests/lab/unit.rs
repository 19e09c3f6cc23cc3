//! Unit tests of the program, for rows that show nothing outside.

use std::time::Duration;

/// Time for one, its build included.
const BUILD: Duration = Duration::from_secs(170);

/// Runs the unit test of this name, which must be there and pass.
pub async fn passes(test: &str) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = tokio::process::Command::new(cargo);
    command.args(["test", "-p", "kubeferry", "--lib", "--locked", "--", "--exact", test]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).kill_on_drop(true);
    let ran = tokio::time::timeout(BUILD, command.output()).await??;
    let said = String::from_utf8_lossy(&ran.stdout);
    anyhow::ensure!(ran.status.success() && said.contains("test result: ok. 1 passed"), "{test}: {said}");
    Ok(())
}
