-- Conventions of every table:
--   times are microseconds since 1970-01-01T00:00:00Z, NULL where there is none;
--   ids are the 16 bytes of a UUID;
--   a record's place in the order of its machine is (time, sequence_given,
--   sequence, id): a record without a sequence comes before one with any;
--   lists are JSON arrays.
-- There are no foreign keys: a record is durable before its machine is
-- registered, and outlives it.

-- +goose Up

-- position is the order of arrival and is never used twice.
CREATE TABLE record (
    position       INTEGER PRIMARY KEY AUTOINCREMENT,
    id             BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    site_id        TEXT    NOT NULL CHECK (site_id <> ''),
    machine_id     TEXT    NOT NULL CHECK (machine_id <> ''),
    data_type      TEXT    NOT NULL,
    time           INTEGER NOT NULL,
    sequence_given INTEGER NOT NULL CHECK (sequence_given IN (0, 1)),
    sequence       INTEGER NOT NULL CHECK (sequence_given = 1 OR sequence = 0),
    time_origin    TEXT    NOT NULL CHECK (time_origin IN ('source', 'server', 'receipt')),
    server_time    INTEGER,
    received_at    INTEGER NOT NULL,
    status         TEXT    NOT NULL,
    status_code    INTEGER NOT NULL CHECK (status_code BETWEEN 0 AND 4294967295),
    message_id     TEXT    NOT NULL,
    snapshot       INTEGER NOT NULL CHECK (snapshot IN (0, 1)),
    flags          TEXT    NOT NULL,
    door           TEXT    NOT NULL,
    connection     TEXT    NOT NULL,
    address        TEXT    NOT NULL,
    format         TEXT    NOT NULL,
    -- [[name, kind, canonical text, unit], ...] in ascending order of names.
    signals        TEXT    NOT NULL,
    -- The JSON object as it came; NULL where there was none.
    payload        BLOB
) STRICT;

CREATE INDEX record_by_machine ON record (site_id, machine_id, time, sequence_given, sequence, id);
CREATE INDEX record_by_time ON record (time, sequence_given, sequence, id);
-- Finds the neighbours of a snapshot that arrives late.
CREATE INDEX record_snapshots ON record (site_id, machine_id, time, sequence_given, sequence, id)
    WHERE snapshot = 1;

