package sim_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

type sleepRequest struct {
	Key   string
	Sleep time.Duration
}

var (
	nap   = rpc.NewMethod[sleepRequest, whereReply]("test.Nap", rpc.Idempotent())
	write = rpc.NewMethod[sleepRequest, whereReply]("test.Write")
)

// executions counts how often each key was executed.
type executions struct {
	mu    sync.Mutex
	byKey map[string]int
}

func (e *executions) of(key string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byKey[key]
}

// serve registers nap and write.
func (e *executions) serve(_ int, n *node.Node) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byKey == nil {
		e.byKey = map[string]int{}
	}
	handle := func(ctx context.Context, req *sleepRequest) (*whereReply, error) {
		e.mu.Lock()
		e.byKey[req.Key]++
		e.mu.Unlock()
		select {
		case <-time.After(req.Sleep):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return &whereReply{Node: n.Name()}, nil
	}
	nap.Handle(n, handle)
	write.Handle(n, handle)
}

// An owner that falls silent, over connections that stay open, costs calls a few
// times Limits.Contact and not their deadline: those under way that may be repeated
// are, the others wait on, and those that come afterwards go to the next owner
// whatever their method.
func TestSilentOwner(t *testing.T) {
	faults := map[string]func(c *sim.Cluster, i int){
		"frozen":    (*sim.Cluster).Pause,
		"power off": (*sim.Cluster).PowerOff,
		"half-open": func(c *sim.Cluster, i int) {
			for j := range c.Len() {
				if j != i {
					c.Link(i, j).HalfOpen()
				}
			}
		},
	}
	const contact, owner = 50 * time.Millisecond, 1
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			var ran executions
			sim.Test(t, sim.Config{Nodes: 5, Seed: 11, Setup: ran.serve}, func(t *testing.T, c *sim.Cluster) {
				keys := append(ownedBy(c, 10, owner, 0), ownedBy(c, 10, owner, 2)...)
				for i := range c.Len() { // so that there are connections
					for _, key := range keys {
						if _, err := nap.Call(t.Context(), c.Node(i), &sleepRequest{Key: "before"}, rpc.Key(key)); err != nil {
							t.Fatal(err)
						}
					}
				}
				fault(c, owner)
				var calls sync.WaitGroup
				for _, key := range keys {
					calls.Go(func() {
						begun := time.Now()
						_, err := nap.Call(t.Context(), c.Node(0), &sleepRequest{Key: key}, rpc.Key(key))
						if took := time.Since(begun); err != nil || took > 5*contact {
							t.Errorf("%s: %v after %v", key, err, took)
						}
					})
				}
				time.Sleep(3 * contact)
				for _, key := range keys {
					calls.Go(func() {
						begun := time.Now()
						_, err := write.Call(t.Context(), c.Node(0), &sleepRequest{Key: "write " + key}, rpc.Key(key))
						if took := time.Since(begun); err != nil || took > 3*contact || ran.of("write "+key) != 1 {
							t.Errorf("write of %s: %v after %v, executed %d times", key, err, took, ran.of("write "+key))
						}
					})
				}
				calls.Wait()
				if got := c.Node(0).Stats()["peers_silent"]; got != 1 {
					t.Errorf("%d connections of the caller fell silent", got)
				}
				if name == "frozen" {
					c.Resume(owner)
				}
			})
		})
	}
}

// A call that may not be repeated waits for an owner that is silent, and gets its
// answer if that one goes on in time.
func TestWriteWaitsForASilentOwner(t *testing.T) {
	var ran executions
	sim.Test(t, sim.Config{Nodes: 4, Seed: 12, Setup: ran.serve}, func(t *testing.T, c *sim.Cluster) {
		key := ownedBy(c, 1, 1, 2)[0]
		call := func(id string) (*whereReply, error) {
			return write.Call(t.Context(), c.Node(0), &sleepRequest{Key: id, Sleep: 20 * time.Millisecond}, rpc.Key(key), rpc.Timeout(2*time.Second))
		}
		if _, err := call("before"); err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		calls.Go(func() {
			if got, err := call("during"); err != nil || got.Node != c.Member(1).Name || ran.of("during") != 1 {
				t.Errorf("%+v, %v, executed %d times", got, err, ran.of("during"))
			}
		})
		time.Sleep(10 * time.Millisecond)
		c.Pause(1)
		time.Sleep(time.Second)
		c.Resume(1)
		calls.Wait()
		// The connection takes calls again.
		c.Eventually(t, 3*time.Second, func() error {
			got, err := call("after")
			if err != nil || got.Node != c.Member(1).Name {
				return fmt.Errorf("%+v, %w", got, errors.Join(err, errors.New("not by its owner")))
			}
			return nil
		})
	})
}

// Slow handlers are no silence, however few calls are under way.
func TestSlowIsNotSilent(t *testing.T) {
	var ran executions
	sim.Test(t, sim.Config{Nodes: 4, Seed: 13, Profile: membership.Local, Setup: ran.serve}, func(t *testing.T, c *sim.Cluster) {
		keys := ownedBy(c, 20, 1, 2)
		var calls sync.WaitGroup
		for i, key := range keys {
			calls.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				req := &sleepRequest{Key: key, Sleep: 4 * time.Second}
				got, err := nap.Call(t.Context(), c.Node(0), req, rpc.Key(key), rpc.Timeout(10*time.Second))
				if err != nil || got.Node != c.Member(1).Name || ran.of(key) != 1 {
					t.Errorf("%s: %+v, %v, executed %d times", key, got, err, ran.of(key))
				}
			})
		}
		calls.Wait()
		stats := c.Node(0).Stats()
		if stats["peers_silent"] != 0 || stats["failovers"] != 0 || stats["retries"] != 0 {
			t.Errorf("%d silent, %d failovers, %d retries", stats["peers_silent"], stats["failovers"], stats["retries"])
		}
	})
}
