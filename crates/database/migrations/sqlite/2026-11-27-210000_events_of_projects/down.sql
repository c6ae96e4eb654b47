DROP INDEX outbox_of_project;
ALTER TABLE outbox DROP COLUMN project_id;
