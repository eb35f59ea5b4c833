package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// TestKillImport kills imports at different moments: what the last one, which nobody
// kills, has made and found is every row once.
func TestKillImport(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	folder := t.TempDir()
	err := inSQLite(filepath.Join(folder, "plant.db"), fmt.Sprintf(`
		CREATE TABLE MES_Data (DataType TEXT, Payload TEXT, CreatedAt TEXT);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO MES_Data SELECT 'Production', '{"MachineID":"M' || (i %% 7) || '","Value":1}', datetime('2025-11-03', (i / 14) || ' seconds') FROM n`, rows))
	if err != nil {
		t.Fatal(err)
	}
	command := func() *exec.Cmd {
		c := exec.CommandContext(t.Context(), "plantgate", "import", "mes-data")
		c.Dir, c.Env = folder, append(c.Environ(), "PLANTGATE_STORE_DSN=sqlite:plant.db")
		return c
	}
	stored := func() bool {
		return inSQLite(filepath.Join(folder, "plant.db"), "CREATE TEMP TABLE some (ok CHECK (ok)); INSERT INTO some SELECT count(*) > 0 FROM record") == nil
	}
	// On a busy machine it takes longer until there is something to be killed in.
	for moment := time.Duration(0); moment <= 1600*time.Millisecond || moment < time.Minute && !stored(); moment = max(100*time.Millisecond, 2*moment) {
		c := command()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(moment) // another each time
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	created, duplicates := summary(t, command())
	if created+duplicates != rows {
		t.Errorf("%d created, %d duplicates of %d rows", created, duplicates, rows)
	}
	if created == rows {
		t.Error("no import had stored anything when it was killed")
	}
	t.Logf("%d were there after the kills", duplicates)
	if created, duplicates := summary(t, command()); created != 0 || duplicates != rows {
		t.Errorf("once more: %d created, %d duplicates", created, duplicates)
	}
	if err := inSQLite(filepath.Join(folder, "plant.db"), fmt.Sprintf(
		"CREATE TABLE proof (ok CHECK (ok)); INSERT INTO proof SELECT count(*) = %d AND count(DISTINCT message_id) = %d FROM record", rows, rows)); err != nil {
		t.Errorf("the rows are not in the database once each: %v", err)
	}
}

var summaryLine = regexp.MustCompile(`rows? read: (\d+) created, (\d+) duplicates?, 0 quarantined, 0 in`)

func summary(t *testing.T, c *exec.Cmd) (created, duplicates int) {
	t.Helper()
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := summaryLine.FindSubmatch(out)
	if m == nil {
		t.Fatalf("no summary: %s", out)
	}
	created, _ = strconv.Atoi(string(m[1]))
	duplicates, _ = strconv.Atoi(string(m[2]))
	return created, duplicates
}
