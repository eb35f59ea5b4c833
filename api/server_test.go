package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/certs"
	"plantgate/internal/config"
)

// running is a server that a test stops.
type running struct {
	api    *API
	url    string
	client *http.Client
	stop   context.CancelFunc
	done   chan error
}

// start serves with TLS; more adds routes before it does.
func start(t *testing.T, stopTimeout time.Duration, more func(*API)) *running {
	t.Helper()
	a, err := New(Deps{}, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if more != nil {
		more(a)
	}
	material, err := certs.Open(config.ServerTLS{Mode: config.TLSSelfSigned, Folder: t.TempDir()}, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(material.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{api: a, url: "https://" + ln.Addr().String(), client: &http.Client{Transport: transport}, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- NewServer(a, material.TLS, stopTimeout).Run(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		transport.CloseIdleConnections()
	})
	return r
}

func (r *running) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	response, err := r.client.Get(r.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestServerSpeaksTLSAndHTTP2(t *testing.T) {
	t.Parallel()
	r := start(t, 10*time.Second, nil)
	response, body := r.get(t, "/healthz")
	if response.ProtoMajor != 2 || response.TLS == nil || response.TLS.Version < tls.VersionTLS12 || !strings.Contains(body, "ok") {
		t.Errorf("%s, %v: %s", response.Proto, response.TLS, body)
	}
	head, err := r.client.Head(r.url + "/healthz")
	if err != nil || head.StatusCode != http.StatusOK {
		t.Errorf("HEAD: %v, %v", head, err)
	}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: r.client.Transport.(*http.Transport).TLSClientConfig.Clone()}}
	old.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
	defer old.CloseIdleConnections()
	response, err = old.Get(r.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.ProtoMajor != 1 {
		t.Errorf("%s, want HTTP/1.1", response.Proto)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := r.client.Get(r.url + "/healthz"); err == nil {
		t.Error("answers after its stop")
	}
}

func TestStopWaitsForRequests(t *testing.T) {
	t.Parallel()
	working, finish := make(chan struct{}), make(chan struct{})
	r := start(t, 10*time.Second, func(a *API) {
		a.echo.GET("/work", func(c echo.Context) error {
			close(working)
			<-finish
			return c.String(http.StatusOK, "finished")
		})
	})
	answer := make(chan string, 1)
	go func() {
		response, err := r.client.Get(r.url + "/work")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answer <- string(body)
	}()
	<-working
	r.stop()
	select {
	case err := <-r.done:
		t.Errorf("stopped before the request was finished: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	if got := <-answer; got != "finished" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	working := make(chan struct{})
	r := start(t, 50*time.Millisecond, func(a *API) {
		a.echo.GET("/hang", func(c echo.Context) error {
			close(working)
			<-c.Request().Context().Done()
			return c.Request().Context().Err()
		})
	})
	failed := make(chan error, 1)
	go func() {
		response, err := r.client.Get(r.url + "/hang")
		if err == nil {
			response.Body.Close()
		}
		failed <- err
	}()
	<-working
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	<-failed
}
