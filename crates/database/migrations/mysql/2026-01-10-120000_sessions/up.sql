-- Jobs that start together. time_start and time_end are whole seconds, -1 = never: the words of the REST API.
CREATE TABLE sessions (
    project_id VARCHAR(64) NOT NULL,
    session_id VARCHAR(64) NOT NULL,
    user_id VARCHAR(64) NOT NULL,
    description VARCHAR(255) NULL,
    session_tag BIGINT NOT NULL,
    hold_off BIGINT NOT NULL,
    status VARCHAR(255) NOT NULL,
    result VARCHAR(255) NULL,
    time_start BIGINT NOT NULL,
    time_end BIGINT NOT NULL,
    schedule MEDIUMTEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, session_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX sessions_list ON sessions (project_id, created_at, session_id);

-- The members of a session in the order of their position. A member's job need not exist (any more). Times are seconds.
CREATE TABLE session_jobs (
    project_id VARCHAR(64) NOT NULL,
    session_id VARCHAR(64) NOT NULL,
    job_id VARCHAR(64) NOT NULL,
    position INTEGER NOT NULL,
    client_id VARCHAR(255) NOT NULL,
    status VARCHAR(255) NOT NULL,
    result VARCHAR(255) NOT NULL,
    time_started BIGINT NOT NULL,
    time_ended BIGINT NOT NULL,
    session_tag BIGINT NOT NULL,
    PRIMARY KEY (project_id, session_id, job_id),
    FOREIGN KEY (project_id, session_id) REFERENCES sessions (project_id, session_id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX session_jobs_by_job ON session_jobs (project_id, job_id);

-- A user's event that no polling scheduler has been shown: its reports must not clear it.
ALTER TABLE jobs ADD COLUMN event_is_new BOOLEAN NOT NULL DEFAULT FALSE;
