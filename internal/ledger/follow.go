package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
)

// FollowUp is what a run asked to be done later, with Tx.Later.
type FollowUp struct {
	Seq       uint64 // grows in the order of commits; never used again in this file
	Partition uint32 // of the call that asked
	Kind      uint8
	Data      []byte
}

// Follow returns a channel that holds a token while there may be follow-ups that NextFollow was not asked for. It has
// one at the start if there are any.
func (l *Ledger) Follow() <-chan struct{} { return l.follow }

func (l *Ledger) signal() {
	select {
	case l.follow <- struct{}{}:
	default:
	}
}

// NextFollow returns the follow-ups with a number greater than after, in order, at most limit of them. They stay until
// they are taken off with DoneFollow. The slices are the caller's.
func (l *Ledger) NextFollow(after uint64, limit int) (out []FollowUp, err error) {
	err = l.read(func(t *txn) error {
		key := binary.BigEndian.AppendUint64(nil, after+1)
		for len(out) < limit {
			k, payload, ok := t.seek(t.top(bucketFollow), key)
			if !ok {
				break
			}
			f, err := decodeFollow(k, payload)
			if err != nil {
				return t.damaged(err)
			}
			f.Data = bytes.Clone(f.Data)
			out = append(out, f)
			key = append(bytes.Clone(k), 0)
		}
		return t.damage
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DoneFollow takes follow-ups off the queue, in one transaction. Call it once they are safe elsewhere: if the node stops
// between the two, they are found again. Numbers that are not there are no error.
func (l *Ledger) DoneFollow(ctx context.Context, seqs ...uint64) error {
	return l.submit(ctx, func(t *txn) error {
		for _, seq := range seqs {
			t.delete(t.top(bucketFollow), binary.BigEndian.AppendUint64(nil, seq))
		}
		return t.damage
	}, nil)
}
