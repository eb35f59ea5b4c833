-- What came last by each connection to a broker without an identity of its own: the
-- broker delivers again what was not acknowledged.

-- +goose Up

-- name is of a place in the order of deliveries, or of a topic; number counts the
-- deliveries of the connection, and the highest of a name counts.
CREATE TABLE connection_delivery (
    connection NVARCHAR(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
    name       NVARCHAR(80) COLLATE Latin1_General_100_BIN2 NOT NULL,
    number     BIGINT NOT NULL,
    content    BINARY(16) NOT NULL,
    CONSTRAINT connection_delivery_key PRIMARY KEY (connection, name)
);

-- +goose Down

DROP TABLE connection_delivery;
