ALTER TABLE runs DROP COLUMN is_unsent;