-- The delivery ledger: what arrived under a sender's own name for it.
--   message: key is a message id of the machine, hash that of the content;
--   key:     key is an idempotency key, hash that of the request body; site and
--            machine are empty.
CREATE TABLE delivery (
    kind       TEXT    NOT NULL CHECK (kind IN ('message', 'key')),
    site_id    TEXT    NOT NULL,
    machine_id TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    record_id  BLOB    NOT NULL CHECK (length(record_id) = 16),
    status     TEXT    NOT NULL CHECK (status IN ('created', 'duplicate')),
    arrived_at INTEGER NOT NULL,
    PRIMARY KEY (kind, site_id, machine_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_by_arrival ON delivery (kind, arrived_at);

-- The newest value of each signal. Three records matter to it: the newest that
-- bears the signal (head), the first of the run of equal snapshot values that
-- ends with the head (start, whose time the value keeps), and the last before
-- that run (floor, NULL if none).
CREATE TABLE latest (
    site_id              TEXT    NOT NULL,
    machine_id           TEXT    NOT NULL,
    signal               TEXT    NOT NULL,
    kind                 INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 4),
    value                TEXT    NOT NULL,
    unit                 TEXT    NOT NULL,
    status_code          INTEGER NOT NULL,
    door                 TEXT    NOT NULL,
    received_at          INTEGER NOT NULL,
    head_time            INTEGER NOT NULL,
    head_sequence        INTEGER,
    head_id              BLOB    NOT NULL CHECK (length(head_id) = 16),
    head_snapshot        INTEGER NOT NULL CHECK (head_snapshot IN (0, 1)),
    start_time           INTEGER NOT NULL,
    start_sequence       INTEGER,
    start_id             BLOB    NOT NULL CHECK (length(start_id) = 16),
    start_time_origin    TEXT    NOT NULL,
    floor_time           INTEGER,
    floor_sequence       INTEGER,
    floor_id             BLOB,
    PRIMARY KEY (site_id, machine_id, signal)
) STRICT, WITHOUT ROWID;

-- doors is a set of bits: 1 rest, 2 mqtt, 4 opcua, 8 import.
CREATE TABLE equipment (
    site_id          TEXT    NOT NULL CHECK (site_id <> ''),
    id               TEXT    NOT NULL CHECK (id <> ''),
    level            TEXT    NOT NULL CHECK (level IN ('enterprise', 'site', 'area', 'work_center', 'work_unit')),
    name             TEXT    NOT NULL,
    time_zone        TEXT    NOT NULL,
    auto_registered  INTEGER NOT NULL CHECK (auto_registered IN (0, 1)),
    created_at       INTEGER NOT NULL,
    last_received_at INTEGER,
    last_time        INTEGER,
    doors            INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    state       TEXT    NOT NULL CHECK (state IN ('open', 'replayed', 'discarded')),
    received_at INTEGER NOT NULL,
    door        TEXT    NOT NULL,
    connection  TEXT    NOT NULL,
    address     TEXT    NOT NULL,
    format      TEXT    NOT NULL,
    time_zone   TEXT    NOT NULL, -- of times without an offset; '' is the format's own rule
    site_id     TEXT    NOT NULL,
    machine_id  TEXT    NOT NULL,
    data_type   TEXT    NOT NULL,
    code        TEXT    NOT NULL,
    message     TEXT    NOT NULL,
    fields      TEXT    NOT NULL,
    resolved_at INTEGER,
    resolved_by TEXT    NOT NULL,
    record_id   BLOB             CHECK (record_id IS NULL OR length(record_id) = 16),
    raw         BLOB    NOT NULL,
    CHECK ((state = 'open') = (resolved_at IS NULL))
) STRICT;

CREATE INDEX quarantine_by_state ON quarantine (state, id);

CREATE TABLE api_key (
    id             BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name           TEXT    NOT NULL,
    prefix         TEXT    NOT NULL UNIQUE,
    hash           BLOB    NOT NULL CHECK (length(hash) = 32),
    scopes         TEXT    NOT NULL,
    limit_sites    TEXT    NOT NULL,
    limit_machines TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    revoked_at     INTEGER
) STRICT, WITHOUT ROWID;

-- For reports: what came, one row a record. Payload is the object as it came, or
-- one of MachineID, Status and the signals where the record came without one.
CREATE VIEW MES_Data (Id, RecordId, DataType, Payload, SiteId, MachineId, Timestamp, ReceivedAt) AS
SELECT
    position,
    lower(substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' || substr(hex(id), 13, 4)
        || '-' || substr(hex(id), 17, 4) || '-' || substr(hex(id), 21, 12)),
    data_type,
    coalesce(CAST(payload AS TEXT), (
        SELECT json_group_object(name, json(value)) FROM (
            SELECT 'MachineID' AS name, json_quote(machine_id) AS value
            UNION ALL
            SELECT 'Status', json_quote(status) WHERE status <> ''
            UNION ALL
            SELECT s.value ->> 0,
                CASE s.value ->> 1
                    WHEN 0 THEN 'null'
                    WHEN 3 THEN json_quote(s.value ->> 2)
                    ELSE s.value ->> 2
                END
            FROM json_each(signals) AS s
        )
    )),
    site_id,
    machine_id,
    strftime('%Y-%m-%dT%H:%M:%S', (time - (time % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (time % 1000000 + 1000000) % 1000000),
    strftime('%Y-%m-%dT%H:%M:%S', (received_at - (received_at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (received_at % 1000000 + 1000000) % 1000000)
FROM record;

-- +goose Down

DROP VIEW MES_Data;
DROP TABLE api_key;
DROP TABLE quarantine;
DROP TABLE equipment;
DROP TABLE latest;
DROP TABLE delivery;
DROP TABLE record;
