package sim_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

type (
	session     struct{ Key, Value string }
	takeRequest struct{ Partitions []uint32 }
	takeReply   struct{ Sessions []session }
)

var (
	putSession  = rpc.NewMethod[session, session]("handover.Put")
	takeSession = rpc.NewMethod[takeRequest, takeReply]("handover.Take")
	watchNode   = rpc.NewStream[session, session]("handover.Watch")
)

// program keeps sessions in memory and moves them by its ownership hook, as
// docs/ownership.md says.
type program struct {
	n *node.Node

	mu       sync.Mutex
	sessions map[uint32][]session // by partition
	fresh    int                  // gains of which nobody was said to have had them
	failed   []string
}

func newProgram(n *node.Node) *program {
	p := &program{n: n, sessions: make(map[uint32][]session)}
	putSession.Handle(n, p.put)
	takeSession.Handle(n, p.take)
	n.OnOwnership(p.changed, node.HoldServing(20*time.Second))
	return p
}

func (p *program) put(ctx context.Context, s *session) (*session, error) {
	info, _ := rpc.InfoFrom(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions[info.Partition] = append(p.sessions[info.Partition], *s)
	return s, nil
}

// take hands sessions over: they are here no more.
func (p *program) take(_ context.Context, req *takeRequest) (*takeReply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	reply := &takeReply{}
	for _, part := range req.Partitions {
		reply.Sessions = append(reply.Sessions, p.sessions[part]...)
		delete(p.sessions, part)
	}
	return reply, nil
}

func (p *program) changed(c node.OwnershipChange) {
	from := make(map[string][]uint32)
	for _, g := range c.Gained {
		if g.Fate == node.FateNew {
			p.mu.Lock()
			p.fresh++
			p.mu.Unlock()
		}
		if g.From != "" && g.From != p.n.Name() {
			from[g.From] = append(from[g.From], g.Partition)
		}
	}
	for name, parts := range from {
		reply, err := takeSession.Call(context.Background(), p.n, &takeRequest{parts}, rpc.Peer(name))
		p.mu.Lock()
		if err != nil {
			p.failed = append(p.failed, fmt.Sprintf("%s takes %d partitions from %s: %v", p.n.Name(), len(parts), name, err))
		} else {
			for _, s := range reply.Sessions {
				part := c.New.Partition(s.Key)
				p.sessions[part] = append(p.sessions[part], s)
			}
		}
		p.mu.Unlock()
	}
}

func (p *program) has(key string, part uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sessions[part] {
		if s.Key == key {
			return true
		}
	}
	return false
}

// Sessions that a program moves by its hook are all there after nodes have joined and
// left two at a time.
func TestSessionsMoveWithTheirPartitions(t *testing.T) {
	t.Run("plain", func(t *testing.T) { moveSessions(t, func(*sim.Config) {}) })
	t.Run("tls", func(t *testing.T) { moveSessions(t, func(cfg *sim.Config) { secured(t, cfg, nil) }) })
}

func moveSessions(t *testing.T, edit func(*sim.Config)) {
	const sessions, rounds = 300, 3
	var mu sync.Mutex
	programs := make(map[int]*program)
	cfg := sim.Config{
		Nodes: 3, Profile: membership.Local, Table: router.Params{Partitions: 1 << 9},
		Setup: func(i int, n *node.Node) {
			mu.Lock()
			defer mu.Unlock()
			programs[i] = newProgram(n)
		},
	}
	edit(&cfg)
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		for i := range sessions {
			s := session{Key: fmt.Sprintf("key-%d", i), Value: "v"}
			if _, err := putSession.Call(t.Context(), c.Node(0), &s, rpc.Key(s.Key)); err != nil {
				t.Fatal(err)
			}
		}
		check := func(after string) {
			t.Helper()
			c.MustConverge(t, time.Minute)
			time.Sleep(30 * time.Second) // hooks end
			table, missing := c.Node(0).Table(), 0
			for i := range sessions {
				key := fmt.Sprintf("key-%d", i)
				part, owner := table.Lookup(key)
				mu.Lock()
				for j := range c.Len() {
					if c.Member(j).Name == owner && !programs[j].has(key, part) {
						missing++
					}
				}
				mu.Unlock()
			}
			if missing > 0 {
				t.Errorf("%d of %d sessions are missing after %s", missing, sessions, after)
			}
		}
		for round := range rounds {
			for range 2 {
				if _, err := c.Add(); err != nil {
					t.Fatal(err)
				}
			}
			check(fmt.Sprintf("double join %d", round))
		}
		for round := range rounds {
			var both sync.WaitGroup
			for i := range 2 {
				both.Go(func() {
					if err := c.Stop(3 + 2*round + i); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
			check(fmt.Sprintf("double leave %d", round))
		}
		mu.Lock()
		defer mu.Unlock()
		for i, p := range programs {
			if i > 0 && p.fresh > 0 {
				t.Errorf("%s was told of %d partitions that nobody had had", p.n.Name(), p.fresh)
			}
			for _, f := range p.failed {
				t.Error(f)
			}
		}
		clear(programs)
	})
}

// A node that leaves with a stream open hands its sessions over before its time to
// drain is up.
func TestSessionsMoveDespiteAStream(t *testing.T) {
	var mu sync.Mutex
	programs := make(map[int]*program)
	cfg := sim.Config{
		Profile: membership.Local, Table: router.Params{Partitions: 1 << 8},
		Setup: func(i int, n *node.Node) {
			watchNode.Handle(n, func(ctx context.Context, _ *rpc.ServerStream[session, session]) error {
				<-ctx.Done()
				return ctx.Err()
			})
			mu.Lock()
			defer mu.Unlock()
			programs[i] = newProgram(n)
		},
	}
	sim.Test(t, cfg, func(t *testing.T, c *sim.Cluster) {
		open, err := watchNode.Open(t.Context(), c.Node(0), rpc.Peer("n002"))
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
		for i := range 100 {
			s := session{Key: fmt.Sprintf("key-%d", i)}
			if _, err := putSession.Call(t.Context(), c.Node(0), &s, rpc.Key(s.Key)); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Stop(2) // the stream outlives the time to drain
		mu.Lock()
		defer mu.Unlock()
		for i := range 100 {
			key := fmt.Sprintf("key-%d", i)
			part, owner := c.Node(0).Table().Lookup(key)
			if at := map[string]int{"n000": 0, "n001": 1}[owner]; !programs[at].has(key, part) {
				t.Errorf("%s is not on %s", key, owner)
			}
		}
		clear(programs)
	})
}
