package ledger

import (
	"bytes"
	"context"
	"fmt"
)

// Note returns what SetNote has put under a name, nil if nothing. The slice is the caller's.
func (l *Ledger) Note(name string) (text []byte, err error) {
	err = l.read(func(t *txn) error {
		if payload, ok := t.get(t.top(bucketNotes), []byte(name)); ok {
			text = append([]byte{}, payload...)
		}
		return t.damage
	})
	return text, err
}

// SetNote puts something of the node's own under a name of 1 to MaxName bytes, and returns once it is on the disk. It
// belongs to no partition and stays in this file. nil deletes.
func (l *Ledger) SetNote(ctx context.Context, name string, text []byte) error {
	if len(name) == 0 || len(name) > MaxName || len(text) > MaxValue {
		return fmt.Errorf("%w: note %q of %d bytes", ErrTooLarge, name, len(text))
	}
	return l.submit(ctx, func(t *txn) error {
		if text == nil {
			t.delete(t.top(bucketNotes), []byte(name))
		} else {
			t.put(t.top(bucketNotes), []byte(name), text)
		}
		return t.damage
	}, nil)
}

// Update executes run once, as Do does, but keeps no outcome: for calls that nobody sends again. Errors are those of Do.
func (l *Ledger) Update(ctx context.Context, p uint32, run func(tx *Tx) ([]byte, error)) (reply []byte, err error) {
	err = l.submit(ctx, func(t *txn) (err error) {
		if h, _ := t.holding(p); t.damage == nil && h.State != Held {
			return &NotHeldError{Partition: p, State: h.State, To: h.To}
		}
		if t.damage != nil {
			return t.damage
		}
		reply, err = protect(&Tx{t: t, partition: p, part: t.part(p, false), writes: true}, run)
		reply = bytes.Clone(reply)
		return err
	}, func() { l.tally(false) })
	if err != nil {
		l.stats.failed.Add(1)
		return nil, err
	}
	return reply, nil
}

// Find returns the stored reply of a call that was executed here; known is false if none is. Errors: ErrNotHeld,
// ErrOtherArguments, and those of reading.
func (l *Ledger) Find(c Call) (reply []byte, known bool, err error) {
	err = l.read(func(t *txn) error {
		if h, _ := t.holding(c.Partition); t.damage == nil && h.State != Held {
			return &NotHeldError{Partition: c.Partition, State: h.State, To: h.To}
		}
		payload, ok := t.get(t.part(c.Partition, false), doneKey(c.ID))
		if t.damage != nil || !ok {
			return t.damage
		}
		d, err := decodeDone(payload)
		switch {
		case err != nil:
			return t.damaged(err)
		case d.hash != c.Hash:
			return ErrOtherArguments
		}
		reply, known = bytes.Clone(d.reply), true
		return nil
	})
	return reply, known, err
}
