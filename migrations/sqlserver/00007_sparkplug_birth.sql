-- What edge nodes and devices of Sparkplug B said at their birth: without it their data,
-- which name metrics by aliases, can't be read after a restart.

-- +goose Up

-- name is group/node or group/node/device; payload is the message as it came.
CREATE TABLE sparkplug_birth (
    connection  NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    name        NVARCHAR(300) COLLATE Latin1_General_100_BIN2 NOT NULL,
    payload     VARBINARY(MAX) NOT NULL,
    received_at DATETIME2(6) NOT NULL,
    CONSTRAINT sparkplug_birth_key PRIMARY KEY (connection, name)
);

-- +goose Down

DROP TABLE sparkplug_birth;
