package sim_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

type poisonRequest struct{ Key string }

var (
	poison       = rpc.NewMethod[poisonRequest, whereReply]("test.Poison", rpc.Idempotent(), rpc.WithPolicy(rpc.CallPolicy{Retries: 4}))
	hedgedPoison = rpc.NewMethod[poisonRequest, whereReply]("test.HedgedPoison",
		rpc.Idempotent(), rpc.Hedge(10*time.Millisecond), rpc.WithPolicy(rpc.CallPolicy{Retries: 4}))
	onward = rpc.NewMethod[poisonRequest, whereReply]("test.Onward", rpc.Idempotent(), rpc.WithPolicy(rpc.CallPolicy{Retries: 4}))
)

// poisoned is a cluster that serves poison.
type poisoned struct {
	c    *sim.Cluster
	how  func(c *sim.Cluster, i int) // ends a process, or what it is
	most int64                       // as often; later calls are served
	ran  atomic.Int64
}

func (p *poisoned) serve(i int, n *node.Node) {
	die := func(ctx context.Context, _ *poisonRequest) (*whereReply, error) {
		if p.ran.Add(1) > p.most {
			return &whereReply{Node: n.Name()}, nil
		}
		go p.how(p.c, i)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	poison.Handle(n, die)
	hedgedPoison.Handle(n, die)
	onward.Handle(n, func(ctx context.Context, req *poisonRequest) (*whereReply, error) {
		return poison.Call(ctx, n, req, rpc.Key(req.Key))
	})
}

// keyOfOthers is a key that neither of the first two nodes may serve.
func keyOfOthers(c *sim.Cluster) string {
	for i := 0; ; i++ {
		key := fmt.Sprint("key ", i)
		table := c.Node(0).Table()
		owners := table.Owners(table.Partition(key), 4, nil)
		if !slices.Contains(owners, "n000") && !slices.Contains(owners, "n001") {
			return key
		}
	}
}

// crashAndBoot is a process that its supervisor starts again.
func crashAndBoot(c *sim.Cluster, i int) {
	c.Crash(i)
	_ = c.Boot(i)
}

// A call under which processes go down is not carried on after two of them.
func TestPoisonCalls(t *testing.T) {
	// Without a destination it goes to the key.
	call := func(m rpc.Method[poisonRequest, whereReply], to ...rpc.CallOption) func(context.Context, *sim.Cluster, string) error {
		return func(ctx context.Context, c *sim.Cluster, key string) error {
			opts := append([]rpc.CallOption{rpc.Timeout(20 * time.Second), rpc.Key(key)}, to...)
			_, err := m.Call(ctx, c.Node(0), &poisonRequest{Key: key}, opts...)
			return err
		}
	}
	for name, x := range map[string]struct {
		how  func(*sim.Cluster, int)
		call func(context.Context, *sim.Cluster, string) error
		down int64 // processes that go down
	}{
		"by key":             {(*sim.Cluster).Crash, call(poison), 2},
		"by key, supervised": {crashAndBoot, call(poison), 2},
		"to any":             {(*sim.Cluster).Crash, call(poison, rpc.Any(rpc.Random)), 2},
		"by name":            {crashAndBoot, call(poison, rpc.Peer("n003")), 2},
		"hedged":             {(*sim.Cluster).Crash, call(hedgedPoison), 2},
		"by a handler":       {(*sim.Cluster).Crash, call(onward, rpc.Peer("n001")), 2},
		"by a client": {(*sim.Cluster).Crash, func(ctx context.Context, c *sim.Cluster, key string) error {
			client, err := c.Client(ctx, 0)
			if err != nil {
				return err
			}
			defer client.Close()
			_, err = poison.Call(ctx, client, &poisonRequest{}, rpc.Key(key), rpc.Timeout(20*time.Second))
			return err
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := &poisoned{how: x.how, most: 100}
			sim.Test(t, sim.Config{Nodes: 6, Seed: 3, Setup: p.serve}, func(t *testing.T, c *sim.Cluster) {
				p.c = c
				err := x.call(t.Context(), c, keyOfOthers(c))
				e := rpc.AsError(err)
				if e == nil || e.Code != rpc.Unavailable || e.RetryAfter != rpc.NeverRetry || rpc.NotExecuted(e) ||
					!strings.Contains(e.Message, "2 nodes went down while serving test.") {
					t.Errorf("%v", err)
				}
				if got := p.ran.Load(); got != x.down {
					t.Errorf("%d processes went down, want %d", got, x.down)
				}
				counted := uint64(0)
				for i := range c.Len() {
					if n := c.Node(i); n != nil {
						counted += n.Stats()["poison_calls"]
					}
				}
				if counted != 1 {
					t.Errorf("%d poison calls are counted", counted)
				}
			})
		})
	}
}

// Who restarts as it should, is silent or is cut off has not gone down under a call, and neither
// has one alone: the call is carried on.
func TestCallsThatAreNotPoison(t *testing.T) {
	for name, how := range map[string]func(*sim.Cluster, int){
		"restart": func(c *sim.Cluster, i int) { _ = c.Stop(i) },
		"frozen":  (*sim.Cluster).Pause,
		"cut off": (*sim.Cluster).Isolate,
	} {
		t.Run(name, func(t *testing.T) {
			p := &poisoned{how: how, most: 2}
			sim.Test(t, sim.Config{Nodes: 6, Seed: 3, Setup: p.serve}, func(t *testing.T, c *sim.Cluster) {
				p.c = c
				if _, err := poison.Call(t.Context(), c.Node(0), &poisonRequest{}, rpc.Key(keyOfOthers(c)), rpc.Timeout(time.Minute)); err != nil {
					t.Errorf("%v", err)
				}
				c.Heal()
				for i := range c.Len() {
					c.Resume(i)
				}
			})
		})
	}
	p := &poisoned{how: (*sim.Cluster).Crash, most: 1}
	sim.Test(t, sim.Config{Nodes: 6, Seed: 3, Setup: p.serve}, func(t *testing.T, c *sim.Cluster) {
		p.c = c
		if _, err := poison.Call(t.Context(), c.Node(0), &poisonRequest{}, rpc.Key(keyOfOthers(c))); err != nil {
			t.Errorf("one that goes down: %v", err)
		}
	})
	q := &poisoned{how: (*sim.Cluster).Crash, most: 3}
	sim.Test(t, sim.Config{Nodes: 6, Seed: 3, Setup: q.serve}, func(t *testing.T, c *sim.Cluster) {
		q.c = c
		call := rpc.Call{
			Spec: poison.Spec(), Dest: rpc.Dest{Kind: rpc.ToKey, Key: keyOfOthers(c)}, Req: &poisonRequest{}, Timeout: time.Minute, CarryOn: true,
		}
		if err := c.Node(0).Invoke(t.Context(), &call); err != nil || q.ran.Load() != 4 {
			t.Errorf("a call whose caller has a bound of its own: %v after %d", err, q.ran.Load())
		}
	})
}
