ALTER TABLE jobs DROP COLUMN shown_actions;
