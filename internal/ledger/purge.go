package ledger

import (
	"context"
	"encoding/binary"
	"time"
)

const (
	purgeBatch = 1024 // outcomes forgotten in one transaction
	purgeScan  = 256  // partitions looked at in one transaction that reads
)

// Purge forgets the outcomes of calls that had expired Config.Retention before now, and returns how many. It takes as
// many transactions as it needs, each of bounded work, so that calls get their turn between them. Call it from time to
// time; it stops early with ctx's error.
func (l *Ledger) Purge(ctx context.Context, now time.Time) (n int, err error) {
	until := now.Add(-l.cfg.Retention).UnixMilli()
	for from, more := uint32(0), true; more; {
		var due []uint32
		if due, from, more, err = l.due(from, until); err != nil {
			return n, err
		}
		for _, p := range due {
			for gone := purgeBatch; gone == purgeBatch; n += gone {
				if gone, err = l.purge(ctx, p, until); err != nil {
					return n, err
				}
			}
		}
	}
	return n, nil
}

// due returns those of the next partitions from one on that have something to forget, and where to go on.
func (l *Ledger) due(from uint32, until int64) (due []uint32, next uint32, more bool, err error) {
	err = l.read(func(t *txn) error {
		c := t.btx.Bucket(bucketParts).Cursor()
		k, _ := c.Seek(partitionKey(from))
		for i := 0; k != nil; k, _ = c.Next() {
			p := binary.BigEndian.Uint32(k)
			if i == purgeScan {
				next, more = p, true
				break
			}
			if _, ok := t.expired(t.part(p, false), until); ok {
				due = append(due, p)
			}
			i++
		}
		return t.damage
	})
	return due, next, more, err
}

// expired returns the key of the index for the outcome that expired first, if that was not after until.
func (t *txn) expired(part place, until int64) (key []byte, ok bool) {
	k, _, ok := t.seek(part, []byte{kindExpiry})
	if !ok || int64(binary.BigEndian.Uint64(k[1:])) > until {
		return nil, false
	}
	return k, true
}

// purge forgets at most purgeBatch outcomes of a partition. Its horizon goes up with them, which tells that they may
// have been there.
func (l *Ledger) purge(ctx context.Context, p uint32, until int64) (n int, err error) {
	err = l.submit(ctx, func(t *txn) error {
		n = 0
		part := t.part(p, false)
		last := int64(0)
		for n < purgeBatch {
			key, ok := t.expired(part, until)
			if !ok {
				break
			}
			key = append([]byte(nil), key...)
			last = int64(binary.BigEndian.Uint64(key[1:]))
			t.delete(part, doneKey(string(key[9:])))
			t.delete(part, key)
			n++
		}
		if n > 0 {
			t.raise(part, last)
		}
		return t.damage
	}, func() { l.stats.purged.Add(uint64(n)) })
	return n, err
}
