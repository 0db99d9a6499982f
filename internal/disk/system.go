package disk

import (
	"io"
	"os"
	"runtime"
)

// Rights of new files and folders: what people call about is private.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// System is the file system of the operating system.
func System() FS { return system{} }

type system struct{}

func (system) Open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, Classify(err)
	}
	return systemFile{f}, nil
}

func (system) Rename(from, to string) error { return Classify(os.Rename(from, to)) }
func (system) Remove(name string) error     { return Classify(os.Remove(name)) }
func (system) MkdirAll(dir string) error    { return Classify(os.MkdirAll(dir, dirMode)) }

func (system) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, Classify(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (system) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // see the package comment
	}
	f, err := os.Open(dir)
	if err != nil {
		return Classify(err)
	}
	err = f.Sync()
	if closed := f.Close(); err == nil {
		err = closed
	}
	return Classify(err)
}

func (system) Lock(name string) (io.Closer, error) { return lock(name) }

// systemFile is a file of the operating system, with errors that have a kind.
type systemFile struct{ f *os.File }

// ReadAt leaves io.EOF as it is.
func (s systemFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.f.ReadAt(p, off)
	return n, Classify(err)
}

func (s systemFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := s.f.WriteAt(p, off)
	return n, Classify(err)
}

func (s systemFile) Sync() error               { return Classify(s.f.Sync()) }
func (s systemFile) Truncate(size int64) error { return Classify(s.f.Truncate(size)) }
func (s systemFile) Close() error              { return Classify(s.f.Close()) }

func (s systemFile) Size() (int64, error) {
	info, err := s.f.Stat()
	if err != nil {
		return 0, Classify(err)
	}
	return info.Size(), nil
}
