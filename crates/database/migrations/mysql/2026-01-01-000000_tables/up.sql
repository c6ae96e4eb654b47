-- Every row belongs to a project. Times are milliseconds since the Unix epoch, UTC, unless a comment says otherwise.

CREATE TABLE clients (
    project_id VARCHAR(64) NOT NULL,
    client_id VARCHAR(255) NOT NULL,
    uuid VARCHAR(64) NOT NULL,
    user_id VARCHAR(64) NOT NULL,
    hostname VARCHAR(255) NULL,
    description VARCHAR(255) NULL,
    capabilities MEDIUMTEXT NOT NULL,
    is_central BOOLEAN NOT NULL,
    link VARCHAR(16) NOT NULL,
    agent_version VARCHAR(255) NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NULL,
    PRIMARY KEY (project_id, client_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE UNIQUE INDEX clients_uuid ON clients (project_id, uuid);
CREATE INDEX clients_by_id ON clients (client_id, is_central);
CREATE INDEX clients_central ON clients (is_central, created_at);
CREATE INDEX clients_list ON clients (project_id, created_at, client_id);
CREATE INDEX clients_silent ON clients (last_seen_at);

CREATE TABLE actions (
    project_id VARCHAR(64) NOT NULL,
    action_id VARCHAR(64) NOT NULL,
    user_id VARCHAR(64) NOT NULL,
    freezer_action MEDIUMTEXT NOT NULL,
    max_retries INTEGER NOT NULL,
    max_retries_interval INTEGER NOT NULL,
    mandatory BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, action_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX actions_list ON actions (project_id, created_at, action_id);

-- time_created, time_started and time_ended are whole seconds, -1 = never: the words of the REST API.
CREATE TABLE jobs (
    project_id VARCHAR(64) NOT NULL,
    job_id VARCHAR(64) NOT NULL,
    user_id VARCHAR(64) NOT NULL,
    client_id VARCHAR(255) NOT NULL,
    description VARCHAR(255) NULL,
    session_id VARCHAR(64) NULL,
    session_tag BIGINT NOT NULL,
    plan MEDIUMTEXT NOT NULL,
    event VARCHAR(16) NOT NULL,
    status VARCHAR(16) NOT NULL,
    result VARCHAR(16) NOT NULL,
    time_created BIGINT NOT NULL,
    time_started BIGINT NOT NULL,
    time_ended BIGINT NOT NULL,
    current_pid BIGINT NULL,
    trust_id VARCHAR(255) NULL,
    trustor_user_id VARCHAR(64) NULL,
    created_at BIGINT NOT NULL,
    plan_version BIGINT NOT NULL,
    planned_version BIGINT NULL,
    next_run_at BIGINT NULL,
    attention_at BIGINT NULL,
    PRIMARY KEY (project_id, job_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX jobs_list ON jobs (project_id, created_at, job_id);
CREATE INDEX jobs_list_all ON jobs (created_at, job_id, project_id);
CREATE INDEX jobs_by_client ON jobs (client_id, status);
CREATE INDEX jobs_by_session ON jobs (project_id, session_id);
CREATE INDEX jobs_by_id ON jobs (job_id);
CREATE INDEX jobs_by_trust ON jobs (trust_id);
CREATE INDEX jobs_attention ON jobs (attention_at);

CREATE TABLE job_actions (
    project_id VARCHAR(64) NOT NULL,
    job_id VARCHAR(64) NOT NULL,
    position INTEGER NOT NULL,
    action_id VARCHAR(64) NOT NULL,
    PRIMARY KEY (project_id, job_id, position),
    FOREIGN KEY (project_id, job_id) REFERENCES jobs (project_id, job_id) ON DELETE CASCADE,
    FOREIGN KEY (project_id, action_id) REFERENCES actions (project_id, action_id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX job_actions_by_action ON job_actions (project_id, action_id);

-- One firing of a job. It outlives its job: the history stays until it is purged.
CREATE TABLE runs (
    run_id VARCHAR(64) NOT NULL,
    project_id VARCHAR(64) NOT NULL,
    job_id VARCHAR(64) NOT NULL,
    client_id VARCHAR(255) NOT NULL,
    state VARCHAR(16) NOT NULL,
    epoch BIGINT NOT NULL,
    action_index INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    actions LONGTEXT NOT NULL,
    steps LONGTEXT NOT NULL,
    progress MEDIUMTEXT NOT NULL,
    error MEDIUMTEXT NULL,
    abort_requested BOOLEAN NOT NULL,
    cause VARCHAR(32) NOT NULL,
    request_id VARCHAR(255) NULL,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT NULL,
    finished_at BIGINT NULL,
    attention_at BIGINT NULL,
    PRIMARY KEY (run_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX runs_by_job ON runs (project_id, job_id, created_at);
CREATE INDEX runs_list ON runs (project_id, created_at, run_id);
CREATE INDEX runs_attention ON runs (attention_at);
CREATE INDEX runs_by_client ON runs (client_id, state);
CREATE INDEX runs_by_state ON runs (state, finished_at);

-- time_stamp, backup_name, container, hostname and job_id repeat what is in metadata, to be searched by index.
-- time_stamp is whole seconds.
CREATE TABLE backups (
    project_id VARCHAR(64) NOT NULL,
    backup_id VARCHAR(64) NOT NULL,
    user_id VARCHAR(64) NOT NULL,
    job_id VARCHAR(64) NULL,
    status VARCHAR(16) NOT NULL,
    status_is_explicit BOOLEAN NOT NULL,
    time_stamp BIGINT NULL,
    backup_name VARCHAR(512) NULL,
    container VARCHAR(512) NULL,
    hostname VARCHAR(255) NULL,
    metadata LONGTEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, backup_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX backups_list ON backups (project_id, created_at, backup_id);
CREATE INDEX backups_by_time ON backups (project_id, time_stamp);
CREATE INDEX backups_by_name ON backups (project_id, backup_name);
CREATE INDEX backups_by_container ON backups (project_id, container);
CREATE INDEX backups_by_hostname ON backups (project_id, hostname);
CREATE INDEX backups_by_job ON backups (project_id, job_id);
CREATE INDEX backups_by_status ON backups (status, created_at);
