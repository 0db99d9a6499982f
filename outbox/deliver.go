package outbox

import (
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// work makes the calls of lanes that are ready, until there is none.
func (b *Box) work() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.schedule.running && len(b.schedule.ready) > 0 {
		s := &b.schedule
		l := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		e := l.calls[0]
		e.attempts++
		now := *e
		b.mu.Unlock()
		reply, err := b.attempt(&now, e)
		err, durable := b.bury(&now, err)
		b.mu.Lock()
		b.endAttemptLocked(l, e, reply, err, durable)
		if durable {
			b.writes.RUnlock()
		}
	}
	b.schedule.workers--
}

// attempt makes a call once, as it stood when the attempt began. The request is in
// memory of its own: a call that ends early may still be using it.
func (b *Box) attempt(now, e *entry) (reply []byte, err *rpc.Error) {
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
	}
	for k, v := range r.metadata {
		call.SetMetadata(k, v)
	}
	call.SetMetadata(headerKey, h.text())
	if ierr := b.mesh.Invoke(b.ctx, &call); ierr != nil {
		return nil, rpc.AsError(ierr)
	}
	if p, ok := call.Reply.(*[]byte); ok && p != nil {
		reply = *p
	}
	return reply, nil
}

// errTooLate is of a call that expired before an attempt could be made.
var errTooLate = rpc.Errorf(rpc.DeadlineExceeded, "expired")

func expired(e *entry) *rpc.Error {
	return rpc.Errorf(rpc.DeadlineExceeded, "expired after %d attempts; the latest: %s", e.attempts, orNone(e.lastErr))
}

func orNone(s string) string {
	if s == "" {
		return "none was made"
	}
	return s
}

// bury makes it durable that a call is given up, if its latest attempt says so, and
// gives the reason. Only then anybody may hear of it and the next call of its key be
// made: unlike a call that was executed, its receiver does not know it, and would
// execute it if it came again. If it is durable, writes is held for reading until the
// entry says so, too.
func (b *Box) bury(now *entry, err *rpc.Error) (reason *rpc.Error, durable bool) {
	at := time.Now().UnixMilli()
	switch {
	case err == nil || b.ctx.Err() != nil:
		return err, false
	case at >= now.expires:
		if err != errTooLate {
			now.lastErr = err.Error()
		}
		err = expired(now)
	case !b.cfg.Final(err):
		return err, false
	}
	r := endRecord{seq: now.seq, ended: at, attempts: now.attempts, code: err.Code, message: err.Message}
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

// endAttemptLocked does what follows from an attempt at the first call of a lane. It
// has been given up if that is durable.
func (b *Box) endAttemptLocked(l *lane, e *entry, reply []byte, err *rpc.Error, givenUp bool) {
	now := time.Now().UnixMilli()
	switch {
	case e.status != pending: // dropped meanwhile, by hand
		b.popLocked(l)
		return
	case givenUp:
		e.status, e.ended, e.code, e.message = dead, now, err.Code, err.Message
		b.counts.Dead++
		b.cfg.Logger.Warn().Str("id", e.id).Str("method", e.method).Str("key", e.key).Err(err).Msg("a durable call is given up: it is a dead letter now")
	case err == nil:
		b.doneLocked(e, &endRecord{seq: e.seq, ended: now, attempts: e.attempts, reply: reply})
	case b.ctx.Err() != nil: // the box closes: whatever came of it, it is tried again
		b.pauseLocked(l, 0)
		return
	default:
		e.lastErr = err.Error()
		l.tries++
		b.pauseLocked(l, b.backoffLocked(l.tries))
		return
	}
	b.finishedLocked(e)
	b.popLocked(l)
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
