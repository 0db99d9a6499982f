package outbox

import (
	"context"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// Await implements rpc.Queue: it waits for the end of a call, and gives its reply,
// or why it is a dead letter. Results are kept for Config.Retention.
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
			return b.outcomeLocked(e)
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

// outcomeLocked reads how a call ended. The position of its end cannot change
// under mu.
func (b *Box) outcomeLocked(e *entry) (rpc.Outcome, error) {
	if e.status == dead {
		return rpc.Outcome{Err: &rpc.Error{Code: e.code, Message: e.message}}, nil
	}
	rec, err := b.log.Read(e.end, nil)
	if err != nil {
		return rpc.Outcome{}, rpc.Errorf(rpc.Internal, "the reply of %s cannot be read: %v", e.id, err)
	}
	r, err := decodeEnd(rec.Data)
	if err != nil {
		return rpc.Outcome{}, rpc.Errorf(rpc.Internal, "the reply of %s: %v", e.id, err)
	}
	return rpc.Outcome{Reply: r.reply}, nil
}

// finishedLocked has the result of a call kept for a while, and wakes who waits.
func (b *Box) finishedLocked(e *entry) {
	if e.status == done {
		b.finished = append(b.finished, e)
	}
	e.settleLocked()
}

// forgetFinished drops results that were kept long enough.
func (b *Box) forgetFinished(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := now.Add(-b.cfg.Retention).UnixMilli()
	n := 0
	for n < len(b.finished) && b.finished[n].ended <= old {
		if e := b.finished[n]; b.index[e.id] == e {
			delete(b.index, e.id)
		}
		b.finished[n] = nil
		n++
	}
	b.finished = b.finished[n:]
}
