//go:build integration

package opcua

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopcua/opcua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/trust"
)

// returnLimit is the promise: values flow again within this time of the
// server's return.
const returnLimit = 15 * time.Second

// frozenFor is how long a frozen server stays so.
const frozenFor = 20 * time.Second

// rounds is the number of disturbances of each server: 5 unless
// PLANTGATE_TEST_ROUNDS says otherwise. Every fifth freezes the server.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("PLANTGATE_TEST_ROUNDS")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("PLANTGATE_TEST_ROUNDS must be a number from 1, not %q", text)
	}
	return n
}

func peers() map[string]func(*testing.T) *peer {
	return map[string]func(*testing.T) *peer{
		"node-opcua": func(t *testing.T) *peer { return newNodePeer(t) },
		"asyncua":    newPythonPeer,
	}
}

// peerConfig is as a plant would have it: default intervals and watchdog.
func peerConfig(url string) config.OPCUAConnection {
	return config.OPCUAConnection{
		Name:               "peer",
		Endpoint:           url,
		SecurityPolicy:     config.PolicyNone,
		SecurityMode:       config.ModeNone,
		PublishingInterval: 500 * time.Millisecond,
		SamplingInterval:   500 * time.Millisecond,
		QueueSize:          100,
		Watchdog:           5 * time.Second,
		Machines: []config.OPCUAMachine{{MachineID: "M001", Nodes: []config.OPCUANode{
			{NodeID: "ns=1;s=Objects/MyFolder/MyStoredVariable"},
			{NodeID: "ns=1;s=Objects/MyFolder/MySynchronousVariable"},
			{NodeID: "ns=1;s=Objects/MyFolder/MyAsynchronousVariable"},
		}}},
	}
}

func TestPeersDisturbed(t *testing.T) {
	t.Parallel()
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			proxy := opcuatest.NewProxy(t, p.addr())
			to := opcuatest.NewIngester()
			a := running(t, peerConfig(proxy.URL()), to, defaultTiming())
			fresh(t, to, time.Time{})
			times := map[string][]time.Duration{}
			for i := range rounds(t) {
				kind, returned := disturb(t, i, p, proxy)
				fresh(t, to, returned)
				times[kind] = append(times[kind], time.Since(returned))
			}
			inState(t, a, mes.AdapterRunning, "")
			if got, want := a.Status().Reconnects, int64(rounds(t)); got < want {
				t.Errorf("%d reconnects in %d rounds: some disturbed nothing", got, want)
			}
			for kind, list := range times {
				slices.Sort(list)
				t.Logf("%s, %s: values again after min %s, median %s, max %s of %d", name, kind,
					list[0].Round(time.Millisecond), list[len(list)/2].Round(time.Millisecond),
					list[len(list)-1].Round(time.Millisecond), len(list))
			}
		})
	}
}

// disturb does what round i does and returns when the server was back.
func disturb(t *testing.T, i int, p *peer, proxy *opcuatest.Proxy) (kind string, returned time.Time) {
	t.Helper()
	switch {
	case i%5 == 4:
		p.signal(t, syscall.SIGSTOP)
		time.Sleep(frozenFor)
		p.signal(t, syscall.SIGCONT)
		return "freeze", time.Now()
	case i%2 == 1:
		p.kill()
		p.start(t)
		return "restart", time.Now()
	default:
		proxy.Cut()
		return "cut", time.Now()
	}
}

// fresh waits for a value that changed at the source after the time.
func fresh(t *testing.T, to *opcuatest.Ingester, after time.Time) {
	t.Helper()
	limit := returnLimit
	if after.IsZero() {
		limit = time.Minute
	}
	to.Wait(t, limit, "new value", func(records []mes.Record) bool {
		for _, r := range slices.Backward(records) {
			if r.Signals[0].Name == "MySynchronousVariable" {
				return r.Time.After(after)
			}
		}
		return false
	})
}

