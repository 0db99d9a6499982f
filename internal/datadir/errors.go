package datadir

import (
	"errors"
	"fmt"
)

// Errors of this package. They come wrapped with the path; compare with errors.Is.
var (
	// ErrInUse tells that another process has the directory open; it comes as an
	// *InUseError.
	ErrInUse = errors.New("datadir: directory is in use")
	// ErrOtherNode tells that the directory is another node's; it comes as an
	// *OtherNodeError.
	ErrOtherNode = errors.New("datadir: directory belongs to another node")
	// ErrDamaged tells of a file that cannot be read as what it should be.
	ErrDamaged = errors.New("datadir: damaged file")
	// ErrNewerFormat tells of a file that a later version of this program wrote.
	ErrNewerFormat = errors.New("datadir: file of a newer format")
	// ErrClosed tells of a use after Close.
	ErrClosed = errors.New("datadir: closed")
)

// InUseError is an ErrInUse with who uses the directory.
type InUseError struct {
	Path string // of the directory
	PID  int    // of the process that has it open; 0: not known
}

// Error implements error.
func (e *InUseError) Error() string {
	by := "by another process"
	if e.PID != 0 {
		by = fmt.Sprintf("by process %d", e.PID)
	}
	return fmt.Sprintf("data directory %s is in use %s; each node needs one of its own", e.Path, by)
}

// Is makes errors.Is(err, ErrInUse) true.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// OtherNodeError is an ErrOtherNode with whose directory it is.
type OtherNodeError struct {
	Path  string // of the directory
	What  string // what differs: "name" or "cluster"
	Has   string // in the directory
	Asked string // of Open
}

// Error implements error. It says what to do.
func (e *OtherNodeError) Error() string {
	return fmt.Sprintf("data directory %s belongs to a node with the %s %q, not %q; start it with --%s %s, or use another directory for %q",
		e.Path, e.What, e.Has, e.Asked, e.What, e.Has, e.Asked)
}

// Is makes errors.Is(err, ErrOtherNode) true.
func (e *OtherNodeError) Is(target error) bool { return target == ErrOtherNode }
