//! The MCP conformance suite, in both generations of the protocol, against what it is known not to pass and why:
//! `conformance-baseline.yml`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testenv::ferry::Ferry;
use testenv::foreign;

use crate::lab::bench::{KubeContext, home};
use crate::lab::scene::Scene;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance-baseline.yml");
/// A revision, its setting of `legacy_sessions`, and scenarios that pass and must not vanish.
const RUNS: [(&str, bool, &[&str]); 2] = [
    (
        "2026-07-28",
        false,
        &["caching", "dns-rebinding-protection", "http-header-validation", "server-stateless", "tools-list"],
    ),
    (
        "2025-11-25",
        true,
        &["dns-rebinding-protection", "ping", "server-initialize", "server-session-lifecycle", "tools-list"],
    ),
];
/// How long one run of the suite may take; it takes some seconds.
const RUN: Duration = Duration::from_secs(80);

/// Checks that failed or warned, and scenarios with a check of their own that passed.
#[derive(Default)]
struct Results {
    failed: BTreeSet<String>,
    passed: BTreeSet<String>,
}

/// The suite has no way to send a token, so kubeferry is open to this machine, over a cluster that nobody calls.
pub async fn the_conformance_suite_finds_nothing_new(scene: &Scene) -> anyhow::Result<()> {
    let mut failed = BTreeSet::new();
    for (revision, legacy_sessions, scenarios) in RUNS {
        let results = run(scene, revision, legacy_sessions).await.context(revision)?;
        for scenario in scenarios {
            assert!(results.passed.contains(*scenario), "{revision}: {scenario} is not among {:?}", results.passed);
        }
        failed.extend(results.failed);
    }
    let listed = baseline(&std::fs::read_to_string(BASELINE)?)?;
    let new: Vec<_> = failed.difference(&listed).collect();
    assert!(new.is_empty(), "failed and is not in {BASELINE}: {new:?}");
    let healed: Vec<_> = listed.difference(&failed).collect();
    assert!(healed.is_empty(), "is in {BASELINE} and failed nowhere: {healed:?}");
    Ok(())
}

async fn run(scene: &Scene, revision: &str, legacy_sessions: bool) -> anyhow::Result<Results> {
    let config = scene.world.config_of(&format!(
        "[server]\ni_accept_unauthenticated_clients = true\nallowed_hosts = [\"127.0.0.1\", \"localhost\"]\n\
         allowed_addresses = [\"127.0.0.1/32\"]\nlegacy_sessions = {legacy_sessions}\n"
    ));
    let context = KubeContext {
        name: "nowhere",
        server: "https://127.0.0.1:9",
        ca_pem: scene.world.realms.ca_pem(),
        token: "unused",
    };
    let home = home(&[context])?;
    let ferry = Ferry::start(Some(&config), &[("HOME", &home.path().display().to_string())]).await?;
    let results = home.path().join("results");
    let mut suite = foreign::node("@modelcontextprotocol/conformance/dist/index.js")?;
    suite.args(["server", "--url", ferry.url(), "--requirements", revision, "--expected-failures", BASELINE]);
    suite.arg("--output-dir").arg(&results);
    let ran = foreign::run(suite, home.path(), RUN).await?;
    ensure!(ran.code == 0, "the suite ended with {}:\n{}{}", ran.code, ran.stdout, ran.stderr);
    read(&results)
}

/// Reads `server-SCENARIO-TIMESTAMP/checks.json`.
fn read(results: &Path) -> anyhow::Result<Results> {
    let mut read = Results::default();
    for folder in std::fs::read_dir(results).context("the suite left no results")? {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        // As 2026-07-28T01-02-03-004Z, behind a hyphen.
        let scenario = name.strip_prefix("server-").and_then(|name| name.get(..name.len().checked_sub(25)?));
        let scenario = scenario.with_context(|| format!("{name} is no folder of a scenario"))?;
        let checks: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.path().join("checks.json"))?)?;
        for check in checks {
            let id = check["id"].as_str().context("a check without id")?;
            match check["status"].as_str().unwrap_or_default() {
                "FAILURE" | "WARNING" => drop(read.failed.insert(format!("{scenario}:{id}"))),
                "SUCCESS" if !id.starts_with("wire-schema") => drop(read.passed.insert(scenario.to_owned())),
                "SUCCESS" | "INFO" | "SKIPPED" => {}
                status => anyhow::bail!("{scenario}:{id} has the status {status:?}"),
            }
        }
    }
    Ok(read)
}

/// The entries of the baseline; each group of them has a reason above it, and none stands twice.
fn baseline(text: &str) -> anyhow::Result<BTreeSet<String>> {
    let (mut entries, mut reasoned) = (BTreeSet::new(), false);
    let body = text.split_once("\nserver:\n").context("no `server:`")?.1;
    for line in body.lines() {
        if let Some(reason) = line.strip_prefix("  # ") {
            reasoned = !reason.is_empty();
            continue;
        }
        let entry = line.strip_prefix("  - ").with_context(|| format!("no entry: {line:?}"))?;
        ensure!(reasoned && entry.contains(':'), "{entry}: a scenario's check, below its reason");
        ensure!(entries.insert(entry.to_owned()), "{entry} stands twice");
    }
    Ok(entries)
}