func TestPeersTypesAndQuality(t *testing.T) {
	t.Parallel()
	want := map[string]mes.Value{
		"Boolean": mes.Bool(true), "SByte": mes.Int(-128), "Byte": mes.Int(255),
		"Int16": mes.Int(-32768), "UInt16": mes.Int(65535),
		"Int32": mes.Int(-2147483648), "UInt32": mes.Int(4294967295),
		"Int64": mes.Int(-9223372036854775808), "UInt64": mes.Uint(18446744073709551615),
		"Float": number10th(t), "Double": mes.Float(1e300, 64), "String": mes.String("Grüße"),
		"DateTime": mes.String("2026-11-22T10:15:00.25Z"), "Guid": mes.String("72962B91-FA75-4AE6-8D28-B404DC7DAF63"),
		"ByteString": mes.String("AAH+"), "LocalizedText": mes.String("Ofen"), "Array": mes.Array("[1,-2,3]"),
		"Uncertain": mes.Float(1.5, 64), "Bad": {},
	}
	codes := map[string]mes.StatusCode{"Uncertain": 0x40900000, "Bad": 0x808C0000}
	for name, start := range peers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			cfg := peerConfig("opc.tcp://" + p.addr())
			for signal := range want {
				cfg.Machines[0].Nodes = append(cfg.Machines[0].Nodes, config.OPCUANode{NodeID: "ns=1;s=Types/" + signal})
			}
			cfg.Machines[0].Nodes = append(cfg.Machines[0].Nodes, config.OPCUANode{NodeID: "ns=1;s=Types/Missing"})
			to := opcuatest.NewIngester()
			a := running(t, cfg, to, defaultTiming())
			got := map[string]mes.Record{}
			to.Wait(t, time.Minute, "value of every type", func(records []mes.Record) bool {
				for _, r := range records {
					got[r.Signals[0].Name] = r
				}
				return len(got) == len(want)+3
			})
			for signal, v := range want {
				r := got[signal]
				if r.Signals[0].Value != v || r.StatusCode != codes[signal] {
					t.Errorf("%s: %q with status %x, want %q with %x", signal, r.Signals[0].Value.Text(), uint32(r.StatusCode), v.Text(), uint32(codes[signal]))
				}
			}
			inState(t, a, mes.AdapterDegraded, "Types/Missing")
			to.Wait(t, time.Minute, "end of null", func(records []mes.Record) bool {
				return opcuatest.Value(records, "MyAsynchronousVariable", mes.Value.IsNull) &&
					opcuatest.Value(records, "MyAsynchronousVariable", func(v mes.Value) bool { return v.Kind() == mes.KindNumber })
			})
		})
	}
}

// number10th is the Float nearest to 0.1, which reads 0.1.
func number10th(t *testing.T) mes.Value {
	t.Helper()
	v, err := mes.Number("0.1")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSecuredConnections(t *testing.T) {
	t.Parallel()
	p := newNodePeer(t)
	url := "opc.tcp://" + p.addr()
	thumbprint := serverThumbprint(t, url)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secured := func(policy, mode string) config.OPCUAConnection {
		cfg := peerConfig(url)
		cfg.SecurityPolicy, cfg.SecurityMode, cfg.ServerThumbprint = policy, mode, thumbprint
		cfg.Username, cfg.PasswordFile = "plantgate", password
		return cfg
	}
	for _, policy := range []string{config.PolicyBasic256Sha256, config.PolicyAes128Sha256RsaOaep, config.PolicyAes256Sha256RsaPss} {
		for _, mode := range []string{config.ModeSign, config.ModeSignAndEncrypt} {
			t.Run(policy+" "+mode, func(t *testing.T) {
				to := opcuatest.NewIngester()
				a := running(t, secured(policy, mode), to, defaultTiming())
				fresh(t, to, time.Time{})
				inState(t, a, mes.AdapterRunning, "")
			})
		}
	}
	t.Run("encrypted password without security of the channel", func(t *testing.T) {
		cfg := secured(config.PolicyNone, config.ModeNone)
		to := opcuatest.NewIngester()
		running(t, cfg, to, defaultTiming())
		fresh(t, to, time.Time{})
	})
	t.Run("no password for a server that nothing recognises", func(t *testing.T) {
		cfg := secured(config.PolicyNone, config.ModeNone)
		cfg.ServerThumbprint = ""
		a := running(t, cfg, opcuatest.NewIngester(), defaultTiming())
		inState(t, a, mes.AdapterRefused, thumbprint)
	})
	t.Run("wrong password", func(t *testing.T) {
		cfg := secured(config.PolicyBasic256Sha256, config.ModeSignAndEncrypt)
		cfg.Password, cfg.PasswordFile = "wrong staple", ""
		a := running(t, cfg, opcuatest.NewIngester(), defaultTiming())
		s := inState(t, a, mes.AdapterRefused, "check username and password")
		t.Log(s.Detail)
	})
	t.Run("unknown server", func(t *testing.T) {
		cfg := secured(config.PolicyBasic256Sha256, config.ModeSignAndEncrypt)
		cfg.ServerThumbprint = strings.Repeat("00", 32)
		a := running(t, cfg, opcuatest.NewIngester(), defaultTiming())
		s := inState(t, a, mes.AdapterRefused, thumbprint)
		t.Log(s.Detail)
	})
}

func TestServerThatDoesNotTrustUs(t *testing.T) {
	t.Parallel()
	p := newNodePeer(t, "strict")
	cfg := peerConfig("opc.tcp://" + p.addr())
	cfg.SecurityPolicy, cfg.SecurityMode = config.PolicyBasic256Sha256, config.ModeSignAndEncrypt
	cfg.ServerThumbprint = serverThumbprint(t, cfg.Endpoint)
	a := running(t, cfg, opcuatest.NewIngester(), defaultTiming())
	s := inState(t, a, mes.AdapterBackingOff, trust.PublicCertFile)
	t.Log(s.Detail)
}

func serverThumbprint(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	endpoints, err := opcua.GetEndpoints(ctx, url)
	if err != nil {
		t.Fatal(fmt.Errorf("endpoints of the peer: %w", err))
	}
	sum := sha256.Sum256(endpoints[0].ServerCertificate)
	return hex.EncodeToString(sum[:])
}
