package explore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// Paste writes variables as a configuration that subscribes to them: a machine for each
// object that has some, or one for all if machineID is given. What can't be a signal stands
// there as a comment with the reason. It fails if there is no variable at all.
func Paste(w io.Writer, cfg config.OPCUAConnection, found []Found, machineID string) error {
	p := paste{machines: map[string]*pasted{}}
	for _, f := range found {
		if f.Class == "Variable" && f.ReferenceType != "HasProperty" {
			p.add(f, machineID, cfg.Name)
		}
	}
	if p.signals == 0 {
		return mes.Errorf(mes.CodeNotFound, "no variable was found that can be a signal: look deeper (--depth), or begin at another node (--node)")
	}
	var b bytes.Buffer
	writeHead(&b, cfg)
	for _, m := range p.order {
		m.write(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func writeHead(b *bytes.Buffer, cfg config.OPCUAConnection) {
	fmt.Fprintf(b, "opcua:\n  connections:\n  - name: %s\n    endpoint: %s\n", quoted(cfg.Name), quoted(cfg.Endpoint))
	for _, member := range []struct{ key, value string }{
		{"security_policy", cfg.SecurityPolicy}, {"security_mode", cfg.SecurityMode}, {"server_thumbprint", cfg.ServerThumbprint},
		{"server_ca_file", cfg.ServerCAFile}, {"username", cfg.Username}, {"password_file", cfg.PasswordFile},
		{"user_cert_file", cfg.UserCertFile}, {"user_key_file", cfg.UserKeyFile}, {"cert_file", cfg.CertFile}, {"key_file", cfg.KeyFile},
	} {
		if member.value != "" && member.value != config.PolicyNone {
			fmt.Fprintf(b, "    %s: %s\n", member.key, quoted(member.value))
		}
	}
	b.WriteString("    machines:\n")
}

// paste collects machines in the order in which they were found.
type paste struct {
	machines map[string]*pasted
	order    []*pasted
	signals  int
}

// pasted is a machine of the configuration.
type pasted struct {
	id    string
	nodes []string
	names map[string]bool
	real  int
}

func (p *paste) add(f Found, machineID, connection string) {
	id := machineID
	if id == "" {
		id = machineOf(f.Parents, connection)
	}
	m := p.machines[id]
	if m == nil {
		m = &pasted{id: id, names: map[string]bool{}}
		p.machines[id] = m
		p.order = append(p.order, m)
	}
	if m.add(f) {
		p.signals++
	}
}

// machineOf makes an id of what a variable stands in.
func machineOf(parents []string, otherwise string) string {
	for i := len(parents) - 1; i >= 0; i-- {
		id := strings.TrimSpace(strings.NewReplacer("~", "-", "/", "-").Replace(plainName(parents[i])))
		if mes.CheckID(id) == nil {
			return id
		}
	}
	return otherwise
}

// add tells whether the variable can be a signal.
func (m *pasted) add(f Found) bool {
	reason := unfit(f)
	if reason != "" {
		m.nodes = append(m.nodes, fmt.Sprintf("      # - node_id: %s # %s\n", quoted(f.NodeID), comment(reason)))
		return false
	}
	line := fmt.Sprintf("      - node_id: %s", quoted(f.NodeID))
	if f.DataType != "" {
		line += " # " + comment(f.DataType+strings.Repeat("[]", int(max(min(f.ValueRank, maxDimensions), 0))))
	}
	line += "\n"
	if name := m.name(f); name != mes.NodeName(f.NodeID) {
		line += "        signal: " + quoted(name) + "\n"
	}
	m.nodes = append(m.nodes, line)
	m.real++
	return true
}

// unfit says why a variable can't be a signal, "" if it can.
func unfit(f Found) string {
	if err := config.CheckNodeID(f.NodeID); err != nil {
		return "its node id " + err.Error()
	}
	switch {
	case strings.ContainsFunc(f.NodeID, func(r rune) bool { return r == '\uFFFD' }):
		return "its node id is not UTF-8"
	case !f.Readable:
		return "the server does not let it be read"
	case f.Value != nil && f.Value.Value.IsNull() && f.Value.Detail != "" && f.Value.Status.Code>>30 < 2:
		return f.Value.Detail
	}
	return ""
}

// name is a signal's name that no other of the machine has. The default, the last part of
// the node id, goes for string ids; a number is named as the server names it.
func (m *pasted) name(f Found) string {
	browse := plainName(f.BrowseName)
	names := []string{plainName(mes.NodeName(f.NodeID))}
	if _, identifier, _ := strings.Cut(f.NodeID, ";"); !strings.HasPrefix(identifier, "s=") && !strings.HasPrefix(f.NodeID, "s=") {
		names[0] = browse
	}
	names = append(names, browse)
	if n := len(f.Parents); n > 0 {
		names = append(names, plainName(f.Parents[n-1]+"."+f.BrowseName), plainName(strings.Join(f.Parents, ".")+"."+f.BrowseName))
	}
	for i := 2; ; i++ {
		for _, name := range names {
			if name != "" && name != mes.SignalStatus && len(name) <= mes.MaxSignalNameLength && !m.names[name] {
				m.names[name] = true
				return name
			}
		}
		number := fmt.Sprintf("_%d", i)
		names = []string{cut(browse, mes.MaxSignalNameLength-len(number)) + number}
	}
}

// plainName leaves out of a server's name what a signal or a machine must not have, or what
// the configuration takes for a capture.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '{':
			return '('
		case r == '}':
			return ')'
		case unicode.IsControl(r) || r == utf8.RuneError:
			return '-'
		}
		return r
	}, s)
}

// cut shortens a text to at most so many bytes, at the end of a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

func (m *pasted) write(b *bytes.Buffer) {
	if m.real == 0 { // a machine needs a node
		fmt.Fprintf(b, "    # - machine_id: %s\n    #   nodes:\n", quoted(m.id))
	} else {
		fmt.Fprintf(b, "    - machine_id: %s\n      nodes:\n", quoted(m.id))
	}
	for _, n := range m.nodes {
		b.WriteString(n)
	}
}

// quoted writes a text as YAML has it: plain where that is surely the text itself, else
// quoted as in JSON, which YAML has taken over (YAML 1.2.2, 1.2).
func quoted(s string) string {
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-+=;/:") == "" &&
		!strings.Contains(s, ": ") && !strings.HasSuffix(s, ":") && strings.ContainsAny(s[:1], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/")
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		plain = false
	}
	if plain {
		return s
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	var escaped strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if isPrintable(r) {
			escaped.WriteRune(r)
		} else {
			fmt.Fprintf(&escaped, `\u%04x`, r)
		}
	}
	return escaped.String()
}

// isPrintable tells of a character that JSON leaves as it is whether YAML does too (YAML
// 1.2.2, 5.1), and a terminal shows it in its place.
func isPrintable(r rune) bool {
	return unicode.IsPrint(r) || r > 0xFFFF
}

// comment keeps a text on its line.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
