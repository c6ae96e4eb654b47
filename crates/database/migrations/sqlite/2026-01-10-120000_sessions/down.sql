ALTER TABLE jobs DROP COLUMN event_is_new;
DROP TABLE session_jobs;
DROP TABLE sessions;
