package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"runtime/debug"
	"time"
)

// Call says which call a run is for.
type Call struct {
	Partition uint32
	ID        string    // names the call among all of its partition, 1 to MaxID bytes
	Hash      [16]byte  // of method and arguments: the same call has the same hash
	Expires   time.Time // in whole milliseconds, rounded down; after it the call is not executed any more
}

// Do executes run once for the call, whatever happens: its effects on tx, its reply and the fact that it ran become
// durable together, before Do returns. If the call had run before, it returns the reply of then, and dup. The reply
// belongs to the caller.
//
// run is called at most once, and one at a time, so it must not wait for anything, and calls of the ledger from within
// it never return. Many calls share one commit. If run returns an error, panics (*PanicError) or ends its goroutine
// (ErrExited), or its reply is longer than MaxValue, all that it did to tx is undone, the error is returned, and a later
// Do with the same id runs again. Nothing of other calls is touched by that.
//
// ctx counts while the call waits for its turn; then its error is returned and run is never called. Other errors, with
// which no effect is kept: ErrNotHeld (a *NotHeldError), ErrOtherArguments, ErrExpired, ErrBadCall, ErrTooLarge, ErrFull,
// ErrBroken, ErrCorrupt, ErrClosed. Only after ErrBroken an effect may be found when the ledger is opened again, whole
// and with its reply: send the call again.
func (l *Ledger) Do(ctx context.Context, c Call, run func(tx *Tx) ([]byte, error)) (reply []byte, dup bool, err error) {
	if c.ID == "" || len(c.ID) > MaxID || c.Expires.UnixMilli() <= 0 {
		return nil, false, ErrBadCall
	}
	err = l.submit(ctx, func(t *txn) (err error) {
		reply, dup, err = t.call(c, run)
		return err
	}, func() { l.tally(dup) })
	if err != nil {
		l.stats.failed.Add(1)
		return nil, false, err
	}
	return reply, dup, nil
}

func (l *Ledger) tally(dup bool) {
	if dup {
		l.stats.duplicates.Add(1)
	} else {
		l.stats.calls.Add(1)
	}
}

func (t *txn) call(c Call, run func(tx *Tx) ([]byte, error)) (reply []byte, dup bool, err error) {
	if h, _ := t.holding(c.Partition); t.damage == nil && h.State != Held {
		return nil, false, &NotHeldError{Partition: c.Partition, State: h.State, To: h.To}
	}
	part, key := t.part(c.Partition, false), doneKey(c.ID)
	if payload, ok := t.get(part, key); ok {
		d, err := decodeDone(payload)
		if err != nil {
			return nil, false, t.damaged(err)
		}
		if d.hash != c.Hash {
			return nil, false, ErrOtherArguments
		}
		return bytes.Clone(d.reply), true, nil
	}
	if t.damage != nil {
		return nil, false, t.damage
	}
	expires := c.Expires.UnixMilli()
	if expires <= t.now.UnixMilli() || expires <= t.horizon(part) {
		return nil, false, ErrExpired
	}
	x := &Tx{t: t, partition: c.Partition, part: part, writes: true}
	if reply, err = protect(x, run); err != nil {
		return nil, false, err
	}
	if len(reply) > MaxValue {
		return nil, false, fmt.Errorf("%w: reply of %d bytes", ErrTooLarge, len(reply))
	}
	reply = bytes.Clone(reply)
	part = t.part(c.Partition, true)
	t.put(part, key, encodeDone(done{hash: c.Hash, expires: expires, reply: reply}))
	return reply, false, t.damage
}

// horizon returns the time up to which what has expired may have been forgotten, in ms since 1970. It travels with the
// partition, so that clocks that differ or go back can't bring a forgotten call to life.
func (t *txn) horizon(part place) int64 {
	payload, ok := t.get(part, []byte{kindHorizon})
	if !ok || len(payload) != 8 {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(payload))
}

// raise moves the horizon of a partition up to ms, never down.
func (t *txn) raise(part place, ms int64) {
	if ms > t.horizon(part) {
		t.put(part, []byte{kindHorizon}, binary.LittleEndian.AppendUint64(nil, uint64(ms)))
	}
}

// protect runs what is not ours.
func protect(x *Tx, run func(tx *Tx) ([]byte, error)) (reply []byte, err error) {
	defer func() {
		x.ended = true
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return run(x)
}

// View runs fn on the state of a partition as it was last committed, on the caller's goroutine, beside everything else.
// All writes to tx fail with ErrTxDone. What fn returns is returned; other errors are ErrNotHeld, ErrCorrupt, ErrBroken and
// ErrClosed. fn must not call the ledger, and should be short: the file can't grow meanwhile.
func (l *Ledger) View(p uint32, fn func(tx *Tx) error) error {
	return l.read(func(t *txn) error {
		if h, _ := t.holding(p); h.State != Held {
			return &NotHeldError{Partition: p, State: h.State, To: h.To}
		}
		x := &Tx{t: t, partition: p, part: t.part(p, false)}
		_, err := protect(x, func(tx *Tx) ([]byte, error) { return nil, fn(tx) })
		return err
	})
}
