package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/explore"
	"plantgate/internal/opcua/link"
)

type opcuaCmd struct {
	Browse opcuaBrowseCmd `cmd:"" help:"List what a server offers, as a table, as JSON, or as configuration to paste."`
	Read   opcuaReadCmd   `cmd:"" help:"Read nodes now."`
	Write  opcuaWriteCmd  `cmd:"" help:"Write variables. The values are converted to the data types that the server tells."`
	Watch  opcuaWatchCmd  `cmd:"" help:"Print the changes of nodes until Ctrl-C, through cuts of the connection."`
	Call   opcuaCallCmd   `cmd:"" help:"Call a method. The arguments are converted to the types that the server tells."`
}

// opcuaServer says which server: by its URL, or as a connection of the configuration.
type opcuaServer struct {
	configFlag
	Connection       string        `help:"Connection of the configuration, instead of a URL." placeholder:"NAME"`
	SecurityPolicy   string        `help:"None, Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss, or best." default:"None"`
	SecurityMode     string        `help:"None, Sign or SignAndEncrypt; left out, the last, and None with the policy None."`
	ServerThumbprint string        `help:"SHA-256 of the server's certificate, where security is on." placeholder:"HEX"`
	ServerCAFile     string        `name:"server-ca-file" help:"CA that signed the server's certificate, instead of its SHA-256." placeholder:"FILE"`
	Username         string        `help:"User name, if the server wants one."`
	PasswordFile     string        `help:"File with the password." placeholder:"FILE"`
	UserCertFile     string        `help:"Certificate of the user (PEM), instead of a name." placeholder:"FILE"`
	UserKeyFile      string        `help:"Its key (PEM)." placeholder:"FILE"`
	Folder           string        `help:"Where the client's own certificate is kept." default:"data/tls" placeholder:"FOLDER"`
	Timeout          time.Duration `help:"How long it may take." default:"60s"`
}

// find returns the server's connection, and the arguments that are left.
func (o *opcuaServer) find(e *env, args []string) (config.OPCUAConnection, link.Deps, []string, error) {
	isURL := len(args) > 0 && strings.HasPrefix(args[0], "opc.tcp://")
	switch {
	case o.Connection != "" && isURL:
		return config.OPCUAConnection{}, link.Deps{}, nil, mes.Errorf(mes.CodeInvalid, "give a URL or --connection, not both")
	case o.Connection != "":
		cfg, deps, err := o.configured(e)
		return cfg, deps, args, err
	case !isURL:
		return config.OPCUAConnection{}, link.Deps{}, nil, mes.Errorf(mes.CodeInvalid,
			"name the server first, such as opc.tcp://127.0.0.1:55000, or a connection of the configuration (--connection NAME --config FILE)")
	}
	cfg := config.OPCUAConnection{
		Name: "server", Endpoint: args[0], SecurityPolicy: o.SecurityPolicy, SecurityMode: o.SecurityMode,
		ServerThumbprint: o.ServerThumbprint, ServerCAFile: o.ServerCAFile, Username: o.Username, PasswordFile: o.PasswordFile,
		UserCertFile: o.UserCertFile, UserKeyFile: o.UserKeyFile,
	}
	if cfg.SecurityMode == "" && cfg.SecurityPolicy != config.PolicyNone {
		cfg.SecurityMode = config.ModeSignAndEncrypt
	} else if cfg.SecurityMode == "" {
		cfg.SecurityMode = config.ModeNone
	}
	return cfg, link.Deps{Folder: o.Folder}, args[1:], checkServer(cfg)
}

// checkServer names the faults of what flags say, as of a configuration.
func checkServer(cfg config.OPCUAConnection) error {
	var faults []mes.FieldError
	for _, f := range cfg.Validate() {
		for _, key := range []string{"endpoint", "security_", "server_", "user", "password"} {
			if strings.HasPrefix(f.Key, key) {
				faults = append(faults, mes.FieldError{Detail: "--" + strings.ReplaceAll(f.Key, "_", "-") + " " + f.Detail})
			}
		}
	}
	if fault := mes.Invalid(faults); fault != nil {
		return fault
	}
	return nil
}

