package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"
)

const (
	purgeBatch = 1024   // outcomes forgotten in one transaction
	purgeScan  = 20_000 // outcomes and partitions looked at in one transaction that reads
)

// Purge forgets the outcomes and the crashes of calls that had expired Config.Retention before now, and returns how many.
// It reads all of them, so call it a few times within a retention rather than all the time. It takes as
// many transactions as it needs, each of bounded work, so that calls get their turn between them, and stops early with
// ctx's error.
//
// There is no index by expiry: it would cost each call a page more to write.
func (l *Ledger) Purge(ctx context.Context, now time.Time) (n int, err error) {
	until := now.Add(-l.cfg.Retention).UnixMilli()
	for s := (scan{until: until}); !s.end; {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if err := l.read(s.read); err != nil {
			return n, err
		}
		gone, err := l.purge(ctx, s)
		n += gone
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// scan reads all outcomes and crashes, a piece at a time. A piece ends with the partition in which it has found something.
type scan struct {
	until     int64 // ms since 1970
	partition uint32
	key       []byte   // in the bucket of partition: where to go on; nil is its beginning
	in        uint32   // the partition that due is of
	due       [][]byte // keys of what had expired by until
	end       bool
}

// read reads the next piece.
func (s *scan) read(t *txn) error {
	s.due = s.due[:0]
	c := t.btx.Bucket(bucketParts).Cursor()
	left := purgeScan
	for k, _ := c.Seek(partitionKey(s.partition)); ; k, _ = c.Next() {
		if k == nil {
			s.end = true
			return nil
		}
		if p := binary.BigEndian.Uint32(k); p != s.partition {
			s.partition, s.key = p, nil
		}
		s.in = s.partition
		if left--; left <= 0 {
			return nil
		}
		switch whole, err := s.part(t, t.part(s.partition, false), &left); {
		case err != nil || !whole:
			return err
		case s.partition == ^uint32(0):
			s.end = true
			return nil
		}
		s.partition, s.key = s.partition+1, nil
		if len(s.due) > 0 {
			return nil
		}
	}
}

// part reads outcomes of one partition, until there is none left (whole), or enough was read.
func (s *scan) part(t *txn, part place, left *int) (whole bool, err error) {
	from := s.key
	if from == nil {
		from = []byte{kindCrash}
	}
	c := part.bucket.Cursor()
	for k, v := c.Seek(from); k != nil && (k[0] == kindCrash || k[0] == kindDone); k, v = c.Next() {
		if *left--; *left <= 0 || len(s.due) == purgeBatch {
			s.key = bytes.Clone(k)
			return false, nil
		}
		payload, err := unseal(part.name, part.partition, k, v)
		if err != nil {
			return false, t.damaged(err)
		}
		expires, err := expiryOf(k, payload)
		if err != nil {
			return false, t.damaged(err)
		}
		if expires <= s.until {
			s.due = append(s.due, bytes.Clone(k))
		}
	}
	return true, nil
}

// purge forgets what the scan has found. The horizon of the partition goes up with it, which tells that there may have
// been something.
func (l *Ledger) purge(ctx context.Context, s scan) (n int, err error) {
	if len(s.due) == 0 {
		return 0, nil
	}
	err = l.submit(ctx, func(t *txn) error {
		part, last := t.part(s.in, false), int64(0)
		for _, key := range s.due {
			payload, ok := t.get(part, key) // the partition may have gone meanwhile, or come back
			if !ok {
				continue
			}
			expires, err := expiryOf(key, payload)
			if err != nil {
				return t.damaged(err)
			}
			if expires <= s.until {
				t.delete(part, key)
				last = max(last, expires)
				n++
			}
		}
		if n > 0 {
			t.raise(part, last)
		}
		return t.damage
	}, func() { l.stats.purged.Add(uint64(n)) })
	return n, err
}
