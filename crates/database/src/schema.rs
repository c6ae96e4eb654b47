//! The tables as diesel sees them. Column lengths are in `limits.rs`, indexes in `migrations/`.

diesel::table! {
    clients (project_id, client_id) {
        project_id -> Text,
        client_id -> Text,
        uuid -> Text,
        user_id -> Text,
        hostname -> Nullable<Text>,
        description -> Nullable<Text>,
        capabilities -> Text,
        is_central -> Bool,
        link -> Text,
        agent_version -> Nullable<Text>,
        concurrent_steps -> Nullable<Integer>,
        bound_to -> Nullable<Text>,
        created_at -> BigInt,
        last_seen_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    actions (project_id, action_id) {
        project_id -> Text,
        action_id -> Text,
        user_id -> Text,
        freezer_action -> Text,
        max_retries -> Integer,
        max_retries_interval -> Integer,
        mandatory -> Bool,
        created_at -> BigInt,
    }
}

diesel::table! {
    jobs (project_id, job_id) {
        project_id -> Text,
        job_id -> Text,
        user_id -> Text,
        client_id -> Text,
        description -> Nullable<Text>,
        session_id -> Nullable<Text>,
        session_tag -> BigInt,
        plan -> Text,
        event -> Text,
        status -> Text,
        result -> Text,
        time_created -> BigInt,
        time_started -> BigInt,
        time_ended -> BigInt,
        current_pid -> Nullable<BigInt>,
        trust_id -> Nullable<Text>,
        trustor_user_id -> Nullable<Text>,
        created_at -> BigInt,
        plan_version -> BigInt,
        planned_version -> Nullable<BigInt>,
        next_run_at -> Nullable<BigInt>,
        attention_at -> Nullable<BigInt>,
        event_is_new -> Bool,
        heard_at -> Nullable<BigInt>,
        shown_actions -> Nullable<Text>,
    }
}

diesel::table! {
    job_actions (project_id, job_id, position) {
        project_id -> Text,
        job_id -> Text,
        position -> Integer,
        action_id -> Text,
    }
}

diesel::table! {
    runs (run_id) {
        run_id -> Text,
        project_id -> Text,
        job_id -> Text,
        client_id -> Text,
        state -> Text,
        epoch -> BigInt,
        action_index -> Integer,
        attempt -> Integer,
        losses -> Integer,
        actions -> Text,
        steps -> Text,
        progress -> Text,
        error -> Nullable<Text>,
        abort_requested -> Bool,
        cause -> Text,
        request_id -> Nullable<Text>,
        due_at -> BigInt,
        created_at -> BigInt,
        started_at -> Nullable<BigInt>,
        finished_at -> Nullable<BigInt>,
        attention_at -> Nullable<BigInt>,
        share_tag -> BigInt,
        queue_tag -> Nullable<BigInt>,
        storage_key -> Nullable<Text>,
        target_key -> Nullable<Text>,
        waiting_for -> Nullable<Text>,
        is_unsent -> Bool,
    }
}

diesel::table! {
    backups (project_id, backup_id) {
        project_id -> Text,
        backup_id -> Text,
        user_id -> Text,
        job_id -> Nullable<Text>,
        status -> Text,
        status_is_explicit -> Bool,
        time_stamp -> Nullable<BigInt>,
        backup_name -> Nullable<Text>,
        container -> Nullable<Text>,
        hostname -> Nullable<Text>,
        metadata -> Text,
        created_at -> BigInt,
        stored_bytes -> BigInt,
    }
}

diesel::table! {
    shares (project_id) {
        project_id -> Text,
        finish_tag -> BigInt,
    }
}

diesel::table! {
    dispatch_turn (id) {
        id -> Integer,
        virtual_time -> BigInt,
    }
}

diesel::table! {
    quotas (project_id) {
        project_id -> Text,
        jobs -> Nullable<BigInt>,
        runs -> Nullable<BigInt>,
        stored_bytes -> Nullable<BigInt>,
        weight -> Nullable<Integer>,
    }
}

diesel::table! {
    outbox (id) {
        id -> Text,
        kind -> Text,
        body -> Text,
        created_at -> BigInt,
        attempts -> Integer,
        attention_at -> Nullable<BigInt>,
        last_error -> Nullable<Text>,
        project_id -> Nullable<Text>,
    }
}

diesel::table! {
    sessions (project_id, session_id) {
        project_id -> Text,
        session_id -> Text,
        user_id -> Text,
        description -> Nullable<Text>,
        session_tag -> BigInt,
        hold_off -> BigInt,
        status -> Text,
        result -> Nullable<Text>,
        time_start -> BigInt,
        time_end -> BigInt,
        schedule -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    session_jobs (project_id, session_id, job_id) {
        project_id -> Text,
        session_id -> Text,
        job_id -> Text,
        position -> Integer,
        client_id -> Text,
        status -> Text,
        result -> Text,
        time_started -> BigInt,
        time_ended -> BigInt,
        session_tag -> BigInt,
    }
}

diesel::table! {
    trusts (trust_id) {
        trust_id -> Text,
        project_id -> Text,
        trustor_user_id -> Text,
        unused_since -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    imported (noun, project_id, id) {
        noun -> Text,
        project_id -> Text,
        id -> Text,
    }
}

diesel::table! {
    client_names (client_id) {
        client_id -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(actions, backups, clients, job_actions, jobs, quotas, runs);
