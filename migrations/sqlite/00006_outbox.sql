-- Commands to machines, what is on its way to brokers and others, and which requests
-- were answered already.

-- +goose Up

CREATE TABLE command (
    id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    site_id         TEXT    NOT NULL CHECK (site_id <> ''),
    machine_id      TEXT    NOT NULL CHECK (machine_id <> ''),
    name            TEXT    NOT NULL CHECK (name <> ''),
    parameters      TEXT    NOT NULL, -- a JSON object
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    created_by      TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('pending', 'sent', 'acknowledged', 'rejected', 'completed', 'failed', 'expired', 'cancelled')),
    sent_at         INTEGER,
    acknowledged_at INTEGER,
    finished_at     INTEGER,
    reply_message   TEXT    NOT NULL,
    reply_data      TEXT -- JSON
) STRICT;

CREATE INDEX command_by_machine ON command (site_id, machine_id, id);

-- What goes to a target when the transaction that put it is committed: in the order of
-- position among those of one key, and until the target has taken it. A message that is
-- taken is deleted.
CREATE TABLE outbox (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB    NOT NULL CHECK (length(id) = 16),
    target     TEXT    NOT NULL CHECK (target <> ''),
    order_key  TEXT    NOT NULL,
    topic      TEXT    NOT NULL,
    payload    BLOB    NOT NULL,
    qos        INTEGER NOT NULL CHECK (qos BETWEEN 0 AND 2),
    retained   INTEGER NOT NULL CHECK (retained IN (0, 1)),
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE INDEX outbox_by_key ON outbox (target, order_key, position);
CREATE INDEX outbox_by_id ON outbox (id);
-- For the keys that wait, how many wait and since when, without the messages themselves.
CREATE INDEX outbox_waiting ON outbox (target, order_key, created_at);

-- Idempotency keys of requests that made something, for as long as they count: the hash
-- is that of the request, the id that of what it made.
CREATE TABLE request (
    request_key TEXT    NOT NULL PRIMARY KEY,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),
    resource_id BLOB    NOT NULL CHECK (length(resource_id) = 16),
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX request_by_age ON request (created_at);

-- +goose Down

DROP TABLE request;
DROP TABLE outbox;
DROP TABLE command;
