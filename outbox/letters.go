package outbox

import (
	"cmp"
	"fmt"
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
	Reason   string    `json:"reason,omitempty"`  // dead: why; pending: how the latest attempt failed, or what it waits for
	Request  []byte    `json:"request,omitempty"` // encoded; Show alone gives it
	Caller   string    `json:"caller,omitempty"`  // who enqueued it, for people; empty: the box's node; Show alone gives it
	Reply    []byte    `json:"reply,omitempty"`   // encoded; Show alone gives it
	// MayHaveRun says of a call that is pending or dead that an attempt may have
	// executed it: nobody heard how it ended.
	MayHaveRun bool `json:"may_have_run,omitempty"`
	// GivesUp is when a pending call becomes a dead letter if its owner goes on
	// refusing it (Config.GiveUpAfter); zero: it is not refused.
	GivesUp time.Time `json:"gives_up,omitzero"`
	// Behind is the call that a pending one waits for: the first of its key.
	Behind *Blocker `json:"behind,omitempty"`
}

// Blocker is a pending call that others of its key wait for.
type Blocker struct {
	ID       string `json:"id"`
	Method   string `json:"method"`
	Key      string `json:"key"`
	Attempts uint64 `json:"attempts"`         // since the box was opened
	Reason   string `json:"reason,omitempty"` // how its latest attempt failed
}

// String says it in a line.
func (w *Blocker) String() string {
	text := fmt.Sprintf("waits for %s (%s, key %q, %d attempts)", w.ID, w.Method, w.Key, w.Attempts)
	if w.Reason != "" {
		text += ": " + w.Reason
	}
	return text
}

// String names a status.
func (s status) String() string { return [...]string{"writing", "pending", "done", "dead"}[s] }

func (b *Box) letterLocked(e *entry) Letter {
	l := Letter{
		ID: e.id, Method: e.method, Key: e.key, State: e.status.String(), Attempts: e.attempts,
		Enqueued: time.UnixMilli(e.enqueued), Expires: time.UnixMilli(e.expires), MayHaveRun: e.doubt,
	}
	if e.ended != 0 {
		l.Ended = time.UnixMilli(e.ended)
	}
	switch e.status {
	case dead:
		l.Reason = (&rpc.Error{Code: e.code, Message: e.message}).Error()
	case done:
		l.MayHaveRun = false
	case pending:
		l.Reason = e.lastErr
		if first := b.lanes[e.key].calls[0]; first != e {
			l.Behind = &Blocker{ID: first.id, Method: first.method, Key: first.key, Attempts: first.attempts, Reason: first.lastErr}
			l.Reason = l.Behind.String()
		} else if b.cfg.ReadOnly {
			l.Reason = "the process that makes it knows how its attempts end"
		}
		if e.refusing {
			l.GivesUp = time.UnixMilli(e.refusedAt).Add(b.cfg.GiveUpAfter)
		}
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
		l := b.letterLocked(e)
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
	l := b.letterLocked(e)
	l.Reply = e.outcomeLocked().Reply
	b.mu.Unlock()
	r, err := b.readCall(e)
	if err != nil {
		return l, err
	}
	l.Request = r.body
	if r.caller != nil {
		l.Caller = r.caller.String()
	}
	return l, nil
}

func unknown(id string) error { return rpc.Errorf(rpc.NotFound, "no durable call %s is known", id) }

// Retry has a dead letter made again, for as long as a call that is taken now. It
// returns once that is on the disk. One that has expired may have been executed, of
// which only the word did not come back; its receiver knows that for Retention. After
// that it is refused: ask the application, and enqueue it under another id.
func (b *Box) Retry(id string) error {
	return b.note(id, kindRevive, func(e *entry) {
		e.status, e.attempts, e.lastErr, e.ended, e.refusedAt, e.refusing, e.canceled = pending, 0, "", 0, 0, false, false
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
		return rpc.Errorf(rpc.FailedPrecondition, "the call %s is %s; only a dead letter can be tried again or dropped; Cancel makes a pending call one", id, e.status)
	case kind == kindRevive && e.code == rpc.DeadlineExceeded && time.Since(time.UnixMilli(e.expires)) > b.cfg.Retention/2:
		return rpc.Errorf(rpc.FailedPrecondition, "the call %s has expired long ago: it may have been executed, and its receiver may not know that any more", id)
	}
	if err := b.writableLocked(); err != nil {
		return err
	}
	rec := noteRecord{seq: e.seq, expires: time.Now().Add(b.cfg.Expire).UnixMilli()}
	if _, err := b.log.Append(kind, rec.append(nil)); err != nil { // rare, so mu may wait for the disk
		return refusal(err)
	}
	do(e)
	return nil
}
