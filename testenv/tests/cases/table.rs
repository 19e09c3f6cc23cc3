//! The catalogue: each row with its test, the labs on which it is played, what happens in one sentence, and after it,
//! where the design decided otherwise than the catalogue or something is measured elsewhere, a note.
//!
//! A row is `ID test [labs] "what happens.", "note.";` below the file that holds the test, a
//! `pub async fn(&Case) -> anyhow::Result<()>`. The last tests here fail when one was not listed.

use testenv::cases::{Case, record_list};

macro_rules! cases {
    ($($file:ident: { $($id:ident $test:ident [$($lab:ident),+] $expected:literal $(, $note:literal)?;)+ })+) => {
        /// All rows.
        fn all() -> Vec<Case> {
            vec![$($($test::row()),+),+]
        }

        $($(mod $test {
            pub(super) fn row() -> testenv::cases::Case {
                testenv::cases::Case {
                    id: stringify!($id).to_owned(),
                    expected: $expected.to_owned(),
                    note: concat!($($note)?).to_owned(),
                    labs: vec![$(stringify!($lab).to_owned()),+],
                    file: stringify!($file).to_owned(),
                    test: stringify!($test).to_owned(),
                }
            }

            $(played!($lab, $file, $test);)+
        })+)+
    };
}

macro_rules! played {
    (simulated, $file:ident, $test:ident) => {
        #[test]
        fn simulated() {
            crate::lab::case::play(testenv::world::Lab::Simulated, row(), |case| {
                Box::pin(crate::cases::$file::$test(case))
            });
        }
    };
    (real, $file:ident, $test:ident) => {
        #[test]
        #[ignore = "needs real control planes: scripts/test"]
        fn real() {
            crate::lab::case::play(testenv::world::Lab::Real, row(), |case| Box::pin(crate::cases::$file::$test(case)));
        }
    };
}

cases! {
    network: {
        R01 r01_a_dead_cluster_is_named_and_costs_others_nothing [simulated, real]
            "A cluster that refuses connections is named in an error within the time for connecting; calls to others go on.",
            "What others lose at the 99th percentile is the bench's to say.";
        R02 r02_a_black_hole_is_given_up_after_three_seconds [simulated]
            "A cluster that drops every packet is given up after 3 s; after five such failures calls fail at once with \
             “retry in N s”.";
        R03 r03_silence_before_tls_is_given_up_after_three_seconds [simulated]
            "A cluster that accepts a connection and never ends the TLS handshake is given up after 3 s; after five such \
             failures calls fail at once with “retry in N s”.";
        R04 r04_silence_after_tls_ends_with_the_first_byte_deadline [simulated]
            "A cluster that takes a request and says nothing is given up after 15 s; its connection is not used again.";
        R16 r16_a_wrong_certificate_is_said_in_plain_words [simulated, real]
            "A certificate that expired, is of another CA or for another name is said so; no request and no token is sent.";
        R17 r17_a_rotated_ca_is_taken_up_without_a_restart [simulated, real]
            "A CA file that changed counts for new connections within seconds; until then the server is refused by name.";
        R19 r19_a_name_without_address_is_said_and_a_server_that_comes_back_is_found [simulated, real]
            "An unknown host name is said so; a server that went away with all connections is found again within 30 s of \
             coming back.",
            "Names are resolved for each new connection; a name that changes its address is not played, since the lab has \
             no name server.";
    }
}

/// The list, for `scripts/cases`.
#[test]
fn every_row_has_its_own_id_and_says_what_happens() {
    let rows = all();
    for (number, row) in rows.iter().enumerate() {
        let twice = rows[..number].iter().find(|other| other.id == row.id || other.test == row.test);
        assert_eq!(twice, None, "{} is there twice", row.id);
        assert!(row.test.starts_with(&format!("{}_", row.id.to_lowercase())), "{} is the test of {}", row.test, row.id);
        for sentence in [&row.expected, &row.note] {
            assert!(!sentence.contains(['|', '\n']), "{}: no cell of a table: {sentence}", row.id);
        }
        assert!(row.expected.ends_with('.') && (row.note.is_empty() || row.note.ends_with('.')), "{}", row.id);
    }
    record_list(rows).expect("the target folder can be written");
}

#[test]
fn every_test_is_listed() {
    let rows = all();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut forgotten = Vec::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = std::fs::read_to_string(&path).unwrap();
        let tests = source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next());
        let is_listed = |test: &&str| rows.iter().any(|row| row.file == file && row.test == **test);
        forgotten.extend(tests.filter(|test| !is_listed(test)).map(|test| format!("{file}::{test}")));
    }
    assert!(forgotten.is_empty(), "no row of tests/cases/table.rs: {}", forgotten.join(", "));
}
