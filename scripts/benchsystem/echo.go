package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/labstack/echo/v4"
)

// echoCommand is the first argument by which the program becomes the server that
// plantgate is compared with. Its certificate and its answer follow.
const echoCommand = "echo-server"

// echoMain serves until standard input ends: what HTTP, TLS and the framework
// cost by themselves. Each POST is read and answered with the same 201.
func echoMain(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%s CERTIFICATE ANSWER", echoCommand)
	}
	cert, err := tls.LoadX509KeyPair(args[0], args[0])
	if err != nil {
		return err
	}
	answer := []byte(args[1])
	e := echo.New()
	e.POST("/data", func(c echo.Context) error {
		if _, err := io.ReadAll(c.Request().Body); err != nil {
			return err
		}
		return c.JSONBlob(http.StatusCreated, answer)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           e,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			NextProtos:   []string{"h2", "http/1.1"},
			Certificates: []tls.Certificate{cert},
		},
	}
	fmt.Printf("echo at https://%s\n", listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startEcho starts the program again as that server.
func startEcho(ctx context.Context, certificate, answer, logFile string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, echoCommand, certificate, answer)
	return startProcess(ctx, "echo", cmd, logFile)
}
