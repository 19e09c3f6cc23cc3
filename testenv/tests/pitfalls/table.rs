//! Each pitfall that was known before there was a program, and the tests that hold it: `file of the repository, test`. The
//! check here fails when one of them is not there any more.

use std::path::Path;

/// A pitfall, and what holds it.
struct Pitfall {
    number: u8,
    says: &'static str,
    held_by: &'static [(&'static str, &'static str)],
}

macro_rules! pitfalls {
    ($($number:literal $says:literal: $($file:literal $test:ident),+;)+) => {
        const PITFALLS: &[Pitfall] = &[
            $(Pitfall { number: $number, says: $says, held_by: &[$(($file, stringify!($test))),+] }),+
        ];
    };
}

pitfalls! {
    1 "A 403 is “no or unknown”, and so is a 404.":
        "testenv/tests/scenarios/workspaces.rs" unknown_and_forbidden_workspaces_answer_alike,
        "testenv/tests/scenarios/kcp_people.rs" each_sees_their_own_and_nothing_else;
    2 "A read of the workspace `~` makes a home workspace: it is a write.":
        "testenv/tests/pitfalls/workspaces.rs" no_read_makes_a_home_workspace,
        "src/pool/classify.rs" the_table;
    3 "A mount forwards credentials to any URL: it is a leaf.":
        "testenv/tests/scenarios/kcp_mounts.rs" a_mount_never_sees_a_credential,
        "testenv/tests/cases/kcp_changes.rs" k08_a_workspace_made_anew_is_found_with_one_more_walk;
    4 "Who somebody is and what they may do differs between workspaces: no decision is carried over.":
        "testenv/tests/pitfalls/workspaces.rs" access_to_one_workspace_says_nothing_of_another,
        "src/pool/workspaces/tests.rs" access_is_what_the_own_request_showed;
    5 "A workspace with its own authentication answers 401 to a token that is fine next door.":
        "testenv/tests/planes/worlds.rs" a_workspace_with_its_own_authentication_is_a_cluster_of_its_own,
        "src/pool/unaccepted.rs" a_new_authenticator_is_waited_for;
    6 "429 with Retry-After and 503 are errors with a meaning, and are asked once more at most.":
        "testenv/tests/cases/kcp_shards.rs" k09_a_shard_that_is_away_takes_its_own_workspaces_only,
        "src/pool/shard.rs" a_shard_that_is_away_is_not_the_whole_kcp,
        "src/pool/retry.rs" one_short_retry_of_what_changes_nothing;
    7 "The phase is not the state: what is being deleted says Ready.":
        "testenv/tests/cases/kcp_changes.rs" k07_a_workspace_that_is_gone_and_still_listed_is_said_so,
        "src/pool/workspaces/item.rs" states_are_said_in_words;
    8 "A path keeps neither its logical cluster nor its shard.":
        "testenv/tests/cases/kcp_changes.rs" k08_a_workspace_made_anew_is_found_with_one_more_walk;
    9 "A front-proxy knows a new workspace a moment late: a refusal is not kept.":
        "testenv/tests/pitfalls/workspaces.rs" a_workspace_that_was_not_there_is_found_by_the_next_call;
    10 "Wildcards and virtual workspaces are out of reach of what callers write.":
        "testenv/tests/cases/kcp_names.rs" k14_a_name_outside_the_grammar_is_refused_before_there_is_a_url,
        "src/model/address.rs" a_workspace_path_stays_below_its_prefix;
    11 "The same kind has another version and another shape in the next workspace.":
        "testenv/tests/pitfalls/workspaces.rs" a_kind_is_what_its_own_workspace_serves;
    12 "There are no pods in kcp, which discovery tells and no 404.":
        "testenv/tests/scenarios/reading.rs" a_workspace_without_pods_says_so_in_every_tool,
        "testenv/tests/scenarios/workspaces.rs" what_a_workspace_does_not_serve_is_said;
    13 "Reviews of oneself may be refused: nothing that reads depends on them.":
        "testenv/tests/pitfalls/workspaces.rs" what_reads_needs_no_review;
    14 "A kind cluster made anew has another CA and port, and its kubeconfig an administrator.":
        "src/inventory/store/tests.rs" a_changed_server_or_ca_unbinds,
        "src/inventory/store/tests.rs" an_unbound_cluster_has_no_strategy_and_in_local_mode_its_own_user;
    15 "Prefixes of user names differ: whom a cluster takes the caller for is shown.":
        "src/tools/fleet/whoami.rs" a_cluster_says_who_it_takes_the_caller_for,
        "testenv/tests/scenarios/workspaces.rs" a_path_becomes_a_logical_cluster_name;
    16 "An API server cuts no stream when the token ends: we do.":
        "testenv/tests/cases/time.rs" r24_a_cut_stream_says_why_it_ended,
        "src/pool/stream.rs" the_first_end_counts;
    17 "An inventory holds administrators' credentials: server and CA are read, the rest is dropped.":
        "src/inventory/kubeconfig.rs" contexts_become_clusters_without_their_users,
        "src/kubeconfig/tests.rs" no_secret_is_in_a_debug_text_or_an_error;
    18 "Commands that an inventory names are not run for its callers.":
        "src/inventory/kubeconfig.rs" contexts_become_clusters_without_their_users,
        "src/config/import/tests.rs" whoever_must_sign_in_there_never_comes_in_unnamed_here;
    19 "What is dead delays nothing else.":
        "testenv/tests/scenarios/failures.rs" a_dead_cluster_is_explained_and_others_answer,
        "testenv/tests/scenarios/kcp_tree.rs" what_does_not_answer_delays_nobody,
        "testenv/tests/cases/kcp_shards.rs" k09_a_shard_that_is_away_takes_its_own_workspaces_only;
    20 "Names and texts of others reach a model: bounded, and without anything that cannot be seen.":
        "src/output/neutral.rs" nothing_dangerous_is_left,
        "src/pool/reply.rs" foreign_text_is_one_short_line;
    21 "One issuer with several audiences is normal; two realms of the same issuer are a mistake.":
        "src/config/tests.rs" every_mistake_is_reported_with_its_line,
        "testenv/tests/cases/kept.rs" e03_clusters_with_the_same_audience_share_nothing;
    22 "What a realm may at one entry it may not at another of the same server.":
        "testenv/tests/pitfalls/workspaces.rs" a_realm_reaches_its_own_entry_of_a_server_only,
        "src/pool/credential/contract.rs" a_credential_goes_to_its_own_cluster_only_and_never_prints;
    23 "Health answers everybody: it proves no access.":
        "testenv/tests/pitfalls/workspaces.rs" health_is_no_proof_of_access;
    24 "What a front-proxy answers may be plain text.":
        "testenv/tests/cases/kcp_shards.rs" k09_a_shard_that_is_away_takes_its_own_workspaces_only,
        "src/pool/reply.rs" a_status_is_said_in_its_own_words_and_html_is_not;
}

#[test]
fn every_pitfall_is_held_by_tests_that_are_there() {
    let numbers: Vec<u8> = PITFALLS.iter().map(|pitfall| pitfall.number).collect();
    assert_eq!(numbers, (1..=24).collect::<Vec<u8>>(), "each once, in their order");
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    for Pitfall { number, says, held_by } in PITFALLS {
        for (file, test) in *held_by {
            let source = std::fs::read_to_string(root.join(file));
            let source = source.unwrap_or_else(|error| panic!("{number}. {says} {file}: {error}"));
            assert!(source.contains(&format!("fn {test}(")), "{number}. {says} {file} has no {test}");
        }
    }
}
