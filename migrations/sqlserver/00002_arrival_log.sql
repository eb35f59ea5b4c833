-- Records stand in the order of machine and time, so that the history of a
-- machine is read from pages that hold nothing else.
--   unit    is equipment.number of the work unit;
--   origin  is origin.number;
--   position is the number in the order of arrival, never used twice.

-- +goose Up

ALTER TABLE equipment ADD number BIGINT NULL;

CREATE UNIQUE INDEX equipment_by_number ON equipment (number) WHERE number IS NOT NULL;

-- Where messages come from: a door, its connection, the address there (topic,
-- node id, path) and the format that their bytes were read by.
CREATE TABLE origin (
    number     BIGINT IDENTITY(1, 1) NOT NULL,
    door       NVARCHAR(10) COLLATE Latin1_General_100_BIN2 NOT NULL,
    connection NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
    address    NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    format     NVARCHAR(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
    -- SHA-256 of the four: an address is too long for an index.
    hash       BINARY(32) NOT NULL,
    CONSTRAINT origin_key PRIMARY KEY CLUSTERED (number),
    CONSTRAINT origin_by_name UNIQUE NONCLUSTERED (hash)
);

CREATE TABLE record (
    unit           BIGINT NOT NULL,
    time           DATETIME2(6) NOT NULL,
    sequence_given BIT NOT NULL,
    sequence       BIGINT NOT NULL,
    id             BINARY(16) NOT NULL,
    position       BIGINT IDENTITY(1, 1) NOT NULL,
    data_type      NVARCHAR(20) COLLATE Latin1_General_100_BIN2 NOT NULL,
    time_origin    NVARCHAR(10) COLLATE Latin1_General_100_BIN2 NOT NULL,
    server_time    DATETIME2(6) NULL,
    received_at    DATETIME2(6) NOT NULL,
    status         NVARCHAR(20) COLLATE Latin1_General_100_BIN2 NOT NULL,
    status_code    BIGINT NOT NULL,
    message_id     NVARCHAR(256) COLLATE Latin1_General_100_BIN2 NULL, -- NULL if none
    snapshot       BIT NOT NULL,
    flags          NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NULL, -- NULL if none
    origin         BIGINT NOT NULL,
    -- [[name, kind, canonical text, unit], ...] in ascending order of names.
    signals        NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (ISJSON(signals) = 1),
    -- The JSON object as it came; NULL where there was none.
    payload        NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NULL,
    CONSTRAINT record_key PRIMARY KEY CLUSTERED (unit, time, sequence_given, sequence, id),
    -- Ids begin with the time: new ones come to stand at the end.
    CONSTRAINT record_by_id UNIQUE NONCLUSTERED (id)
);

CREATE INDEX record_by_time ON record (time, sequence_given, sequence, id);
CREATE INDEX record_by_position ON record (position);
-- Finds the neighbours of a snapshot that arrives late.
CREATE INDEX record_snapshots ON record (unit, time, sequence_given, sequence, id) WHERE snapshot = 1;

-- How far the log of arrivals was taken over: which log (0 is none yet), where it
-- goes on, and the number of the newest record. One row.
CREATE TABLE applied (
    one      INT NOT NULL CHECK (one = 1),
    log_id   BIGINT NOT NULL,
    position BIGINT NOT NULL,
    arrivals BIGINT NOT NULL,
    CONSTRAINT applied_key PRIMARY KEY CLUSTERED (one)
);

INSERT INTO applied (one, log_id, position, arrivals) VALUES (1, 0, 0, 0);

-- Minutes of a work unit whose roll-ups do not stand for its records (yet).
-- generation counts the changes, so that one that comes meanwhile is not missed.
CREATE TABLE rollup_due (
    unit       BIGINT NOT NULL,
    minute     BIGINT NOT NULL, -- minutes since 1970
    generation BIGINT NOT NULL,
    CONSTRAINT rollup_due_key PRIMARY KEY CLUSTERED (unit, minute)
);

-- Packed buckets of one signal, and their sketches: 60 minutes, 24 hours or 32
-- days of one width, numbered from 1970.
CREATE TABLE rollup (
    unit     BIGINT NOT NULL,
    signal   NVARCHAR(260) COLLATE Latin1_General_100_BIN2 NOT NULL,
    width    BIGINT NOT NULL CHECK (width IN (1, 60, 1440)), -- minutes
    block    BIGINT NOT NULL,
    buckets  VARBINARY(MAX) NOT NULL,
    sketches VARBINARY(MAX) NOT NULL,
    CONSTRAINT rollup_key PRIMARY KEY CLUSTERED (unit, signal, width, block)
);

-- For reports: what came, one row a record. Payload is the object as it came, or
-- one of MachineID, Status and the signals where the record came without one.
-- +goose StatementBegin
CREATE VIEW MES_Data (Id, RecordId, DataType, Payload, SiteId, MachineId, [Timestamp], ReceivedAt) AS
SELECT
    r.position,
    -- A UNIQUEIDENTIFIER shows the first three groups of its bytes turned round.
    LOWER(CONCAT(
        SUBSTRING(g.text, 7, 2), SUBSTRING(g.text, 5, 2), SUBSTRING(g.text, 3, 2), SUBSTRING(g.text, 1, 2), '-',
        SUBSTRING(g.text, 12, 2), SUBSTRING(g.text, 10, 2), '-', SUBSTRING(g.text, 17, 2), SUBSTRING(g.text, 15, 2),
        SUBSTRING(g.text, 19, 18))),
    r.data_type,
    COALESCE(r.payload, CAST(CONCAT(
        N'{"MachineID":"', STRING_ESCAPE(e.id, 'json'), N'"',
        CASE WHEN r.status <> N'' THEN CONCAT(N',"Status":"', r.status, N'"') ELSE N'' END,
        (SELECT STRING_AGG(CONCAT(
                N',"', STRING_ESCAPE(s.name, 'json'), N'":',
                CASE s.kind
                    WHEN 0 THEN N'null'
                    WHEN 3 THEN CONCAT(N'"', STRING_ESCAPE(s.value, 'json'), N'"')
                    ELSE s.value
                END), N'')
            FROM OPENJSON(r.signals) WITH (
                name  NVARCHAR(MAX) '$[0]',
                kind  INT '$[1]',
                value NVARCHAR(MAX) '$[2]'
            ) AS s),
        N'}') AS NVARCHAR(MAX))),
    e.site_id,
    e.id,
    r.time,
    r.received_at
FROM record AS r
JOIN equipment AS e ON e.number = r.unit
CROSS APPLY (SELECT CAST(CAST(r.id AS UNIQUEIDENTIFIER) AS CHAR(36)) AS text) AS g;
-- +goose StatementEnd

-- +goose Down

DROP VIEW MES_Data;
DROP TABLE rollup;
DROP TABLE rollup_due;
DROP TABLE applied;
DROP TABLE record;
DROP TABLE origin;
DROP INDEX equipment_by_number ON equipment;
ALTER TABLE equipment DROP COLUMN number;
