-- A run that was handed out, and of which nobody has noted yet that the broker took the order.
ALTER TABLE runs ADD COLUMN is_unsent BOOLEAN NOT NULL DEFAULT FALSE;
