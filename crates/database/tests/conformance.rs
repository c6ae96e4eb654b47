//! One suite, both back ends. Each test has a database of its own and removes it.
//!
//! MySQL needs the feature: `cargo test -p freezer-database --features mysql`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "suite/claims.rs"]
mod claims;
#[path = "suite/pieces.rs"]
mod pieces;
#[path = "suite/place.rs"]
mod place;
#[path = "suite/rows.rs"]
mod rows;
#[path = "suite/sessions.rs"]
mod sessions;
#[path = "suite/shown.rs"]
mod shown;
#[path = "suite/trusts.rs"]
mod trusts;
#[path = "suite/unreadable.rs"]
mod unreadable;
#[path = "suite/values.rs"]
mod values;

macro_rules! conformance_suite {
    ($($module:ident: $($test:ident),+ $(,)?;)+) => {
        mod sqlite {
            $($(
                #[test]
                fn $test() {
                    let place = crate::place::Place::sqlite();
                    crate::$module::$test(&place);
                }
            )+)+
        }
        #[cfg(feature = "mysql")]
        mod mysql {
            $($(
                #[test]
                fn $test() {
                    let place = crate::place::Place::mysql();
                    crate::$module::$test(&place);
                }
            )+)+
        }
    };
}

conformance_suite! {
    rows:
        clients_own_before_central, client_upsert_and_signs_of_life, actions_and_their_jobs, jobs_round_trip,
        job_lists, lists_cost_a_fixed_number_of_statements, runs_round_trip_and_lists, backups_filters,
        deleted_ids_can_be_used_again, purge_keeps_the_newest_run, sync_is_repeatable;
    trusts:
        a_trust_is_given_up_by_its_last_job_and_never_taken_again, one_of_two_sees_the_other;
    unreadable:
        lists_leave_out_what_cannot_be_read, whoever_asks_for_an_unreadable_row_is_told;
    pieces:
        pieces_of_records, pieces_of_jobs, a_large_page_of_jobs_costs_three_statements, runs_are_listed_without_what_is_large, a_job_that_became_too_long_is_found,
        impossible_times_are_shown_as_possible_ones, however_many_are_named;
    values:
        four_byte_text_and_odd_ids, too_long_is_told_by_field, large_documents, ids_are_case_sensitive,
        conflicts_and_missing_rows, sizes_of_older_records_are_filled_in, no_sum_of_sizes_is_too_large;
    claims:
        threads_claim_each_job_once, threads_claim_each_run_once, attention_moves_only_earlier,
        a_silence_begins_with_the_last_word, a_failed_transaction_leaves_nothing, an_unreadable_row_does_not_stop_the_others,
        what_is_saved_in_bulk_is_what_is_saved_alone, shares_space_projects_out, increments_are_not_lost, projects_are_apart;
    shown:
        documents_say_what_the_rows_say, who_has_no_text_gets_it, an_upgrade_makes_the_texts, whatever_happens_at_the_same_time, an_action_changes_while_a_job_is_made_of_it, long_or_foreign_text_is_not_read;
    sessions:
        sessions_round_trip, session_lists, one_round_begins_once, jobs_come_and_go,
        events_stay_new_until_they_are_shown;
}
