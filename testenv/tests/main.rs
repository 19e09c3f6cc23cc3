//! All integration tests: one list of scenarios, each played against simulated control planes by plain `cargo test`, and
//! against real ones by `scripts/test`.
//!
//! A scenario is a `pub async fn(&Scene) -> anyhow::Result<()>` in a file of `scenarios/`; the last test here fails when
//! one was not listed. Those that need the clients of others, which `scripts/clients` installs, have a list of their own
//! and are played by `scripts/test` alone. The catalogue of failures, `cases/`, has a table of its own, `cases/table.rs`.

mod cases {
    pub mod answers;
    pub mod chain;
    pub mod chain_refusals;
    pub mod discovery;
    pub mod exchange;
    pub mod exchange_answers;
    pub mod kcp_changes;
    pub mod kcp_names;
    pub mod kcp_shards;
    pub mod kcp_trees;
    pub mod kept;
    pub mod kept_lives;
    pub mod lists;
    pub mod network;
    pub mod our_client;
    pub mod process;
    pub mod reload;
    pub mod scale;
    mod table;
    pub mod time;
}

mod lab {
    pub mod bench;
    pub mod case;
    pub mod crossing;
    pub mod exchanges;
    pub mod guide;
    pub mod kcp;
    mod measuring;
    pub mod proc;
    pub mod scene;
    pub mod shard;
    pub mod unit;
    pub mod walk;
}

/// What only real control planes do; each test starts its own.
mod planes {
    mod impersonation;
    mod kcp_apis;
    mod worlds;
}

/// The known pitfalls of kcp and of clusters side by side, and which tests hold them.
mod pitfalls {
    mod table;
    mod workspaces;
}

mod scenarios {
    pub mod auth_explain;
    pub mod can_i;
    pub mod commands;
    pub mod configuration;
    pub mod conformance;
    pub mod connecting;
    pub mod crossing;
    pub mod crossing_changes;
    pub mod doctor;
    pub mod doctor_links;
    pub mod door;
    pub mod economy;
    pub mod explain;
    pub mod failures;
    pub mod figures;
    pub mod foreign;
    pub mod installation;
    pub mod kcp_guide;
    pub mod kcp_life;
    pub mod kcp_mounts;
    pub mod kcp_navigation;
    pub mod kcp_people;
    pub mod kcp_tree;
    pub mod keycloak;
    pub mod keycloak_mistakes;
    pub mod keycloak_twin;
    pub mod local;
    pub mod logs;
    pub mod nodes;
    pub mod operation;
    pub mod output;
    pub mod policy_rules;
    pub mod protocols;
    pub mod reading;
    pub mod realm_guides;
    pub mod realm_setup;
    pub mod refusals;
    pub mod routing;
    pub mod startup;
    pub mod workspaces;
}

macro_rules! scenarios {
    (
        $($module:ident: [$($scenario:ident),+ $(,)?];)+
        @with_clients_of_others { $($other:ident: [$($asked:ident),+ $(,)?];)+ }
    ) => {
        /// Everything that is played, by file.
        const LISTED: &[(&str, &[&str])] = &[
            $((stringify!($module), &[$(stringify!($scenario)),+]),)+
            $((stringify!($other), &[$(stringify!($asked)),+]),)+
        ];

        mod simulated {
            $(mod $module {
                $(#[test]
                fn $scenario() {
                    crate::lab::scene::play(testenv::world::Lab::Simulated, |scene| {
                        Box::pin(crate::scenarios::$module::$scenario(scene))
                    });
                })+
            })+
            $(mod $other {
                $(#[test]
                #[ignore = "needs the clients of others: scripts/test"]
                fn $asked() {
                    crate::lab::scene::play(testenv::world::Lab::Simulated, |scene| {
                        Box::pin(crate::scenarios::$other::$asked(scene))
                    });
                })+
            })+
        }

        mod real {
            $(mod $module {
                $(#[test]
                #[ignore = "needs real control planes: scripts/test"]
                fn $scenario() {
                    crate::lab::scene::play(testenv::world::Lab::Real, |scene| {
                        Box::pin(crate::scenarios::$module::$scenario(scene))
                    });
                })+
            })+
            $(mod $other {
                $(#[test]
                #[ignore = "needs real control planes and the clients of others: scripts/test"]
                fn $asked() {
                    crate::lab::scene::play(testenv::world::Lab::Real, |scene| {
                        Box::pin(crate::scenarios::$other::$asked(scene))
                    });
                })+
            })+
        }
    };
}

