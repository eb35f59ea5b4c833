package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/explore"
)

type opcuaBrowseCmd struct {
	opcuaServer
	Args    []string `arg:"" optional:"" name:"url" help:"Endpoint, such as opc.tcp://127.0.0.1:55000."`
	Node    string   `help:"Node to begin at; the Objects folder if left out." placeholder:"NODE"`
	Depth   int      `help:"Levels to go down." default:"4"`
	Limit   int      `help:"Nodes to list at most." default:"10000"`
	Output  string   `help:"table, json, or config: variables as configuration to paste." enum:"table,json,config" default:"table" short:"o"`
	Machine string   `help:"With --output config: the machine of all variables; else each object is one." placeholder:"ID"`
	Values  bool     `help:"Read the values of variables." default:"true" negatable:""`
}

// Run lists the address space.
func (c *opcuaBrowseCmd) Run(e *env) error {
	if c.Machine != "" {
		if err := mes.CheckID(c.Machine); err != nil {
			return mes.Errorf(mes.CodeInvalid, "--machine %s", err)
		}
	}
	return c.with(e, c.Args, func(ctx context.Context, s *explore.Session, cfg config.OPCUAConnection, rest []string) error {
		if len(rest) > 0 {
			return mes.Errorf(mes.CodeInvalid, "%q is too much: --node names where to begin", rest[0])
		}
		start := explore.Root()
		if c.Node != "" {
			var err error
			if start, err = s.Node(c.Node); err != nil {
				return err
			}
		}
		found, cut := s.Tree(ctx, start, c.Depth, c.Limit, c.Values)
		if cut != nil && !errors.Is(cut, explore.ErrTooMany) {
			return cut
		}
		return errors.Join(c.print(e, cfg, found), cut)
	})
}

func (c *opcuaBrowseCmd) print(e *env, cfg config.OPCUAConnection, found []explore.Found) error {
	switch c.Output {
	case "json":
		return e.printJSON(browsed(found))
	case "config":
		return explore.Paste(e.stdout, cfg, found, c.Machine)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, f := range found {
		value := ""
		if f.Value != nil {
			value = shown(*f.Value)
		}
		if f.Fault != "" {
			value += " (" + oneLine(f.Fault) + ")"
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\n", strings.Repeat("  ", f.Depth), oneLine(f.BrowseName), f.Class, oneLine(f.NodeID), dataType(f), value)
	}
	return w.Flush()
}

func dataType(f explore.Found) string {
	if f.ValueRank > 0 && f.DataType != "" {
		return f.DataType + strings.Repeat("[]", int(min(f.ValueRank, 8)))
	}
	return oneLine(f.DataType)
}

// opcuaNode is a node as it is printed.
type opcuaNode struct {
	Depth          int         `json:"depth"`
	NodeID         string      `json:"node_id"`
	BrowseName     string      `json:"browse_name"`
	DisplayName    string      `json:"display_name"`
	Class          string      `json:"class"`
	ReferenceType  string      `json:"reference_type"`
	TypeDefinition string      `json:"type_definition,omitempty"`
	DataType       string      `json:"data_type,omitempty"`
	ValueRank      *int32      `json:"value_rank,omitempty"`
	Readable       *bool       `json:"readable,omitempty"`
	Writable       *bool       `json:"writable,omitempty"`
	Value          *opcuaValue `json:"value,omitempty"`
	Fault          string      `json:"fault,omitempty"`
}

func browsed(found []explore.Found) []opcuaNode {
	list := make([]opcuaNode, len(found))
	for i := range found {
		f := &found[i]
		list[i] = opcuaNode{
			Depth: f.Depth, NodeID: f.NodeID, BrowseName: f.BrowseName, DisplayName: f.DisplayName, Class: f.Class,
			ReferenceType: f.ReferenceType, TypeDefinition: f.TypeDefinition, DataType: f.DataType, Fault: f.Fault,
		}
		if f.Class == "Variable" {
			list[i].ValueRank, list[i].Readable, list[i].Writable = &f.ValueRank, &f.Readable, &f.Writable
		}
		if f.Value != nil {
			v := newOPCUAValue(*f.Value)
			list[i].Value = &v
		}
	}
	return list
}

type opcuaReadCmd struct {
	opcuaServer
	output
	Args      []string `arg:"" name:"url-and-nodes" help:"Endpoint (without --connection), and nodes."`
	Attribute []string `help:"Attributes to read, such as DataType; the value if left out." placeholder:"NAME"`
}

// Run reads nodes. It fails if one has a bad status.
func (c *opcuaReadCmd) Run(e *env) error {
	return c.with(e, c.Args, func(ctx context.Context, s *explore.Session, _ config.OPCUAConnection, rest []string) error {
		nodes, err := nodesOf(rest)
		if err != nil {
			return err
		}
		attributes := c.Attribute
		if len(attributes) == 0 {
			attributes = []string{""}
		}
		var items []mes.UARead
		for _, n := range nodes {
			for _, a := range attributes {
				items = append(items, mes.UARead{Node: n, Attribute: a})
			}
		}
		values, err := s.Read(ctx, items)
		if err != nil {
			return err
		}
		bad := 0
		list := make([]opcuaValue, len(values))
		for i, v := range values {
			list[i] = newOPCUAValue(v)
			if list[i].Quality == "bad" {
				bad++
			}
		}
		if c.Output == "json" {
			err = e.printJSON(list)
		} else {
			err = printValues(e.stdout, values)
		}
		if err == nil && bad > 0 {
			err = fmt.Errorf("%d of %d have a bad status", bad, len(values))
		}
		return err
	})
}

func printValues(to io.Writer, values []mes.UAValue) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tATTRIBUTE\tSTATUS\tTYPE\tVALUE\tSOURCE TIME\tSERVER TIME")
	for _, v := range values {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(v.Node), v.Attribute, v.Status.Name, v.DataType, shown(v), micros(v.SourceTime), micros(v.ServerTime))
	}
	return w.Flush()
}

type opcuaWatchCmd struct {
	opcuaServer
	output
	Args     []string      `arg:"" name:"url-and-nodes" help:"Endpoint (without --connection), and nodes."`
	Interval time.Duration `help:"How often the server looks at the nodes." default:"500ms"`
	Count    int           `help:"End after so many values; 0 goes on." default:"0"`
	For      time.Duration `help:"End after this time; 0 goes on." default:"0s"`
}

// errEnough ends a watch.
var errEnough = errors.New("enough")

// Run prints changes until a signal comes, which is a clean end.
func (c *opcuaWatchCmd) Run(e *env) error {
	cfg, deps, rest, err := c.find(e, c.Args)
	if err != nil {
		return err
	}
	nodes, err := nodesOf(rest)
	if err != nil {
		return err
	}
	ctx := e.ctx
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	printed := 0
	out := json.NewEncoder(e.stdout)
	out.SetEscapeHTML(false)
	w := explore.Watcher{
		Config: cfg, Deps: deps, Interval: max(c.Interval, 10*time.Millisecond),
		Notice: func(text string) { fmt.Fprintln(e.stderr, "plantgate:", oneLine(text)) },
		Changed: func(v mes.UAValue) error {
			var err error
			if c.Output == "json" {
				err = out.Encode(newOPCUAValue(v))
			} else {
				_, err = fmt.Fprintf(e.stdout, "%s  %s  %s  %s\n", micros(v.SourceTime), oneLine(v.Node), v.Status.Name, shown(v))
			}
			if printed++; err == nil && printed == c.Count {
				return errEnough
			}
			return err
		},
	}
	if err := w.Run(ctx, nodes); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return nil
}
