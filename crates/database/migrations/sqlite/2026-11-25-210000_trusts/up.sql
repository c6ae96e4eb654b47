-- Keystone trusts that jobs act under, or did. The row is what a job that begins to use a trust and one that ceases to use it
-- meet at. unused_since: no job uses it any more and none will; ended_at: Keystone has ended it.
CREATE TABLE trusts (
    trust_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    trustor_user_id TEXT NOT NULL,
    unused_since BIGINT NULL,
    ended_at BIGINT NULL,
    PRIMARY KEY (trust_id)
);
CREATE INDEX trusts_given_up ON trusts (project_id, trustor_user_id, unused_since);
CREATE INDEX trusts_ended ON trusts (ended_at);
