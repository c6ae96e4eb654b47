-- Whose event for webhooks a letter is: only so many of a project wait at the same time. Counted by the index alone.
ALTER TABLE outbox ADD COLUMN project_id VARCHAR(64) NULL;
CREATE INDEX outbox_of_project ON outbox (project_id, kind);
