//! One suite on SQLite with the in-process bus, and on MariaDB with RabbitMQ
//! (`cargo test -p freezer-conductor --features mysql`). The agents are real RPC servers with scripted behaviour, and the
//! clock is moved by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "suite/announce.rs"]
mod announce;
#[path = "suite/events.rs"]
mod events;
#[path = "suite/fair.rs"]
mod fair;
#[path = "suite/faults.rs"]
mod faults;
#[path = "suite/flow.rs"]
mod flow;
#[path = "suite/link.rs"]
mod link;
#[path = "suite/sessions.rs"]
mod sessions;
#[path = "suite/stage.rs"]
#[allow(dead_code)] // kill.rs uses the rest
mod stage;

macro_rules! conformance_suite {
    ($($module:ident: $($test:ident),+ $(,)?;)+) => {
        mod embedded {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::$module::$test(crate::stage::Stage::embedded()).await;
                }
            )+)+
        }
        #[cfg(feature = "mysql")]
        mod real {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::$module::$test(crate::stage::Stage::real()).await;
                }
            )+)+
        }
    };
}

conformance_suite! {
    flow:
        fires_on_time_and_records_the_backup, retries_after_the_interval, mandatory_actions_run_after_a_failure,
        partial_is_not_retried_and_keeps_the_gate_open, an_overdue_firing_waits_for_the_running_one,
        records_of_what_was_removed_go, found_backups_get_records, records_follow_rotation, what_is_written_beside_a_rotation_stays, continuous_follows_the_end, a_job_without_actions_succeeds, metrics_are_served,
        long_lists_of_a_step_cost_little;
    events:
        stop_and_start, abort_reaches_the_agent, abort_before_anybody_began, new_limits_reach_the_agent, a_polling_client_is_left_alone,
        an_unreadable_plan_ends_the_job, one_client_id_is_one_agent, of_two_first_hellos_at_once_one_is_taken,
        a_central_name_is_one_for_all, an_edited_plan_is_followed;
    faults:
        a_lost_agent_gets_the_step_again_and_its_old_report_is_stale, too_many_losses_fail_the_run,
        heartbeats_keep_the_lease, two_conductors_run_nothing_twice, a_crash_before_the_message_was_sent,
        what_a_dead_conductor_never_sent_is_taken_over, a_new_conductor_first_reads_what_was_reported,
        an_offline_agent_is_waited_for, an_agent_that_stays_away_fails_the_run, a_job_deleted_in_the_middle,
        a_restarted_agent_loses_its_step_at_once, a_repeated_end_is_known, a_clock_that_is_set_loses_no_agent,
        a_clock_that_is_set_fires_nothing_twice;
    link:
        an_agent_over_http_is_called_and_not_sent_to, another_agents_reports_are_refused,
        a_silent_agent_over_http_is_waited_for, names_over_http_are_each_projects_own,
        a_name_over_http_is_its_first_logins, a_namesakes_runs_take_nobodys_place,
        a_namesake_that_anybody_registers_costs_no_heartbeat_its_way, a_long_list_is_its_senders_own_affair;
    sessions:
        two_jobs_run_in_rounds, who_is_not_let_in_runs_all_the_same, both_jobs_due_at_once_are_one_round;
    announce:
        webhooks_tell_of_failed_and_missed_runs, an_agent_that_stays_away_is_told_of,
        a_job_that_polls_and_is_silent_is_told_of_once, a_silent_receiver_holds_nothing_up,
        letters_of_kinds_that_are_switched_off_go_after_a_day;
    fair:
        a_huge_first_backup_does_not_delay_another_project,
        a_huge_first_backup_on_a_central_agent_leaves_room, the_queue_is_ordered_by_shares,
        an_agents_limit_holds_beside_several_conductors, one_run_at_a_time_works_on_the_same_backups,
        quotas_hold_runs_back;
}
