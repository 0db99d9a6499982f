package redo

import (
	"sync"

	"github.com/meshnode/meshnode/internal/disk"
)

// handle is one open file of the log.
type handle struct {
	f    disk.File
	name string
	salt uint64
	size int64 // what counts of it; guarded by files.mu
	refs int   // readers, and 1 while the file is in the table; guarded by files.mu
}

// files are the open files that positions are in. Invariant: a file is closed once
// it is out of the table and nobody reads it.
type files struct {
	mu   sync.Mutex
	open map[uint64]*handle // by Position.file
}

// add takes the handle over. What had the number before is dropped.
func (t *files) add(file uint64, h *handle) {
	t.drop(file)
	t.mu.Lock()
	defer t.mu.Unlock()
	h.refs++
	t.open[file] = h
}

// take finds a file to read from; whoever got it gives it back with put.
func (t *files) take(file uint64) (*handle, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.open[file]
	if ok {
		h.refs++
	}
	return h, ok
}

// put closes the file if it was the last. The error is of no use to readers, who
// have what they read.
func (t *files) put(h *handle) error {
	t.mu.Lock()
	h.refs--
	last := h.refs == 0
	t.mu.Unlock()
	if !last {
		return nil
	}
	return h.f.Close()
}

// drop takes a file out of the table, if it is there.
func (t *files) drop(file uint64) error {
	t.mu.Lock()
	h, ok := t.open[file]
	delete(t.open, file)
	t.mu.Unlock()
	if !ok {
		return nil
	}
	return t.put(h)
}

// dropAll empties the table. It gives the first error.
func (t *files) dropAll() (first error) {
	t.mu.Lock()
	all := make([]uint64, 0, len(t.open))
	for file := range t.open {
		all = append(all, file)
	}
	t.mu.Unlock()
	for _, file := range all {
		if err := t.drop(file); first == nil {
			first = err
		}
	}
	return first
}

// resize notes how much of a file counts.
func (t *files) resize(file uint64, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h, ok := t.open[file]; ok {
		h.size = size
	}
}

// totals gives the number of segments, and the bytes of all files.
func (t *files) totals() (segments int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for file, h := range t.open {
		if file&checkpointBit == 0 {
			segments++
		}
		bytes += h.size
	}
	return segments, bytes
}
