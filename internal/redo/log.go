package redo

import (
	"io"
	"sync"
	"time"

	"github.com/meshnode/meshnode/internal/disk"
)

// Defaults and bounds of Config.
const (
	DefaultSegmentBytes = 64 << 20
	DefaultMaxRecord    = 16 << 20
	DefaultLazyDelay    = 50 * time.Millisecond
	LargestRecord       = 1 << 30
)

// batchBytes is how much a batch takes before others wait for the next one, in bytes.
const batchBytes = 4 << 20

// Config says where a log is. Only Dir is needed.
type Config struct {
	FS           disk.FS       // nil: disk.System()
	Dir          string        // made if it is not there
	SegmentBytes int64         // a segment that has so many bytes gets no further batch; 0: DefaultSegmentBytes
	MaxRecord    int           // longest data of a record to append, up to LargestRecord; 0: DefaultMaxRecord
	LazyDelay    time.Duration // see Log.Lazy; 0: DefaultLazyDelay
	ReadOnly     bool          // no lock, nothing is changed, and nothing can be appended
}

func (c Config) withDefaults() Config {
	if c.FS == nil {
		c.FS = disk.System()
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = DefaultSegmentBytes
	}
	if c.MaxRecord <= 0 {
		c.MaxRecord = DefaultMaxRecord
	}
	c.MaxRecord = min(c.MaxRecord, LargestRecord)
	if c.LazyDelay <= 0 {
		c.LazyDelay = DefaultLazyDelay
	}
	return c
}

// Log is a redo log that takes records. Make it with Open. Its methods may be called
// from any number of goroutines.
//
// Invariant: at most one goroutine writes: the owner of the oldest batch that is not
// done. It hands that right on by closing the batch's done.
type Log struct {
	cfg   Config
	id    uint64
	files files
	lock  io.Closer
	tail  tail // belongs to who writes

	quit    chan struct{} // closed: flusher ends
	flushed chan struct{} // closed: flusher has ended
	lazy    chan struct{} // has one: lazy records wait

	mu            sync.Mutex
	cur           *batch // takes records
	spare         []byte // a buffer for the next one
	broken        error
	closed        bool
	checkpointing bool
	checkpoint    uint64 // the newest that is whole, 0: none
	stats         Stats
}

// Stats counts since the log was opened, but for Segments, Bytes and Checkpoint.
type Stats struct {
	Records    uint64   // committed
	Commits    uint64   // batches of them, with one sync each
	Written    uint64   // bytes of them
	Segments   int      // that are kept
	Bytes      int64    // of all files that are kept
	Checkpoint uint64   // the newest one, 0: none
	End        Position // where the next record may go
}

// Append writes a record and returns where it is, once it is on the disk. Those who
// call at the same time share one write and one sync. kind is from 1 to 255, data as
// long as Config.MaxRecord at most; it is not kept.
//
// After ErrBroken it is not known whether the record is on the disk; after other
// errors it is not. There is no context: a sync cannot be called off.
func (l *Log) Append(kind uint8, data []byte) (Position, error) {
	b, at, own, err := l.add(kind, data, true)
	if err != nil {
		return Position{}, err
	}
	if own {
		l.commit(b)
	} else {
		<-b.done
	}
	if b.err != nil {
		return Position{}, b.err
	}
	return Position{b.file, b.base + at}, nil
}

// Lazy gives the log a record that is written with the next batch, at the latest
// after Config.LazyDelay, and returns at once. It is lost if the process dies before.
// Records keep their order, lazy or not. See Append for kind, data and errors; that
// writing has failed is told to those who call after it.
func (l *Log) Lazy(kind uint8, data []byte) error {
	_, _, _, err := l.add(kind, data, false)
	if err != nil {
		return err
	}
	select {
	case l.lazy <- struct{}{}:
	default:
	}
	return nil
}

// Flush returns when all that Lazy was given before is on the disk.
func (l *Log) Flush() error {
	l.mu.Lock()
	if err := l.refusesLocked(); err != nil {
		l.mu.Unlock()
		return err
	}
	b, own := l.joinLocked()
	l.mu.Unlock()
	if own {
		l.commit(b)
	} else {
		<-b.done
	}
	return b.err
}

// Close commits what lazy records there are, and gives the folder free. A Checkpoint
// should be ended before. Calling it again does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	b, own := l.joinLocked()
	b.last = true
	l.mu.Unlock()
	close(l.quit)
	<-l.flushed
	if own {
		l.commit(b)
	} else {
		<-b.done
	}
	err := b.err
	if e := l.files.dropAll(); err == nil {
		err = e
	}
	if l.lock != nil {
		if e := l.lock.Close(); err == nil {
			err = e
		}
	}
	return err
}

// Err is nil as long as the log takes records, or why it does not.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusesLocked()
}

// Stats is how much the log has done, and holds.
func (l *Log) Stats() Stats {
	segments, bytes := l.files.totals()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Segments, s.Bytes, s.Checkpoint = segments, bytes, l.checkpoint
	return s
}

// refusesLocked says why nothing can be appended, if so.
func (l *Log) refusesLocked() error {
	switch {
	case l.closed:
		return ErrClosed
	case l.cfg.ReadOnly:
		return ErrReadOnly
	}
	return l.broken
}

// flusher commits lazy records that nobody waits for.
func (l *Log) flusher() {
	defer close(l.flushed)
	for {
		select {
		case <-l.quit:
			return
		case <-l.lazy:
		}
		select {
		case <-l.quit:
			return
		case <-time.After(l.cfg.LazyDelay):
		}
		l.mu.Lock()
		b := l.cur
		own := len(b.buf) > 0 && !b.owned
		b.owned = b.owned || own
		l.mu.Unlock()
		if own {
			l.commit(b)
		}
	}
}
