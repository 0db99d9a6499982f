package scenario

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/meshnode/meshnode/membership"
)

// kill ends a node's process.
func (r *run) kill(i int, how string) {
	if !r.cluster.Member(i).Alive() {
		return
	}
	r.truth.setDown(i, true, false, time.Now())
	if how == "power-off" {
		r.cluster.PowerOff(i)
	} else {
		r.cluster.Crash(i)
	}
}

// boot starts a node's process again, and waits for nothing.
func (r *run) boot(i int) {
	if r.cluster.Member(i).Alive() {
		return
	}
	r.truth.setDown(i, false, false, time.Now())
	if err := r.cluster.Boot(i); err != nil {
		r.check.broke(InvAlive, "%s cannot start: %v", r.cluster.Member(i).Name, err)
	}
}

// move starts a node at another address.
func (r *run) move(i int) {
	r.kill(i, "crash")
	r.truth.setDown(i, false, false, time.Now())
	if err := r.cluster.RestartElsewhere(i); err != nil {
		r.check.broke(InvAlive, "%s cannot start: %v", r.cluster.Member(i).Name, err)
	}
}

// stopNodes has nodes leave, each by itself. What it gives starts them again, if
// that is meant.
func (r *run) stopNodes(a *act) (undo func()) {
	var leaving sync.WaitGroup
	for _, i := range a.nodes {
		r.truth.setDown(i, false, true, time.Now())
		leaving.Go(func() {
			_ = r.cluster.Stop(i)
			r.truth.setDown(i, true, true, time.Now())
		})
	}
	return func() {
		leaving.Wait()
		if a.until == 0 {
			return
		}
		for _, i := range a.nodes {
			r.boot(i)
		}
	}
}

// add starts one more node.
func (r *run) add() {
	if _, err := r.cluster.Add(); err != nil {
		r.check.broke(InvAlive, "a new node cannot start: %v", err)
	}
}

// impostorTimeout is how long a process that must be refused may try.
const impostorTimeout = time.Minute

// impostor starts a second process under a node's name.
func (r *run) impostor(i int) {
	r.acts.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), impostorTimeout)
		defer cancel()
		within := r.scenario.Profile.DetectionTime(r.cluster.Len())
		well := !r.truth.hit(i, within, time.Now())
		err := r.cluster.Impostor(ctx, i)
		r.trace.note("impostor", r.cluster.Member(i).Name, "")
		if !well || r.truth.hit(i, within, time.Now()) {
			return // who is not there may be replaced
		}
		r.check.check(InvName, errors.Is(err, membership.ErrNameTaken), "a second %s got %v; want %v",
			r.cluster.Member(i).Name, err, membership.ErrNameTaken)
	})
}
