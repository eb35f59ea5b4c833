package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/explore"
)

type opcuaWriteCmd struct {
	opcuaServer
	output
	Args []string `arg:"" name:"url-node-value" help:"Endpoint (without --connection), and nodes each with its value: text, or JSON for arrays. A value that begins with - comes after --."`
	Type string   `help:"Data type of the values, where a variable takes several, such as Int32." placeholder:"NAME"`
}

// Run writes variables. It fails unless all are written.
func (c *opcuaWriteCmd) Run(e *env) error {
	return c.with(e, c.Args, func(ctx context.Context, s *explore.Session, _ config.OPCUAConnection, rest []string) error {
		if len(rest) == 0 || len(rest)%2 != 0 {
			return mes.Errorf(mes.CodeInvalid, "name nodes each with its value, such as ns=1;s=Setpoint 29")
		}
		var items []mes.UAWrite
		var values []explore.Value
		for i := 0; i < len(rest); i += 2 {
			if _, err := nodesOf(rest[i : i+1]); err != nil {
				return err
			}
			items = append(items, mes.UAWrite{Node: rest[i], DataType: c.Type})
			values = append(values, fromText(rest[i+1]))
		}
		results, err := s.Write(ctx, items, values)
		if err != nil {
			return err
		}
		if err := c.print(e, results); err != nil {
			return err
		}
		return failures(results, func(r mes.UAWritten) mes.UAOutcome { return r.Outcome }, "written")
	})
}

func fromText(text string) explore.Value {
	return func(t explore.Type) (*ua.Variant, error) { return t.FromText(text) }
}

func (c *opcuaWriteCmd) print(e *env, results []mes.UAWritten) error {
	if c.Output == "json" {
		return e.printJSON(results)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tOUTCOME\tSTATUS\tTYPE\tOLD VALUE\tDETAIL")
	for _, r := range results {
		old := "-"
		if r.OldValue != nil {
			old = oneLine(r.OldValue.Text())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Node, r.Outcome, r.UAStatus.Name, r.DataType, old, oneLine(r.Detail))
	}
	return w.Flush()
}

// failures tells how many were not done.
func failures[T any](results []T, outcome func(T) mes.UAOutcome, done string) error {
	n := 0
	for _, r := range results {
		if outcome(r) != mes.UADone {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d were not %s", n, len(results), done)
	}
	return nil
}

type opcuaCallCmd struct {
	opcuaServer
	output
	Args []string `arg:"" name:"url-object-method-arguments" help:"Endpoint (without --connection), object, method, and its arguments: text, or JSON for arrays. One that begins with - comes after --."`
}

// Run calls a method. It fails unless that is done.
func (c *opcuaCallCmd) Run(e *env) error {
	return c.with(e, c.Args, func(ctx context.Context, s *explore.Session, _ config.OPCUAConnection, rest []string) error {
		if len(rest) < 2 {
			return mes.Errorf(mes.CodeInvalid, "name an object and its method: plantgate opcua browse lists both")
		}
		if _, err := nodesOf(rest[:2]); err != nil {
			return err
		}
		var values []explore.Value
		for _, text := range rest[2:] {
			values = append(values, fromText(text))
		}
		result, err := s.Call(ctx, mes.UACall{Object: rest[0], Method: rest[1]}, values)
		if err != nil {
			return err
		}
		if err := c.print(e, result); err != nil {
			return err
		}
		if result.Outcome != mes.UADone {
			return errors.New("the call was not done")
		}
		return nil
	})
}

func (c *opcuaCallCmd) print(e *env, r mes.UACalled) error {
	if c.Output == "json" {
		return e.printJSON(r)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\t%s\t%s\n", r.Outcome, r.UAStatus.Name, oneLine(r.Detail))
	for i, s := range r.ArgumentStatus {
		fmt.Fprintf(w, "argument %d\t%s\t\n", i+1, s.Name)
	}
	for _, o := range r.Outputs {
		value := oneLine(o.Value.Text())
		if o.Detail != "" {
			value = "(" + oneLine(o.Detail) + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", oneLine(o.Name), o.DataType, value)
	}
	return w.Flush()
}
