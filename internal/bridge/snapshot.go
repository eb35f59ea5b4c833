package bridge

import (
	"encoding/json"
	"time"

	"plantgate/internal/mes"
)

// snapshot is how the variables of a topic stand. One of which no value is known yet is
// null.
type snapshot struct {
	names  []string
	values map[string]mes.Value
}

func (s *snapshot) add(name string) {
	if _, known := s.values[name]; !known {
		s.names = append(s.names, name)
		s.values[name] = mes.Value{}
	}
}

func (s *snapshot) set(name string, v mes.Value) {
	s.add(name)
	s.values[name] = v
}

// body is the message of a moment: its time is that of what has changed.
func (s *snapshot) body(at time.Time) []byte {
	b := append([]byte(`{"timestamp":"`), at.UTC().Format(layout)...)
	b = append(b, `","variables":{`...)
	for i, name := range s.names {
		if i > 0 {
			b = append(b, ',')
		}
		key, _ := json.Marshal(name) // a string always has JSON
		b = append(append(b, key...), ':')
		b = s.values[name].AppendJSON(b)
	}
	return append(b, "}}"...)
}
