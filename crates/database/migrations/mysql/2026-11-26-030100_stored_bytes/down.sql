-- Sums were right before as well: there is nothing to be undone.
UPDATE backups SET stored_bytes = stored_bytes WHERE 1 = 0;
