-- How far the values of each node of an OPC UA connection are stored, and what may be
-- missing before that: after a restart it is where history is read from.

-- +goose Up

-- node is a hash of the machine, the signal and the node id, or names the connection
-- itself, of which committed is when it was last heard of. committed, gap_from and gap_to
-- are by the clock of the source, gap_since by plantgate's.
CREATE TABLE opcua_cursor (
    connection NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    node       BINARY(16) NOT NULL,
    committed  DATETIME2(6) NOT NULL,
    gap_from   DATETIME2(6) NULL,
    gap_to     DATETIME2(6) NULL,
    gap_since  DATETIME2(6) NULL,
    CONSTRAINT opcua_cursor_key PRIMARY KEY (connection, node)
);

-- +goose Down

DROP TABLE opcua_cursor;
