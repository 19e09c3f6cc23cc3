//! The snippets of guides: those of `docs/guides/connecting.md` as shells and clients read them, those of others in order.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;
use tokio::time::timeout;

/// The address that stands for the reader's kubeferry.
pub const EXAMPLE: &str = "https://mcp.example.com/mcp";
const GUIDE: &str = include_str!("../../../docs/guides/connecting.md");
/// Programs whose lines are written down instead of run.
const PROGRAMS: [&str; 5] = ["claude", "code", "curl", "kubeferry", "npx"];

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// The words behind the fence: the language, and which client reads it.
    pub kind: String,
    /// Its lines.
    pub text: String,
}

/// What a block of shell lines does.
#[derive(Debug)]
pub struct Lines {
    /// The arguments of each of [`PROGRAMS`] that it runs, the program first.
    pub commands: Vec<Vec<String>>,
    /// What the rest of it prints.
    pub printed: String,
}

/// All blocks of the guide to connecting clients, in order.
pub fn blocks() -> Vec<Block> {
    blocks_of(GUIDE)
}

/// All blocks of a page, in order.
pub fn blocks_of(page: &str) -> Vec<Block> {
    let parts = page.split("\n```").skip(1).step_by(2);
    let blocks = parts.filter_map(|part| part.split_once('\n'));
    blocks.map(|(kind, text)| Block { kind: kind.to_owned(), text: text.to_owned() }).collect()
}

/// The commands of all shell blocks, with `token` in the environment as the guide asks for.
pub async fn commands(token: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let mut all = Vec::new();
    for block in blocks().iter().filter(|block| block.kind == "sh") {
        all.extend(shell(&block.text, token).await?.commands);
    }
    Ok(all)
}

/// Reads shell lines by letting a shell run them, with functions in place of the programs.
pub async fn shell(text: &str, token: &str) -> anyhow::Result<Lines> {
    // Unit separators between arguments, record separators around commands.
    let stub =
        |name: &&str| format!("{name}() {{ printf '\\036'; printf '%s\\037' {name} \"$@\"; printf '\\036'; }}\n");
    let script = format!("set -eu\n{}{text}", PROGRAMS.iter().map(stub).collect::<String>());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").env("KUBEFERRY_TOKEN", token);
    shell.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(20), shell.output()).await.context("a shell hangs")??;
    ensure!(
        output.status.success(),
        "{text}\nends with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let output = String::from_utf8(output.stdout)?;
    let (mut commands, mut printed) = (Vec::new(), String::new());
    for (index, part) in output.split('\u{1e}').enumerate() {
        match part.strip_suffix('\u{1f}') {
            Some(command) if index % 2 == 1 => commands.push(command.split('\u{1f}').map(str::to_owned).collect()),
            _ => printed.push_str(part),
        }
    }
    Ok(Lines { commands, printed })
}
