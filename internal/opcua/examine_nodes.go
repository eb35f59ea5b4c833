package opcua

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/trust"
	"plantgate/internal/opcua/vqt"
)

const (
	// examineTimeout bounds the look at the nodes of one server.
	examineTimeout = time.Minute
	// maxNodeFindings bounds how many bad nodes a report names.
	maxNodeFindings = 20
)

// examineNodes opens a session as the server would, and looks at every configured node:
// whether it is there, readable, and of a type that fits what is asked of it; and how many
// nodes a pattern leads to.
func examineNodes(ctx context.Context, cfg config.OPCUAConnection, deps link.Deps, s *doctor.Subject) {
	all := specs(cfg, "site")
	if len(all) == 0 {
		return
	}
	if cfg.Secured() && cfg.CertFile == "" {
		if _, err := os.Stat(filepath.Join(deps.Folder, trust.PublicCertFile)); errors.Is(err, fs.ErrNotExist) {
			s.Note("session", "start plantgate once, and let the server trust "+trust.PublicCertFile, "there is no certificate of plantgate's own yet, so that the nodes can't be looked at")
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	t := link.DefaultTiming()
	c, err := link.Open(ctx, cfg, deps, t)
	if err != nil {
		s.Fail("session", "correct what it says; then the nodes can be looked at", "there is no session: %s", err)
		return
	}
	defer link.Close(ctx, c, t)
	s.OK("session", "it is open")
	server := new(address.Server)
	f, err := look(ctx, c, server, c.Namespaces(), all, cfg.NodeLimit())
	if err != nil {
		s.Fail("nodes", "", "the server does not let its nodes be looked for: %s", err)
		return
	}
	for i, n := range f.counts {
		if !all[i].fixed() {
			s.Note("pattern", "", "%s leads to %s", all[i].nodeID, mes.Counted(n, "node"))
		}
	}
	for _, w := range f.warnings {
		s.Warn("duplicate", "give signals other names by captures, or make the pattern narrower", "%s", w)
	}
	e := &examination{client: c, walker: address.NewWalker(c, c.Namespaces(), server), subject: s}
	if err := e.targets(ctx, f.targets); err != nil {
		s.Fail("nodes", "", "the nodes can't be read: %s", err)
	}
}

// examination reports on nodes, not on too many.
type examination struct {
	client  *opcua.Client
	walker  *address.Walker
	subject *doctor.Subject
	bad     int
}

func (e *examination) fault(t *target, advice, format string, args ...any) {
	if e.bad++; e.bad <= maxNodeFindings {
		e.subject.Fail("node", advice, "%s: %s", t.name(), fmt.Sprintf(format, args...))
	}
}

// name says which node of which machine; what is to be discovered has none yet.
func (t *target) name() string {
	if t.machineID == "" {
		return t.nodeID
	}
	return t.nodeID + " of " + t.machineID
}

// targets looks at every node that there is.
func (e *examination) targets(ctx context.Context, all []target) error {
	var there []*target
	var ids []*ua.NodeID
	for i := range all {
		t := &all[i]
		id, err := address.Resolve(t.nodeID, e.client.Namespaces())
		switch {
		case t.absent != "":
			e.fault(t, "plantgate opcua browse shows what there is", "%s", t.absent)
		case err != nil:
			e.fault(t, "plantgate opcua browse shows what there is", "%s", err)
		default:
			there, ids = append(there, t), append(ids, id)
		}
	}
	facts, err := e.walker.Facts(ctx, ids)
	if err != nil {
		return err
	}
	for i, t := range there {
		e.one(t, &facts[i])
	}
	if e.bad > maxNodeFindings {
		e.subject.Fail("node", "", "and %s", mes.Counted(e.bad-maxNodeFindings, "more node"))
	}
	if good := len(all) - e.bad; good > 0 {
		e.subject.OK("nodes", "%d of %s can be read", good, mes.Counted(len(all), "node"))
	}
	return nil
}

// one judges a node.
func (e *examination) one(t *target, f *address.Facts) {
	switch {
	case f.Status != ua.StatusOK:
		e.fault(t, "plantgate opcua browse shows what there is", "%s", link.StatusText(f.Status))
		return
	case f.Class != ua.NodeClassVariable && f.Class != 0: // some servers do not tell it
		e.fault(t, "name a variable below it", "it is no variable, and has no value")
		return
	case !f.Readable:
		e.fault(t, "let the server's user read it, or give another user", "this user may not read it")
		return
	}
	v, err := vqt.Of(f.Value, nil)
	switch {
	case errors.As(err, new(*vqt.UnknownTypeError)): // a session asks for its type
	case err != nil:
		e.fault(t, "name a variable below it that has one value", "%s", err)
	case t.ask.filter != nil && t.ask.filter.DeadbandType == uint32(ua.DeadbandTypePercent) && !f.HasRange:
		e.fault(t, "give deadband as a number", "the deadband %s needs the property EURange, which it does not have", t.ask.deadband)
	case v.Value().IsNull():
	case needsNumber(t) && v.Value().Kind() != mes.KindNumber:
		e.fault(t, "take scale, offset, deadband and role away, or name another node", "its value is no number")
	default:
		if _, _, err := t.convert.of(v.Value(), v.StatusCode.Severity() == "bad"); err != nil {
			e.fault(t, "", "its value %s", err)
			return
		}
		e.unknownNames(t, v.Value())
	}
}

// needsNumber tells whether something is asked of the node that only a number has.
func needsNumber(t *target) bool {
	return t.convert.scale != nil || t.convert.offset != nil || t.convert.role.IsCounter() || t.ask.deadband != ""
}

// unknownNames warns of a map that names what the enumeration does not have.
func (e *examination) unknownNames(t *target, v mes.Value) {
	if t.convert.named || v.Kind() == mes.KindString || !t.convert.wantsNames() {
		return
	}
	var names []string
	for _, name := range t.convert.names {
		names = append(names, name)
	}
	slices.Sort(names)
	for key := range t.convert.status {
		if _, err := mes.Number(key); err == nil || key == "true" || key == "false" || slices.Contains(names, key) {
			continue
		}
		e.subject.Warn("map", "correct the name", "%s: no value is called %q; there are %q", t.name(), key, names)
	}
}
