-- What freezer-manage import has taken over once: a row that was deleted here since is not brought back by the next import.
CREATE TABLE imported (
    noun TEXT NOT NULL,
    project_id TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (noun, project_id, id)
);
