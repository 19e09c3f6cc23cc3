//! Audit logs: what a server saw, for counting a client's requests and for seeing who it took the caller for.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::files;

/// The flags that write one line of JSON per finished request to `audit.log` in `folder`.
pub(crate) fn flags(folder: &TempDir) -> anyhow::Result<[String; 2]> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    });
    let policy = files::write(folder, "audit-policy.json", &policy.to_string())?;
    let log = folder.path().join("audit.log");
    Ok([format!("--audit-policy-file={policy}"), format!("--audit-log-path={}", log.display())])
}

/// The events (`audit.k8s.io/v1`) in the log, oldest first.
///
/// # Errors
/// When the log cannot be read, as when the server was started without one, or a line is not JSON.
pub(crate) fn events(log: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    // The server may be in the middle of its last line.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).context("reading an audit event")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_waits() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.log");
        std::fs::write(&log, "{\"verb\":\"get\"}\n{\"verb\":").unwrap();
        assert_eq!(events(&log).unwrap(), [json!({"verb": "get"})]);
    }
}
