package redo

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// restore is the work of Open.
type restore struct {
	l      *Log
	replay func(Record) error
	found  Recovery

	checkpoints []uint64 // by Position.file, the newest first
	segments    []*segment
	torn        uint64 // the number of a last segment that was not wholly made; 0: none
	lastAt      int64  // where the last batch of the last segment begins
}

// segment is one file to redo.
type segment struct {
	number uint64
	header header
	h      *handle
	bytes  int64 // of the file
}

func (r *restore) run() error {
	numbers, err := r.list()
	if err != nil {
		return err
	}
	if err := r.readCheckpoint(); err != nil {
		return err
	}
	if err := r.choose(numbers); err != nil {
		return err
	}
	if err := r.openSegments(numbers); err != nil {
		return err
	}
	for i, s := range r.segments {
		if err := r.redo(i, s); err != nil {
			return err
		}
	}
	if r.l.cfg.ReadOnly {
		return nil
	}
	return r.begin()
}

// list finds the files, and removes checkpoints that were never finished. It gives
// the numbers of all segments, in order.
func (r *restore) list() (numbers []uint64, err error) {
	names, err := r.l.cfg.FS.List(r.l.cfg.Dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		file, ok := parseName(name)
		whole, tmp := strings.CutSuffix(name, unfinished)
		switch {
		case ok && file&checkpointBit != 0:
			r.checkpoints = append(r.checkpoints, file)
		case ok:
			numbers = append(numbers, file)
		case tmp && !r.l.cfg.ReadOnly:
			if _, ours := parseName(whole); ours {
				if err := r.l.cfg.FS.Remove(filepath.Join(r.l.cfg.Dir, name)); err != nil {
					return nil, err
				}
			}
		}
	}
	slices.Sort(numbers)
	slices.SortFunc(r.checkpoints, func(a, b uint64) int { return cmp.Compare(b, a) })
	return numbers, nil
}

// readCheckpoint replays the newest checkpoint that is whole. One is replayed only
// after it was checked to its end.
func (r *restore) readCheckpoint() error {
	for _, file := range r.checkpoints {
		h, head, size, err := r.open(file)
		if err == nil {
			if _, err = newScan(h.name, file, head, h.f, size).checkpoint(nil); err == nil {
				return r.replayCheckpoint(file, h, head, size)
			}
			_ = h.f.Close()
		}
		if !errors.Is(err, ErrCorrupt) {
			return err
		}
		r.found.Fallback = true
		if r.found.Damage == nil {
			r.found.Damage = err
		}
	}
	return nil
}

func (r *restore) replayCheckpoint(file uint64, h *handle, head header, size int64) (err error) {
	h.size = size
	r.l.files.add(file, h)
	r.l.id, r.l.checkpoint = head.log, file&^checkpointBit
	r.found.Checkpoint, r.found.Made = r.l.checkpoint, time.UnixMilli(head.extra)
	r.found.Bytes += size
	r.found.Restored, err = newScan(h.name, file, head, h.f, size).checkpoint(r.replay)
	return err
}

// open opens a file and reads its header. On an error it is closed again.
func (r *restore) open(file uint64) (h *handle, head header, size int64, err error) {
	name := pathOf(r.l.cfg.Dir, file)
	f, err := r.l.cfg.FS.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, head, 0, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	if size, err = f.Size(); err != nil {
		return nil, head, 0, err
	}
	b := make([]byte, min(headerSize, size))
	if _, err = f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, head, 0, err
	}
	magic := segmentMagic
	if file&checkpointBit != 0 {
		magic = checkpointMagic
	}
	head, err = decodeHeader(name, magic, file&^checkpointBit, b)
	if err == nil && r.l.id != 0 && head.log != r.l.id {
		err = &CorruptError{File: name, Why: "it belongs to another log"}
	}
	if err != nil {
		return nil, head, size, err
	}
	return &handle{f: f, name: name, salt: head.salt}, head, size, nil
}
