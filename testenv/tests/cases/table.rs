//! The catalogue: each row with its test, the labs on which it is played, what happens in one sentence, and after it,
//! where the design decided otherwise than the catalogue or something is measured elsewhere, a note.
//!
//! A row is `ID test [labs] "what happens.", "note.";` below the file that holds the test, a
//! `pub async fn(&Case) -> anyhow::Result<()>`. One that nothing plays yet is `ID "what would happen.", "why not yet.";` below
//! `@later`; the page shows the reason. The last tests here fail when one was not listed.

use testenv::cases::{Case, Later, record_list};

macro_rules! cases {
    (
        $($file:ident: { $($id:ident $test:ident [$($lab:ident),+] $expected:literal $(, $note:literal)?;)+ })+
        @later { $($later:ident $would:literal, $why:literal;)+ }
    ) => {
        /// All rows that are played.
        fn all() -> Vec<Case> {
            vec![$($($test::row()),+),+]
        }

        /// All others.
        fn later() -> Vec<Later> {
            let row = |id: &str, expected: &str, why: &str| Later {
                id: id.to_owned(),
                expected: expected.to_owned(),
                why: why.to_owned(),
            };
            vec![$(row(stringify!($later), $would, $why)),+]
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
            "Calls to others are seen to go on; what they lose at the 99th percentile is not measured.";
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
            "A CA file that changed counts for new connections within 60 s; until then the server is refused by name.";
        R19 r19_a_name_without_address_is_said_and_a_server_that_comes_back_is_found [simulated, real]
            "An unknown host name is said so; a server that went away with all connections is found again within 30 s of \
             coming back.",
            "Names are resolved for each new connection; a name that changes its address is not played, since the lab has \
             no name server.";
    }
    answers: {
        R05 r05_a_dripping_answer_ends_with_the_total_deadline [simulated]
            "An answer of one byte per second is given up after 30 s; memory stays as it was.";
        R06 r06_a_cut_answer_is_asked_for_once_more_and_never_shown [simulated]
            "A read whose answer breaks off is sent once more; when that breaks off too the call fails, and shows nothing of \
             either.";
        R07 r07_an_answer_that_is_no_kubernetes_is_said_and_not_repeated [simulated]
            "HTML, half JSON, no UTF-8, another kind or a Status with 200 is an unexpected answer of that cluster; at most 200 \
             characters of it are shown and 1 KiB logged.";
        R08 r08_a_short_retry_after_is_waited_for_and_a_long_one_is_said [simulated]
            "429 with Retry-After of at most 2 s is waited for once; with a longer one the call fails at once and says when to \
             come again.";
        R10 r10_a_server_error_is_asked_once_more_and_then_said [simulated]
            "A read that is answered 500, 503 or 504 is sent once more; then the code is said.",
            "Nothing is written yet, so there is no write that must not be repeated.";
        R12 r12_a_refusal_says_what_was_refused_and_to_whom [simulated, real]
            "403 says verb, kind, namespace and the user as the API server saw them, and which permission to ask for; 401 says \
             what to check.",
            "An API server does not say why it takes no token; all reasons are named.";
        R14 r14_a_large_object_is_cut_and_what_is_left_out_is_said [simulated]
            "An object of 3 MB is answered with a map of its largest fields, and as much of it as an answer may hold.";
        R15 r15_goaway_and_few_streams_fail_no_call [simulated]
            "A server that ends its connection among concurrent reads (GOAWAY), or takes few requests at a time, fails none.";
        R18 r18_a_redirect_is_not_followed_and_no_token_goes_there [simulated]
            "A redirect is an error that names it; nothing is sent to where it leads.";
    }
    lists: {
        R09 r09_a_list_that_changed_too_much_is_started_again [simulated]
            "When the API server no longer knows where a list was left (410), the caller is told to start again.";
        R13 r13_a_list_of_ten_thousand_is_paged_in_bounded_memory [simulated]
            "A list of 10,000 objects comes in pages, whole, with the total; memory grows by less than 32 MiB.",
            "Pods, 500 at a time; of each page those that are not well stand first, and come again in their place. The first page is there within \
             5 s in a debug build. 100,000 objects are not measured.";
    }
    discovery: {
        R20 r20_a_new_kind_is_found_with_one_more_look [simulated]
            "A kind that was installed after discovery was read is found by one more look at discovery, whoever asks how often.",
            "A caller's view is looked at again at most once in 5 s. An API that is removed is not played.";
        R21 r21_a_group_that_does_not_answer_is_named_and_others_work [simulated]
            "When the server behind an API group does not answer, other groups work, and a call for a kind of it names the \
             group.";
    }
    time: {
        R24 r24_a_cut_stream_says_why_it_ended [simulated]
            "A followed log that ends, or is cut by the API server, ends the answer with the reason in its first line.";
        R25 r25_a_clock_that_is_off_costs_short_tokens_only [simulated]
            "With API servers ten minutes ahead and behind, everything works but a token that the server takes for expired.",
            "The design has no metric for clocks of API servers; doctor measures those of realms.";
    }
    reload: {
        K01 k01_a_broken_file_keeps_the_last_good_generation [simulated]
            "A configuration that is cut, empty, no UTF-8, or names a cluster twice changes nothing: one log line with the file \
             and where it can the line, a metric, and `/readyz?verbose` say so.";
        K02 k02_each_way_of_changing_files_is_one_reload [simulated]
            "A file that is replaced by rename, a ConfigMap whose link is exchanged, and several files of conf.d written \
             together are one reload each.";
        K03 k03_a_removed_cluster_ends_its_calls_and_takes_no_new_ones [simulated]
            "Calls to a cluster that is removed meanwhile end as they would; new ones are told that it is unknown, with near \
             names.";
        K04 k04_a_changed_cluster_gets_new_connections_and_its_own_credential [simulated]
            "A cluster whose server, CA and credential change under load gets new connections; neither server ever sees the \
             other's credential, and no call fails.";
    }
    scale: {
        K05 k05_thousands_of_clusters_are_loaded_and_nobody_is_contacted [simulated]
            "Thousands of clusters are loaded and reloaded without one connection.",
            "Played with 4,000 in a debug build, within 30 s and 240 MiB; 10,000 in a release build are measured by scripts/bench \
             (docs/performance.md).";
        K06 k06_a_hundred_reloads_under_load_fail_no_call_and_leave_nothing [simulated, real]
            "100 SIGHUPs under load fail no call; open files, threads and memory stay as they were.",
            "With 200 clusters; the last 50 reloads may take 12 MiB, where 50 generations that stay would take 30. Tasks are seen by \
             what they hold only.";
    }
    chain: {
        H01 h01_five_clusters_and_a_kcp_at_once_get_a_token_each [simulated]
            "One caller's calls to five clusters of three realms and a kcp at once: one leg 1 and one leg 2 for each cluster of \
             another realm, one exchange for each of the caller's own, all in parallel; no two clusters see the same token, \
             none the caller's, none a grant.",
            "A grant serves once, so each cluster has a leg 1 of its own.";
        H06 h06_a_grant_is_never_shown_twice [simulated]
            "When the answer to leg 2 is lost, the second attempt begins at leg 1; a realm that says that a grant was used before \
             is believed, and the call fails.";
        H07 h07_clocks_that_differ_are_said_so [simulated]
            "When the other realm's clock is six minutes ahead or behind, both legs are tried once more, and then the call says to \
             set the clocks: of both realms, where the grant was refused, or of the realm and our machine, where the signature \
             of our client was.",
            "How far they differ is measured by doctor, not by the call.";
        H10 h10_a_silent_realm_costs_its_own_clusters_only [simulated]
            "When the other realm does not answer leg 2, calls to its clusters fail within the time of a call, after one second \
             attempt; calls to others answer meanwhile.";
        H11 h11_a_refresh_token_is_dropped [simulated]
            "A refresh token in an answer is not shown, logged, sent or used.";
        H12 h12_the_same_subject_of_two_realms_is_two_people [simulated]
            "Callers of two home realms with the same subject, both linked at a third, are two accounts there with a token each.",
            "A link begins at one realm, so each has an entry of the configuration, here for one API server.";
        H13 h13_a_token_of_the_other_realm_opens_no_door [simulated]
            "A token of a realm that is no home realm is answered 401; no realm and no cluster hears of it.";
        H14 h14_a_grant_for_another_realm_is_refused_there [simulated]
            "A link that asks for grants for a third realm is refused by the second, and the call names the audience; nothing is \
             kept.";
    }
    chain_refusals: {
        H02 h02_a_grant_is_for_the_other_realm_alone [simulated]
            "A grant for another audience, for several or for none is an error of leg 1, and the other realm does not see it; an \
             array of the right one is taken.";
        H03 h03_a_grant_is_of_the_caller_and_does_not_last [simulated]
            "A grant of another issuer or subject, without one or without end, or of an hour is an error of leg 1, and the other \
             realm does not see it.",
            "A grant may live 30 minutes: a Keycloak limits the age of grants, not their life, and 5 minutes is less than many \
             realms give.";
        H04 h04_a_bearer_grant_needs_the_profile_keycloak [simulated]
            "A grant with the type of an access token, as Keycloak gives it, is taken with profile = \"keycloak\" only; else the \
             error names that setting, and with it the call works.";
        H05 h05_who_is_not_linked_is_told_how_to_be [simulated]
            "A caller without an account at the other realm is told which realm, subject and link are missing; when the link is \
             there, the call works.",
            "The log has the subject; leaving it out is no setting.";
        H08 h08_what_is_switched_off_at_the_other_realm_is_named [simulated]
            "What is switched off at the other realm (the provider, its grants, our client's use of it, our client's grants) is \
             named with its fix, not tried again, and works when it is switched on.",
            "A Keycloak says the same of a provider that is missing, disabled, or without the grant.";
        H09 h09_a_token_of_somebody_else_is_not_used [simulated]
            "A token of leg 2 of another issuer, for another audience, without subject, or of another account than before is an \
             error; the cluster sees nothing.",
            "Which account is the caller's is not known at first: the first one is trusted until a reload, and expect_username \
             proves it.";
    }
    kept: {
        E01 e01_a_hundred_calls_at_once_make_one_exchange [simulated]
            "100 calls of one caller to one cluster at once make one exchange, or one of each leg.";
        E02 e02_the_same_subject_of_two_issuers_shares_nothing [simulated]
            "Callers with the same subject of two issuers share no token.",
            "A cluster that is reached by tokens of a realm takes callers of one home realm, so they meet in no cache from \
             outside (H12): a unit test, which this row runs, holds the cache to it.";
        E03 e03_clusters_with_the_same_audience_share_nothing [simulated]
            "Two clusters with the same audience in one realm have a token each.",
            "There is no setting to share one.";
        E04 e04_a_new_token_gets_a_new_exchange [simulated]
            "A caller who comes with another access token, of fewer scopes and groups, gets what that token is exchanged for.";
        E05 e05_fields_of_a_key_cannot_run_into_each_other [simulated]
            "Fields of a key cannot run into each other: `ab` and `c` is another key than `a` and `bc`.",
            "Played by a unit test, which this row runs.";
        E11 e11_a_follower_takes_over_from_who_goes_away [simulated]
            "When the call that began an exchange goes away, another that waits for it begins its own, and is answered.";
        E12 e12_a_refusal_is_shared_and_soon_forgotten [simulated]
            "Calls that wait for one exchange hear the same refusal; it is kept for 5 s at most.";
        E13 e13_a_reload_leaves_nothing_of_before [simulated]
            "After a reload that changes an audience, our client at a realm or the strategy, or changes them back, no token of \
             before is used.",
            "What becomes of an exchange in flight is a scenario, crossing_changes.";
        E15 e15_the_cache_is_bounded [simulated]
            "The cache is bounded by bytes, whoever many callers there are.",
            "Played by a unit test, which this row runs; 1,000 callers of 50 clusters are measured by scripts/bench.";
        E16 e16_a_clock_that_jumps_back_lengthens_nothing [simulated]
            "When the clock jumps back an hour, a kept token ends when it would have.",
            "Played by a unit test, which this row runs: the clock of a machine cannot be set for one program.";
    }
    kept_lives: {
        E06 e06_a_kept_token_ends_before_the_callers_own [simulated]
            "A token that outlives the caller's own is kept until 15 s before the end of the latter, and for 285 s at most.";
        E07 e07_a_kept_token_ends_before_it_is_over [simulated]
            "Whatever life an answer claims, a token is kept until 15 s before its own end, and replaced.";
        E08 e08_a_life_that_makes_no_sense_serves_once [simulated]
            "A token whose answer claims no life, a negative one or none that is a whole number serves one call; a huge one is \
             capped, and where none is said the token's own end counts.";
        E09 e09_a_token_that_a_cluster_refuses_is_replaced_once [simulated]
            "A read that a cluster answers with 401 is sent once more with a new token; when that is refused too, the call fails, \
             and the realm is not asked again for 10 s.",
            "Nothing is written yet, so there is no write that must not be repeated.";
        E10 e10_what_is_forbidden_is_not_tried_with_another_token [simulated]
            "A read that a cluster forbids (403) is not sent again, and the token is kept.";
    }
    kcp_changes: {
        K07 k07_a_workspace_that_is_gone_and_still_listed_is_said_so [simulated]
            "A workspace that is gone and still listed as ready is said to be not there or out of reach at its first use, by path or \
             by name, and what its caller was shown is looked at again; one that is being deleted, set up or unavailable is said \
             to be so.",
            "What a workspace says of itself is read where it was named by its path.";
        K08 k08_a_workspace_made_anew_is_found_with_one_more_walk [simulated]
            "A workspace that was made anew, has another logical cluster or moves to another shard answers after one more walk or one \
             more request; where it became a mount that is said, and nothing is sent there.";
        K12 k12_a_new_kind_in_a_workspace_is_there_within_ten_seconds [simulated]
            "A kind that a workspace serves since an APIBinding is found within 10 s, by whoever was told that it is not served.",
            "A real binding is played beside a real kcp.";
    }
    kcp_shards: {
        K09 k09_a_shard_that_is_away_takes_its_own_workspaces_only [simulated]
            "When a shard answers 502 or 503, does not know its workspaces (429) or breaks off, each of them is named as not answering, \
             in direct use and in lists, trees and searches; all others work.",
            "A real kcp of several shards is not in the lab.";
        K10 k10_a_front_proxy_that_starts_again_meets_no_storm [simulated]
            "While a front-proxy is away few connections are tried and calls fail at once; when it is back it is found by one call, and \
             all others share the connection.";
    }
    kcp_trees: {
        K11 k11_a_tree_of_any_shape_is_read_in_bounds [simulated]
            "Trees of 10,000 workspaces, ten levels deep, with 5,000 children in one or with a way back up are read in pages with at most \
             64 requests under way; each call stops at its bounds and says so.";
        K13 k13_a_workspace_that_may_not_be_entered_is_a_row_and_no_error [simulated]
            "A workspace that may not be entered, in one that may be read, is a row without access in lists, trees and searches.";
    }
    kcp_names: {
        K14 k14_a_name_outside_the_grammar_is_refused_before_there_is_a_url [simulated]
            "A workspace outside the grammar, a wildcard, a virtual workspace, `~` and `-` are refused with what to write instead, in \
             every argument that names one, before anything is sent.",
            "A property test in src/model/address.rs holds every URL below `/clusters/`.";
    }
    process: {
        P02 p02_a_second_sigterm_ends_it_at_once [simulated]
            "A second SIGTERM does not wait for calls in flight: exit status 130.";
        P05 p05_without_file_descriptors_it_recovers [simulated]
            "With all 256 files open, connections that are there are served; new ones are when files are closed, and the log is \
             not filled.";
        P09 p09_a_panic_fails_its_own_call_alone [simulated]
            "A panic in a tool is an internal error of that call and counted; other calls go on.",
            "Played by a unit test, which this row runs: nobody can bring a panic about from outside.";
        P10 p10_a_wrong_configuration_is_said_with_its_line [simulated]
            "A wrong configuration is a line with file, line, key and fix, and exit status 2; `config check` says the same.",
            "`--check-config` is `config check`.";
        P11 p11_what_keeps_it_from_listening_is_one_line [simulated]
            "A port in use, a certificate or a CA that cannot be used or is not there is one line, and exit status 1 or 2.";
        P12 p12_scrapers_that_do_not_read_cost_calls_nothing [simulated]
            "Scrapers of metrics that never read their answer, or hang up, cost calls nothing, in bounded memory.",
            "Looked at once their sockets are full; until then they cost processor time. Figures are only read by whoever comes: \
             there is no endpoint that could be down.";
    }
    exchange: {
        C01 c01_an_exchange_asks_for_what_the_cluster_needs_and_nothing_else [simulated]
            "An exchange is one request with the parameters of RFC 8693, the audience and the scope of the cluster; the cluster \
             sees the token of that audience and subject, and never the caller's own.",
            "A Keycloak is not asked for a requested_token_type, which it knows otherwise than the RFC.";
        C08 c08_a_wider_scope_is_refused_where_no_profile_expects_it [simulated]
            "A token with more scopes than were asked for is refused, one with fewer is used.",
            "With profile keycloak more scopes are a line in the log: a Keycloak adds its default scopes to every token. What a \
             narrower token may not do, the API server says.";
        C10 c10_a_refusal_says_what_to_mend_and_is_not_repeated [simulated]
            "A realm's refusal is a code and a fix for each reason that OAuth knows; it is not repeated, all who ask within 5 s get \
             the same, and then the realm is asked again.";
        C11 c11_a_realm_that_is_away_is_asked_twice_at_most [simulated]
            "A realm that answers 503, breaks off or says nothing is asked once more, and is then unavailable; one that answers 500 \
             or 502 is asked once.",
            "A failure is kept for 5 s for its caller and cluster. Three requests in a row that get no connection or no answer in \
             time open the realm's breaker: for 5 to 6 s all fail at once, then one tries. 503 and a connection that is lost are \
             what a realm that starts or moves shows.";
        C12 c12_a_realm_that_says_when_is_believed [simulated]
            "When a realm says when to come back, the caller is told, and this call asks no more; with 503 up to 2 s are waited for.",
            "Other calls fail at once until then too; after 60 s the realm is asked again, however long it said.";
        C14 c14_a_redirect_is_refused_and_nothing_goes_there [simulated]
            "A redirect of the token endpoint is refused; neither the form nor the secret goes to where it leads.";
        I15 i15_what_goes_wrong_at_an_exchange_names_the_step_and_a_thousand_share_one [simulated]
            "A token endpoint that is down, slow, refuses, answers an error with 200 or gives a token for another audience is an \
             error that names the step and the realm; 1,000 calls of one caller at once are one exchange.",
            "`expires_in` 0 is no error: such a token serves those who wait for it (E08).";
        C22 c22_a_token_that_is_nearly_over_is_sent_back_to_its_realm [simulated]
            "A token with 5 s left is not exchanged: the call is answered 401, and no realm and no cluster hears of it.",
            "10 s are the limit.";
    }
    exchange_answers: {
        C02 c02_an_answer_without_a_token_is_none [simulated]
            "An answer whose access_token is empty, missing, no text, too long or unfit for a header is an error; no cluster is \
             asked.";
        C03 c03_a_token_that_is_no_bearer_token_is_not_used [simulated]
            "A token whose token_type is missing, DPoP or N_A is not used; Bearer is known in any case of its letters.";
        C04 c04_a_token_of_another_type_is_not_used [simulated]
            "A token whose issued_token_type is a refresh token, an ID token, SAML or missing is not used.",
            "There is no setting that forgives a missing one; access_token and jwt are both good.";
        C05 c05_the_same_token_back_is_no_exchange [simulated]
            "A realm that gives the caller's own token back has not exchanged it; it goes to no cluster.";
        C06 c06_a_token_that_is_not_what_was_asked_for_goes_nowhere [simulated]
            "A token of another issuer, audience or subject, or one that has ended or has no end, is refused by name; no cluster is \
             asked.";
        C07 c07_a_token_that_is_good_at_our_door_too_goes_nowhere [simulated]
            "A token that also names our own audience is refused, and a configuration that asks for it is wrong.";
        C09 c09_an_opaque_token_is_not_used [simulated]
            "A token that is no JWT is refused.",
            "There is no setting that allows opaque tokens: issuer, audience and subject could not be checked before a cluster sees \
             it, and API servers take JWTs.";
        C13 c13_what_is_no_token_answer_is_bounded_and_said [simulated]
            "HTML, a success that holds an error, half an answer or 1 GiB is an error of that step; of a body no more than 64 KiB \
             are read.";
        C15 c15_what_a_realm_says_is_data [simulated]
            "What a realm says of its refusal is shown in quotes: one line of at most 120 printable characters, without anything that \
             looks like a token.";
        C21 c21_a_refresh_token_is_dropped [simulated]
            "A refresh token in an answer is not used and is in no log.";
        I16 i16_a_token_of_somebody_else_is_refused [simulated]
            "A token or a grant of another subject is refused; so is another account at the second realm than the one that was seen \
             there first.",
            "The first account at another realm is believed; only expect_username proves it. A reload forgets it.";
    }
    our_client: {
        C16 c16_any_character_in_id_and_secret_arrives [simulated]
            "An id and a secret with `: % + &`, blanks and letters beyond ASCII arrive at the realm as they are, in the header and in \
             the form.";
        C17 c17_each_request_has_an_assertion_of_its_own [simulated]
            "private_key_jwt: each of 100 requests at once has an assertion of its own, for the issuer alone and 60 s at most, and \
             no secret.";
        C18 c18_a_projected_token_is_read_for_each_request [simulated]
            "A projected token that was rotated is used by the next request; one that is empty or cannot be read is an error that \
             names our client at that realm, and nothing is sent.",
            "Mode 0644 is fine: so it is projected by a kubelet.";
        I17 i17_a_rotated_secret_counts_for_the_next_request [simulated]
            "A rotated secret or key of our client is used by the next request, without a restart.";
    }
    @later {
        C19 "At a realm that takes our client by its certificate, the address for it (mtls_endpoint_aliases) is used, and no \
             cluster sees that certificate.",
            "mutual TLS is no way to authenticate our client yet; private_key_jwt needs no shared secret either.";
        C20 "A subject token whose may_act names another client is not exchanged.",
            "no realm that is measured writes may_act into an access token; who may exchange what is decided at the realm, by \
             the audience of the subject token.";
        H15 "A grant that is an ID-JAG without its type, for another client, for two audiences or with a key that was not asked for \
             is an error of leg 1.",
            "no strategy asks for ID-JAGs (draft-ietf-oauth-identity-assertion-authz-grant) yet.";
        H16 "A caller who comes with an access token alone is told that an ID-JAG is made of an ID token.",
            "no strategy asks for ID-JAGs yet, and the door takes access tokens alone.";
        H17 "A Dex that does not know the connector, or an ID token of another client, is an error with its fix.",
            "exchanges at a Dex take a connector_id and a foreign ID token, which no strategy sends yet.";
        H18 "A realm of Entra that asks for more of the person (interaction_required) has its claims challenge handed on.",
            "the on-behalf-of grant of Entra is of no strategy yet.";
        E14 "A logout token of a realm ends the kept tokens of that session, and no others.",
            "realms do not tell us of a logout yet: an exchange after it is refused, and a kept token ends within 285 s.";
    }
}

/// The list, for `scripts/cases`.
#[test]
fn every_row_has_its_own_id_and_says_what_happens() {
    let (rows, later) = (all(), later());
    let ids: Vec<&str> =
        rows.iter().map(|row| &row.id).chain(later.iter().map(|row| &row.id)).map(String::as_str).collect();
    for (number, id) in ids.iter().enumerate() {
        assert!(!ids[..number].contains(id), "{id} is there twice");
    }
    for (number, row) in rows.iter().enumerate() {
        let twice = rows[..number].iter().find(|other| other.test == row.test);
        assert_eq!(twice, None, "{} is there twice", row.test);
        assert!(row.test.starts_with(&format!("{}_", row.id.to_lowercase())), "{} is the test of {}", row.test, row.id);
        is_sentence(&row.id, &row.expected);
        if !row.note.is_empty() {
            is_sentence(&row.id, &row.note);
        }
    }
    for row in &later {
        is_sentence(&row.id, &row.expected);
        is_sentence(&row.id, &row.why);
    }
    record_list(rows, later).expect("the target folder can be written");
}

fn is_sentence(id: &str, text: &str) {
    assert!(!text.contains(['|', '\n']), "{id}: no cell of a table: {text}");
    assert!(text.len() > 1 && text.ends_with('.'), "{id}: no sentence: {text}");
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
