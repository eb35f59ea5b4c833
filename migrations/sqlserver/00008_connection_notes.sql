-- What a connection to the floor has to know after a restart, such as which certificates
-- of OPC UA servers somebody has to decide of.

-- +goose Up

-- name is the connection's own; note is text that only it reads.
CREATE TABLE connection_note (
    connection NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    name       NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    note       VARBINARY(MAX) NOT NULL,
    changed_at DATETIME2(6) NOT NULL,
    CONSTRAINT connection_note_key PRIMARY KEY (connection, name)
);

-- +goose Down

DROP TABLE connection_note;
