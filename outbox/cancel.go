package outbox

import (
	"context"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// Cancel ends a pending call: it is a dead letter with the code Canceled once that
// is on the disk, and the next call of its key is made. An attempt under way is
// ended, and waited for within ctx. What it cannot do is undo: Letter.MayHaveRun of
// the result says whether an attempt may have executed the call. An attempt that was
// ended may still be executed, for a moment, beside the key's next call.
//
// Errors: NotFound; FailedPrecondition for a call that has ended, also one that was
// executed meanwhile; those of writing, with which the call stays pending; ctx's, after
// which the call may still be cancelled.
func (b *Box) Cancel(ctx context.Context, id string) (Letter, error) {
	for asked := false; ; asked = true {
		b.mu.Lock()
		l, ended, err := b.tryCancelLocked(id, asked)
		b.mu.Unlock()
		if ended == nil {
			return l, err
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return Letter{}, rpc.AsError(ctx.Err())
		}
	}
}

// tryCancelLocked cancels a call, or makes its attempt end and returns what is closed
// when it has. asked tells that it did so before.
func (b *Box) tryCancelLocked(id string, asked bool) (l Letter, ended <-chan struct{}, err error) {
	e := b.index[id]
	if e == nil || e.status == writing {
		return l, nil, unknown(id)
	}
	if asked && e.status == dead && e.canceled {
		return b.letterLocked(e), nil, nil
	}
	if e.status != pending {
		return l, nil, rpc.Errorf(rpc.FailedPrecondition, "the call %s is %s; only a pending one can be cancelled", id, e.status)
	}
	if err := b.writableLocked(); err != nil {
		return l, nil, err
	}
	lane := b.lanes[e.key]
	if lane.by != nil && lane.calls[0] == e {
		e.canceled = true
		lane.by.stop()
		return l, e.waitLocked(), nil
	}
	if err := b.cancelLocked(e); err != nil {
		return l, nil, err
	}
	b.finishedLocked(e)
	b.removeLocked(e)
	return b.letterLocked(e), nil, nil
}

// cancelLocked makes a call a dead letter, on the disk first: it is rare, so mu may
// wait for that. The caller takes it off its lane.
func (b *Box) cancelLocked(e *entry) error {
	now := time.Now().UnixMilli()
	why := rpc.Errorf(rpc.Canceled, "cancelled after %s", e.history())
	r := endRecord{seq: e.seq, ended: now, attempts: e.attempts, code: why.Code, doubt: e.doubt, message: why.Message}
	if _, err := b.log.Append(kindDead, r.append(nil)); err != nil {
		b.failLocked(err)
		e.canceled = false
		e.settleLocked() // who waits learns it from the box
		return refusal(err)
	}
	e.canceled = true
	b.deadLocked(e, now, why)
	return nil
}

// writableLocked is why nothing can be noted in the log, or nil.
func (b *Box) writableLocked() error {
	switch {
	case b.closed:
		return rpc.Errorf(rpc.Unavailable, "%v", ErrClosed)
	case b.cfg.ReadOnly:
		return rpc.Errorf(rpc.FailedPrecondition, "the box is open to be read only")
	case b.broken != nil:
		return refusal(b.broken)
	}
	return nil
}
