//! What keeps the program from starting. These need no fleet.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use testenv::ferry::{self, Ran};

/// Six mistakes, each marked with what its line in the report must say.
const MISTAKES: &str = r#"[server]
listen = "127.0.0.1:0"
resource = "http://ferry.test/mcp"
home_realms = ["corq"]
legacy_session = true

[realms.corp]
issuer = "https://kc.test/realms/corp"
algorithms = ["HS256"]

[clusters.c1]
server = "https://10.0.0.1:6443"
realm = "corp"
strategy = "exchang"

[clusters.c2]
server = "https://10.0.0.2:6443?token=hunter2"
strategy = "none"
"#;

/// Line, key, and a word of the fix.
const REPORT: [(u32, &str, &str); 6] = [
    (3, "server.resource", "https"),
    (4, "server.home_realms[0]", "did you mean corp?"),
    (5, "server.legacy_session", "did you mean legacy_sessions?"),
    (9, "realms.corp.algorithms[0]", "RS256"),
    (14, "clusters.c1.strategy", "did you mean exchange?"),
    (17, "clusters.c2.server", "without user, query and fragment"),
];

/// A cluster, since a configuration without one is a mistake where there is no kubeconfig either.
const CLUSTER: &str = "[clusters.c1]\nserver = \"https://10.0.0.1:6443\"\nstrategy = \"none\"\n";

fn write(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let file = folder.path().join("kubeferry.toml");
    std::fs::write(&file, text).expect("a new folder can be written");
    (folder, file)
}

async fn run(args: &[&str]) -> Ran {
    ferry::run(args, &[], None).await.unwrap_or_else(|error| panic!("kubeferry {args:?}: {error:#}"))
}

#[tokio::test]
async fn every_configuration_mistake_is_listed_and_nothing_starts() {
    let (_folder, file) = write(MISTAKES);
    let file = file.display().to_string();
    let mut reports = Vec::new();
    for command in [&["serve"][..], &["config", "check"], &["stdio"], &["call", "whoami"], &["tools"]] {
        let ran = run(&[command, &["--config", &file]].concat()).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{command:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("listening"), "{command:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2"), "{command:?}: no part of a URL that may be secret: {}", ran.stderr);
        reports.push(ran.stderr);
    }
    let report = reports[0].clone();
    for (line, key, fix) in REPORT {
        let starts = format!("{file}:{line}: {key}: ");
        let found = report.lines().find(|text| text.starts_with(&starts));
        let found = found.unwrap_or_else(|| panic!("no line begins with {starts}\n{report}"));
        assert!(found.contains("; ") && found.contains(fix), "{key} says how to mend it ({fix}): {found}");
    }
    let others: Vec<&str> = report
        .lines()
        .filter(|text| !REPORT.iter().any(|(line, key, _)| text.starts_with(&format!("{file}:{line}: {key}: "))))
        .collect();
    // That no realm is left follows from the third mistake and may be said too.
    assert!(others.iter().all(|text| text.contains("server.home_realms")), "nothing else: {others:?}");
    assert!(reports.iter().all(|other| *other == report), "every command reports the same: {reports:?}");
}

#[tokio::test]
async fn a_file_that_is_no_toml_or_not_there_is_named_with_the_place() {
    let (_folder, file) = write("[server]\nlisten = \n");
    let file = file.display().to_string();
    let ran = run(&["serve", "--config", &file]).await;
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains(&format!("{file}:2")), "{}", ran.stderr);
    let ran = run(&["serve", "--config", "/nonexistent/kubeferry.toml"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("/nonexistent/kubeferry.toml"), "{ran:?}");
}

#[tokio::test]
async fn a_good_configuration_is_said_to_be_good() {
    let (_folder, file) = write(&format!("[server]\nlisten = \"127.0.0.1:0\"\n[policy]\nread_only = true\n{CLUSTER}"));
    let ran = run(&["config", "check", "--config", &file.display().to_string()]).await;
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "the configuration is good\n", ""));
}

#[tokio::test]
async fn a_listener_beyond_loopback_needs_realms() {
    let (_folder, loopback) = write(CLUSTER);
    let loopback = loopback.display().to_string();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let ran = run(&["serve", "--config", &loopback, "--listen", listen]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "--listen {listen}: {}", ran.stderr);
        assert!(ran.stderr.contains("realm") && !ran.stderr.contains("listening"), "--listen {listen}: {}", ran.stderr);
        let (_folder, file) = write(&format!("[server]\nlisten = \"{listen}\"\n{CLUSTER}"));
        let file = file.display().to_string();
        for command in [&["serve"][..], &["config", "check"]] {
            let ran = run(&[command, &["--config", &file]].concat()).await;
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{command:?} {listen}: {}", ran.stderr);
            assert!(ran.stderr.starts_with(&format!("{file}:2: server.listen: ")), "{listen}: {}", ran.stderr);
            assert!(ran.stderr.contains("realm"), "{listen}: {}", ran.stderr);
        }
    }
}

#[tokio::test]
async fn a_listener_beyond_loopback_needs_tls_whoever_asks_for_it() {
    let realm = "home_realms = [\"corp\"]\nresource = \"https://ferry.test/mcp\"\n[realms.corp]\nissuer = \"https://kc.test/realms/corp\"\n";
    let (_folder, file) = write(&format!("[server]\nlisten = \"0.0.0.0:0\"\n{realm}{CLUSTER}"));
    let ran = run(&["serve", "--config", &file.display().to_string()]).await;
    assert!(ran.code == 2 && ran.stderr.contains("TLS"), "server.listen: {ran:?}");
    let (_folder, file) = write(&format!("[server]\n{realm}{CLUSTER}"));
    let file = file.display().to_string();
    // It would serve until it is stopped, so it is given five seconds.
    let args = ["serve", "--config", &file, "--listen", "0.0.0.0:0"];
    let ran = tokio::time::timeout(Duration::from_secs(5), ferry::run(&args, &[], None)).await;
    let ran = ran.expect("--listen 0.0.0.0:0 with realms and without TLS is served in the clear").unwrap();
    assert!(ran.code == 2 && ran.stderr.contains("TLS"), "--listen: {ran:?}");
}

#[tokio::test]
async fn the_version_is_one_line() {
    for args in [&["version"][..], &["--version"]] {
        let ran = run(args).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
        assert!(ran.stdout.starts_with("kubeferry ") && ran.stdout.lines().count() == 1, "{args:?}: {}", ran.stdout);
    }
}
