package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// work makes the calls of lanes that are ready, until there is none.
func (b *Box) work(w *worker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.schedule.running && len(b.schedule.ready) > 0 {
		s := &b.schedule
		l := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		if w.ctx.Err() != nil {
			w.renew(b.ctx)
		}
		ctx := w.ctx
		l.by = w
		e := l.calls[0]
		e.attempts++
		now := *e
		b.mu.Unlock()
		reply, err := b.attempt(ctx, &now, e)
		err, durable := b.bury(ctx, &now, err)
		b.mu.Lock()
		b.endAttemptLocked(l, e, &now, reply, err, durable)
		l.by = nil
		if durable {
			b.writes.RUnlock()
		}
	}
	delete(b.schedule.workers, w)
	b.schedule.idle = append(b.schedule.idle, w)
}

// attempt makes a call once, as it stood when the attempt began. The request is in
// memory of its own: a call that ends early may still be using it.
func (b *Box) attempt(ctx context.Context, now, e *entry) (reply []byte, err *rpc.Error) {
	left := time.Until(time.UnixMilli(now.expires))
	if left <= 0 {
		return nil, errTooLate
	}
	r, rerr := b.readCall(e)
	if rerr != nil {
		return nil, rpc.Errorf(rpc.Internal, "%v", rerr)
	}
	spec, serr := rpc.Untyped(e.method, rpc.Idempotent())
	if serr != nil {
		return nil, rpc.AsError(serr)
	}
	h := header{id: e.id, hash: e.hash, expires: time.UnixMilli(now.expires), attempt: now.attempts}
	call := rpc.Call{
		Spec: spec, Dest: rpc.Dest{Kind: rpc.ToKey, Key: e.key}, Req: &r.body,
		Timeout: min(b.cfg.Attempt, left), OwnerOnly: true, // a stand-in has no state
		CarryOn: true, // a durable call outlives nodes that go down by chance
		For:     r.caller,
	}
	for k, v := range r.metadata {
		call.SetMetadata(k, v)
	}
	call.SetMetadata(headerKey, h.text())
	// Interceptors of the application run within.
	if _, ierr := guarded(func() (any, error) { return nil, b.mesh.Invoke(ctx, &call) }); ierr != nil {
		e := rpc.AsError(ierr)
		if e.Code == rpc.FailedPrecondition && rpc.NotExecuted(e) { // this node is yet to start
			e = rpc.Errorf(rpc.Unavailable, "%s", e.Message).MarkNotExecuted(true)
		}
		return nil, e
	}
	if p, ok := call.Reply.(*[]byte); ok && p != nil {
		reply = *p
	}
	return reply, nil
}

// errTooLate is of a call that expired before an attempt could be made.
var errTooLate = rpc.Errorf(rpc.DeadlineExceeded, "expired")

func expired(e *entry) *rpc.Error {
	return rpc.Errorf(rpc.DeadlineExceeded, "expired after %s", e.history())
}

// history says what was tried since the box was opened, and what is known of it.
func (e *entry) history() string {
	var text string
	switch {
	case e.attempts == 0 && !e.doubt:
		return "no attempt"
	case e.attempts == 0:
		return "no attempt since the start; it may have been executed before that"
	case e.attempts == 1:
		text = "1 attempt"
	default:
		text = fmt.Sprintf("%d attempts", e.attempts)
	}
	if e.lastErr != "" {
		text += "; the latest: " + e.lastErr
	}
	if e.doubt {
		text += "; it may have been executed"
	}
	return text
}

// bury makes it durable that a call is given up, if its latest attempt says so, and
// gives the reason. Only then anybody may hear of it and the next call of its key be
// made: unlike a call that was executed, its receiver does not know it, and would
// execute it if it came again. If it is durable, writes is held for reading until the
// entry says so, too. What the attempt has shown is noted in now.
func (b *Box) bury(ctx context.Context, now *entry, err *rpc.Error) (reason *rpc.Error, durable bool) {
	if err == nil {
		return nil, false
	}
	at := time.Now().UnixMilli()
	if err != errTooLate {
		now.lastErr = err.Error()
		now.doubt = now.doubt || unheard(err)
	}
	switch {
	case ctx.Err() != nil:
		return err, false
	case at >= now.expires:
		err = expired(now)
	case !b.refusedForGood(now, err, at):
		return err, false
	}
	r := endRecord{seq: now.seq, ended: at, attempts: now.attempts, code: err.Code, doubt: now.doubt, message: err.Message}
	b.writes.RLock()
	if _, werr := b.log.Append(kindDead, r.append(nil)); werr != nil {
		b.writes.RUnlock()
		b.mu.Lock()
		b.failLocked(werr)
		b.mu.Unlock()
		return err, false
	}
	return err, true
}

