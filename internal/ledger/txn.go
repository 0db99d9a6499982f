package ledger

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
)

// place is a bucket of the file, and what the checksums of its values cover besides.
type place struct {
	bucket    *bbolt.Bucket // nil: there is none, and nothing in it
	name      []byte
	partition uint32
}

// undo is what was under a key before it was written.
type undo struct {
	bucket   *bbolt.Bucket
	key, old []byte // old is nil if there was nothing
}

// txn is one transaction of bbolt and what a batch of jobs does in it, one after the other.
//
// Invariant: journal has what undoes the job under way, and nothing of the jobs before it. Once damage is set the
// transaction is never committed.
type txn struct {
	btx     *bbolt.Tx
	now     time.Time
	journal []undo
	changed bool   // the job under way did what the journal can't undo; it can't fail any more
	dirty   bool   // jobs that ended well have written
	next    uint64 // number of the next follow-up
	damage  error
}

// damaged ends the use of the transaction and returns the reason.
func (t *txn) damaged(err error) error {
	if t.damage == nil {
		if !errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		t.damage = err
	}
	return t.damage
}

// catch is deferred by whatever uses bbolt on the data of a file that may be damaged.
func (t *txn) catch() {
	if r := recover(); r != nil {
		_ = t.damaged(fmt.Errorf("bbolt panicked: %v", r))
	}
}

// top returns one of the buckets at the top that belong to no partition.
func (t *txn) top(name []byte) place {
	return place{bucket: t.btx.Bucket(name), name: name, partition: noPartition}
}

// part returns the bucket of a partition. With create it is made if there is none.
func (t *txn) part(p uint32, create bool) (pl place) {
	defer t.catch()
	pl = place{name: bucketParts, partition: p}
	parts := t.btx.Bucket(bucketParts)
	pl.bucket = parts.Bucket(partitionKey(p))
	if pl.bucket == nil && create {
		var err error
		if pl.bucket, err = parts.CreateBucket(partitionKey(p)); err != nil {
			_ = t.damaged(err)
		}
	}
	return pl
}

// dropPart deletes all that a partition has. The journal can't undo it.
func (t *txn) dropPart(p uint32) {
	defer t.catch()
	parts := t.btx.Bucket(bucketParts)
	if parts.Bucket(partitionKey(p)) == nil {
		return
	}
	t.changed = true
	if err := parts.DeleteBucket(partitionKey(p)); err != nil {
		_ = t.damaged(err)
	}
}

// get returns what is under key, not copied, valid until the transaction ends. Damage reads as nothing.
func (t *txn) get(pl place, key []byte) (payload []byte, ok bool) {
	defer t.catch()
	if pl.bucket == nil || t.damage != nil {
		return nil, false
	}
	value := pl.bucket.Get(key)
	if value == nil {
		return nil, false
	}
	payload, err := unseal(pl.name, pl.partition, key, value)
	if err != nil {
		_ = t.damaged(err)
		return nil, false
	}
	return payload, true
}

// put copies key and payload.
func (t *txn) put(pl place, key, payload []byte) {
	t.set(pl, key, seal(pl.name, pl.partition, key, payload))
}

func (t *txn) delete(pl place, key []byte) {
	if pl.bucket != nil {
		t.set(pl, key, nil)
	}
}

// set writes the sealed value, or deletes what is there if it is nil.
func (t *txn) set(pl place, key, value []byte) {
	defer t.catch()
	if t.damage != nil {
		return
	}
	old := pl.bucket.Get(key)
	if old == nil && value == nil {
		return
	}
	key = append([]byte(nil), key...)
	t.journal = append(t.journal, undo{bucket: pl.bucket, key: key, old: old})
	t.write(pl.bucket, key, value)
}

func (t *txn) write(b *bbolt.Bucket, key, value []byte) {
	var err error
	if value == nil {
		err = b.Delete(key)
	} else {
		err = b.Put(key, value)
	}
	if err != nil { // sizes were checked before, so it is not what the caller did
		_ = t.damaged(err)
	}
}

// run executes a job. If it fails, all that it wrote is undone, and no other job notices; also if it ends the
// goroutine (runtime.Goexit), on which run then doesn't return.
func (t *txn) run(do func(*txn) error) (err error) {
	next, returned := t.next, false
	t.journal, t.changed = t.journal[:0], false
	defer func() {
		if !returned {
			_ = t.revert(next, ErrExited)
		}
	}()
	err = t.guarded(do)
	returned = true
	if t.damage != nil {
		return t.damage
	}
	if err != nil {
		return t.revert(next, err)
	}
	t.dirty = t.dirty || t.changed || len(t.journal) > 0
	return nil
}

// revert undoes what a job wrote that failed with err, and returns that.
func (t *txn) revert(next uint64, err error) error {
	if t.changed {
		return t.damaged(fmt.Errorf("a step failed midway: %w", err))
	}
	t.undo()
	t.next = next
	return err
}

// runAll executes jobs, one after the other, until one finds damage. Each leaves its error in it.
func (t *txn) runAll(jobs []*job) {
	for len(jobs) > 0 && t.damage == nil {
		jobs = jobs[t.runSome(jobs):]
	}
}

// runSome executes jobs on a goroutine of its own, and returns how many: all, or those up to one that ended the
// goroutine. So the committer goes on whatever a run does.
func (t *txn) runSome(jobs []*job) (n int) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if n < len(jobs) && t.damage == nil {
				jobs[n].err = ErrExited
				n++
			}
		}()
		debug.SetPanicOnFault(true)
		for ; n < len(jobs); n++ {
			if jobs[n].err = t.run(jobs[n].do); t.damage != nil {
				return
			}
		}
	}()
	<-ended
	return n
}

func (t *txn) guarded(do func(*txn) error) error {
	defer t.catch()
	return do(t)
}

func (t *txn) undo() {
	defer t.catch()
	for i := len(t.journal) - 1; i >= 0; i-- {
		u := t.journal[i]
		t.write(u.bucket, u.key, u.old)
	}
	t.journal = t.journal[:0]
}
