package trust

import "fmt"

// Refusal is a failure that a person has to mend: a wrong password, a
// certificate that is not trusted. It is tried again seldom, so that accounts
// are not locked.
type Refusal struct{ reason string }

// Error implements error.
func (r *Refusal) Error() string { return r.reason }

// Refuse makes a Refusal.
func Refuse(format string, args ...any) error {
	return &Refusal{fmt.Sprintf(format, args...)}
}
