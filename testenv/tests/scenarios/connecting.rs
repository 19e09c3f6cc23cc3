//! The guide to connecting clients says what they read, and its commands work.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testenv::ferry;
use testenv::mcp::{Client, Era};
use testenv::world::RESOURCE;
use tokio::process::Command;
use tokio::time::timeout;

use crate::lab::bench::names;
use crate::lab::guide::{self, EXAMPLE};
use crate::lab::scene::Scene;

/// The options of `claude mcp add` that the guide uses; each has a value.
const CLAUDE: [&str; 4] = ["--transport", "--header", "--client-id", "--callback-port"];

/// Every block parses and has the keys that its client reads; every shell line splits and names what there is.
pub async fn the_guide_says_what_clients_read(scene: &Scene) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    let mut encoded = None;
    for block in guide::blocks() {
        let guide::Block { kind, text } = &block;
        if kind == "sh" {
            let lines = guide::shell(text, "a-token").await?;
            for command in &lines.commands {
                check_command(scene, command).await.with_context(|| command.join(" "))?;
                seen.insert(command[0].clone());
            }
            encoded = encoded.or(Some(lines.printed).filter(|printed| !printed.is_empty()));
            continue;
        }
        check_file(kind, text).await.with_context(|| format!("{kind}: {text}"))?;
        seen.insert(kind.clone());
    }
    let link = guide::blocks().into_iter().find(|block| block.kind == "text cursor").context("no link")?;
    assert_eq!(Some(deeplink(&link.text)?.0), encoded, "the link holds what the command beside it prints");
    let expected = [
        "claude",
        "code",
        "curl",
        "json claude",
        "json cursor",
        "json gemini",
        "json stdio",
        "json vscode",
        "kubeferry",
        "npx",
        "text cursor",
        "toml codex",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    Ok(())
}

