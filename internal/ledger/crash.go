package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
)

// crash is how often the process has died while it executed a call. It belongs to the partition, and moves with it. It
// is about one attempt to have the call made, until expires: a call that is tried anew has a later one.
type crash struct {
	expires int64 // of the call, ms since 1970
	count   uint32
}

const crashBytes = 12 // expiry u64, count u32

func encodeCrash(c crash) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(c.expires))
	return binary.LittleEndian.AppendUint32(out, c.count)
}

func decodeCrash(payload []byte) (crash, error) {
	if len(payload) != crashBytes {
		return crash{}, fmt.Errorf("crashes of %d bytes", len(payload))
	}
	return crash{
		expires: int64(binary.LittleEndian.Uint64(payload)), count: binary.LittleEndian.Uint32(payload[8:]),
	}, nil
}

func crashKey(id string) []byte { return append([]byte{kindCrash}, id...) }

// crashes returns what is noted of a call, or nothing if that was about an earlier time.
func (t *txn) crashes(c Call) crash {
	now := crash{expires: c.Expires.UnixMilli()}
	payload, ok := t.get(t.part(c.Partition, false), crashKey(c.ID))
	if !ok {
		return now
	}
	was, err := decodeCrash(payload)
	switch {
	case err != nil:
		_ = t.damaged(err)
	case was.expires == now.expires:
		now.count = was.count
	}
	return now
}

// Accuse notes that the process has died while it executed these calls, once more for each. Of those that were executed
// all the same, and those whose partition is not held, nothing is noted. It returns how often each one has died, in
// their order; 0 for those.
func (l *Ledger) Accuse(ctx context.Context, calls []Call) (crashes []int, err error) {
	err = l.submit(ctx, func(t *txn) error {
		crashes = make([]int, len(calls))
		for i, c := range calls {
			if h, _ := t.holding(c.Partition); h.State != Held || c.ID == "" || len(c.ID) > MaxID {
				continue
			}
			if _, done := t.get(t.part(c.Partition, false), doneKey(c.ID)); done {
				continue
			}
			now := t.crashes(c)
			now.count++
			crashes[i] = int(now.count)
			t.put(t.part(c.Partition, true), crashKey(c.ID), encodeCrash(now))
		}
		return t.damage
	}, func() { l.accused.Store(true) })
	return crashes, err
}

// Crashes returns how often the process has died while it executed a call, here or where its partition was before. It
// costs nothing in a file without any such call.
func (l *Ledger) Crashes(c Call) (n int, err error) {
	if !l.accused.Load() {
		return 0, nil
	}
	err = l.read(func(t *txn) error {
		n = int(t.crashes(c).count)
		return t.damage
	})
	return n, err
}

// Acquit forgets the crashes of a call, which has come to its end without one.
func (l *Ledger) Acquit(ctx context.Context, c Call) error {
	return l.submit(ctx, func(t *txn) error {
		if h, _ := t.holding(c.Partition); h.State == Held { // else the next holder's copy counts
			t.delete(t.part(c.Partition, false), crashKey(c.ID))
		}
		return t.damage
	}, nil)
}
