package faulty

import (
	"errors"
	"io"
	"io/fs"
	"slices"

	"github.com/meshnode/meshnode/internal/disk"
)

// sectorBytes is what is written whole or not.
const sectorBytes = 512

// inode is a file without its name. Guarded by FS.mu.
//
// Invariant: a sector is, after a power failure, as in synced, or any of its versions;
// those of sectors that are not dirty any more stay because a sync has lost them.
type inode struct {
	now      []byte
	synced   []byte
	versions map[int64][][]byte // by sector; shorter than a sector: zeros follow
	dirty    map[int64]bool
	sizes    []int64 // since the last sync
}

func newInode(b []byte) *inode {
	return &inode{
		now: b, synced: slices.Clone(b), versions: make(map[int64][][]byte), dirty: make(map[int64]bool),
	}
}

// changed notes that the bytes from begin to end are others now.
func (n *inode) changed(begin, end int64) {
	for i := begin / sectorBytes; i*sectorBytes < end; i++ {
		n.versions[i] = append(n.versions[i], slices.Clone(sector(n.now, i)))
		n.dirty[i] = true
	}
}

// sector is what a file of these bytes has there.
func sector(b []byte, i int64) []byte {
	size := int64(len(b))
	return b[min(i*sectorBytes, size):min((i+1)*sectorBytes, size)]
}

func (n *inode) resize(size int64) {
	old := int64(len(n.now))
	if size == old {
		return
	}
	if size < old {
		n.now = n.now[:size]
	} else {
		n.now = append(n.now, make([]byte, size-old)...)
	}
	n.sizes = append(n.sizes, size)
}

// write makes the file longer if need be.
func (n *inode) write(p []byte, offset int64) {
	end := offset + int64(len(p))
	n.resize(max(end, int64(len(n.now))))
	copy(n.now[offset:], p)
	n.changed(offset, end)
}

// sync makes what is dirty durable.
func (n *inode) sync() {
	n.sizes = nil
	size := len(n.now)
	if len(n.synced) > size {
		n.synced = n.synced[:size]
	} else {
		n.synced = append(n.synced, make([]byte, size-len(n.synced))...)
	}
	for i := range n.dirty {
		copy(n.synced[min(i*sectorBytes, int64(size)):], sector(n.now, i))
		delete(n.versions, i)
	}
	clear(n.dirty)
}

// lose is a sync that failed: what was dirty counts as clean.
func (n *inode) lose() { clear(n.dirty) }

// file is an open file.
type file struct {
	fs       *FS
	name     string
	node     *inode
	readOnly bool
}

// errWritable is the error of writing to a file that was opened to be read.
var errWritable = errors.New("not opened to be written")

func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.fs.ask(Op{Kind: Read, Name: f.name, Offset: offset, Size: int64(len(p))}); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if offset >= int64(len(f.node.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.now[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, offset int64) (int, error) {
	err := f.fs.ask(Op{Kind: Write, Name: f.name, Offset: offset, Size: int64(len(p))})
	if f.readOnly {
		err = errWritable
	}
	n := len(p)
	if err != nil {
		var short *Short
		if !errors.As(err, &short) {
			return 0, err
		}
		n = min(short.Bytes, n)
		err = disk.Classify(&fs.PathError{Op: "write", Path: f.name, Err: short.Err})
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.write(p[:n], offset)
	return n, err
}

func (f *file) Sync() error {
	err := f.fs.ask(Op{Kind: Sync, Name: f.name})
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err != nil {
		f.node.lose()
		return err
	}
	f.node.sync()
	return nil
}

func (f *file) Truncate(size int64) error {
	if err := f.fs.ask(Op{Kind: Truncate, Name: f.name, Size: size}); err != nil {
		return err
	}
	if f.readOnly {
		return errWritable
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.resize(size)
	return nil
}

func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.now)), nil
}

func (f *file) Close() error { return nil }
