//go:build process

package proctest

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// TestLife takes a cluster of five through a crash, a restart under the same
// name, a sixth member, and a graceful leave, while clients route keys.
func TestLife(t *testing.T) {
	c := startCluster(t, 5)
	cl := c.client(c.members[0])
	keys := keysOf(5000)

	before := owners(t, cl, keys)
	victim := c.members[3]
	c.crash(victim, cl, keys, before)
	c.restart(victim, cl, keys, before)
	c.join(cl, keys, before)
	c.leave(cl)
}

// crash kills a member and checks that each key that it owned is served by
// another within the detection time, never by a wrong one.
func (c *cluster) crash(victim *process, cl *node.Client, keys []string, before map[string]string) {
	t := c.t
	bound := membership.Local.DetectionTime(5)
	load := startLoad(t, []*node.Client{cl, c.client(c.members[1])}, node.Echo)
	victim.kill()
	c.drop(victim)
	began := time.Now()
	var mu sync.Mutex
	served := make(map[string]string)
	var slowest time.Duration
	ctx, cancel := context.WithTimeout(context.Background(), 2*bound)
	defer cancel()
	var wg sync.WaitGroup
	limit := make(chan struct{}, 256)
	for _, key := range keys {
		if before[key] != victim.name {
			continue
		}
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			by, err := echo(ctx, cl, key)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("key %s of the killed node: %v", key, err)
			}
			served[key] = by
			slowest = max(slowest, time.Since(began))
		})
	}
	wg.Wait()
	c.agree(4, bound)
	if calls, failed := load.stop(); failed > 0 {
		t.Errorf("%d of %d idempotent calls that ran when the node was killed failed", failed, calls)
	}
	wrong := 0
	for key, owner := range owners(t, cl, keys) {
		if by, asked := served[key]; asked && by != owner {
			wrong++
			t.Errorf("key %s was served by %s, but %s owns it", key, by, owner)
		}
		if _, asked := served[key]; !asked && owner != before[key] {
			t.Errorf("key %s moved from %s to %s though its owner lived", key, before[key], owner)
		}
	}
	if slowest > bound {
		t.Errorf("the last key of the killed node was served after %v; the profile promises %v", slowest, bound)
	}
	t.Logf("kill -9: %d keys of %s served by others within %v (bound %v), %d wrong answers", len(served), victim.name, slowest.Round(time.Millisecond), bound, wrong)
}

// restart starts the killed member again under its name: it gets back exactly
// the keys that it had.
func (c *cluster) restart(victim *process, cl *node.Client, keys []string, before map[string]string) {
	t := c.t
	again := start(t, victim.name, victim.addr, "--join", c.members[0].addr)
	c.members = append(c.members, again)
	took := c.agree(5, 10*time.Second)
	for key, owner := range owners(t, cl, keys) {
		if owner != before[key] {
			t.Errorf("key %s is owned by %s after the restart, by %s before", key, owner, before[key])
		}
	}
	t.Logf("restart under the same name: agreed after %v, every key back at its owner", took.Round(time.Millisecond))
}

// join adds a sixth member: keys move to it, and to nobody else.
func (c *cluster) join(cl *node.Client, keys []string, before map[string]string) {
	t := c.t
	c.add("node-6", freeAddrs(t, 1)[0])
	took := c.agree(6, 10*time.Second)
	moved := 0
	for key, owner := range owners(t, cl, keys) {
		if owner == before[key] {
			continue
		}
		moved++
		if owner != "node-6" {
			t.Errorf("key %s moved from %s to %s when node-6 joined", key, before[key], owner)
		}
	}
	share := float64(moved) / float64(len(keys))
	if share < 0.5/6 || share > 1.5/6 {
		t.Errorf("%d of %d keys moved to the sixth member; a sixth is %d", moved, len(keys), len(keys)/6)
	}
	t.Logf("join of a sixth: agreed after %v, %.1f %% of the keys moved, all to it", took.Round(time.Millisecond), 100*share)
}

// leave makes a member leave while calls of a method that must not be repeated
// run through two others: none may fail.
func (c *cluster) leave(cl *node.Client) {
	t := c.t
	leaver := c.members[2]
	size := len(c.members)
	second := c.client(c.members[1])
	load := startLoad(t, []*node.Client{cl, second}, once)
	if err := leaver.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := leaver.exit(t); status != 0 {
		t.Errorf("the leaving node ended with status %d", status)
	}
	c.drop(leaver)
	c.agree(size-1, 10*time.Second)
	calls, failed := load.stop()
	if failed > 0 {
		t.Errorf("%d of %d calls failed while a node left", failed, calls)
	}
	if state := c.stateOf(cl, leaver.name); state != "left" {
		t.Errorf("the others hold the node that left for %q", state)
	}
	t.Logf("graceful leave: %d calls of a non-idempotent method, %d failed", calls, failed)
}

func (c *cluster) stateOf(cl *node.Client, name string) string {
	reply, err := node.Members.Call(context.Background(), cl, &node.MembersRequest{})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, m := range reply.Members {
		if m.Name == name {
			return m.State
		}
	}
	return "unknown"
}

// once is Echo without its promise that repeating it does no harm.
var once = rpc.NewMethod[node.EchoRequest, node.EchoReply](node.Echo.Name())

// load routes keys until it is stopped.
type load struct {
	calls, failed atomic.Int64
	quit          chan struct{}
	wg            sync.WaitGroup
}

func startLoad(t *testing.T, clients []*node.Client, method rpc.Method[node.EchoRequest, node.EchoReply]) *load {
	l := &load{quit: make(chan struct{})}
	keys := keysOf(1000)
	for i := range 16 {
		cl := clients[i%len(clients)]
		l.wg.Go(func() {
			for n := i; ; n++ {
				select {
				case <-l.quit:
					return
				default:
				}
				key := keys[n*7%len(keys)]
				_, err := method.Call(context.Background(), cl, &node.EchoRequest{}, rpc.Key(key))
				l.calls.Add(1)
				if err != nil && l.failed.Add(1) <= 5 {
					t.Errorf("key %s: %v", key, err)
				}
			}
		})
	}
	eventually(t, 10*time.Second, func() bool { return l.calls.Load() > 500 },
		func() string { return "the load does not get going" })
	return l
}

func (l *load) stop() (calls, failed int64) {
	close(l.quit)
	l.wg.Wait()
	return l.calls.Load(), l.failed.Load()
}
