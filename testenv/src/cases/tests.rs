use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::{Case, Later, List, Outcome, page, read_in, word, write};
use crate::world::Lab;

const BOTH: [Lab; 2] = [Lab::Simulated, Lab::Real];

fn case(id: &str, labs: &[Lab]) -> Case {
    Case {
        id: id.to_owned(),
        expected: "It ends well.".to_owned(),
        note: String::new(),
        labs: labs.iter().map(|lab| word(*lab).to_owned()).collect(),
        file: "network".to_owned(),
        test: format!("{}_ends_well", id.to_lowercase()),
    }
}

fn later() -> Later {
    let (id, expected) = ("R02".to_owned(), "It would end well.".to_owned());
    Later { id, expected, why: "nobody offers it.".to_owned() }
}

/// A target folder with a test program and the outcomes of a run.
fn played(cases: &[Case], outcomes: &[(&Case, Lab, bool)]) -> TempDir {
    let target = tempfile::tempdir().unwrap();
    std::fs::write(target.path().join("main"), "").unwrap();
    made(&target.path().join("main"), -60);
    let cases = cases.to_vec();
    write(&target.path().join("cases/list.json"), &List { program: "main".into(), cases, later: vec![later()] })
        .unwrap();
    for (case, lab, passed) in outcomes {
        let outcome = Outcome { case: (*case).clone(), lab: word(*lab).to_owned(), passed: *passed };
        write(&target.path().join("cases").join(word(*lab)).join(format!("{}.json", case.id)), &outcome).unwrap();
    }
    target
}

/// Sets the time of a file, in seconds from now.
fn made(file: &Path, seconds: i64) {
    let shift = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let when = if seconds < 0 { now - shift } else { now + shift };
    File::options().write(true).open(file).unwrap().set_times(FileTimes::new().set_modified(when)).unwrap();
}

fn read(target: &TempDir, labs: &[Lab]) -> anyhow::Result<super::Run> {
    read_in(target.path(), &target.path().join("cases"), labs)
}

#[test]
fn the_page_says_what_the_run_said() {
    let (r01, k02) = (case("R01", &BOTH), case("K02", &[Lab::Simulated]));
    let outcomes = [(&r01, Lab::Simulated, true), (&r01, Lab::Real, false), (&k02, Lab::Simulated, true)];
    let target = played(&[k02.clone(), r01.clone()], &outcomes);
    let text = page(&read(&target, &BOTH).unwrap());
    let row = |id: &str| text.lines().find(|line| line.starts_with(&format!("| {id} |"))).unwrap().to_owned();
    assert!(row("R01").contains("| ✓ | ✗ |") && row("R01").contains("r01_ends_well"), "{text}");
    assert!(row("K02").contains("| ✓ | – |"), "{text}");
    assert!(text.find("R01").unwrap() < text.find("K02").unwrap(), "the catalogue's order: {text}");
    assert_eq!(text, page(&read(&target, &BOTH).unwrap()));
}

#[test]
fn a_row_that_comes_later_is_there_with_the_reason_and_no_mark() {
    let (r01, r03) = (case("R01", &BOTH), case("R03", &[Lab::Simulated]));
    let outcomes = [(&r01, Lab::Simulated, true), (&r01, Lab::Real, true), (&r03, Lab::Simulated, true)];
    let text = page(&read(&played(&[r03.clone(), r01.clone()], &outcomes), &BOTH).unwrap());
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| R0")).collect();
    let [first, second, third] = rows.as_slice() else { panic!("three rows: {text}") };
    assert!(first.starts_with("| R01 |") && third.starts_with("| R03 |"), "{text}");
    assert_eq!(*second, "| R02 | It would end well.<br>*Later: nobody offers it.* | later | later | – |");
}

#[test]
fn a_row_that_was_not_played_is_named() {
    let r01 = case("R01", &BOTH);
    let target = played(std::slice::from_ref(&r01), &[(&r01, Lab::Simulated, true)]);
    let error = read(&target, &BOTH).unwrap_err().to_string();
    assert!(error.starts_with("R01 (real): was not played"), "{error}");
    read(&target, &[Lab::Simulated]).unwrap();
}

#[test]
fn what_is_older_than_the_test_program_does_not_count() {
    let r01 = case("R01", &[Lab::Simulated]);
    let target = played(std::slice::from_ref(&r01), &[(&r01, Lab::Simulated, true)]);
    made(&target.path().join("cases/simulated/R01.json"), -120);
    let error = read(&target, &BOTH).unwrap_err().to_string();
    assert!(error.starts_with("R01 (simulated): was played before"), "{error}");
    made(&target.path().join("main"), 60);
    let error = read(&target, &BOTH).unwrap_err().to_string();
    assert!(error.contains("list.json is older than the test program"), "{error}");
}

#[test]
fn a_row_that_was_reworded_is_played_again() {
    let r01 = case("R01", &[Lab::Simulated]);
    let reworded = Case { expected: "It never ends.".to_owned(), ..r01.clone() };
    let target = played(&[reworded], &[(&r01, Lab::Simulated, true)]);
    let error = read(&target, &BOTH).unwrap_err().to_string();
    assert!(error.contains("was another row"), "{error}");
}
