package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
)

// Tx is what a run may use: the application's state of one partition, as it is within the transaction. It may be used
// by the run's goroutine only, and not once the run has returned.
//
// Invariant: all that it writes is in the journal of the transaction, so that it can be undone alone.
type Tx struct {
	t         *txn
	partition uint32
	part      place
	writes    bool // false in View
	ended     bool
}

// Partition returns the partition that the transaction is for.
func (x *Tx) Partition() uint32 { return x.partition }

// Bucket returns the bucket of the partition's state with that name, of 1 to MaxName bytes. A bucket needs not be made:
// it is there as long as it has entries. With another name all writes to it fail and nothing is in it.
func (x *Tx) Bucket(name []byte) *Bucket {
	b := &Bucket{x: x}
	if len(name) > 0 && len(name) <= MaxName {
		b.prefix = append([]byte{kindApp, byte(len(name))}, name...)
	}
	return b
}

// Later adds a follow-up, of at most MaxValue bytes, to the queue of the node: it is there exactly if the transaction
// is committed (see Ledger.NextFollow). data is copied.
func (x *Tx) Later(kind uint8, data []byte) error {
	if x.ended || !x.writes {
		return ErrTxDone
	}
	if len(data) > MaxValue {
		return fmt.Errorf("%w: follow-up of %d bytes", ErrTooLarge, len(data))
	}
	t := x.t
	f := FollowUp{Partition: x.partition, Kind: kind, Data: data}
	t.put(t.top(bucketFollow), binary.BigEndian.AppendUint64(nil, t.next), encodeFollow(f))
	t.next++
	return t.damage
}

// Bucket is a part of a partition's state: keys in order of their bytes, each with a value. It lives as long as its
// Tx. Values carry a checksum in the file; a damaged one reads as missing, and the transaction then fails with
// ErrCorrupt, whatever the run returns.
type Bucket struct {
	x      *Tx
	prefix []byte // of its keys in the partition's bucket
}

// Get returns the value of a key, nil if there is none. The slice must not be changed, and is valid until the run
// returns.
func (b *Bucket) Get(key []byte) []byte {
	if b.prefix == nil || len(key) == 0 || b.x.ended {
		return nil
	}
	value, _ := b.x.t.get(b.x.part, b.key(key))
	return value
}

// Put sets the value of a key. Both are copied. Errors: ErrTooLarge for a key that is empty or longer than MaxKey, a
// value longer than MaxValue or a bad name of the bucket; ErrTxDone; ErrCorrupt.
func (b *Bucket) Put(key, value []byte) error {
	if err := b.writable(); err != nil {
		return err
	}
	if len(key) == 0 || len(key) > MaxKey || len(value) > MaxValue {
		return fmt.Errorf("%w: key of %d bytes, value of %d", ErrTooLarge, len(key), len(value))
	}
	if b.x.part.bucket == nil {
		b.x.part = b.x.t.part(b.x.partition, true)
	}
	b.x.t.put(b.x.part, b.key(key), value)
	return b.x.t.damage
}

// Delete removes a key; one that is not there is no error.
func (b *Bucket) Delete(key []byte) error {
	if err := b.writable(); err != nil {
		return err
	}
	if len(key) > 0 {
		b.x.t.delete(b.x.part, b.key(key))
	}
	return b.x.t.damage
}

// From yields the entries whose keys are not less than key, in order; all if it is nil. The slices must not be changed
// and are valid until the run returns. The bucket may be written meanwhile: what is ahead is seen as it then is.
func (b *Bucket) From(key []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		if b.prefix == nil {
			return
		}
		at := b.key(key)
		for !b.x.ended {
			k, v, ok := b.x.t.seek(b.x.part, at)
			if !ok || !bytes.HasPrefix(k, b.prefix) || !yield(k[len(b.prefix):], v) {
				return
			}
			at = append(bytes.Clone(k), 0) // the least key behind it
		}
	}
}

func (b *Bucket) key(key []byte) []byte {
	out := make([]byte, 0, len(b.prefix)+len(key)+1)
	return append(append(out, b.prefix...), key...)
}

func (b *Bucket) writable() error {
	switch {
	case b.x.ended || !b.x.writes:
		return ErrTxDone
	case b.prefix == nil:
		return fmt.Errorf("%w: name of a bucket", ErrTooLarge)
	}
	return nil
}

// seek returns the first entry whose key is not less than key.
func (t *txn) seek(pl place, key []byte) (k, payload []byte, ok bool) {
	defer t.catch()
	if pl.bucket == nil || t.damage != nil {
		return nil, nil, false
	}
	k, value := pl.bucket.Cursor().Seek(key)
	if k == nil {
		return nil, nil, false
	}
	payload, err := unseal(pl.name, pl.partition, k, value)
	if err != nil {
		_ = t.damaged(err)
		return nil, nil, false
	}
	return k, payload, true
}
