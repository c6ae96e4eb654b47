-- A scheduler's poll reads the first jobs of its client in the order of lists: the index has that order, so that a client
-- with many jobs is not sorted for each poll.
CREATE INDEX jobs_of_client ON jobs (client_id, created_at, job_id, project_id);
DROP INDEX jobs_by_client;
