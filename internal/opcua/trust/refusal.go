package trust

import "fmt"

// Refusal is a failure that a person has to mend: a wrong password, a
// certificate that is not trusted. It is tried again seldom, so that accounts
// are not locked.
type Refusal struct {
	reason string
	// soon is set where a person can decide here, without a change of configuration, and
	// no account is at stake.
	soon bool
}

// Error implements error.
func (r *Refusal) Error() string { return r.reason }

// Soon tells whether it may be tried again before long: nothing is asked of the server that
// could lock an account.
func (r *Refusal) Soon() bool { return r.soon }

// Refuse makes a Refusal.
func Refuse(format string, args ...any) error {
	return &Refusal{reason: fmt.Sprintf(format, args...)}
}

// refuseForNow makes one of which somebody may decide otherwise at any time.
func refuseForNow(format string, args ...any) error {
	return &Refusal{reason: fmt.Sprintf(format, args...), soon: true}
}
