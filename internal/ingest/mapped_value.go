package ingest

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"plantgate/internal/mes"
)

// decodeValue reads a message that is one number or text.
func (d *JSONDecoder) decodeValue(src *Source, raw []byte) []mes.Record {
	if len(raw) > d.limits.MaxRecord {
		return []mes.Record{faulty(src, raw, d.tooLarge(len(raw)))}
	}
	text, fault := plainText(raw)
	if fault != nil {
		return []mes.Record{faulty(src, raw, fault)}
	}
	m := d.newMapped(src, raw)
	n := node{kind: '"', text: text}
	if Format(m.mapping.Format) == FormatNumber {
		n = m.number(text)
	}
	h := m.first
	if m.mapping.StatusMap != nil {
		word := n
		word.text = strings.TrimSpace(word.text)
		if h.status = m.status("", word); h.status != "" {
			m.touch(h)
		}
	}
	value := &m.mapping.Value
	if !value.Name.IsEmpty() && len(m.faults.told) == 0 {
		if v, ok := m.value(value, "", n); ok {
			m.add(h, 0, mes.Signal{Name: value.Name.Expand(m.mapping.Captures, ""), Value: v})
		}
	}
	return m.records()
}

// plainText returns the message as text without the ends of lines behind it.
func plainText(raw []byte) (string, *mes.Error) {
	text := strings.TrimRight(string(bytes.TrimPrefix(raw, utf8BOM)), "\r\n")
	switch {
	case strings.TrimSpace(text) == "":
		return "", mes.Errorf(mes.CodeMalformed, "the message is empty")
	case !utf8.ValidString(text):
		return "", mes.Errorf(mes.CodeMalformed, "the message is not valid UTF-8")
	case strings.Contains(text, "\x00"):
		return "", mes.Errorf(mes.CodeMalformed, "the message has the character U+0000")
	}
	return text, nil
}

// number reads a number, true or false, which may stand in quotes.
func (m *mapped) number(text string) node {
	text = strings.TrimSpace(text)
	if text[0] == '"' {
		if plain, err := jsontext.AppendUnquote(nil, text); err == nil {
			text = strings.TrimSpace(string(plain))
		}
	}
	n := scalar(text, m.mapping.DecimalComma)
	if n.kind == '"' && m.mapping.StatusMap == nil {
		m.fault("", "must be a number, true or false, not %q", abbreviated(text))
	}
	return n
}
