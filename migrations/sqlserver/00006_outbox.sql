-- Commands to machines, what is on its way to brokers and others, and which requests
-- were answered already.

-- +goose Up

CREATE TABLE command (
    id              BINARY(16) NOT NULL,
    site_id         NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (site_id <> N''),
    machine_id      NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (machine_id <> N''),
    name            NVARCHAR(64) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (name <> N''),
    parameters      NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL, -- a JSON object
    created_at      DATETIME2(6) NOT NULL,
    expires_at      DATETIME2(6) NULL,
    created_by      NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
    state           NVARCHAR(20) COLLATE Latin1_General_100_BIN2 NOT NULL
        CHECK (state IN (N'pending', N'sent', N'acknowledged', N'rejected', N'completed', N'failed', N'expired', N'cancelled')),
    sent_at         DATETIME2(6) NULL,
    acknowledged_at DATETIME2(6) NULL,
    finished_at     DATETIME2(6) NULL,
    reply_message   NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    reply_data      NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NULL, -- JSON
    CONSTRAINT command_key PRIMARY KEY CLUSTERED (id)
);

CREATE INDEX command_by_machine ON command (site_id, machine_id, id);

-- What goes to a target when the transaction that put it is committed: in the order of
-- position among those of one key, and until the target has taken it. A message that is
-- taken is deleted.
CREATE TABLE outbox (
    position   BIGINT IDENTITY(1, 1) NOT NULL,
    id         BINARY(16) NOT NULL,
    target     NVARCHAR(140) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (target <> N''),
    order_key  NVARCHAR(260) COLLATE Latin1_General_100_BIN2 NOT NULL,
    topic      NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    payload    VARBINARY(MAX) NOT NULL,
    qos        INT NOT NULL CHECK (qos BETWEEN 0 AND 2),
    retained   BIT NOT NULL,
    created_at DATETIME2(6) NOT NULL,
    expires_at DATETIME2(6) NULL,
    CONSTRAINT outbox_key PRIMARY KEY NONCLUSTERED (position)
);

CREATE UNIQUE CLUSTERED INDEX outbox_by_key ON outbox (target, order_key, position);
CREATE INDEX outbox_by_id ON outbox (id);
-- For the keys that wait, how many wait and since when, without the messages themselves.
CREATE INDEX outbox_waiting ON outbox (target, order_key, created_at);

-- Idempotency keys of requests that made something, for as long as they count: the hash
-- is that of the request, the id that of what it made.
CREATE TABLE request (
    request_key NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
    hash        BINARY(32) NOT NULL,
    resource_id BINARY(16) NOT NULL,
    created_at  DATETIME2(6) NOT NULL,
    CONSTRAINT request_unique_key PRIMARY KEY CLUSTERED (request_key)
);

CREATE INDEX request_by_age ON request (created_at);

-- +goose Down

DROP TABLE request;
DROP TABLE outbox;
DROP TABLE command;
