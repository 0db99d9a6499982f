package outbox

import (
	"bytes"
	"context"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// Await implements rpc.Queue: it waits for the end of a call, and gives its reply,
// or why it is a dead letter. Results are kept for Config.Retention, and at most
// Config.MaxResults of them.
func (b *Box) Await(ctx context.Context, id string) (rpc.Outcome, error) {
	for {
		b.mu.Lock()
		e := b.index[id]
		if e == nil {
			b.mu.Unlock()
			return rpc.Outcome{}, rpc.Errorf(rpc.NotFound, "no durable call %s is known; results are kept for %v", id, b.cfg.Retention)
		}
		if e.status == done || e.status == dead {
			defer b.mu.Unlock()
			return e.outcomeLocked(), nil
		}
		if b.closed {
			b.mu.Unlock()
			return rpc.Outcome{}, rpc.Errorf(rpc.Unavailable, "%v", ErrClosed)
		}
		settled := e.waitLocked()
		b.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return rpc.Outcome{}, rpc.AsError(ctx.Err())
		}
	}
}

// outcomeLocked is how a call ended. The reply is the caller's.
func (e *entry) outcomeLocked() rpc.Outcome {
	if e.status == dead {
		return rpc.Outcome{Err: &rpc.Error{Code: e.code, Message: e.message}}
	}
	return rpc.Outcome{Reply: bytes.Clone(e.reply)}
}

// finishedLocked has the result of a call kept for a while, and wakes who waits.
func (b *Box) finishedLocked(e *entry) {
	delete(b.losses, e.seq)
	if e.status == done {
		b.finished = append(b.finished, e)
		b.limitDone(&b.finished, time.UnixMilli(e.ended), b.forgetLocked)
	}
	e.settleLocked()
}

func (b *Box) forgetLocked(e *entry) {
	if b.index[e.id] == e {
		delete(b.index, e.id)
	}
}

// forgetFinished drops results that were kept long enough.
func (b *Box) forgetFinished(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limitDone(&b.finished, now, b.forgetLocked)
}

// limitDone drops the oldest of a list of results: those that are too many, and those
// that were kept long enough.
func (b *Box) limitDone(list *[]*entry, now time.Time, drop func(*entry)) {
	old := now.Add(-b.cfg.Retention).UnixMilli()
	for l := *list; len(l) > 0 && (len(l) > b.cfg.MaxResults || l[0].ended <= old); l = *list {
		drop(l[0])
		l[0] = nil
		*list = l[1:]
	}
}