func (o *opcuaServer) configured(e *env) (config.OPCUAConnection, link.Deps, error) {
	cfg, _, err := o.load(e)
	if err != nil {
		return config.OPCUAConnection{}, link.Deps{}, err
	}
	var names []string
	for _, c := range cfg.OPCUA.Connections {
		if c.Name == o.Connection {
			return c, app.OPCUALink(cfg), nil
		}
		names = append(names, c.Name)
	}
	if names == nil {
		return config.OPCUAConnection{}, link.Deps{}, mes.Errorf(mes.CodeInvalid, "the configuration has no OPC UA connection (--config FILE names it)")
	}
	return config.OPCUAConnection{}, link.Deps{}, mes.Errorf(mes.CodeInvalid, "the configuration has no OPC UA connection %q, only %s", o.Connection, strings.Join(names, ", "))
}

// with opens a session for fn, within the time-out.
func (o *opcuaServer) with(e *env, args []string, fn func(ctx context.Context, s *explore.Session, cfg config.OPCUAConnection, args []string) error) error {
	cfg, deps, rest, err := o.find(e, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, o.Timeout)
	defer cancel()
	s, err := explore.Open(ctx, cfg, deps)
	if err == nil {
		err = fn(ctx, s, cfg, rest)
		s.Close()
	}
	switch {
	case err == nil:
		return nil
	case e.ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("it took longer than %s (--timeout): %w", o.Timeout, err)
	}
	return err
}

// output is how results are printed.
type output struct {
	Output string `help:"table or json." enum:"table,json" default:"table" short:"o"`
}

func (e *env) printJSON(v any) error {
	out := json.NewEncoder(e.stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(v)
}

// opcuaValue is a value as it is printed.
type opcuaValue struct {
	Node            string     `json:"node"`
	Attribute       string     `json:"attribute"`
	Status          string     `json:"status"`
	StatusCode      uint32     `json:"status_code"`
	Quality         string     `json:"quality"`
	Value           mes.Value  `json:"value"`
	DataType        string     `json:"data_type,omitempty"`
	SourceTimestamp *time.Time `json:"source_timestamp,omitempty"`
	ServerTimestamp *time.Time `json:"server_timestamp,omitempty"`
	Detail          string     `json:"detail,omitempty"`
}

func newOPCUAValue(v mes.UAValue) opcuaValue {
	p := opcuaValue{
		Node: v.Node, Attribute: v.Attribute, Status: v.Status.Name, StatusCode: uint32(v.Status.Code), Quality: v.Status.Code.Severity(),
		Value: v.Value, DataType: v.DataType, Detail: v.Detail,
	}
	for to, t := range map[**time.Time]time.Time{&p.SourceTimestamp: v.SourceTime, &p.ServerTimestamp: v.ServerTime} {
		if !t.IsZero() {
			utc := t.UTC()
			*to = &utc
		}
	}
	return p
}

// micros writes a time with all six digits, so that columns stand below one another.
func micros(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// shown is a value on one line of a table.
func shown(v mes.UAValue) string {
	switch {
	case v.Value.IsNull() && v.Detail != "":
		return "(" + oneLine(v.Detail) + ")"
	case v.Value.IsNull():
		return "-"
	case v.Detail != "":
		return oneLine(v.Value.Text()) + " (" + oneLine(v.Detail) + ")"
	}
	return oneLine(v.Value.Text())
}

// oneLine keeps what a server sends from moving the cursor of a terminal.
func oneLine(s string) string {
	const most = 200
	runes := []rune(s)
	cut := runes[:min(len(runes), most)]
	for i, r := range cut {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			cut[i] = '·'
		}
	}
	if len(runes) > most {
		return string(cut) + "…"
	}
	return string(cut)
}

// nodesOf are arguments that are node ids, one at least.
func nodesOf(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, mes.Errorf(mes.CodeInvalid, "name a node, such as ns=1;s=Objects/MyFolder/MyStoredVariable: plantgate opcua browse lists them")
	}
	for _, n := range args {
		if err := config.CheckNodeID(n); err != nil {
			return nil, mes.Errorf(mes.CodeInvalid, "the node id %q %s", n, err)
		}
	}
	return slices.Clone(args), nil
}
