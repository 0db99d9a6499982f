package ledger

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// Defaults and limits.
const (
	DefaultRetention = 24 * time.Hour
	DefaultMaxBatch  = 1024

	MaxID    = 512      // bytes of a call's id
	MaxName  = 255      // bytes of the name of a Bucket, at least 1
	MaxKey   = 16384    // bytes of a key in a Bucket, at least 1
	MaxValue = 16 << 20 // bytes of a value, a reply, or the data of a follow-up
)

// Config of a Ledger. The zero value works.
type Config struct {
	Retention time.Duration // outcomes are kept for so long after their call has expired; 0: DefaultRetention
	MaxBatch  int           // calls in one transaction; 0: DefaultMaxBatch
	MaxBytes  int64         // of the file, beyond which writes give ErrFull; 0: as the disk allows
	Unchecked bool          // don't read the whole file when it is opened; damage is then found, if at all, when it is met
}

// Ledger is one open file. Make it with Open, and end it with Close.
//
// Invariant: what a method has answered with success is on disk. Only the committer's goroutine writes to the file;
// held follows what is committed, never runs ahead of it.
type Ledger struct {
	path string
	cfg  Config
	lock io.Closer
	db   *bbolt.DB
	file func() error // closes the file of db when db itself can't be closed any more

	held   sync.Map // partition uint32 -> Holding, as committed
	follow chan struct{}
	stats  counters

	// accused is set once there may be calls with which the process has died; without, none is looked for.
	accused atomic.Bool

	wake  chan struct{} // holds one token while queue may not be empty
	quit  chan struct{}
	ended chan struct{} // closed when the committer is gone

	next  uint64 // number of the next follow-up; the committer's
	stuck bool   // bbolt panicked with its lock taken; the committer's, and Close's after it

	mu    sync.Mutex
	queue []*job
	err   error // why nothing is accepted any more
}

// counters of Stats.
type counters struct {
	commits, calls, duplicates, failed, purged, pages atomic.Uint64
}

// Stats counts since Open.
type Stats struct {
	Commits    uint64 // transactions that reached the disk
	Calls      uint64 // calls executed and committed
	Duplicates uint64 // calls answered with a stored reply
	Failed     uint64 // calls that Do gave an error for, whatever it was
	Purged     uint64 // outcomes forgotten
	Held       int    // partitions that are held now
	Bytes      int64  // length of the file that is in use
}

// Stats returns what was counted so far.
func (l *Ledger) Stats() Stats {
	return Stats{
		Commits: l.stats.commits.Load(), Calls: l.stats.calls.Load(), Duplicates: l.stats.duplicates.Load(),
		Failed: l.stats.failed.Load(), Purged: l.stats.purged.Load(), Held: len(l.Held(Held)), Bytes: int64(l.stats.pages.Load()),
	}
}

// Close waits for the transaction under way and closes the file. Calls that wait for their turn get ErrClosed, and were
// not executed. Reads under way (View) are waited for. It returns ErrClosed if it was called before.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if errors.Is(l.err, ErrClosed) {
		l.mu.Unlock()
		<-l.ended
		return ErrClosed
	}
	l.err = ErrClosed
	l.mu.Unlock()
	close(l.quit)
	<-l.ended
	return l.closeFiles()
}

func (l *Ledger) closeFiles() error {
	var err error
	if l.stuck {
		err = l.file() // the lock of bbolt is lost; the mapping of the file stays until the process ends
	} else {
		err = guard(l.db.Close)
	}
	return errors.Join(err, l.lock.Close())
}

// failure returns why nothing is accepted, or nil.
func (l *Ledger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// fail makes all that comes give err, unless something did before.
func (l *Ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// load reads what is kept in memory.
func (l *Ledger) load() error {
	return l.read(func(t *txn) error {
		c := t.btx.Bucket(bucketHoldings).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			p := binary.BigEndian.Uint32(k)
			payload, err := unseal(bucketHoldings, p, k, v)
			if err != nil {
				return t.damaged(err)
			}
			h, err := decodeHolding(payload)
			if err != nil {
				return t.damaged(err)
			}
			l.held.Store(p, h)
		}
		l.next = 1
		if payload, ok := t.get(t.top(bucketFormat), keyNext); ok && len(payload) == 8 {
			l.next = binary.LittleEndian.Uint64(payload)
		}
		if k, _ := t.btx.Bucket(bucketFollow).Cursor().First(); k != nil {
			l.follow <- struct{}{}
		}
		l.stats.pages.Store(uint64(t.btx.Size()))
		return t.damage
	})
}
