package store

// latestRows are the rows of a bulk statement, in the order of latestColumns.
var latestRows = rowsOf("site_id NVARCHAR(128)", "machine_id NVARCHAR(128)", "signal NVARCHAR(260)",
	"kind INT", "value NVARCHAR(MAX)", "unit NVARCHAR(64)", "status_code BIGINT", "door NVARCHAR(10)", "received_at DATETIME2(6)",
	"head_time DATETIME2(6)", "head_sequence BIGINT", "head_id BINARY(16)", "head_snapshot BIT",
	"start_time DATETIME2(6)", "start_sequence BIGINT", "start_id BINARY(16)", "start_time_origin NVARCHAR(10)",
	"floor_time DATETIME2(6)", "floor_sequence BIGINT", "floor_id BINARY(16)")

var putLatestSQLServer = `UPDATE l SET
		kind = j.kind, value = j.value, unit = j.unit, status_code = j.status_code, door = j.door, received_at = j.received_at,
		head_time = j.head_time, head_sequence = j.head_sequence, head_id = j.head_id, head_snapshot = j.head_snapshot,
		start_time = j.start_time, start_sequence = j.start_sequence, start_id = j.start_id, start_time_origin = j.start_time_origin,
		floor_time = j.floor_time, floor_sequence = j.floor_sequence, floor_id = j.floor_id
	FROM latest AS l
	JOIN ` + latestRows + ` ON j.site_id = l.site_id AND j.machine_id = l.machine_id AND j.signal = l.signal;
	INSERT INTO latest (` + latestColumns + `)
	SELECT ` + latestColumns + `
	FROM ` + latestRows + `
	WHERE NOT EXISTS (SELECT 1 FROM latest AS l
		WHERE l.site_id = j.site_id AND l.machine_id = j.machine_id AND l.signal = j.signal)`
