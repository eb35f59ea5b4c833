package app

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/opcua"
)

// lowSpace is how many free bytes are warned of.
const lowSpace = 1 << 30

// storeTimeout bounds how long the store may take to answer the doctor.
const storeTimeout = 15 * time.Second

// Examine holds a configuration against the world: the store, the disk, certificates, the
// clock, brokers and OPC UA servers. It changes nothing, and may run beside the server.
func Examine(ctx context.Context, cfg config.Config) *doctor.Report {
	r := new(doctor.Report)
	examineStore(ctx, cfg, r.On("store"))
	examineLog(cfg, r.On("log"))
	examineServer(cfg, r.On("server"))
	examineListeners(cfg, r.On("addresses"))
	examineClock(r.On("clock"))
	if b := cfg.MQTT.Broker; b.Enabled && b.TLS.CertFile != "" {
		examinePair(r.On("own broker"), "mqtt.broker.tls", b.TLS.CertFile, b.TLS.KeyFile)
	}
	for _, c := range cfg.MQTT.Connections {
		mqtt.Examine(ctx, c, cfg.Data.MaxRecord, r)
	}
	for _, c := range cfg.OPCUA.Connections {
		opcua.Examine(ctx, c, OPCUALink(cfg), r)
	}
	return r
}

// examineListeners tries the addresses that the server listens on. Where it runs already
// it has them.
func examineListeners(cfg config.Config, s *doctor.Subject) {
	addresses := []struct{ key, address string }{{"server.listen", cfg.Server.Listen}, {"metrics.listen", cfg.Metrics.Listen}}
	if cfg.MQTT.Broker.Enabled {
		addresses = append(addresses, struct{ key, address string }{"mqtt.broker.listen", cfg.MQTT.Broker.Listen})
	}
	for _, a := range addresses {
		if a.address == "" {
			continue
		}
		l, err := net.Listen("tcp", a.address)
		switch {
		case err == nil:
			_ = l.Close()
			s.OK(a.key, "%s is free", a.address)
		case errors.Is(err, syscall.EADDRINUSE):
			s.Note(a.key, "if the server does not run, end what has the address, or take another", "%s is in use", a.address)
		default:
			s.Fail(a.key, "take an address of this machine, and a port that the program's user may have", "nothing can listen on %s", a.address)
		}
	}
}

func examineStore(ctx context.Context, cfg config.Config, s *doctor.Subject) {
	if path, embedded := embeddedPath(cfg); embedded {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			s.Note("database", "", "there is none yet; the first start makes it")
			examineFolder(s, "folder", filepath.Dir(path))
			return
		}
		examineFolder(s, "folder", filepath.Dir(path))
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	db, err := OpenStore(ctx, cfg, true)
	if err != nil {
		s.Fail("database", "check store.dsn, the network and the user's rights", "%s", forPublic(err, "it can't be opened"))
		return
	}
	defer db.Close()
	if err := db.Ping(ctx); err != nil {
		s.Fail("database", "check that it is running", "%s", forPublic(err, "it does not answer"))
		return
	}
	s.OK("database", "%s answers", cfg.Store.RedactedDSN())
	if err := db.CheckSchema(ctx); err != nil {
		s.Fail("schema", "", "%s", forPublic(err, "it can't be read"))
		return
	}
	version, _, err := db.SchemaVersion(ctx)
	if err == nil {
		s.OK("schema", "version %d, which is this program's", version)
	}
}

func embeddedPath(cfg config.Config) (path string, embedded bool) {
	return strings.CutPrefix(cfg.Store.DSN, "sqlite:")
}

// forPublic keeps drivers' texts, which may hold a DSN, to themselves.
func forPublic(err error, otherwise string) string {
	var e *mes.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return otherwise
}

func examineLog(cfg config.Config, s *doctor.Subject) {
	folder := sharedLogFolder(cfg)
	if path, embedded := embeddedPath(cfg); embedded && cfg.Store.Log.Folder == "" {
		folder = logFolder(path)
	}
	examineFolder(s, "folder", folder)
}

// examineFolder writes a file into a folder, or into the nearest one above that exists.
func examineFolder(s *doctor.Subject, check, folder string) {
	for {
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) || filepath.Dir(folder) == folder {
			break
		}
		folder = filepath.Dir(folder)
	}
	began := time.Now()
	if err := writeAndSync(folder); err != nil {
		s.Fail(check, "let the program's user write there, and see that the disk has room", "nothing can be written to %s", folder)
		return
	}
	took := time.Since(began).Round(100 * time.Microsecond)
	kind, free, doubtful, err := doctor.Space(folder)
	if err != nil || free == 0 && kind == "" {
		s.OK(check, "%s can be written to; a synced write took %s", folder, took)
		return
	}
	if kind == "" {
		kind = "a file system of unknown kind"
	}
	switch {
	case doubtful:
		s.Warn(check, "use a folder on a local disk: what is acknowledged must outlast a power cut", "%s is on %s, %d MiB free", folder, kind, free>>20)
	case free < lowSpace:
		s.Warn(check, "make room: a full disk refuses data", "%s is on %s, only %d MiB free", folder, kind, free>>20)
	default:
		s.OK(check, "%s is on %s, %d MiB free; a synced write took %s", folder, kind, free>>20, took)
	}
}

func writeAndSync(folder string) error {
	f, err := os.CreateTemp(folder, ".plantgate-doctor-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString("plantgate doctor\n")
	return errors.Join(err, f.Sync(), f.Close())
}

func examineServer(cfg config.Config, s *doctor.Subject) {
	t := cfg.Server.TLS
	switch t.Mode {
	case config.TLSOff:
		s.Warn("tls", "use it behind a proxy or in a protected network only", "off: API keys travel in clear")
	case config.TLSFiles:
		examinePair(s, "server.tls", t.CertFile, t.KeyFile)
	default:
		ca := filepath.Join(t.Folder, "ca.crt")
		if _, err := os.Stat(ca); errors.Is(err, fs.ErrNotExist) {
			s.Note("tls", "", "there is no own authority yet; the first start makes it")
			return
		}
		s.CertificateFile("tls authority", ca, time.Now())
	}
}

// examinePair checks a certificate and its key.
func examinePair(s *doctor.Subject, setting, certFile, keyFile string) {
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		s.Fail(setting, "correct cert_file and key_file", "they are no pair of certificate and key")
		return
	}
	s.CertificateFile(setting+".cert_file", certFile, time.Now())
}

func examineClock(s *doctor.Subject) {
	switch synchronised, known := doctor.ClockSynchronised(); {
	case !known:
		s.Note("synchronised", "", "that can't be told here")
	case synchronised:
		s.OK("synchronised", "it is kept by a time server")
	default:
		s.Warn("synchronised", "run a time service such as chrony: source times far ahead of this clock are refused", "no time server keeps it")
	}
}
