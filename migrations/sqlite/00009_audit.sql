-- What people did to the floor: who, when, what, why, and what came of it.

-- +goose Up

CREATE TABLE audit (
    id          BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    action      TEXT    NOT NULL CHECK (action <> ''),
    connection  TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'done', 'partial', 'refused', 'failed')),
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    created_by  TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    request     TEXT    NOT NULL, -- JSON, empty where there is none
    result      TEXT    NOT NULL, -- JSON, empty where there is none
    CHECK ((state = 'pending') = (finished_at IS NULL))
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE audit;
