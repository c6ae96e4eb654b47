-- When the scheduler that polls for the job last said something of it, or was given something new to follow: its silence counts
-- from then. NULL while nobody waits for its word.
ALTER TABLE jobs ADD COLUMN heard_at BIGINT NULL;
