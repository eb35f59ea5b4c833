//go:build integration

package opcua

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/trust"
)

// memory keeps notes as long as the test lasts.
type memory struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (m *memory) ConnectionNotes(_ context.Context, _, prefix string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := maps.Clone(m.all)
	maps.DeleteFunc(found, func(name string, _ []byte) bool { return !strings.HasPrefix(name, prefix) })
	return found, nil
}

func (m *memory) PutConnectionNote(_ context.Context, _, name string, note []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[name] = note
	return nil
}

// TestServerChangesItsCertificate: a server that nothing vouches for is spoken to once
// somebody approves its certificate, and so is its next one; values flow within 15 s.
func TestServerChangesItsCertificate(t *testing.T) {
	t.Parallel()
	p := newNodePeer(t)
	registry := trust.NewRegistry(&memory{all: map[string][]byte{}}, time.Now)
	cfg := peerConfig("opc.tcp://" + p.addr())
	cfg.SecurityPolicy, cfg.SecurityMode = config.PolicyBasic256Sha256, config.ModeSignAndEncrypt
	to := opcuatest.NewIngester()
	a, err := newAdapter(cfg, Deps{
		Ingester: to, Logger: slog.New(slog.DiscardHandler), SiteID: "main", Folder: t.TempDir(),
		Judge: &trust.Judge{Folder: t.TempDir(), Registry: registry, Now: time.Now},
	}, defaultTiming())
	if err != nil {
		t.Fatal(err)
	}
	start(t, a)
	approve := func() {
		t.Helper()
		inState(t, a, mes.AdapterRefused, "/approve")
		list, err := registry.List(t.Context(), cfg.Name)
		if err != nil || list[0].State != mes.CertificateParked {
			t.Fatalf("%+v, %v", list, err)
		}
		if _, err := registry.Decide(t.Context(), cfg.Name, list[0].Thumbprint, mes.CertificateApproved, "test"); err != nil {
			t.Fatal(err)
		}
		approved := time.Now()
		fresh(t, to, approved)
		t.Logf("values %s after the approval", time.Since(approved).Round(time.Millisecond))
	}
	approve()
	p.kill()
	if err := os.RemoveAll(filepath.Join(p.folder, "pki")); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	approve()
}
