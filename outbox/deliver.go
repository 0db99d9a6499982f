package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// work makes the calls of lanes that are ready, until there is none. Code of the
// application that runs within, such as a client interceptor, may end the goroutine:
// another one goes on.
func (b *Box) work(w *worker) {
	returned := false
	defer func() {
		if !returned {
			b.tasks.Go(func() { b.work(w) })
		}
	}()
	for b.makeNext(w) {
	}
	returned = true
}

// outcome is how an attempt ended.
type outcome struct {
	reply   []byte
	err     *rpc.Error // nil: the call was executed
	verdict Verdict    // on err
	durable bool       // the call is given up, which is on the disk, and writes is held for reading
}

// makeNext makes the call of the first lane that is ready, and reports whether there was
// one. Else it ends the worker.
func (b *Box) makeNext(w *worker) bool {
	b.mu.Lock()
	s := &b.schedule
	if !s.running || len(s.ready) == 0 {
		delete(s.workers, w)
		s.idle = append(s.idle, w)
		b.mu.Unlock()
		return false
	}
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
	var o outcome
	rpc.GuardTo(func() (any, error) {
		if o.reply, o.err = b.attempt(ctx, &now, e); o.err != nil {
			o.verdict = b.judge(o.err)
		}
		return nil, nil
	}, func(_ any, failed error) {
		if failed != nil {
			o = b.brokenOff(failed)
		}
		b.bury(ctx, &now, &o)
		b.mu.Lock()
		b.endAttemptLocked(l, e, &now, &o)
		l.by = nil
		b.mu.Unlock()
		if o.durable {
			b.writes.RUnlock()
		}
	})
	return true
}

// brokenOff is the outcome of an attempt that code of the application has broken off.
func (b *Box) brokenOff(err error) outcome {
	b.cfg.Logger.Error().Err(err).Msg("Config.Judge or a client interceptor did not return")
	return outcome{err: rpc.Errorf(rpc.Internal, "%v", err)}
}

// attempt makes a call once, as it stood when the attempt began. The request is in
// memory of its own: a call that ends early may still be using it.
func (b *Box) attempt(ctx context.Context, now, e *entry) (reply []byte, err *rpc.Error) {
	left := time.Until(time.UnixMilli(now.expires))
	if left <= 0 {
		return nil, errTooLate
	}
	// An attempt may be repeated on the way, as its receiver knows what it has executed; but
	// not where nodes that go down with it are to be counted.
	k, owner, opts := b.keeper.Load(), "", []rpc.MethodOption{rpc.Idempotent()}
	if b.cfg.Orphans.ServeAfter > 0 {
		opts = nil
		if err := b.carriedOn(e, k); err != nil {
			return nil, err
		}
		table := k.n.Table()
		owner = table.Owner(table.Partition(e.key))
	}
	r, rerr := b.readCall(e)
	if rerr != nil {
		return nil, rpc.Errorf(rpc.Internal, "%v", rerr)
	}
	spec, serr := rpc.Untyped(e.method, opts...)
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
	if ierr := b.mesh.Invoke(ctx, &call); ierr != nil {
		err = rpc.AsError(ierr)
		if err.Code == rpc.FailedPrecondition && rpc.NotExecuted(err) { // this node is yet to start
			err = rpc.Errorf(rpc.Unavailable, "%s", err.Message).MarkNotExecuted(true)
		}
		if owner != "" && call.Peer == "" && unheard(err) {
			b.wentTo(e, owner)
		}
		return nil, err
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

// bury makes it durable that a call is given up, if its latest attempt says so. Only
// then anybody may hear of it and the next call of its key be made: unlike a call that
// was executed, its receiver does not know it, and would execute it if it came again.
// What the attempt has shown is noted in now.
func (b *Box) bury(ctx context.Context, now *entry, o *outcome) {
	if o.err == nil {
		return
	}
	at := time.Now().UnixMilli()
	if o.err != errTooLate {
		now.lastErr = o.err.Error()
		now.doubt = now.doubt || unheard(o.err)
	}
	switch {
	case ctx.Err() != nil:
		return
	case at >= now.expires:
		o.err = expired(now)
	case !b.refusedForGood(now, o.verdict, at):
		return
	}
	r := endRecord{seq: now.seq, ended: at, attempts: now.attempts, code: o.err.Code, doubt: now.doubt, message: o.err.Message}
	b.writes.RLock()
	if _, err := b.log.Append(kindDead, r.append(nil)); err != nil {
		b.writes.RUnlock()
		b.mu.Lock()
		b.failLocked(err)
		b.mu.Unlock()
		return
	}
	o.durable = true
}

// refusedForGood reports whether a verdict ends a call, and notes since when its owner
// refuses it.
func (b *Box) refusedForGood(now *entry, v Verdict, at int64) bool {
	switch v {
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

// unheard reports whether an attempt that ended with this error may have executed the
// call: nobody has said that it was not.
func unheard(err *rpc.Error) bool {
	switch err.Code {
	case rpc.Canceled, rpc.DeadlineExceeded, rpc.ResourceExhausted, rpc.Unavailable:
		return !rpc.NotExecuted(err)
	}
	return false
}

// endAttemptLocked does what follows from an attempt at the first call of a lane.
func (b *Box) endAttemptLocked(l *lane, e, was *entry, o *outcome) {
	now := time.Now().UnixMilli()
	e.lastErr, e.doubt, e.refusedAt, e.refusing = was.lastErr, was.doubt, was.refusedAt, was.refusing
	switch {
	case o.durable:
		b.deadLocked(e, now, o.err)
	case o.err == nil:
		b.doneLocked(e, &endRecord{seq: e.seq, ended: now, attempts: e.attempts, reply: o.reply})
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
