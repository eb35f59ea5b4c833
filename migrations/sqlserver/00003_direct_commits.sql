-- For a database that several servers commit to themselves.

-- +goose Up

-- Records whose consequences (newest values, minutes to roll up, what equipment
-- was heard of) are not up to date yet. Each lane of machines is followed by one
-- server at a time.
CREATE TABLE arrival (
    position       BIGINT IDENTITY(1, 1) NOT NULL,
    lane           INT NOT NULL,
    unit           BIGINT NOT NULL,
    time           DATETIME2(6) NOT NULL,
    sequence_given BIT NOT NULL,
    sequence       BIGINT NOT NULL,
    id             BINARY(16) NOT NULL,
    CONSTRAINT arrival_key PRIMARY KEY NONCLUSTERED (position)
);

CREATE UNIQUE CLUSTERED INDEX arrival_by_lane ON arrival (lane, position);

-- Who does what only one server may do at a time: follow a lane, own a connection.
-- epoch counts the owners; whoever writes as an owner proves its epoch in the same
-- transaction. began_at is when the epoch began.
CREATE TABLE lease (
    name       NVARCHAR(200) COLLATE Latin1_General_100_BIN2 NOT NULL CHECK (name <> N''),
    owner      NVARCHAR(200) COLLATE Latin1_General_100_BIN2 NOT NULL, -- '' if it is free
    epoch      BIGINT NOT NULL,
    began_at   DATETIME2(6) NOT NULL,
    expires_at DATETIME2(6) NOT NULL,
    CONSTRAINT lease_key PRIMARY KEY CLUSTERED (name)
);

-- +goose Down

DROP TABLE lease;
DROP TABLE arrival;
