package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"plantgate/internal/config"
	"plantgate/internal/opcua"
)

type opcuaCmd struct {
	Browse opcuaBrowseCmd `cmd:"" help:"List what a server offers, with the node ids that the configuration takes."`
}

type opcuaBrowseCmd struct {
	URL              string `arg:"" name:"url" help:"Endpoint, such as opc.tcp://127.0.0.1:55000."`
	Node             string `help:"Node to begin at; the Objects folder if left out." placeholder:"NODE"`
	Depth            int    `help:"Levels to go down." default:"4"`
	SecurityPolicy   string `help:"None, Basic256Sha256, Aes128_Sha256_RsaOaep or Aes256_Sha256_RsaPss." default:"None"`
	SecurityMode     string `help:"None, Sign or SignAndEncrypt." default:"None"`
	ServerThumbprint string `help:"SHA-256 of the server's certificate, where security is on." placeholder:"HEX"`
	Username         string `help:"User name, if the server wants one."`
	PasswordFile     string `help:"File with the password." placeholder:"FILE"`
	Folder           string `help:"Where the client's own certificate is kept." default:"data/tls" placeholder:"FOLDER"`
}

// Run lists the address space.
func (c *opcuaBrowseCmd) Run(e *env) error {
	cfg := config.OPCUAConnection{
		Name: "browse", Endpoint: c.URL, SecurityPolicy: c.SecurityPolicy, SecurityMode: c.SecurityMode,
		ServerThumbprint: c.ServerThumbprint, Username: c.Username,
	}
	if c.PasswordFile != "" {
		password, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return err
		}
		cfg.Password = strings.TrimSpace(string(password))
	}
	nodes, err := opcua.Browse(e.ctx, cfg, opcua.Deps{Folder: c.Folder}, c.Node, c.Depth)
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, n := range nodes {
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\n", strings.Repeat("  ", n.Depth), n.BrowseName, n.Class, n.NodeID, n.DataType, n.Value)
	}
	if flushErr := w.Flush(); err == nil {
		err = flushErr
	}
	return err
}
