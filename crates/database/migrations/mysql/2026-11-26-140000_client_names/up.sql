-- A row to lock: who decides whose a client's name is holds it meanwhile. It says nothing itself.
CREATE TABLE client_names (
    client_id VARCHAR(255) NOT NULL PRIMARY KEY
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
