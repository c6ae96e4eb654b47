CREATE INDEX jobs_by_client ON jobs (client_id, status);
DROP INDEX jobs_of_client ON jobs;
