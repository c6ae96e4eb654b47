-- A row to lock where several may write at once; here nobody does. It says nothing itself.
CREATE TABLE client_names (
    client_id TEXT NOT NULL PRIMARY KEY
);
