//! A guide is followed: its blocks become one script that a shell runs on its reader's machine, and what it shows as output is
//! compared with what was printed.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use super::guide::Block;

/// Time for all commands; an API server alone takes 10 s to see a new file.
const WALK: Duration = Duration::from_secs(300);
/// What stands between two blocks in the output.
const MARK: char = '\u{1e}';
/// What guides run beside kubeferry and the usual programs of a shell.
const PROGRAMS: [&str; 3] = ["curl", "jq", "kubectl"];

/// The reader's machine, as far as a shell sees it.
pub struct Machine<'a> {
    /// The folder of the reader, which has kubeferry in it.
    pub folder: &'a Path,
    /// `KUBECONFIG`.
    pub kubeconfig: OsString,
}

impl Machine<'_> {
    /// Follows the blocks and returns what was printed.
    ///
    /// # Errors
    /// When a block fails, or one does not print what the guide shows.
    pub async fn follow(&self, blocks: &[(&str, Block)]) -> anyhow::Result<String> {
        let (succeeded, output) = self.run(&script(blocks)?).await?;
        let printed: Vec<&str> = output.split(MARK).skip(1).collect();
        let last = blocks.get(printed.len().wrapping_sub(1));
        let whole = succeeded && printed.len() == blocks.len();
        ensure!(whole, "it ends in {last:?} of {}:\n{output}", blocks.len());
        check_printed(blocks, &printed)?;
        Ok(output)
    }

    /// Runs the script as a shell does on the reader's machine. What it started ends with it.
    async fn run(&self, script: &str) -> anyhow::Result<(bool, String)> {
        let file = self.folder.join("guide.sh");
        std::fs::write(&file, script)?;
        let mut shell = Command::new("timeout");
        shell.args(["--kill-after=10", &WALK.as_secs().to_string(), "/bin/sh", "-e"]).arg(&file);
        shell.env_clear().env("PATH", self.path()?).env("HOME", self.folder).env("NO_PROXY", "*");
        shell.env("CURL_CA_BUNDLE", self.folder.join("keycloak-ca.pem")).env("KUBECONFIG", &self.kubeconfig);
        shell.current_dir(self.folder).stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(WALK + Duration::from_secs(30), shell.output()).await;
        let output = ended.context("the shell does not end")?.context("starting a shell")?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// The folder with kubeferry first.
    fn path(&self) -> anyhow::Result<OsString> {
        let given = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&given).collect();
        for program in PROGRAMS {
            ensure!(folders.iter().any(|folder| folder.join(program).is_file()), "the guides need {program} in PATH");
        }
        Ok(std::env::join_paths(std::iter::once(self.folder.to_owned()).chain(folders))?)
    }
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

#[test]
fn a_line_fits_with_anything_at_an_ellipsis() {
    assert!(fits("all 7 things are as they should be", "all … things are as they should be"));
    assert!(fits("user: corp:alice", "user: corp:alice") && fits("ok  realm corp", "ok  …"));
    assert!(!fits("user: corp:alice2", "user: corp:alice") && !fits("no 7 things", "all … things"));
    assert!(!fits("all 7 things differ", "all … things"));
}

#[test]
fn a_block_that_nobody_runs_is_a_mistake() {
    let blocks = |page: &str| -> Vec<(&str, Block)> {
        super::guide::blocks_of(page).into_iter().map(|block| ("guide", block)).collect()
    };
    let files = script(&blocks("a\n```sh\ntrue\n```\n```toml conf.d/a.toml\na = 1\n```\n")).unwrap();
    assert!(files.contains("conf.d/a.toml.new"));
    assert!(script(&blocks("a\n```json\n{}\n```\n")).is_err());
    let shown = blocks("a\n```sh\necho a\n```\n\n```text\na\n```\n");
    assert!(check_printed(&shown, &["a\n", ""]).is_ok());
    assert!(check_printed(&shown, &["b\n", ""]).is_err());
}
