DROP TABLE job_actions;
DROP TABLE backups;
DROP TABLE runs;
DROP TABLE jobs;
DROP TABLE actions;
DROP TABLE clients;
