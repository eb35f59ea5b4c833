-- How far the values of each node of an OPC UA connection are stored, and what may be
-- missing before that: after a restart it is where history is read from.

-- +goose Up

-- node is a hash of the machine, the signal and the node id, or names the connection
-- itself, of which committed is when it was last heard of. committed, gap_from and gap_to
-- are by the clock of the source, gap_since by plantgate's.
CREATE TABLE opcua_cursor (
    connection TEXT    NOT NULL,
    node       BLOB    NOT NULL CHECK (length(node) = 16),
    committed  INTEGER NOT NULL,
    gap_from   INTEGER,
    gap_to     INTEGER,
    gap_since  INTEGER,
    PRIMARY KEY (connection, node)
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE opcua_cursor;
