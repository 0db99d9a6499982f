package main

import (
	"context"
	"time"

	"github.com/meshnode/meshnode/outbox"
)

// Event is a line that a teller says: what has happened, and how it stands.
type Event struct {
	What    string        `json:"what"`
	MS      float64       `json:"ms"` // since the process began
	Pending int           `json:"pending"`
	Holds   int           `json:"holds"`
	Found   int           `json:"found"` // pending calls that were recovered
	Counts  outbox.Counts `json:"counts"`
}

// What an Event is about.
const (
	Recovered = "recovered" // the box is open, and takes calls
	Ready     = "ready"     // the node has joined
	Serving   = "serving"   // it has executed a call
	Opened    = "opened"    // all accounts
	Standing  = "standing"  // nothing happened
	Stopped   = "stopped"   // the node has left
)

func (t *teller) say(e Event) {
	s := t.box.Status()
	e.MS = float64(time.Since(t.began).Microseconds()) / 1000
	e.Pending, e.Holds, e.Counts, e.Found = s.Pending, s.Holds, s.Counts, t.box.Recovery().Pending
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.out.Encode(&e) // who does not listen any more has no use for it
}

// tell says how the teller stands, ten times a second.
func (t *teller) tell(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i, serving := 0, false; ; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !serving && t.box.Status().Counts.Executed > 0 {
			serving = true
			t.say(Event{What: Serving})
		}
		if i%10 == 0 {
			t.say(Event{What: Standing})
		}
	}
}
