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
		b.mu.Lock()
		b.endAttemptLocked(l, e, reply, err)
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

// endAttemptLocked does what follows from an attempt at the first call of a lane.
func (b *Box) endAttemptLocked(l *lane, e *entry, reply []byte, err *rpc.Error) {
	now := time.Now()
	switch {
	case e.status != pending: // dropped meanwhile, by hand
		b.popLocked(l)
		return
	case err == nil:
		b.endLocked(e, &endRecord{seq: e.seq, ended: now.UnixMilli(), attempts: e.attempts, reply: reply})
		b.counts.Done++
		b.popLocked(l)
		return
	case b.ctx.Err() != nil: // the box closes: whatever came of it, it is tried again
		b.pauseLocked(l, 0)
		return
	}
	if err != errTooLate {
		e.lastErr = err.Error()
	}
	if now.UnixMilli() >= e.expires {
		err = expired(e)
	} else if !b.cfg.Final(err) {
		l.tries++
		b.pauseLocked(l, b.backoffLocked(l.tries))
		return
	}
	b.endLocked(e, &endRecord{seq: e.seq, ended: now.UnixMilli(), attempts: e.attempts, code: err.Code, message: err.Message})
	b.counts.Dead++
	b.cfg.Logger.Warn().Str("id", e.id).Str("method", e.method).Str("key", e.key).Err(err).Msg("a durable call is given up: it is a dead letter now")
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

// endLocked notes how a call ended. The record goes with the next commit: if it is
// lost the call is made again, and its receiver knows it. It is written under mu,
// so that a checkpoint misses none.
func (b *Box) endLocked(e *entry, r *endRecord) {
	kind := byte(kindDone)
	e.status, e.ended, e.code, e.message, e.reply = done, r.ended, r.code, r.message, r.reply
	if r.code != rpc.OK {
		kind, e.status = kindDead, dead
	}
	if err := b.log.Lazy(kind, r.append(nil)); err != nil {
		b.failLocked(err)
	}
	b.finishedLocked(e)
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
