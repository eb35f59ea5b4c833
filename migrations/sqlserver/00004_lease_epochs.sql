-- Who had a lease since when: what a server received as an owner while it could not
-- reach the database is judged by it later.

-- +goose Up

CREATE TABLE lease_epoch (
    name     NVARCHAR(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
    epoch    BIGINT NOT NULL,
    owner    NVARCHAR(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
    began_at DATETIME2(6) NOT NULL,
    CONSTRAINT lease_epoch_key PRIMARY KEY CLUSTERED (name, epoch)
);

CREATE INDEX lease_epoch_by_age ON lease_epoch (began_at);

-- +goose Down

DROP TABLE lease_epoch;
