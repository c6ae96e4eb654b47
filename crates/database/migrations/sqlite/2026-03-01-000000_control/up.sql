-- Queue of runs, slots, shares, quotas, and messages that wait to leave.

ALTER TABLE clients ADD COLUMN concurrent_steps INTEGER NULL;

-- queue_tag is share_tag while a run is ready to be handed out, else NULL. storage_key and target_key belong to the
-- current action; waiting_for is the key of the slot that a run waits for.
ALTER TABLE runs ADD COLUMN share_tag BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN queue_tag BIGINT NULL;
ALTER TABLE runs ADD COLUMN storage_key TEXT NULL;
ALTER TABLE runs ADD COLUMN target_key TEXT NULL;
ALTER TABLE runs ADD COLUMN waiting_for TEXT NULL;
CREATE INDEX runs_queue ON runs (queue_tag, run_id);
CREATE INDEX runs_waiting ON runs (waiting_for, share_tag);
CREATE INDEX runs_by_storage ON runs (storage_key, state, project_id);
CREATE INDEX runs_by_target ON runs (target_key, state);
CREATE INDEX runs_by_project ON runs (project_id, state);
CREATE INDEX runs_active ON runs (job_id, state);
CREATE INDEX job_actions_by_job ON job_actions (job_id);

-- Repeats what metadata says about the size, to be summed by index.
ALTER TABLE backups ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;
CREATE INDEX backups_usage ON backups (project_id, stored_bytes);

CREATE TABLE shares (
    project_id TEXT NOT NULL,
    finish_tag BIGINT NOT NULL,
    PRIMARY KEY (project_id)
);

-- One row. Whoever holds it hands out runs.
CREATE TABLE dispatch_turn (
    id INTEGER NOT NULL,
    virtual_time BIGINT NOT NULL,
    PRIMARY KEY (id)
);
INSERT INTO dispatch_turn (id, virtual_time) VALUES (1, 0);

-- NULL: the configured default. -1: no limit.
CREATE TABLE quotas (
    project_id TEXT NOT NULL,
    jobs BIGINT NULL,
    runs BIGINT NULL,
    stored_bytes BIGINT NULL,
    weight INTEGER NULL,
    PRIMARY KEY (project_id)
);

-- Written together with what they tell of, and removed when they have been sent.
CREATE TABLE outbox (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    attention_at BIGINT NULL,
    last_error TEXT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX outbox_attention ON outbox (attention_at);
