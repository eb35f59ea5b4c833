package config

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	// Key is the path of the setting, such as
	// opcua.connections[0].machines[1].nodes[0].node_id.
	Key string
	// Detail says what is expected and what was found; never a secret.
	Detail string
}

// Faults is everything that is wrong with a configuration. It is an error that
// a user mends: exit code 2.
type Faults []Fault

// Error lists the faults, one a line.
func (f Faults) Error() string {
	var b strings.Builder
	b.WriteString("the configuration is wrong:")
	for _, fault := range f {
		b.WriteString("\n  ")
		b.WriteString(fault.Key)
		b.WriteString(": ")
		b.WriteString(fault.Detail)
	}
	return b.String()
}

// faults gathers what is wrong, so that all of it can be said at once.
type faults struct{ list []Fault }

func (f *faults) add(key, format string, args ...any) {
	f.list = append(f.list, Fault{key, fmt.Sprintf(format, args...)})
}

// check adds err, if there is one.
func (f *faults) check(key string, err error) {
	if err != nil {
		f.list = append(f.list, Fault{key, err.Error()})
	}
}
