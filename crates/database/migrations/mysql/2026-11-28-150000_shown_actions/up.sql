-- What documents of the job say of its actions, as text, so that a list of jobs is a look at this table alone. NULL: it has to be
-- made from the rows, because one of them has changed since, or because it is long.
ALTER TABLE jobs ADD COLUMN shown_actions MEDIUMTEXT NULL;
