package mes

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Code says what kind of failure an Error is. Every transport has one map from
// codes to its own answers: HTTP status, MQTT acknowledgement, OPC UA status.
type Code string

// The codes. Invalid means that the sender can mend the input; Unavailable that
// the same call may succeed later; Internal that a person has to look.
const (
	CodeInvalid         Code = "invalid"
	CodeMalformed       Code = "malformed"
	CodeTooLarge        Code = "too_large"
	CodeUnsupported     Code = "unsupported"
	CodeUnauthenticated Code = "unauthenticated"
	CodeForbidden       Code = "forbidden"
	CodeNotFound        Code = "not_found"
	CodeConflict        Code = "conflict"
	CodePrecondition    Code = "precondition"
	CodeRateLimited     Code = "rate_limited"
	CodeUnavailable     Code = "unavailable"
	CodeInternal        Code = "internal"
)

// ErrDurability is in the chain of an error after which nothing can be said of
// what is on disk: a sync failed. The process must end; a later sync that
// succeeds would prove nothing.
var ErrDurability = errors.New("the store could not make data durable")

// ErrStoreAway is in the chain of an error that says that the database can't be
// reached: the same call may go well once it is back.
var ErrStoreAway = errors.New("the database is away")

// ErrLeaseLost is in the chain of an error that says that another server does now what
// the caller took to be its own: it must stop that.
var ErrLeaseLost = errors.New("another server holds the lease")

// ErrUnstorable is in the chain of an error that lies in what was to be stored: the
// same will fail again, and other things will not.
var ErrUnstorable = errors.New("the database can't hold it")

// ErrKeyReused is in the chain of the fault of a record whose idempotency key came
// before with another body. It is a fault of the whole request.
var ErrKeyReused = errors.New("the Idempotency-Key was used before with another body")

// FieldError names one member of the input and what was expected of it.
type FieldError struct {
	// Pointer is a JSON pointer (RFC 6901) into the input; "" is the whole of it.
	Pointer string `json:"pointer"`
	// Detail says what was expected and what was found.
	Detail string `json:"detail"`
}

// Error is a failure whose Message a user may read. What a user must not see
// (SQL, paths, keys) belongs in the wrapped cause, which only logs show.
type Error struct {
	Code    Code
	Message string
	// Fields names every fault of invalid input at once.
	Fields []FieldError
	// RetryAfter is how long a caller should wait before it tries again; zero
	// where waiting changes nothing.
	RetryAfter time.Duration
	cause      error
}

// Errorf makes an Error with a message for the user. A %w verb keeps the cause
// for errors.Is; its text becomes part of the message, so wrap only errors
// whose text a user may read. For others see Wrap.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Wrap makes an Error whose cause is kept for logs and errors.Is but is not
// part of the message.
func Wrap(code Code, cause error, message string) *Error {
	return &Error{Code: code, Message: message, cause: cause}
}

// Invalid makes an Error of CodeInvalid that names the faulty members. It
// returns nil when there are none.
func Invalid(fields []FieldError) *Error {
	if len(fields) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: "the input has invalid members", Fields: fields}
}

// Error returns the message for the user, the faulty members after it.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return e.Message
	}
	var b strings.Builder
	b.WriteString(e.Message)
	for i, f := range e.Fields {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		if f.Pointer != "" {
			b.WriteString(f.Pointer)
			b.WriteString(": ")
		}
		b.WriteString(f.Detail)
	}
	return b.String()
}

// Unwrap returns the cause, which may be nil.
func (e *Error) Unwrap() error { return e.cause }

// LogValue tells the log what users must not see.
func (e *Error) LogValue() slog.Value { return slog.StringValue(WithCauses(e)) }

// WithCauses is the text of err with the causes that an Error in its chain keeps from
// users: for the log, and for whoever runs the program.
func WithCauses(err error) string {
	text := err.Error()
	var add func(error)
	add = func(err error) {
		for _, cause := range causes(err) {
			if !strings.Contains(text, cause.Error()) {
				text += ": " + cause.Error()
			}
			add(cause)
		}
	}
	add(err)
	return text
}

// causes are what an error wraps.
func causes(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if cause := errors.Unwrap(err); cause != nil {
		return []error{cause}
	}
	return nil
}

// ErrorCode returns the code of the first Error in err's chain, CodeInternal
// for any other error and "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
