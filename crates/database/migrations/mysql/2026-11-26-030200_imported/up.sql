-- What freezer-manage import has taken over once: a row that was deleted here since is not brought back by the next import.
CREATE TABLE imported (
    noun VARCHAR(16) NOT NULL,
    project_id VARCHAR(64) NOT NULL,
    id VARCHAR(255) NOT NULL,
    PRIMARY KEY (noun, project_id, id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
