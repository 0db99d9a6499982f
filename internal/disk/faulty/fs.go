package faulty

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/meshnode/meshnode/internal/disk"
)

// Kind is what an operation does.
type Kind int

// Kinds of operations.
const (
	Open Kind = iota
	Read
	Write
	Truncate
	Sync
	Rename
	Remove
	List
	MkdirAll
	SyncDir
	Lock
)

// String is the name of the kind.
func (k Kind) String() string {
	return [...]string{"open", "read", "write", "truncate", "sync", "rename", "remove", "list", "mkdir", "syncdir", "lock"}[k]
}

// Op is an operation that is about to be done.
type Op struct {
	N      int // operations so far, from 1
	Kind   Kind
	Name   string // of the file or the folder; of Rename the new name
	Offset int64  // of Read and Write
	Size   int64  // bytes of Read and Write, the new size of Truncate
}

// String is for messages of tests.
func (o Op) String() string {
	return fmt.Sprintf("operation %d: %v %s, offset %d, size %d", o.N, o.Kind, o.Name, o.Offset, o.Size)
}

// Short is an error for a Write that does so many bytes before it fails.
type Short struct {
	Bytes int
	Err   error
}

// Error is that of Err.
func (s *Short) Error() string { return s.Err.Error() }

// Unwrap gives Err.
func (s *Short) Unwrap() error { return s.Err }

// FS is a disk.FS in memory. Make it with New or Crash. Invariant: durable names lead
// to inodes as of the last sync of their folder, names to those as they are now.
type FS struct {
	mu      sync.Mutex
	inject  func(Op) error
	n       int
	names   map[string]*inode
	durable map[string]*inode
	changes []change // since, in order
	dirs    map[string]bool
	locks   map[string]bool
}

// change is a change of names in one folder.
type change struct {
	dir      string
	from, to string // from is no name any more, to is the name of node; either may be empty
	node     *inode
}

// New makes an empty file system.
func New() *FS {
	return &FS{
		names: make(map[string]*inode), durable: make(map[string]*inode), dirs: make(map[string]bool),
		locks: make(map[string]bool),
	}
}

// Inject has f asked before each operation: its error is that of the operation, which
// is not done then, but for a Short.
func (s *FS) Inject(f func(Op) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inject = f
}

// ask numbers an operation and has it decided. The error has its kind.
func (s *FS) ask(op Op) error {
	s.mu.Lock()
	s.n++
	op.N = s.n
	inject := s.inject
	s.mu.Unlock()
	if inject == nil {
		return nil
	}
	if err := inject(op); err != nil {
		var short *Short
		if errors.As(err, &short) {
			return err
		}
		return disk.Classify(&fs.PathError{Op: op.Kind.String(), Path: op.Name, Err: err})
	}
	return nil
}

// Open opens or makes a file.
func (s *FS) Open(name string, flag int) (disk.File, error) {
	name = filepath.Clean(name)
	if err := s.ask(Op{Kind: Open, Name: name}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	node, ok := s.names[name]
	switch {
	case ok && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case !ok && (flag&os.O_CREATE == 0 || !s.dirs[filepath.Dir(name)]):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case !ok:
		node = newInode(nil)
		s.names[name] = node
		s.changes = append(s.changes, change{dir: filepath.Dir(name), to: name, node: node})
	}
	return &file{fs: s, name: name, node: node, readOnly: flag&os.O_RDWR == 0}, nil
}

// Rename is one change: after a power failure both names are as before or both as now.
func (s *FS) Rename(from, to string) error {
	from, to = filepath.Clean(from), filepath.Clean(to)
	if err := s.ask(Op{Kind: Rename, Name: to}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	node, ok := s.names[from]
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(s.names, from)
	s.names[to] = node
	s.changes = append(s.changes, change{dir: filepath.Dir(to), from: from, to: to, node: node})
	return nil
}

// Remove removes a name.
func (s *FS) Remove(name string) error {
	name = filepath.Clean(name)
	if err := s.ask(Op{Kind: Remove, Name: name}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.names[name]; !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(s.names, name)
	s.changes = append(s.changes, change{dir: filepath.Dir(name), from: name})
	return nil
}

// List gives the names of files in a folder, sorted.
func (s *FS) List(dir string) ([]string, error) {
	dir = filepath.Clean(dir)
	if err := s.ask(Op{Kind: List, Name: dir}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirs[dir] {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	var names []string
	for name := range s.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// MkdirAll makes folders. They are durable at once.
func (s *FS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	if err := s.ask(Op{Kind: MkdirAll, Name: dir}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; !s.dirs[dir]; dir = filepath.Dir(dir) {
		s.dirs[dir] = true
	}
	return nil
}

// SyncDir makes the names in a folder durable.
func (s *FS) SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	if err := s.ask(Op{Kind: SyncDir, Name: dir}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = slices.DeleteFunc(s.changes, func(c change) bool {
		if c.dir != dir {
			return false
		}
		c.apply(s.durable)
		return true
	})
	return nil
}

func (c change) apply(names map[string]*inode) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

// Lock locks a name; there need be no file. After Crash it is free.
func (s *FS) Lock(name string) (io.Closer, error) {
	name = filepath.Clean(name)
	if err := s.ask(Op{Kind: Lock, Name: name}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks[name] {
		return nil, &disk.InUseError{Name: name, PID: os.Getpid()}
	}
	s.locks[name] = true
	return unlock(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.locks, name)
	}), nil
}

type unlock func()

func (u unlock) Close() error { u(); return nil }

// Get gives a copy of a file's bytes; nil: there is none.
func (s *FS) Get(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	node, ok := s.names[filepath.Clean(name)]
	if !ok {
		return nil
	}
	return slices.Clone(node.now)
}

// Put makes a file of these bytes, durable at once; nil removes it.
func (s *FS) Put(name string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = filepath.Clean(name)
	s.dirs[filepath.Dir(name)] = true
	delete(s.names, name)
	delete(s.durable, name)
	if b != nil {
		node := newInode(slices.Clone(b))
		s.names[name], s.durable[name] = node, node
	}
}

// Names gives the paths of all files below a folder, sorted.
func (s *FS) Names(dir string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for name := range s.names {
		if strings.HasPrefix(name, filepath.Clean(dir)+string(filepath.Separator)) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// Flip changes bits of one byte of a file, where it is open as well, as a bad disk does.
func (s *FS) Flip(name string, offset int64, mask byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.names[filepath.Clean(name)]
	n.now[offset] ^= mask
	if offset < int64(len(n.synced)) {
		n.synced[offset] ^= mask
	}
}
