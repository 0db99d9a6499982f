package ledger

import (
	"errors"
	"fmt"

	berrors "go.etcd.io/bbolt/errors"

	"github.com/meshnode/meshnode/internal/disk"
)

// What can be wrong with the file or the disk. Errors of this package wrap one of these where one fits; errors.Is finds
// it, and the text says more.
var (
	ErrInUse       = disk.ErrInUse    // a *disk.InUseError
	ErrFull        = disk.ErrFull     // of the disk, the quota, or Config.MaxBytes
	ErrReadOnly    = disk.ErrReadOnly // read-only file system, or no permission
	ErrCorrupt     = errors.New("ledger: damaged")
	ErrNewerFormat = errors.New("ledger: written by a newer version")
	ErrBroken      = errors.New("ledger: a write failed, to be opened again") // nothing is accepted until then
	ErrClosed      = errors.New("ledger: closed")
)

// What can be wrong with a call.
var (
	ErrBadCall        = errors.New("ledger: call without id, expiry or with too long an id")
	ErrOtherArguments = errors.New("ledger: id was used with other arguments")
	ErrExpired        = errors.New("ledger: call has expired")
	ErrTooLarge       = errors.New("ledger: key or value too large")
	ErrExited         = errors.New("ledger: run called runtime.Goexit") // as t.FailNow does; all that it wrote is undone
	ErrTxDone         = errors.New("ledger: transaction has ended, or only reads")
)

// What can be wrong with a step of a handover.
var (
	ErrNotHeld  = errors.New("ledger: partition not held")
	ErrHeld     = errors.New("ledger: partition is held or being given")
	ErrGiving   = errors.New("ledger: partition is being given to another node")
	ErrOldEpoch = errors.New("ledger: a later epoch is known")
	ErrRefused  = errors.New("ledger: epoch was refused for good")
	ErrGap      = errors.New("ledger: chunk does not follow what is there")
	ErrBadChunk = errors.New("ledger: chunk is malformed")
)

// NotHeldError says that this node does not hold the partition of a call. Nothing was executed. errors.Is finds
// ErrNotHeld.
type NotHeldError struct {
	Partition uint32
	State     State  // what it is here instead
	To        string // the node that it was given to or is being given to; empty if none is known
}

func (e *NotHeldError) Error() string {
	text := fmt.Sprintf("ledger: partition %d is not held (%s", e.Partition, e.State)
	if e.To != "" {
		text += " to " + e.To
	}
	return text + ")"
}

func (e *NotHeldError) Unwrap() error { return ErrNotHeld }

// PanicError is the error of a call whose run panicked. All that it wrote is undone.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("ledger: run panicked: %v", e.Value) }

// CorruptError says what is damaged, and where. errors.Is finds ErrCorrupt.
type CorruptError struct {
	Path string // of the file
	Page int64  // the page of the file, -1 if it is not known
	Why  string
}

func (e *CorruptError) Error() string {
	text := "ledger: " + e.Path
	if e.Page >= 0 {
		text += fmt.Sprintf(": page %d", e.Page)
	}
	return text + ": " + e.Why
}

func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// classify wraps err with the class that fits; others come back as they are.
func classify(err error) error {
	err = disk.Classify(err)
	class := classOf(err)
	if class == nil || errors.Is(err, class) {
		return err
	}
	return fmt.Errorf("%w: %w", class, err)
}

func classOf(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, berrors.ErrTimeout):
		return ErrInUse
	case errors.Is(err, berrors.ErrMaxSizeReached):
		return ErrFull
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return ErrCorrupt
	}
	return nil
}
