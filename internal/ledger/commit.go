package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/internal/disk"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// job is something to be done in a transaction. Its err may be read once ready is closed.
type job struct {
	do    func(*txn) error
	after func() // by the committer once all is on disk, if err is nil
	begun atomic.Bool
	err   error
	ready chan struct{}
}

// submit has the committer do something, together with what others have submitted, and waits until it is on disk. ctx
// counts while it waits for its turn; once begun, it is waited for, so that the outcome is never unknown.
func (l *Ledger) submit(ctx context.Context, do func(*txn) error, after func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{do: do, after: after, ready: make(chan struct{})}
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return l.err
	}
	l.queue = append(l.queue, j)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	select {
	case <-j.ready:
	case <-ctx.Done():
		if j.begun.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		<-j.ready
	}
	return j.err
}

// loop is the committer. It is the only goroutine that writes to the file.
func (l *Ledger) loop() {
	defer close(l.ended)
	defer l.refuse()
	debug.SetPanicOnFault(true)
	for {
		select {
		case <-l.wake:
		case <-l.quit:
			return
		}
		for {
			batch := l.take()
			if len(batch) == 0 {
				break
			}
			l.commit(batch)
		}
		if l.failure() != nil {
			l.refuse()
		}
	}
}

// take removes the next batch from the queue. It yields while more arrive: those whom the last commit woke come back
// together, and should share a transaction.
func (l *Ledger) take() []*job {
	before := -1
	for {
		l.mu.Lock()
		n := min(len(l.queue), l.cfg.MaxBatch)
		if l.err != nil {
			n = 0
		}
		if n == 0 || n == before || n == l.cfg.MaxBatch {
			batch := l.queue[:n:n]
			l.queue = l.queue[n:]
			l.mu.Unlock()
			return batch
		}
		l.mu.Unlock()
		before = n
		runtime.Gosched()
	}
}

// refuse answers all that waits with the reason why nothing is accepted.
func (l *Ledger) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.queue {
		if j.begun.CompareAndSwap(false, true) {
			j.err = l.err
			close(j.ready)
		}
	}
	l.queue = nil
}

// commit executes the jobs and answers them once what they did is on disk.
func (l *Ledger) commit(batch []*job) {
	jobs := batch[:0]
	for _, j := range batch {
		if j.begun.CompareAndSwap(false, true) {
			jobs = append(jobs, j)
		}
	}
	err := l.attempt(jobs)
	if errors.Is(err, ErrBroken) || errors.Is(err, ErrCorrupt) {
		l.fail(err)
	}
	for _, j := range jobs {
		if err != nil {
			j.err = err
		}
		if j.err == nil && j.after != nil {
			j.after()
		}
		close(j.ready)
	}
}

// attempt does the jobs in one transaction, and leaves in them what each of them says. An error is one of the
// transaction, and none of them counts.
func (l *Ledger) attempt(jobs []*job) (err error) {
	t := &txn{now: time.Now(), next: l.next}
	if err := guard(func() (err error) { t.btx, err = l.db.Begin(true); return err }); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, classify(err))
	}
	defer func() {
		// After a commit, also a failed one, this does nothing.
		if e := guard(t.btx.Rollback); errors.Is(e, ErrCorrupt) {
			l.stuck = true
		}
	}()
	l.stats.pages.Store(uint64(t.btx.Size()))
	if t.runAll(jobs); t.damage != nil {
		return t.damage
	}
	if !t.dirty {
		return nil
	}
	if t.next != l.next {
		t.put(t.top(bucketFormat), keyNext, binary.LittleEndian.AppendUint64(nil, t.next))
	}
	if t.damage != nil {
		return t.damage
	}
	if err := guard(t.btx.Commit); err != nil {
		return commitError(err)
	}
	l.stats.commits.Add(1)
	if t.next != l.next {
		l.next = t.next
		l.signal()
	}
	return nil
}

// commitError classes an error of a commit. A file that could not grow, or a page that found no room, leaves what is
// there as it was, and the next transaction may do better. After any other error nobody knows what a later sync would
// write, so the file is not trusted again until it is opened.
func commitError(err error) error {
	var write *fs.PathError
	switch {
	case errors.Is(err, ErrCorrupt):
		return err
	case errors.Is(err, berrors.ErrMaxSizeReached), errors.As(err, &write) && write.Op == "write" && errors.Is(disk.Classify(err), disk.ErrFull):
		return classify(err)
	}
	return fmt.Errorf("%w: %w", ErrBroken, classify(err))
}

// read runs fn on what is committed, on the caller's goroutine.
func (l *Ledger) read(fn func(*txn) error) error {
	if err := l.failure(); err != nil {
		return err
	}
	err := guard(func() error {
		return l.db.View(func(btx *bbolt.Tx) error {
			t := &txn{btx: btx, now: time.Now()}
			if err := t.guarded(fn); t.damage == nil {
				return err
			}
			return t.damage
		})
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}