/// The requests of the guide, sent by curl.
pub async fn the_commands_of_the_guide_answer(scene: &Scene) -> anyhow::Result<()> {
    let token = scene.token("corp", "alice");
    let commands = guide::commands(&token).await?;
    let mut answers = Vec::new();
    for command in commands.iter().filter(|command| command[0] == "curl") {
        let here = |arg: &String| {
            arg.replace(EXAMPLE, scene.ferry.url())
                .replace("https://mcp.example.com/", &format!("{}/", scene.ferry.base()))
        };
        let mut curl = Command::new("curl");
        curl.args(command[1..].iter().map(here)).args(["--noproxy", "*", "--max-time", "60"]).kill_on_drop(true);
        let output = timeout(Duration::from_secs(90), curl.output()).await.context("curl hangs")?;
        let output = output.context("starting curl, which this test needs")?;
        ensure!(output.status.success(), "curl ends with {}", output.status);
        let text = String::from_utf8(output.stdout)?;
        answers.push(serde_json::from_str::<Value>(&text).with_context(|| format!("no JSON: {text}"))?);
    }
    let [modern, initialize, legacy, metadata] = &answers[..] else { bail!("not four commands: {answers:?}") };
    for answer in [modern, legacy] {
        let listed = names(answer["result"]["content"][0]["text"].as_str().unwrap_or_default());
        assert!(listed.contains(&"team-a".to_owned()), "{answer}");
    }
    assert_eq!(modern["result"]["resultType"], "complete", "the newest generation");
    assert_eq!(legacy["result"]["resultType"], Value::Null, "the one before");
    assert_eq!(initialize["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(metadata["resource"], RESOURCE);
    Ok(())
}

async fn check_file(kind: &str, text: &str) -> anyhow::Result<()> {
    let json = || serde_json::from_str::<Value>(text);
    match kind {
        "json claude" => {
            let server = json()?["mcpServers"]["kubeferry"].clone();
            assert_eq!((&server["type"], &server["url"]), (&json!("http"), &json!(EXAMPLE)));
            assert_eq!(server["headers"]["Authorization"], "Bearer ${KUBEFERRY_TOKEN}");
        }
        "json vscode" => check_vscode(&json()?),
        "json cursor" => {
            let server = json()?["mcpServers"]["kubeferry"].clone();
            assert_eq!(server["url"], EXAMPLE);
            assert_eq!(server["headers"]["Authorization"], "Bearer ${env:KUBEFERRY_TOKEN}");
        }
        "json gemini" => {
            let server = json()?["mcpServers"]["kubeferry"].clone();
            assert_eq!(server["httpUrl"], EXAMPLE);
            assert_eq!(server["headers"]["Authorization"], "Bearer $KUBEFERRY_TOKEN");
        }
        "json stdio" => {
            let server = json()?["mcpServers"]["kubeferry"].clone();
            assert_eq!(server["command"], "kubeferry");
            check_ours(&serde_json::from_value::<Vec<String>>(server["args"].clone())?).await?;
        }
        "toml codex" => {
            let lines: Vec<&str> = text.lines().collect();
            let url = format!("url = \"{EXAMPLE}\"");
            assert_eq!(lines, ["[mcp_servers.kubeferry]", &url, "bearer_token_env_var = \"KUBEFERRY_TOKEN\""]);
        }
        "text cursor" => assert_eq!(deeplink(text)?.1, json!({"url": EXAMPLE})),
        _ => bail!("nothing here knows how to read such a block"),
    }
    Ok(())
}

/// `servers`, and every `${input:…}` asked for by an entry of `inputs`.
fn check_vscode(file: &Value) {
    let server = &file["servers"]["kubeferry"];
    assert_eq!((&server["type"], &server["url"]), (&json!("http"), &json!(EXAMPLE)));
    let signs_in = server["oauth"]["clientId"].is_string();
    let asked = &file["inputs"][0];
    let header = json!(format!("Bearer ${{input:{}}}", asked["id"].as_str().unwrap_or_default()));
    let asks =
        server["headers"]["Authorization"] == header && asked["type"] == "promptString" && asked["password"] == true;
    assert!(signs_in != asks, "it signs in or asks for a token: {file}");
}

/// The parameter `config` of Cursor's link, and the entry in it.
fn deeplink(text: &str) -> anyhow::Result<(String, Value)> {
    let url = url::Url::parse(text.trim())?;
    ensure!(url.as_str().starts_with("cursor://anysphere.cursor-deeplink/mcp/install?"), "another link: {url}");
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    ensure!(value("name").as_deref() == Some("kubeferry"), "another name: {url}");
    let config = value("config").context("no config")?;
    let entry = serde_json::from_slice(&STANDARD.decode(&config)?)?;
    Ok((config, entry))
}

async fn check_command(scene: &Scene, command: &[String]) -> anyhow::Result<()> {
    let (program, args) = command.split_first().context("an empty command")?;
    match program.as_str() {
        "claude" => check_claude(args).await,
        "code" => {
            let [option, entry] = args else { bail!("not one entry") };
            let entry: Value = serde_json::from_str(entry)?;
            ensure!(option == "--add-mcp" && entry["name"] == "kubeferry", "{option} {entry}");
            if entry["type"] == "http" {
                ensure!(entry["url"] == EXAMPLE, "{entry}");
                return Ok(());
            }
            ensure!(entry["type"] == "stdio" && entry["command"] == "kubeferry", "{entry}");
            check_ours(&serde_json::from_value::<Vec<String>>(entry["args"].clone())?).await
        }
        "kubeferry" => {
            if let [call, tool, ..] = args
                && call == "call"
            {
                let token = scene.token("corp", "alice");
                let client = Client::http(scene.ferry.url(), Some(&token), Era::Modern).await?;
                ensure!(client.tools().await?.iter().any(|listed| listed.name == *tool), "there is no tool {tool}");
            }
            check_ours(args).await
        }
        "npx" => {
            let package: Value = serde_json::from_str(include_str!("../../clients/node/package.json"))?;
            let version = &package["dependencies"]["@modelcontextprotocol/inspector"];
            let tested = format!("@modelcontextprotocol/inspector@{}", version.as_str().unwrap_or_default());
            ensure!(args.first() == Some(&tested), "the tests run {tested}");
            Ok(())
        }
        // What it sends is tried for real.
        "curl" => Ok(()),
        _ => bail!("an unknown program"),
    }
}

/// `mcp add`, options with values, the name, and an address or a command of ours.
async fn check_claude(args: &[String]) -> anyhow::Result<()> {
    let mut rest = args.strip_prefix(&["mcp".to_owned(), "add".to_owned()]).context("not mcp add")?.iter();
    let mut plain = Vec::new();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--" => {
                ensure!(
                    plain == ["kubeferry"] && rest.next().is_some_and(|program| program == "kubeferry"),
                    "{plain:?}"
                );
                return check_ours(rest.as_slice()).await;
            }
            option if option.starts_with("--") => {
                ensure!(CLAUDE.contains(&option), "an unknown option {option}");
                let value = rest.next().with_context(|| format!("{option} without a value"))?;
                let fits = match option {
                    "--transport" => value == "http",
                    "--header" => value == "Authorization: Bearer a-token",
                    "--callback-port" => value.parse::<u16>().is_ok(),
                    _ => !value.is_empty(),
                };
                ensure!(fits, "{option} {value}");
            }
            _ => plain.push(arg.as_str()),
        }
    }
    ensure!(plain == ["kubeferry", EXAMPLE], "{plain:?}");
    Ok(())
}

/// A subcommand of kubeferry, and options that its help names.
async fn check_ours(args: &[String]) -> anyhow::Result<()> {
    let subcommand = args.first().context("no subcommand")?;
    let help = ferry::run(&[subcommand, "--help"], &[], None).await?;
    ensure!(help.code == 0, "kubeferry has no {subcommand}: {}", help.stderr);
    let words: BTreeSet<&str> = help.stdout.split(|c: char| c.is_whitespace() || c == ',').collect();
    let options = args.iter().filter(|arg| arg.starts_with('-')).map(String::as_str);
    let unknown: Vec<_> = options.filter(|option| !words.contains(option)).collect();
    ensure!(unknown.is_empty(), "kubeferry {subcommand} has no {unknown:?}");
    Ok(())
}
