DROP INDEX outbox_of_project ON outbox;
ALTER TABLE outbox DROP COLUMN project_id;