scenarios! {
    routing: [
        calls_reach_two_realms_and_a_workspace,
        callers_of_two_realms_at_once_use_their_own_tokens_only,
        no_inbound_header_is_copied,
        who_the_caller_is_there_is_checked_before_anything_is_read,
    ];
    protocols: [
        both_generations_over_http,
        both_generations_over_stdio,
        a_long_call_says_how_far_it_is_to_who_asked,
    ];
    local: [
        stdio_lists_the_live_context_and_explains_the_dead_one,
        serve_lists_the_live_context_and_explains_the_dead_one,
        call_lists_the_live_context_and_explains_the_dead_one,
    ];
    commands: [
        whoami_tools_and_call_take_a_token_file,
        realms_need_a_token_file_that_is_accepted,
    ];
    configuration: [
        limits_change_with_a_reload,
        metrics_have_a_listener_of_their_own,
        an_imported_configuration_serves,
    ];
    doctor: [
        a_fleet_that_is_well_has_no_failure,
        a_front_proxy_is_a_kcp,
        what_is_not_well_is_named_with_its_fix,
        a_kubeconfig_is_looked_at_with_its_own_users,
    ];
    figures: [
        a_warm_call_is_one_request,
        a_new_caller_on_a_warm_cluster_opens_no_connection,
        a_warm_call_to_a_workspace_by_path_is_one_request,
        an_impersonated_caller_is_checked_once,
    ];
    door: [
        a_bad_token_is_challenged_and_no_cluster_sees_it,
        the_metadata_lists_both_realms,
        health_answers,
        a_wrong_host_is_refused,
        a_token_for_one_cluster_reaches_that_one_only,
        a_token_that_has_ended_at_a_cluster_is_sent_back_to_its_realm,
        a_new_token_in_the_file_is_used_over_stdio,
    ];
    refusals: [
        unknown_and_forbidden_clusters_answer_alike,
        without_a_target_a_caller_is_asked,
        an_unknown_tool_is_a_protocol_error,
        an_unknown_kind_shows_near_names,
        a_forbidden_operation_is_one_line,
        a_name_that_could_change_a_url_is_refused_before_there_is_one,
    ];
    failures: [
        a_dead_cluster_is_explained_and_others_answer,
        a_dead_realm_costs_its_own_callers_only,
        a_client_that_goes_away_takes_its_request_along,
        a_call_in_flight_ends_well_on_sigterm,
    ];
    workspaces: [
        a_path_becomes_a_logical_cluster_name,
        a_logical_cluster_name_needs_no_parent,
        unknown_and_forbidden_workspaces_answer_alike,
        what_a_workspace_does_not_serve_is_said,
    ];
    kcp_mounts: [
        a_mount_never_sees_a_credential,
    ];
    kcp_navigation: [
        a_script_finds_its_way_by_what_answers_say,
    ];
    kcp_life: [
        a_workspace_that_is_deleted_ends_in_words,
    ];
    kcp_people: [
        each_sees_their_own_and_nothing_else,
    ];
    kcp_tree: [
        a_list_of_workspaces_shows_who_may_enter,
        lists_of_workspaces_have_pages_and_filters,
        a_tree_is_its_callers_own,
        workspaces_are_found_at_any_depth,
        what_is_odd_in_a_tree_is_said,
        every_version_of_a_group_is_looked_at,
        what_does_not_answer_delays_nobody,
        a_large_tree_comes_in_pages,
        ten_thousand_workspaces_come_in_pages,
    ];
    policy_rules: [
        a_rule_denies_a_workspace_however_it_is_named,
        what_lies_in_a_denied_workspace_is_not_looked_for,
        without_such_a_rule_a_name_is_not_looked_at,
        a_list_of_workspaces_admits_no_other,
        what_a_workspace_says_of_its_own_path_is_no_proof,
        a_workspace_made_anew_is_where_it_was,
        rules_change_with_a_reload,
    ];
    output: [
        lists_are_narrow_tables_unless_asked,
        secret_values_never_leave,
        pages_show_each_object_once,
        a_continue_handle_is_for_its_caller_only,
    ];
    economy: [
        many_pods_come_by_workload_with_one_request,
        columns_of_ones_own_and_fields_show_no_secret,
        a_lean_list_of_tools_reads_everything,
        a_description_knows_what_stands_around_an_object,
    ];
    reading: [
        pods_that_are_not_well_come_first,
        a_pod_is_read_whole,
        a_log_without_a_kubelet_is_one_line,
        events_are_newest_first_and_one_row_per_reason,
        targets_are_ready_to_copy,
        a_configuration_view_shows_no_credential_and_no_server,
        more_tools_come_with_their_toolset,
        a_workspace_without_pods_says_so_in_every_tool,
    ];
    nodes: [
        use_is_shown_where_it_is_measured,
        a_node_shows_its_logs_and_stats,
    ];
    logs: [
        a_log_is_read_and_searched,
        a_log_is_followed_for_a_time,
        a_log_without_its_node_names_the_node,
    ];
    can_i: [
        a_wish_is_answered_by_the_cluster,
        all_that_is_allowed_is_a_narrow_table,
        a_question_does_not_lift_the_policy,
        who_may_enter_a_workspace_may_ask_there,
        a_yes_says_that_a_rule_may_deny,
    ];
    auth_explain: [
        the_way_is_told_and_not_taken,
        a_look_is_a_use_and_a_closed_way_is_told,
        a_way_across_realms_is_told_in_words,
    ];
    doctor_links: [
        links_that_work_are_fine_without_a_person,
        what_is_missing_at_a_realm_is_named_and_mended,
        a_realm_that_checks_no_signature_fails,
        without_a_service_account_less_is_tried,
        what_realms_publish_is_compared,
    ];
    explain: [
        fields_of_a_kind_are_explained,
    ];
    operation: [
        metrics_count_calls_and_name_nobody,
        a_burst_of_one_caller_is_slowed_and_others_notice_nothing,
        a_cluster_that_refuses_connections_is_left_alone_for_a_while,
    ];
    crossing: [
        each_cluster_gets_a_token_of_its_own,
        who_signed_out_is_asked_to_sign_in_again,
    ];
    crossing_changes: [
        without_a_link_there_is_no_cluster_and_with_one_there_is,
        what_an_earlier_configuration_obtained_is_dropped,
    ];
    connecting: [
        the_guide_says_what_clients_read,
        the_commands_of_the_guide_answer,
    ];
    @with_clients_of_others {
        foreign: [
            foreign_clients_call_over_http,
            foreign_clients_choose_a_generation,
            foreign_clients_call_over_stdio,
            foreign_clients_say_that_a_token_is_wrong,
            a_foreign_client_signs_in_by_itself,
            inspector_runs_as_the_guide_says,
        ];
        conformance: [
            the_conformance_suite_finds_nothing_new,
        ];
    }
}

#[test]
fn every_scenario_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut forgotten = Vec::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            // What a scenario's own file has below it.
            continue;
        }
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let listed = LISTED.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, scenarios)| scenarios);
        let source = std::fs::read_to_string(&path).unwrap();
        let scenarios = source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next());
        let is_declared = include_str!("main.rs").contains(&format!("    pub mod {module};\n"));
        forgotten.extend((!is_declared).then(|| format!("the module {module}")));
        forgotten.extend(
            scenarios.filter(|scenario| !listed.contains(scenario)).map(|scenario| format!("{module}::{scenario}")),
        );
    }
    assert!(forgotten.is_empty(), "not in the lists of tests/main.rs: {}", forgotten.join(", "));
}
