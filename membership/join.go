package membership

import (
	"context"
	"fmt"
	"sync"
)

// joiner is where callers of Join meet the goroutine that tries the seeds.
type joiner struct {
	wake chan struct{}

	mu      sync.Mutex
	active  bool // Join was called, and did not end for good
	done    bool // a seed has taken this node in, or it needs none
	last    error
	waiters map[chan error]struct{}
}

// Join returns when a seed or a known member has taken this node in and the
// snapshot shows whom it found, and at once without either. Until then it goes on trying, as does
// the Cluster by itself after the end of ctx. It ends early with a reason that
// a retry won't change: ErrNameTaken, or SeedErrors in which every seed, or
// every known member where there are no seeds, answered with ErrClusterMismatch, ErrGossipKeyMismatch, ErrParamsMismatch or
// ErrProtocolMismatch; nothing more is tried then until Join is called again.
// At the end of ctx the error wraps that of ctx and the reasons of the last
// round. A node whose Join failed must not Leave, only Stop.
func (c *Cluster) Join(ctx context.Context) error {
	if _, _, err := c.running(); err != nil {
		return err
	}
	if c.hasLeft() {
		return ErrLeft
	}
	result := c.join.wait(len(c.seeds) == 0 && len(c.known) == 0)
	defer c.join.forget(result)
	select {
	case err := <-result:
		return err
	case <-c.ctx.Done():
		return ErrNotRunning
	case <-ctx.Done():
	}
	if last := c.join.lastError(); last != nil {
		return fmt.Errorf("membership: join: %w; last round: %w", ctx.Err(), last)
	}
	return fmt.Errorf("membership: join: %w", ctx.Err())
}

// Joined tells whether this node has found its cluster: a seed or a known member
// has taken it in, or it has none but itself. It stays true when the others go away.
func (c *Cluster) Joined() bool {
	c.join.mu.Lock()
	defer c.join.mu.Unlock()
	return c.join.done
}

// wait gives the channel on which the result of joining will come, and sets
// the search going. found says that there is nothing to search for.
func (j *joiner) wait(found bool) chan error {
	result := make(chan error, 1)
	j.mu.Lock()
	j.active = true
	j.done = j.done || found
	if j.done {
		result <- nil
	} else {
		if j.waiters == nil {
			j.waiters = map[chan error]struct{}{}
		}
		j.waiters[result] = struct{}{}
	}
	j.mu.Unlock()
	j.poke()
	return result
}

// poke has the goroutine that tries the seeds look at once. It never waits.
func (j *joiner) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *joiner) forget(result chan error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.waiters, result)
}

// status tells whether to look for the cluster at all, and whether it has been
// found.
func (j *joiner) status() (active, done bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.active, j.done
}

func (j *joiner) lastError() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// note keeps the reasons of a failed round.
func (j *joiner) note(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = err
}

// succeed tells everybody who waits that the node has joined.
func (j *joiner) succeed() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done, j.last = true, nil
	j.deliverLocked(nil)
}

// giveUp tells everybody who waits that the node cannot join, and ends the
// search. It returns false, and the search goes on, when nobody waits.
func (j *joiner) giveUp(err error) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiters) == 0 {
		return false
	}
	j.active = false
	j.deliverLocked(err)
	return true
}

func (j *joiner) deliverLocked(err error) {
	for w := range j.waiters {
		w <- err // has room for the one result it gets
	}
	clear(j.waiters)
}
