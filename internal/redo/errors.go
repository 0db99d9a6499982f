package redo

import (
	"errors"
	"fmt"
)

// Errors of a log, for errors.Is. Those of the disk (disk.ErrFull, disk.ErrReadOnly,
// disk.ErrInUse) come wrapped.
var (
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("redo: the log is closed")
	// ErrBroken: a write or a sync failed, so it is not known what is on the disk.
	// The error wraps the cause. The log takes nothing more until it is opened
	// again; what it was given when it broke may be there then, or not.
	ErrBroken = errors.New("redo: the log takes no more until it is opened again")
	// ErrCorrupt: a file is damaged. The error is a *CorruptError.
	ErrCorrupt = errors.New("redo: corrupt")
	// ErrNewerFormat: a file was written by a later version. The error is a
	// *NewerFormatError.
	ErrNewerFormat = errors.New("redo: newer format")
	// ErrTooLarge: the record is longer than Config.MaxRecord.
	ErrTooLarge = errors.New("redo: record too large")
	// ErrKind: kind 0 is the log's own.
	ErrKind = errors.New("redo: kind 0 is not for users")
	// ErrGone: the file that the position is in was released, or never was.
	ErrGone = errors.New("redo: no such position, or released")
	// ErrReadOnly: the log was opened with Config.ReadOnly.
	ErrReadOnly = errors.New("redo: opened to read only")
	// ErrCheckpointing: another checkpoint is under way.
	ErrCheckpointing = errors.New("redo: a checkpoint is under way")
)

// CorruptError says where a file is damaged. errors.Is finds ErrCorrupt in it.
type CorruptError struct {
	File   string // its path
	Offset int64  // of the record, or the header, that is not right
	Why    string
}

// Error names the file and the offset.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: corrupt at offset %d: %s", e.File, e.Offset, e.Why)
}

// Is makes errors.Is find ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// NewerFormatError names a file of a format that this version does not know.
// errors.Is finds ErrNewerFormat in it.
type NewerFormatError struct {
	File    string // its path
	Version int    // of the file's format
}

// Error names the file and both versions.
func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("%s: format %d, this version reads up to %d", e.File, e.Version, formatVersion)
}

// Is makes errors.Is find ErrNewerFormat.
func (e *NewerFormatError) Is(target error) bool { return target == ErrNewerFormat }
