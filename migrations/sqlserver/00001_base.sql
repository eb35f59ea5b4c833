-- Conventions of every table, as in the embedded store:
--   times are UTC in microseconds (DATETIME2(6)), NULL where there is none;
--   ids are the 16 bytes of a UUID, in the order of their bytes;
--   texts compare by their code units: M001 and m001 are two machines;
--   a record's place in the order of its machine is (time, sequence_given,
--   sequence, id): a record without a sequence comes before one with any;
--   lists are JSON arrays.
-- There are no foreign keys: a record outlives its machine.
--
-- No database of this kind ever stood at version 1 alone, so that records, whose
-- layout changed with version 2, come with that.

-- +goose Up

-- The delivery ledger: what arrived under a sender's own name for it.
--   message: key is a message id of the machine, hash that of the content;
--   key:     key is an idempotency key, hash that of the request body; site and
--            machine are empty.
CREATE TABLE delivery (
    kind       NVARCHAR(10) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (kind IN (N'message', N'key')),
    site_id    NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    machine_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [key]      NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
    hash       BINARY(32) NOT NULL,
    record_id  BINARY(16) NOT NULL,
    status     NVARCHAR(20) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (status IN (N'created', N'duplicate')),
    arrived_at DATETIME2(6) NOT NULL,
    -- Its texts are too long together for the order of a table.
    CONSTRAINT delivery_key PRIMARY KEY NONCLUSTERED (kind, site_id, machine_id, [key])
);

CREATE CLUSTERED INDEX delivery_by_arrival ON delivery (kind, arrived_at);

-- The newest value of each signal. Three records matter to it: the newest that
-- bears the signal (head), the first of the run of equal snapshot values that
-- ends with the head (start, whose time the value keeps), and the last before
-- that run (floor, NULL if none).
CREATE TABLE latest (
    site_id              NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    machine_id           NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    signal               NVARCHAR(260) COLLATE Latin1_General_100_BIN2 NOT NULL,
    kind                 INT NOT NULL CHECK (kind BETWEEN 0 AND 4),
    value                NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    unit                 NVARCHAR(64) COLLATE Latin1_General_100_BIN2 NOT NULL,
    status_code          BIGINT NOT NULL,
    door                 NVARCHAR(10) COLLATE Latin1_General_100_BIN2 NOT NULL,
    received_at          DATETIME2(6) NOT NULL,
    head_time            DATETIME2(6) NOT NULL,
    head_sequence        BIGINT NULL,
    head_id              BINARY(16) NOT NULL,
    head_snapshot        BIT NOT NULL,
    start_time           DATETIME2(6) NOT NULL,
    start_sequence       BIGINT NULL,
    start_id             BINARY(16) NOT NULL,
    start_time_origin    NVARCHAR(10) COLLATE Latin1_General_100_BIN2 NOT NULL,
    floor_time           DATETIME2(6) NULL,
    floor_sequence       BIGINT NULL,
    floor_id             BINARY(16) NULL,
    -- Its texts are too long together for the order of a table.
    CONSTRAINT latest_key PRIMARY KEY NONCLUSTERED (site_id, machine_id, signal)
);

CREATE CLUSTERED INDEX latest_by_machine ON latest (site_id, machine_id);

-- doors is a set of bits: 1 rest, 2 mqtt, 4 opcua, 8 import.
CREATE TABLE equipment (
    site_id          NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (site_id <> N''),
    id               NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (id <> N''),
    level            NVARCHAR(20) COLLATE Latin1_General_100_BIN2 NOT NULL
        CHECK (level IN (N'enterprise', N'site', N'area', N'work_center', N'work_unit')),
    name             NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
    time_zone        NVARCHAR(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    auto_registered  BIT NOT NULL,
    created_at       DATETIME2(6) NOT NULL,
    last_received_at DATETIME2(6) NULL,
    last_time        DATETIME2(6) NULL,
    doors            BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT equipment_key PRIMARY KEY CLUSTERED (site_id, id)
);

CREATE TABLE quarantine (
    position    BIGINT IDENTITY(1, 1) NOT NULL,
    id          BINARY(16) NOT NULL,
    state       NVARCHAR(20) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (state IN (N'open', N'replayed', N'discarded')),
    received_at DATETIME2(6) NOT NULL,
    door        NVARCHAR(10) COLLATE Latin1_General_100_BIN2 NOT NULL,
    connection  NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
    address     NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    format      NVARCHAR(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
    time_zone   NVARCHAR(100) COLLATE Latin1_General_100_BIN2 NOT NULL, -- of times without an offset; '' is the format's own rule
    site_id     NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL, -- as it came, however long
    machine_id  NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    data_type   NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    code        NVARCHAR(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
    message     NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    fields      NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    resolved_at DATETIME2(6) NULL,
    resolved_by NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
    record_id   BINARY(16) NULL,
    raw         VARBINARY(MAX) NOT NULL,
    CONSTRAINT quarantine_position PRIMARY KEY CLUSTERED (position),
    CONSTRAINT quarantine_key UNIQUE NONCLUSTERED (id),
    CONSTRAINT quarantine_resolved CHECK (state = N'open' AND resolved_at IS NULL OR state <> N'open' AND resolved_at IS NOT NULL)
);

CREATE INDEX quarantine_by_state ON quarantine (state, id);

CREATE TABLE api_key (
    id             BINARY(16) NOT NULL,
    name           NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
    prefix         NVARCHAR(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    hash           BINARY(32) NOT NULL,
    scopes         NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    limit_sites    NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    limit_machines NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    created_at     DATETIME2(6) NOT NULL,
    expires_at     DATETIME2(6) NULL,
    revoked_at     DATETIME2(6) NULL,
    CONSTRAINT api_key_key PRIMARY KEY CLUSTERED (id),
    CONSTRAINT api_key_prefix UNIQUE NONCLUSTERED (prefix)
);

-- +goose Down

DROP TABLE api_key;
DROP TABLE quarantine;
DROP TABLE equipment;
DROP TABLE latest;
DROP TABLE delivery;
