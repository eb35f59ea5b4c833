-- What came last by each connection to a broker without an identity of its own: the
-- broker delivers again what was not acknowledged.

-- +goose Up

-- name is of a place in the order of deliveries, or of a topic; number counts the
-- deliveries of the connection, and the highest of a name counts.
CREATE TABLE connection_delivery (
    connection TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    content    BLOB    NOT NULL CHECK (length(content) = 16),
    PRIMARY KEY (connection, name)
) STRICT, WITHOUT ROWID;

-- +goose Down

DROP TABLE connection_delivery;
