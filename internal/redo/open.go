package redo

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Recovery is what Open found.
type Recovery struct {
	Checkpoint uint64    // the one that was read, 0: none
	Made       time.Time // when it was begun
	Restored   int       // records in it
	Fallback   bool      // a newer checkpoint is damaged: an older one was read, or none
	Damage     error     // of the newest damaged checkpoint, else nil
	From       Position  // the recovery point: where redo began
	End        Position  // of the last batch
	Records    int       // that were redone
	Bytes      int64     // that were read: the checkpoint, and segments
	Cut        int64     // bytes of a torn end that were cut, or would be without ReadOnly
	Took       time.Duration
}

// Open opens the log in a folder and gives all records to replay, in their order: at
// first those of the newest checkpoint that is whole, then those that were appended
// since it was begun, some of which may be in it already. An error of replay ends it
// and comes back as it is.
//
// The error is a *CorruptError or a *NewerFormatError, which name the file, a
// *disk.InUseError, of the kind disk.ErrFull or disk.ErrReadOnly, or another of the
// file system. After an error nothing is left open, and what replay was given before
// is to be forgotten.
//
// With ReadOnly a folder that is in use can be read. An error that wraps fs.ErrNotExist
// means then that its owner has released a file meanwhile: try again.
func Open(cfg Config, replay func(Record) error) (*Log, *Recovery, error) {
	begun := time.Now()
	l := &Log{
		cfg: cfg.withDefaults(), files: files{open: make(map[uint64]*handle)},
		quit: make(chan struct{}), flushed: make(chan struct{}), lazy: make(chan struct{}, 1),
	}
	ready := make(chan struct{})
	close(ready)
	l.cur = l.nextBatchLocked(ready)
	r := &restore{l: l, replay: replay}
	err := l.prepare()
	if err == nil {
		err = r.run()
	}
	if err != nil {
		_ = l.files.dropAll()
		if l.lock != nil {
			_ = l.lock.Close()
		}
		return nil, nil, err
	}
	l.stats.End = r.found.End
	if l.tail.h != nil {
		l.stats.End = Position{l.tail.number, l.tail.end}
	}
	go l.flusher()
	r.found.Took = time.Since(begun)
	return l, &r.found, nil
}

// prepare makes the folder and locks it.
func (l *Log) prepare() error {
	if l.cfg.ReadOnly {
		return nil
	}
	_, err := l.cfg.FS.List(l.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = l.cfg.FS.MkdirAll(l.cfg.Dir); err == nil {
			err = l.cfg.FS.SyncDir(filepath.Dir(l.cfg.Dir))
		}
	}
	if err != nil {
		return err
	}
	l.lock, err = l.cfg.FS.Lock(filepath.Join(l.cfg.Dir, lockName))
	return err
}

// create begins a segment, durably. before is where the one before it ends. What the
// file held is lost: it may be one that has no batches.
func (l *Log) create(number uint64, before int64) (*handle, error) {
	h := header{magic: segmentMagic, log: l.id, number: number, salt: random(), extra: before}
	name := pathOf(l.cfg.Dir, number)
	f, err := l.cfg.FS.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(h.encode(), 0)
	if err == nil {
		err = f.Truncate(headerSize)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.cfg.FS.SyncDir(l.cfg.Dir)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &handle{f: f, name: name, salt: h.salt, size: headerSize}, nil
}

// random is never 0.
func random() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		if n := binary.LittleEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}
