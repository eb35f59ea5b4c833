-- For a database that several servers commit to themselves.

-- +goose Up

-- Records whose consequences (newest values, minutes to roll up, what equipment
-- was heard of) are not up to date yet. Each lane of machines is followed by one
-- server at a time.
CREATE TABLE arrival (
    position       INTEGER PRIMARY KEY AUTOINCREMENT,
    lane           INTEGER NOT NULL,
    unit           INTEGER NOT NULL,
    time           INTEGER NOT NULL,
    sequence_given INTEGER NOT NULL,
    sequence       INTEGER NOT NULL,
    id             BLOB    NOT NULL CHECK (length(id) = 16)
) STRICT;

CREATE INDEX arrival_by_lane ON arrival (lane, position);

-- Who does what only one server may do at a time: follow a lane, own a connection.
-- epoch counts the owners; whoever writes as an owner proves its epoch in the same
-- transaction. began_at is when the epoch began.
CREATE TABLE lease (
    name       TEXT    NOT NULL PRIMARY KEY CHECK (name <> ''),
    owner      TEXT    NOT NULL, -- '' if it is free
    epoch      INTEGER NOT NULL,
    began_at   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE lease;
DROP TABLE arrival;
