-- What edge nodes and devices of Sparkplug B said at their birth: without it their data,
-- which name metrics by aliases, can't be read after a restart.

-- +goose Up

-- name is group/node or group/node/device; payload is the message as it came.
CREATE TABLE sparkplug_birth (
    connection  TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    payload     BLOB    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (connection, name)
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE sparkplug_birth;
