-- The application credential that speaks for a client over HTTPS; empty: the login of the user itself. Null: none has yet.
ALTER TABLE clients ADD COLUMN bound_to TEXT NULL;
