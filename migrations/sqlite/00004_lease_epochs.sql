-- Who had a lease since when: what a server received as an owner while it could not
-- reach the database is judged by it later.

-- +goose Up

CREATE TABLE lease_epoch (
    name     TEXT    NOT NULL,
    epoch    INTEGER NOT NULL,
    owner    TEXT    NOT NULL,
    began_at INTEGER NOT NULL,
    PRIMARY KEY (name, epoch)
) STRICT, WITHOUT ROWID;

CREATE INDEX lease_epoch_by_age ON lease_epoch (began_at);

-- +goose Down

DROP TABLE lease_epoch;
