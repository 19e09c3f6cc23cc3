//! The benchmark works: everything that it measures is measured for a moment, so that it cannot rot. Its figures mean
//! nothing here.

use std::process::Stdio;
use std::time::Duration;

use testenv::bench::report::Report;
use testenv::ferry;
use tokio::process::Command;
use tokio::time::timeout;

/// Far more than it takes.
const DEADLINE: Duration = Duration::from_secs(240);

#[tokio::test]
async fn the_benchmark_measures_everything_and_writes_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let (results, page) = (folder.path().join("results.json"), folder.path().join("performance.md"));
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    bench.args(["run", "--plan", "smoke", "--kubeferry"]).arg(ferry::binary().unwrap());
    bench.arg("--results").arg(&results).arg("--page").arg(&page);
    bench.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let ran = timeout(DEADLINE, bench.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");

    let report: Report = serde_json::from_str(&std::fs::read_to_string(&results).unwrap()).unwrap();
    assert!(report.notes.is_empty(), "{:?}\n{said}", report.notes);
    for (name, cell) in &report.cells {
        assert_eq!(cell.void, None, "{name}\n{said}");
        assert!(cell.rounds.iter().all(|round| round.calls > 0), "{name}");
    }
    let warm = report.cell("simulator/namespaces/8/many", "kubeferry").expect("the cell is there");
    assert_eq!((warm.rounds[0].requests, warm.rounds[0].connections), (Some(1.0), Some(0.0)));
    assert_eq!(warm.answer.rows, testenv::bench::backend::NAMESPACES);
    assert!(warm.answer.tokens > 100);
    let page = std::fs::read_to_string(&page).unwrap();
    for row in [
        "10,000 clusters: reload",
        "10,000 clusters: connections",
        "processor time per small call",
        "memory at rest",
        "calls that failed during the reloads",
        "`tools/list`",
        "the same: time over that of the 5 calls",
        "cold `kcp_workspace_tree`, the call",
        "memory for 100,000 known workspaces",
        "memory for each further caller who knows them",
    ] {
        let line = page.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("no {row}: {page}"));
        assert!(!line.contains("not measured"), "{line}");
    }
    for row in [
        "warm `chain` call: requests to the API server",
        "warm `chain` calls: requests to realms",
        "cold `chain` call: requests to the cluster's realm",
        "one caller, one cold cluster by `exchange`",
        "5 cold clusters of 3 realms at once",
        "tokens that are kept",
        "workspaces by `kcp_workspace_tree`, page after page: not found",
        "by `kcp_workspaces_list`, page after page: not found",
        "most requests in flight for the cold tree",
        "tokens of the largest page of these trees",
    ] {
        let line = page.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("no {row}: {page}"));
        assert!(line.ends_with("| met |"), "{line}");
    }
}
