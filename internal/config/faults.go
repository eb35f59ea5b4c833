package config

import "strings"

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
