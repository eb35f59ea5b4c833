-- Records stand in the order of machine and time, so that the history of a
-- machine is read from pages that hold nothing else. They come here from the log
-- of arrivals, in larger sorted steps.
--   unit    is equipment.number of the work unit;
--   origin  is origin.number;
--   position is the number in the order of arrival, never used twice.

-- +goose Up

DROP VIEW MES_Data;

-- Whatever has records is equipment.
INSERT INTO equipment (site_id, id, level, name, time_zone, auto_registered, created_at, last_received_at, last_time)
SELECT site_id, machine_id, 'work_unit', '', '', 1, min(received_at), max(received_at), max(time)
FROM record WHERE true GROUP BY site_id, machine_id
ON CONFLICT DO NOTHING;

ALTER TABLE equipment ADD COLUMN number INTEGER;

UPDATE equipment SET number = numbered.number
FROM (SELECT site_id, id, row_number() OVER (ORDER BY site_id, id) AS number FROM equipment) AS numbered
WHERE numbered.site_id = equipment.site_id AND numbered.id = equipment.id;

CREATE UNIQUE INDEX equipment_by_number ON equipment (number);

-- Where messages come from: a door, its connection, the address there (topic,
-- node id, path) and the format that their bytes were read by.
CREATE TABLE origin (
    number     INTEGER PRIMARY KEY,
    door       TEXT NOT NULL,
    connection TEXT NOT NULL,
    address    TEXT NOT NULL,
    format     TEXT NOT NULL,
    UNIQUE (door, connection, address, format)
) STRICT;

INSERT INTO origin (door, connection, address, format)
SELECT DISTINCT door, connection, address, format FROM record;

ALTER TABLE record RENAME TO record_1;
DROP INDEX record_by_machine;
DROP INDEX record_by_time;
DROP INDEX record_snapshots;

CREATE TABLE record (
    unit           INTEGER NOT NULL,
    time           INTEGER NOT NULL,
    sequence_given INTEGER NOT NULL,
    sequence       INTEGER NOT NULL,
    id             BLOB    NOT NULL,
    position       INTEGER NOT NULL,
    data_type      TEXT    NOT NULL,
    time_origin    TEXT    NOT NULL,
    server_time    INTEGER,
    received_at    INTEGER NOT NULL,
    status         TEXT    NOT NULL,
    status_code    INTEGER NOT NULL,
    message_id     TEXT,             -- NULL if none
    snapshot       INTEGER NOT NULL,
    flags          TEXT,             -- NULL if none
    origin         INTEGER NOT NULL,
    -- [[name, kind, canonical text, unit], ...] in ascending order of names.
    signals        TEXT    NOT NULL,
    -- The JSON object as it came; NULL where there was none.
    payload        BLOB,
    PRIMARY KEY (unit, time, sequence_given, sequence, id)
) STRICT, WITHOUT ROWID;

INSERT INTO record
SELECT equipment.number, r.time, r.sequence_given, r.sequence, r.id, r.position, r.data_type, r.time_origin,
    r.server_time, r.received_at, r.status, r.status_code, nullif(r.message_id, ''), r.snapshot, nullif(r.flags, '[]'), origin.number,
    r.signals, r.payload
FROM record_1 AS r
JOIN equipment ON equipment.site_id = r.site_id AND equipment.id = r.machine_id
JOIN origin ON origin.door = r.door AND origin.connection = r.connection
    AND origin.address = r.address AND origin.format = r.format
ORDER BY 1, 2, 3, 4, 5;

-- An id begins with the milliseconds of its record's time, so that it is found
-- here as well. It is made of the site and the machine too, so that the primary
-- key keeps it unique; the log of arrivals does that for the position.
CREATE INDEX record_by_time ON record (time, sequence_given, sequence, id);
CREATE INDEX record_by_position ON record (position);
-- Finds the neighbours of a snapshot that arrives late.
CREATE INDEX record_snapshots ON record (unit, time, sequence_given, sequence, id) WHERE snapshot = 1;

-- How far the log of arrivals was taken over: which log (0 is none yet), where it
-- goes on, and the number of the newest record. One row.
CREATE TABLE applied (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    log_id   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    arrivals INTEGER NOT NULL
) STRICT;

