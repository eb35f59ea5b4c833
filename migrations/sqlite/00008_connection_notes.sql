-- What a connection to the floor has to know after a restart, such as up to where nothing
-- is missing of the nodes of an OPC UA server.

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
