-- What people did to the floor: who, when, what, why, and what came of it.

-- +goose Up

CREATE TABLE audit (
    id          BINARY(16) NOT NULL,
    action      NVARCHAR(64) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (action <> N''),
    connection  NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    state       NVARCHAR(20) COLLATE Latin1_General_100_BIN2 NOT NULL
        CHECK (state IN (N'pending', N'done', N'partial', N'refused', N'failed')),
    created_at  DATETIME2(6) NOT NULL,
    finished_at DATETIME2(6) NULL,
    created_by  NVARCHAR(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
    reason      NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    detail      NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
    request     NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL, -- JSON, empty where there is none
    result      NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL, -- JSON, empty where there is none
    CONSTRAINT audit_key PRIMARY KEY CLUSTERED (id),
    CONSTRAINT audit_finished CHECK (state = N'pending' AND finished_at IS NULL OR state <> N'pending' AND finished_at IS NOT NULL)
);

-- +goose Down

DROP TABLE audit;
