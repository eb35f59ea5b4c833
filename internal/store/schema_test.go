package store_test

import (
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
	"plantgate/migrations"
)

// newestVersion is how many steps lead to the schema of the program.
func newestVersion(t *testing.T) int {
	t.Helper()
	all, err := fs.Glob(migrations.SQLite, "sqlite/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestSchemaTakenBack takes the schema of a shared database back under a server, by a
// step and as a whole: it is a database that is away until the schema is right again.
func TestSchemaTakenBack(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]int{"one step": 1, "all": newestVersion(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := "sqlite:" + filepath.Join(t.TempDir(), "plant.db")
			operator := open(t, dsn, store.Options{})
			s := open(t, dsn, store.Options{})
			db := apptest.OpenShared(t, s, app.SharedOptions{
				Sites: []mes.Equipment{{SiteID: "s", ID: "s", Level: mes.LevelSite, TimeZone: "UTC"}},
				Spool: app.SpoolOptions{Folder: filepath.Join(t.TempDir(), "log.d"), Every: 20 * time.Millisecond},
			})
			intake := db.Intake()
			n := 0
			kept := map[mes.ID]bool{}
			post := func() mes.ReceiptStatus {
				t.Helper()
				n++
				r := storetest.Append(t, intake, storetest.NewRecord("s", "m", time.Now().Add(time.Duration(n)*time.Millisecond)))[0]
				if steps == 1 || r.Status == mes.ReceiptAccepted { // else its table may go
					kept[r.ID] = true
				}
				return r.Status
			}
			if status := post(); status != mes.ReceiptCreated {
				t.Fatal(status)
			}
			down(t, operator, steps)
			apptest.Eventually(t, "the server sees that the schema is another", func() bool { return post() == mes.ReceiptAccepted })
			for what, call := range map[string]func() error{
				"records":   func() error { _, err := db.Records(t.Context(), mes.RecordFilter{}); return err },
				"equipment": func() error { _, err := db.EquipmentList(t.Context(), mes.EquipmentFilter{}); return err },
				"API keys":  func() error { _, err := db.APIKeys(t.Context()); return err },
				"a key":     func() error { _, err := db.APIKeyByPrefix(t.Context(), "pg_x"); return err },
				"a write":   func() error { return db.CreateAPIKey(t.Context(), mes.APIKey{ID: mes.NewID(), Prefix: "pg_x"}) },
			} {
				apptest.Eventually(t, what+": the command to run", func() bool {
					err := call()
					if mes.ErrorCode(err) != mes.CodeUnavailable {
						t.Fatalf("%s: %v", what, err)
					}
					return strings.Contains(err.Error(), "plantgate migrate up")
				})
			}
			for range 10 {
				if status := post(); status != mes.ReceiptAccepted {
					t.Errorf("a record is %s", status)
				}
			}
			up(t, operator)
			apptest.Eventually(t, "the server goes on", func() bool { return post() == mes.ReceiptCreated })
			apptest.Eventually(t, "what was kept is in the database", func() bool {
				got, err := db.Records(t.Context(), mes.RecordFilter{Limit: 1000})
				found := map[mes.ID]int{}
				for i := range got {
					found[got[i].ID]++
				}
				for id := range kept {
					if found[id] != 1 {
						return false
					}
				}
				return err == nil
			})
			if list, err := db.EquipmentList(t.Context(), mes.EquipmentFilter{}); err != nil || len(list) != 2 {
				t.Errorf("%d pieces of equipment, %v", len(list), err)
			}
		})
	}
}

// TestSQLServerSchemaTakenBack is the same with the whole program.
func TestSQLServerSchemaTakenBack(t *testing.T) {
	operator, dsn := openSQLServer(t)
	t.Cleanup(func() { _ = operator.Close() })
	steps := len(up(t, operator).Steps)
	server := apptest.Start(t, func(c *config.Config) {
		c.Store.DSN = dsn
		c.Store.SQLServer.AllowInsecure = true
		c.Store.Log.Folder = filepath.Join(t.TempDir(), "log.d")
		c.MQTT.Broker.Enabled = false
	})
	at := time.Now().UTC().Add(-time.Hour)
	kept := 0
	post := func() int {
		t.Helper()
		at = at.Add(time.Second)
		a := server.Post(`{"machine_id":"M1","x":1,"timestamp":"` + at.Format(time.RFC3339) + `"}`)
		if a.Status == http.StatusAccepted {
			kept++
		}
		return a.Status
	}
	apptest.Eventually(t, "the server takes data", func() bool { return post() == http.StatusCreated })
	for _, back := range []int{1, steps} {
		stored := kept
		down(t, operator, back)
		for deadline := time.Now().Add(10 * time.Second); ; {
			status := post()
			if status == http.StatusAccepted {
				break
			}
			if status != http.StatusCreated || time.Now().After(deadline) {
				t.Fatalf("%d steps back: a post is answered with %d", back, status)
			}
		}
		for _, path := range []string{"/data", "/api/v1/equipment", "/api/v1/latest", "/api/v1/quarantine"} {
			apptest.Eventually(t, path+" names the command", func() bool {
				a := server.Do(http.MethodGet, path, "").Want(http.StatusServiceUnavailable)
				return strings.Contains(string(a.Body), "plantgate migrate up")
			})
		}
		apptest.Eventually(t, "the server is degraded, and says why", func() bool {
			a := server.Do(http.MethodGet, "/readyz", "").Want(http.StatusOK)
			return strings.Contains(string(a.Body), "degraded") && strings.Contains(string(a.Body), "plantgate migrate up")
		})
		apptest.Eventually(t, "/readyz says why the log is not drained", func() bool {
			a := server.Do(http.MethodGet, "/readyz", "").Want(http.StatusOK)
			return strings.Contains(string(a.Body), `"waiting_since"`) && strings.Contains(string(a.Body), `"refusal":"the schema`)
		})
		metrics := string(server.Do(http.MethodGet, "/metrics", "").Body)
		if !strings.Contains(metrics, `plantgate_apply_refused_total{reason="away"} `) || strings.Contains(metrics, "plantgate_apply_oldest_seconds 0\n") {
			t.Error("metrics say nothing of a log that is not drained")
		}
		for range 5 {
			if status := post(); status != http.StatusAccepted {
				t.Errorf("a post is answered with %d", status)
			}
		}
		up(t, operator)
		apptest.Eventually(t, "the server goes on", func() bool { return post() == http.StatusCreated })
		apptest.Eventually(t, "what was kept is in the database", func() bool {
			a := server.Do(http.MethodGet, "/data?limit=1000", "")
			return a.Status == http.StatusOK && strings.Count(string(a.Body), `"machine_id"`) > kept-stored
		})
	}
}

// TestEmbeddedSchemaTakenBack takes the schema back under a server that has the database
// for itself, which nobody should: it answers that it can't, and not that it failed.
func TestEmbeddedSchemaTakenBack(t *testing.T) {
	t.Parallel()
	server := apptest.Start(t)
	server.Post(`{"machine_id":"M1","x":1,"timestamp":"2026-11-22T10:00:00Z"}`).Want(http.StatusCreated)
	server.Do(http.MethodGet, "/data", "").Want(http.StatusOK) // it is in the database
	down(t, open(t, server.Config.Store.DSN, store.Options{}), newestVersion(t)-1)
	a := server.Do(http.MethodGet, "/data", "").Want(http.StatusServiceUnavailable)
	if !strings.Contains(string(a.Body), "plantgate migrate status") {
		t.Errorf("%s", a.Body)
	}
	server.Do(http.MethodGet, "/readyz", "").Want(http.StatusServiceUnavailable)
}
