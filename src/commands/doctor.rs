//! `kubeferry doctor`: one line per check, worst last in the exit code.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::process::ExitCode;

use kubeferry::app::{App, Finding, Level};
use kubeferry::output::scrub_text;
use serde_json::json;

use crate::print;

/// Looks at everything: 0 when nothing failed (warnings are no failures), else 1.
pub async fn doctor(app: &App, json: bool) -> ExitCode {
    let shows = stderr().is_terminal();
    let progress = |done, all| {
        if shows {
            // Nothing is left to do when the terminal is gone.
            drop(write!(stderr().lock(), "\r{done} of {all} checks"));
        }
    };
    let findings = app.examine(progress).await;
    if shows {
        drop(write!(stderr().lock(), "\r\x1b[K"));
    }
    let printed = print(&report(&findings, json));
    let failed = findings.iter().any(|found| found.level == Level::Failed);
    if failed { ExitCode::from(1) } else { printed }
}

/// Texts of realms and clusters are in it: they are data, cut to one line.
fn report(findings: &[Finding], as_json: bool) -> String {
    if as_json {
        let findings: Vec<_> = findings
            .iter()
            .map(|found| json!({"about": found.about, "level": found.level.word(), "said": clean(&found.said), "fix": clean(&found.fix)}))
            .collect();
        return format!("{:#}\n", serde_json::Value::Array(findings));
    }
    let line = |found: &Finding| {
        let fix = if found.fix.is_empty() { String::new() } else { format!("; {}", clean(&found.fix)) };
        format!("{:7}  {}: {}{fix}\n", found.level.word(), found.about, clean(&found.said))
    };
    findings.iter().map(line).collect()
}

fn clean(text: &str) -> String {
    scrub_text(text).replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use kubeferry::app::{Finding, Level};

    use super::report;

    #[test]
    fn one_line_per_check() {
        let found = |level, said: &str, fix: &str| Finding {
            about: "cluster a".to_owned(),
            level,
            said: said.to_owned(),
            fix: fix.to_owned(),
        };
        let findings = [found(Level::Ok, "there", ""), found(Level::Failed, "gone\nfor good", "start it")];
        assert_eq!(
            report(&findings, false),
            "ok       cluster a: there\nfailed   cluster a: gone for good; start it\n"
        );
        let parsed: serde_json::Value = serde_json::from_str(&report(&findings, true)).unwrap();
        assert_eq!((&parsed[1]["level"], &parsed[1]["fix"]), (&"failed".into(), &"start it".into()));
    }
}
