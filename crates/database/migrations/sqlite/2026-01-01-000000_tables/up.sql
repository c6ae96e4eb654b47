-- Every row belongs to a project. Times are milliseconds since the Unix epoch, UTC, unless a comment says otherwise.

CREATE TABLE clients (
    project_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    uuid TEXT NOT NULL,
    user_id TEXT NOT NULL,
    hostname TEXT NULL,
    description TEXT NULL,
    capabilities TEXT NOT NULL,
    is_central BOOLEAN NOT NULL,
    link TEXT NOT NULL,
    agent_version TEXT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NULL,
    PRIMARY KEY (project_id, client_id)
);
CREATE UNIQUE INDEX clients_uuid ON clients (project_id, uuid);
CREATE INDEX clients_by_id ON clients (client_id, is_central);
CREATE INDEX clients_central ON clients (is_central, created_at);
CREATE INDEX clients_list ON clients (project_id, created_at, client_id);
CREATE INDEX clients_silent ON clients (last_seen_at);

CREATE TABLE actions (
    project_id TEXT NOT NULL,
    action_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    freezer_action TEXT NOT NULL,
    max_retries INTEGER NOT NULL,
    max_retries_interval INTEGER NOT NULL,
    mandatory BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, action_id)
);
CREATE INDEX actions_list ON actions (project_id, created_at, action_id);

-- time_created, time_started and time_ended are whole seconds, -1 = never: the words of the REST API.
CREATE TABLE jobs (
    project_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    description TEXT NULL,
    session_id TEXT NULL,
    session_tag BIGINT NOT NULL,
    plan TEXT NOT NULL,
    event TEXT NOT NULL,
    status TEXT NOT NULL,
    result TEXT NOT NULL,
    time_created BIGINT NOT NULL,
    time_started BIGINT NOT NULL,
    time_ended BIGINT NOT NULL,
    current_pid BIGINT NULL,
    trust_id TEXT NULL,
    trustor_user_id TEXT NULL,
    created_at BIGINT NOT NULL,
    plan_version BIGINT NOT NULL,
    planned_version BIGINT NULL,
    next_run_at BIGINT NULL,
    attention_at BIGINT NULL,
    PRIMARY KEY (project_id, job_id)
);
CREATE INDEX jobs_list ON jobs (project_id, created_at, job_id);
CREATE INDEX jobs_list_all ON jobs (created_at, job_id, project_id);
CREATE INDEX jobs_by_client ON jobs (client_id, status);
CREATE INDEX jobs_by_session ON jobs (project_id, session_id);
CREATE INDEX jobs_by_id ON jobs (job_id);
CREATE INDEX jobs_by_trust ON jobs (trust_id);
CREATE INDEX jobs_attention ON jobs (attention_at);

CREATE TABLE job_actions (
    project_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    action_id TEXT NOT NULL,
    PRIMARY KEY (project_id, job_id, position),
    FOREIGN KEY (project_id, job_id) REFERENCES jobs (project_id, job_id) ON DELETE CASCADE,
    FOREIGN KEY (project_id, action_id) REFERENCES actions (project_id, action_id) ON DELETE CASCADE
);
CREATE INDEX job_actions_by_action ON job_actions (project_id, action_id);

-- One firing of a job. It outlives its job: the history stays until it is purged.
CREATE TABLE runs (
    run_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    state TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    action_index INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    actions TEXT NOT NULL,
    steps TEXT NOT NULL,
    progress TEXT NOT NULL,
    error TEXT NULL,
    abort_requested BOOLEAN NOT NULL,
    cause TEXT NOT NULL,
    request_id TEXT NULL,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT NULL,
    finished_at BIGINT NULL,
    attention_at BIGINT NULL,
    PRIMARY KEY (run_id)
);
CREATE INDEX runs_by_job ON runs (project_id, job_id, created_at);
CREATE INDEX runs_list ON runs (project_id, created_at, run_id);
CREATE INDEX runs_attention ON runs (attention_at);
CREATE INDEX runs_by_client ON runs (client_id, state);
CREATE INDEX runs_by_state ON runs (state, finished_at);

-- time_stamp, backup_name, container, hostname and job_id repeat what is in metadata, to be searched by index.
-- time_stamp is whole seconds.
CREATE TABLE backups (
    project_id TEXT NOT NULL,
    backup_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    job_id TEXT NULL,
    status TEXT NOT NULL,
    status_is_explicit BOOLEAN NOT NULL,
    time_stamp BIGINT NULL,
    backup_name TEXT NULL,
    container TEXT NULL,
    hostname TEXT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, backup_id)
);
CREATE INDEX backups_list ON backups (project_id, created_at, backup_id);
CREATE INDEX backups_by_time ON backups (project_id, time_stamp);
CREATE INDEX backups_by_name ON backups (project_id, backup_name);
CREATE INDEX backups_by_container ON backups (project_id, container);
CREATE INDEX backups_by_hostname ON backups (project_id, hostname);
CREATE INDEX backups_by_job ON backups (project_id, job_id);
CREATE INDEX backups_by_status ON backups (status, created_at);
