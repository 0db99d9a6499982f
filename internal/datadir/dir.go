package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/meshnode/meshnode/internal/disk"
)

// What files may be read and written by their owner alone.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// The files of a directory.
const (
	lockName     = "LOCK"
	identityName = "identity.json"
	peersName    = "peers.json"
)

// Config says which directory, and for whom.
type Config struct {
	Path string // created with all that is above it
	// Name and Cluster are what the node was told to be. Empty: what the directory
	// says, and in a new one DefaultName and DefaultCluster.
	Name, Cluster string
	// DefaultName and DefaultCluster are for a new directory.
	DefaultName, DefaultCluster string
	// Check refuses names before they are written down. May be nil.
	Check func(name, cluster string) error
}

// Dir is a directory that this process has open.
//
// Invariant: lock is held from Open to Close, and nothing is written without it.
type Dir struct {
	path string // absolute
	who  Identity

	mu     sync.Mutex
	lock   io.Closer
	closed bool
}

// Open creates the directory if it is not there, locks it, and reads or writes down
// whose it is. The caller must Close it. Errors: ErrInUse, ErrOtherNode, ErrDamaged,
// ErrNewerFormat, that of Config.Check, or of the file system, all with the path.
func Open(cfg Config) (*Dir, error) {
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", cfg.Path, err)
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, lock: lock}
	if d.who, err = identify(path, cfg); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// Path is the directory's, absolute.
func (d *Dir) Path() string { return d.path }

// Identity is whose directory it is.
func (d *Dir) Identity() Identity { return d.who }

// Close gives the directory free. Further calls do nothing.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.lock.Close()
}

func lockDir(path string) (io.Closer, error) {
	lock, err := disk.System().Lock(filepath.Join(path, lockName))
	var used *disk.InUseError
	switch {
	case errors.As(err, &used):
		return nil, &InUseError{Path: path, PID: used.PID}
	case err != nil:
		return nil, fmt.Errorf("data directory %s cannot be locked: %w", path, err)
	}
	return lock, nil
}
