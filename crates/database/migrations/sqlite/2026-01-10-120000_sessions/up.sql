-- Jobs that start together. time_start and time_end are whole seconds, -1 = never: the words of the REST API.
CREATE TABLE sessions (
    project_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    description TEXT NULL,
    session_tag BIGINT NOT NULL,
    hold_off BIGINT NOT NULL,
    status TEXT NOT NULL,
    result TEXT NULL,
    time_start BIGINT NOT NULL,
    time_end BIGINT NOT NULL,
    schedule TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, session_id)
);
CREATE INDEX sessions_list ON sessions (project_id, created_at, session_id);

-- The members of a session in the order of their position. A member's job need not exist (any more). Times are seconds.
CREATE TABLE session_jobs (
    project_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    status TEXT NOT NULL,
    result TEXT NOT NULL,
    time_started BIGINT NOT NULL,
    time_ended BIGINT NOT NULL,
    session_tag BIGINT NOT NULL,
    PRIMARY KEY (project_id, session_id, job_id),
    FOREIGN KEY (project_id, session_id) REFERENCES sessions (project_id, session_id) ON DELETE CASCADE
);
CREATE INDEX session_jobs_by_job ON session_jobs (project_id, job_id);

-- A user's event that no polling scheduler has been shown: its reports must not clear it.
ALTER TABLE jobs ADD COLUMN event_is_new BOOLEAN NOT NULL DEFAULT 0;