INSERT INTO applied (one, log_id, position, arrivals) SELECT 1, 0, 0, coalesce(max(position), 0) FROM record;

DROP TABLE record_1;

-- Minutes of a work unit whose roll-ups do not stand for its records (yet).
-- generation counts the changes, so that one that comes meanwhile is not missed.
CREATE TABLE rollup_due (
    unit       INTEGER NOT NULL,
    minute     INTEGER NOT NULL, -- minutes since 1970
    generation INTEGER NOT NULL,
    PRIMARY KEY (unit, minute)
) STRICT, WITHOUT ROWID;

INSERT INTO rollup_due (unit, minute, generation)
SELECT DISTINCT unit, time / 60000000, 1 FROM record;

-- Packed buckets of one signal, and their sketches: 60 minutes, 24 hours or 32
-- days of one width, numbered from 1970.
CREATE TABLE rollup (
    unit     INTEGER NOT NULL,
    signal   TEXT    NOT NULL,
    width    INTEGER NOT NULL CHECK (width IN (1, 60, 1440)), -- minutes
    block    INTEGER NOT NULL,
    buckets  BLOB    NOT NULL,
    sketches BLOB    NOT NULL,
    PRIMARY KEY (unit, signal, width, block)
) STRICT, WITHOUT ROWID;

-- For reports: what came, one row a record. Payload is the object as it came, or
-- one of MachineID, Status and the signals where the record came without one.
CREATE VIEW MES_Data (Id, RecordId, DataType, Payload, SiteId, MachineId, Timestamp, ReceivedAt) AS
SELECT
    record.position,
    lower(substr(hex(record.id), 1, 8) || '-' || substr(hex(record.id), 9, 4) || '-' || substr(hex(record.id), 13, 4)
        || '-' || substr(hex(record.id), 17, 4) || '-' || substr(hex(record.id), 21, 12)),
    record.data_type,
    coalesce(CAST(record.payload AS TEXT), (
        SELECT json_group_object(name, json(value)) FROM (
            SELECT 'MachineID' AS name, json_quote(equipment.id) AS value
            UNION ALL
            SELECT 'Status', json_quote(record.status) WHERE record.status <> ''
            UNION ALL
            SELECT s.value ->> 0,
                CASE s.value ->> 1
                    WHEN 0 THEN 'null'
                    WHEN 3 THEN json_quote(s.value ->> 2)
                    ELSE s.value ->> 2
                END
            FROM json_each(record.signals) AS s
        )
    )),
    equipment.site_id,
    equipment.id,
    strftime('%Y-%m-%dT%H:%M:%S', (record.time - (record.time % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (record.time % 1000000 + 1000000) % 1000000),
    strftime('%Y-%m-%dT%H:%M:%S', (record.received_at - (record.received_at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (record.received_at % 1000000 + 1000000) % 1000000)
FROM record
JOIN equipment ON equipment.number = record.unit;

-- +goose Down

DROP VIEW MES_Data;

DROP TABLE rollup;
DROP TABLE rollup_due;
DROP TABLE applied;

ALTER TABLE record RENAME TO record_2;
DROP INDEX record_by_time;
DROP INDEX record_by_position;
DROP INDEX record_snapshots;

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
    signals        TEXT    NOT NULL,
    payload        BLOB
) STRICT;

INSERT INTO record
SELECT r.position, r.id, equipment.site_id, equipment.id, r.data_type, r.time, r.sequence_given, r.sequence,
    r.time_origin, r.server_time, r.received_at, r.status, r.status_code, coalesce(r.message_id, ''), r.snapshot,
    coalesce(r.flags, '[]'), origin.door, origin.connection, origin.address, origin.format,
    r.signals, r.payload
FROM record_2 AS r
JOIN equipment ON equipment.number = r.unit
JOIN origin ON origin.number = r.origin
ORDER BY r.position;

DROP TABLE record_2;
DROP TABLE origin;

CREATE INDEX record_by_machine ON record (site_id, machine_id, time, sequence_given, sequence, id);
CREATE INDEX record_by_time ON record (time, sequence_given, sequence, id);
CREATE INDEX record_snapshots ON record (site_id, machine_id, time, sequence_given, sequence, id)
    WHERE snapshot = 1;

DROP INDEX equipment_by_number;
ALTER TABLE equipment DROP COLUMN number;

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
