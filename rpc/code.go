package rpc

import (
	"context"
	"fmt"
	"time"
)

// Code is the status of a call. Numbers travel on the wire; those shared with
// gRPC have gRPC's values. A Code is an error, so that errors.Is(err, NotFound)
// says what it means.
type Code uint64

// The codes.
const (
	OK                 Code = 0
	Canceled           Code = 1  // the caller gave up
	InvalidArgument    Code = 3  // the request is wrong, whatever the state
	DeadlineExceeded   Code = 4  // no answer within the deadline, or the handler said so
	NotFound           Code = 5  // what was asked for does not exist
	AlreadyExists      Code = 6  // what was to be made exists
	PermissionDenied   Code = 7  // the caller may not
	ResourceExhausted  Code = 8  // a limit or quota is reached
	FailedPrecondition Code = 9  // the state does not allow it now
	Unimplemented      Code = 12 // the node serves no such method
	Internal           Code = 13 // the handler failed
	Unavailable        Code = 14 // nobody could be reached; try again
	Unauthenticated    Code = 16 // the caller is not known
	NotOwner           Code = 17 // the node does not own the key; not executed
)

var codeNames = map[Code]string{
	OK: "OK", Canceled: "Canceled", InvalidArgument: "InvalidArgument",
	DeadlineExceeded: "DeadlineExceeded", NotFound: "NotFound",
	AlreadyExists: "AlreadyExists", PermissionDenied: "PermissionDenied",
	ResourceExhausted: "ResourceExhausted", FailedPrecondition: "FailedPrecondition",
	Unimplemented: "Unimplemented", Internal: "Internal", Unavailable: "Unavailable",
	Unauthenticated: "Unauthenticated", NotOwner: "NotOwner",
}

// String is the code's name, or Code(n) for a number that this version does
// not know.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("Code(%d)", uint64(c))
}

// Error implements error.
func (c Code) Error() string { return c.String() }

// Codes gives all codes in the order of their numbers.
func Codes() []Code {
	return []Code{
		OK, Canceled, InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists,
		PermissionDenied, ResourceExhausted, FailedPrecondition, Unimplemented,
		Internal, Unavailable, Unauthenticated, NotOwner,
	}
}

// Error is why a call failed. It is the same on both sides of the wire.
type Error struct {
	Code    Code
	Message string // for people
	Detail  []byte // for programs: whatever handler and caller agreed on; may be nil
	// RetryAfter is how long to wait before another try; 0: nothing is said,
	// NeverRetry: there should be none. It travels in milliseconds.
	RetryAfter time.Duration

	notExecuted bool // see NotExecuted
}

// Errorf gives an *Error with code and a formatted message. A %w in format is
// not kept: causes do not travel.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error implements error: the code's name and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Message
}

// Is makes errors.Is work with codes and with context's errors.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == Canceled
	case context.DeadlineExceeded:
		return e.Code == DeadlineExceeded
	}
	code, ok := target.(Code)
	return ok && code == e.Code
}
