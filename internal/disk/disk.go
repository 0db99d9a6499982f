package disk

import (
	"errors"
	"fmt"
	"io"
)

// Kinds of errors, for errors.Is.
var (
	// ErrFull: there is no space left, or none within the quota.
	ErrFull = errors.New("disk is full")
	// ErrReadOnly: the file system is mounted read-only, or this process may not
	// write there.
	ErrReadOnly = errors.New("not writable")
	// ErrInUse: another lock holds the file. The error is an *InUseError.
	ErrInUse = errors.New("in use")
)

// InUseError says who holds a lock. errors.Is finds ErrInUse in it.
type InUseError struct {
	Name string // of the file
	PID  int    // of the process that holds it; 0: not known
}

// Error names the file, and the process if it is known.
func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s: in use by another process", e.Name)
	}
	return fmt.Sprintf("%s: in use by process %d", e.Name, e.PID)
}

// Is makes errors.Is find ErrInUse.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// File is an open file. Reads and writes name their offset, in bytes; writing
// beyond the end makes it longer, with zeros between.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Sync returns when all that was written, and the size, are on the disk.
	Sync() error
	// Truncate makes the file so many bytes long.
	Truncate(size int64) error
	Close() error
	// Size is the length in bytes, as written so far.
	Size() (int64, error)
}

// FS is a file system. Names are paths as the system writes them.
type FS interface {
	// Open opens a file. flag is os.O_RDONLY or os.O_RDWR, with os.O_CREATE and
	// os.O_EXCL; new files can be read by their owner alone.
	Open(name string, flag int) (File, error)
	// Rename gives a file another name in the same folder, and replaces what had
	// it. The file should be closed.
	Rename(from, to string) error
	// Remove removes a file, which should be closed.
	Remove(name string) error
	// List gives the base names in a folder, sorted.
	List(dir string) ([]string, error)
	// MkdirAll makes a folder, and those above it, unless they exist.
	MkdirAll(dir string) error
	// SyncDir returns when the names in a folder are on the disk.
	SyncDir(dir string) error
	// Lock makes the file if need be and locks it, for this process and against
	// itself, until the Closer is closed or the process ends. It does not wait: an
	// *InUseError says who has it. The file stays.
	Lock(name string) (io.Closer, error)
}

// classError adds a kind to an error, and leaves its text alone.
type classError struct {
	err, class error
}

func (e *classError) Error() string   { return e.err.Error() }
func (e *classError) Unwrap() []error { return []error{e.err, e.class} }

// Classify wraps err such that errors.Is finds ErrFull or ErrReadOnly in it if that
// is its kind; other errors, and nil, come back as they are. The text stays.
func Classify(err error) error {
	if err == nil || errors.Is(err, ErrFull) || errors.Is(err, ErrReadOnly) {
		return err
	}
	switch {
	case isFull(err):
		return &classError{err, ErrFull}
	case isReadOnly(err):
		return &classError{err, ErrReadOnly}
	}
	return err
}
