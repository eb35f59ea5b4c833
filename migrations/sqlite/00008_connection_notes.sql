-- What a connection to the floor has to know after a restart, such as which certificates
-- of OPC UA servers somebody has to decide of.

-- +goose Up

-- name is the connection's own; note is text that only it reads.
CREATE TABLE connection_note (
    connection TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    note       BLOB    NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (connection, name)
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE connection_note;
