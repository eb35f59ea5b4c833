package app

import (
	"errors"
	"fmt"

	"plantgate/internal/wal"
)

// InUseError says that another process has what a server would keep its data in.
type InUseError struct {
	// What is the store or the folder, without secrets.
	What string
	// PID is the number of that process, as it saw itself; 0 is unknown.
	PID int
	// Setting is where another can be given.
	Setting string
}

// Error implements error.
func (e *InUseError) Error() string {
	who := ""
	if e.PID != 0 {
		who = fmt.Sprintf(" (pid %d)", e.PID)
	}
	return fmt.Sprintf("%s is in use by another process%s: end that one first, or take another with %s", e.What, who, e.Setting)
}

// inUse makes an error of opening a log that another process has one that says so plainly.
func inUse(err error, what, setting string) error {
	if !errors.Is(err, wal.ErrLocked) {
		return err
	}
	used := &InUseError{What: what, Setting: setting}
	if locked := new(wal.LockedError); errors.As(err, &locked) {
		used.PID = locked.PID
	}
	return used
}
