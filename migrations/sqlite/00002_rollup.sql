-- Sums of signals over time. Minutes are numbered from 1970; widths are in
-- minutes: 1, 60, 1440.

-- +goose Up

-- Numbers of work units, which keep the keys of large tables short.
CREATE TABLE unit (
    number     INTEGER PRIMARY KEY,
    site_id    TEXT NOT NULL,
    machine_id TEXT NOT NULL,
    UNIQUE (site_id, machine_id)
) STRICT;

-- Minutes whose sums do not stand for their records. Every record that comes to
-- a minute raises its generation.
CREATE TABLE rollup_due (
    unit       INTEGER NOT NULL,
    minute     INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (unit, minute)
) STRICT, WITHOUT ROWID;

-- Packed buckets of one signal, and their sketches: 60 minutes, 24 hours or 32
-- days, numbered from 1970.
CREATE TABLE rollup (
    unit     INTEGER NOT NULL,
    signal   TEXT    NOT NULL,
    width    INTEGER NOT NULL CHECK (width IN (1, 60, 1440)),
    block    INTEGER NOT NULL,
    buckets  BLOB    NOT NULL,
    sketches BLOB    NOT NULL,
    PRIMARY KEY (unit, signal, width, block)
) STRICT, WITHOUT ROWID;

INSERT INTO unit (site_id, machine_id)
SELECT DISTINCT site_id, machine_id FROM record;

INSERT INTO rollup_due (unit, minute, generation)
SELECT DISTINCT number, (time - (time % 60000000 + 60000000) % 60000000) / 60000000, 1
FROM record JOIN unit USING (site_id, machine_id);

-- +goose Down

DROP TABLE rollup;
DROP TABLE rollup_due;
DROP TABLE unit;