// refusedForGood tells whether an error ends a call, and notes since when its owner
// refuses it.
func (b *Box) refusedForGood(now *entry, err *rpc.Error, at int64) bool {
	switch b.judge(err) {
	case GiveUp:
		return true
	case GiveUpLater:
		if now.refusedAt == 0 {
			now.refusedAt = at
		}
		now.refusing = true
		return at-now.refusedAt >= b.cfg.GiveUpAfter.Milliseconds()
	}
	now.refusing = false
	return false
}

// unheard tells whether an attempt that ended with this error may have executed the
// call: neither a handler nor a node has said that it was not.
func unheard(err *rpc.Error) bool {
	switch err.Code {
	case rpc.Canceled, rpc.DeadlineExceeded, rpc.ResourceExhausted, rpc.Unavailable:
		return true
	}
	return false
}

// endAttemptLocked does what follows from an attempt at the first call of a lane. It
// has been given up if that is durable.
func (b *Box) endAttemptLocked(l *lane, e, was *entry, reply []byte, err *rpc.Error, givenUp bool) {
	now := time.Now().UnixMilli()
	e.lastErr, e.doubt, e.refusedAt, e.refusing = was.lastErr, was.doubt, was.refusedAt, was.refusing
	switch {
	case givenUp:
		b.deadLocked(e, now, err)
	case err == nil:
		b.doneLocked(e, &endRecord{seq: e.seq, ended: now, attempts: e.attempts, reply: reply})
	case l.by.ctx.Err() == nil:
		l.tries++
		b.pauseLocked(l, b.backoffLocked(l.tries))
		return
	case e.canceled && b.ctx.Err() == nil && b.cancelLocked(e) == nil:
	default: // the box closes, or the node leaves: whatever came of it, it is tried again
		b.pauseLocked(l, 0)
		return
	}
	b.finishedLocked(e)
	b.popLocked(l)
}

// deadLocked notes that a call was given up, which is on the disk.
func (b *Box) deadLocked(e *entry, now int64, why *rpc.Error) {
	e.status, e.ended, e.code, e.message = dead, now, why.Code, why.Message
	b.counts.Dead++
	b.cfg.Logger.Warn().Str("id", e.id).Str("method", e.method).Str("key", e.key).Err(why).Msg("a durable call is given up: it is a dead letter now")
}

// backoffLocked is the pause after so many failures in a row, with jitter.
func (b *Box) backoffLocked(tries int) time.Duration {
	d := b.cfg.BackoffMin << min(tries-1, 20)
	if d <= 0 || d > b.cfg.BackoffMax {
		d = b.cfg.BackoffMax
	}
	return d/2 + time.Duration(b.random.Int64N(int64(d/2)+1))
}

// doneLocked notes that a call was executed. The record goes with the next commit: if
// it is lost the call is made again, and its receiver knows it. It is written under
// mu, so that a checkpoint misses none.
func (b *Box) doneLocked(e *entry, r *endRecord) {
	e.status, e.ended, e.reply = done, r.ended, r.reply
	b.counts.Done++
	if err := b.log.Lazy(kindDone, r.append(nil)); err != nil {
		b.failLocked(err)
	}
}

// readCall gives the record of a call.
func (b *Box) readCall(e *entry) (callRecord, error) {
	for {
		b.mu.Lock()
		pos := e.pos
		b.mu.Unlock()
		rec, err := b.log.Read(pos, nil)
		if err == nil {
			return decodeCall(rec.Data)
		}
		b.mu.Lock()
		moved := e.pos != pos // by a checkpoint, and the old file is gone
		b.mu.Unlock()
		if !moved {
			return callRecord{}, err
		}
	}
}
