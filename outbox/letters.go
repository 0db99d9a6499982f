package outbox

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// Letter is a call as Box.List shows it.
type Letter struct {
	ID       string    `json:"id"`
	Method   string    `json:"method"`
	Key      string    `json:"key"`
	State    string    `json:"state"` // pending, done or dead
	Enqueued time.Time `json:"enqueued"`
	Expires  time.Time `json:"expires"`
	Ended    time.Time `json:"ended,omitzero"`
	Attempts uint64    `json:"attempts"`          // since the box was opened; of calls that ended, in all of that run
	Reason   string    `json:"reason,omitempty"`  // dead: why; pending: how the latest attempt failed
	Request  []byte    `json:"request,omitempty"` // encoded; Show alone gives it
	Reply    []byte    `json:"reply,omitempty"`   // encoded; Show alone gives it
}

// String names a status.
func (s status) String() string { return [...]string{"writing", "pending", "done", "dead"}[s] }

func (e *entry) letterLocked() Letter {
	l := Letter{
		ID: e.id, Method: e.method, Key: e.key, State: e.status.String(), Attempts: e.attempts,
		Enqueued: time.UnixMilli(e.enqueued), Expires: time.UnixMilli(e.expires), Reason: e.lastErr,
	}
	if e.ended != 0 {
		l.Ended = time.UnixMilli(e.ended)
	}
	if e.status == dead {
		l.Reason = (&rpc.Error{Code: e.code, Message: e.message}).Error()
	}
	if e.status == done {
		l.Reason = ""
	}
	return l
}

// List gives the calls that want accepts, at most limit (0: all), the oldest first.
// want may be nil.
func (b *Box) List(limit int, want func(Letter) bool) []Letter {
	b.mu.Lock()
	all := make([]*entry, 0, len(b.index))
	for _, e := range b.index {
		if e.status != writing {
			all = append(all, e)
		}
	}
	b.mu.Unlock()
	slices.SortFunc(all, func(x, y *entry) int { return cmp.Compare(x.seq, y.seq) })
	var list []Letter
	for _, e := range all {
		b.mu.Lock()
		l := e.letterLocked()
		b.mu.Unlock()
		if want == nil || want(l) {
			if list = append(list, l); len(list) == limit {
				break
			}
		}
	}
	return list
}

// Show gives one call with its request and, if it was executed, its reply.
func (b *Box) Show(id string) (Letter, error) {
	b.mu.Lock()
	e := b.index[id]
	if e == nil || e.status == writing {
		b.mu.Unlock()
		return Letter{}, unknown(id)
	}
	l := e.letterLocked()
	l.Reply = e.outcomeLocked().Reply
	b.mu.Unlock()
	r, err := b.readCall(e)
	if err != nil {
		return l, err
	}
	l.Request = r.body
	return l, nil
}

func unknown(id string) error { return rpc.Errorf(rpc.NotFound, "no durable call %s is known", id) }

// Retry has a dead letter made again, for as long as a call that is taken now. It
// returns once that is on the disk. One that has expired may have been executed, of
// which only the word did not come back; its receiver knows that for Retention. After
// that it is refused: ask the application, and enqueue it under another id.
func (b *Box) Retry(id string) error {
	return b.note(id, kindRevive, func(e *entry) {
		e.status, e.attempts, e.lastErr, e.ended = pending, 0, "", 0
		e.expires = time.Now().Add(b.cfg.Expire).UnixMilli()
		b.pushLocked(e)
	})
}

// Drop forgets a dead letter. It returns once that is on the disk.
func (b *Box) Drop(id string) error {
	return b.note(id, kindForget, func(e *entry) {
		delete(b.index, e.id)
		e.settleLocked()
	})
}

// note logs what a person decides of a dead letter, and then does it.
func (b *Box) note(id string, kind uint8, do func(*entry)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.index[id]
	switch {
	case e == nil || e.status == writing:
		return unknown(id)
	case e.status != dead:
		return rpc.Errorf(rpc.FailedPrecondition, "the call %s is %s; only a dead letter can be tried again or dropped", id, e.status)
	case kind == kindRevive && e.code == rpc.DeadlineExceeded && time.Since(time.UnixMilli(e.expires)) > b.cfg.Retention/2:
		return rpc.Errorf(rpc.FailedPrecondition, "the call %s has expired long ago: it may have been executed, and its receiver may not know that any more", id)
	case b.closed:
		return rpc.Errorf(rpc.Unavailable, "%v", ErrClosed)
	case b.cfg.ReadOnly:
		return rpc.Errorf(rpc.FailedPrecondition, "the box is open to be read only")
	}
	rec := noteRecord{seq: e.seq, expires: time.Now().Add(b.cfg.Expire).UnixMilli()}
	if _, err := b.log.Append(kind, rec.append(nil)); err != nil { // rare, so mu may wait for the disk
		return refusal(err)
	}
	do(e)
	return nil
}
