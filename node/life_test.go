package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

// Stop and Close may be called at once, often, and before Start.
func TestStopOften(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if i%2 == 0 {
				stopNode(t, nodes[1])
			} else {
				await(t, "the end", nodes[1].Done())
				nodes[1].Close()
			}
		})
	}
	wg.Wait()
	stopNode(t, nodes[1])
	agree(t, nodes[0])

	fresh := l.build(l.config("c"))
	stopNode(t, fresh)
	fresh.Close()
	await(t, "the end of a node that never began", fresh.Done())
	for what, start := range map[string]func(context.Context) error{"Start": fresh.Start, "Run": fresh.Run} {
		if err := start(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("%s after Stop gives %v", what, err)
		}
	}
}

// A second Stop waits no longer than its own context.
func TestSecondStopHasItsOwnContext(t *testing.T) {
	t.Parallel()
	_, b, _, _, release := deafLab(t)
	stopped := make(chan error, 1)
	go func() { stopped <- b.Stop(context.Background()) }()
	eventually(t, "Stop has begun", func() error {
		if !b.life.isStopping() {
			return errors.New("it has not")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := b.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second Stop gives %v", err)
	}
	close(release)
	if err := await(t, "the first Stop", stopped); err != nil {
		t.Errorf("the first Stop gives %v", err)
	}
}

// Whatever a node that starts waits for, Stop and Close end it, and Start and
// Run return.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	waits := map[string]func(*Config){
		"seed":   func(cfg *Config) { cfg.Seeds = []string{fixedAddr(t)} },
		"expect": func(cfg *Config) { cfg.Expect = 5 },
	}
	starts := map[string]func(*Node) error{
		"Start": func(n *Node) error { return n.Start(context.Background()) },
		"Run":   func(n *Node) error { return n.Run(context.Background()) },
	}
	ends := map[string]func(*testing.T, *Node){
		"Stop": stopNode, "Close": func(_ *testing.T, n *Node) { n.Close() },
	}
	for wait, edit := range waits {
		for start, begin := range starts {
			for end, stop := range ends {
				t.Run(fmt.Sprintf("%s of %s for %s", end, start, wait), func(t *testing.T) {
					t.Parallel()
					l := newLab(t)
					cfg := l.config("a")
					edit(&cfg)
					n := l.build(cfg)
					ended := make(chan error, 1)
					go func() { ended <- begin(n) }()
					l.log("a").wait(t, "listening")
					stop(t, n)
					err := await(t, "the end of "+start, ended)
					if start == "Start" && !errors.Is(err, ErrStopped) || start == "Run" && err != nil {
						t.Errorf("%s gives %v", start, err)
					}
				})
			}
		}
	}
}

// A node may be ended at any moment of its start.
func TestEndAtAnyMoment(t *testing.T) {
	t.Parallel()
	const seed, rounds = 1, 40
	random := rand.New(rand.NewPCG(seed, 0))
	l := newLab(t)
	a := l.start("a")
	for i := range rounds {
		n := l.build(l.config("b"))
		started := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { started <- n.Start(ctx) }()
		<-time.After(time.Duration(random.IntN(30)) * time.Millisecond)
		switch how := i % 3; how {
		case 0:
			n.Close()
		case 1:
			stopNode(t, n)
		case 2:
			cancel()
		}
		err := await(t, "the end of Start", started)
		cancel()
		if err != nil && !errors.Is(err, ErrStopped) && !errors.Is(err, context.Canceled) {
			t.Errorf("round %d (seed %d): Start gives %v", i, seed, err)
		}
		n.Close()
		await(t, "the end", n.Done())
	}
	agree(t, a)
}

// A peer, or a client, can make a node leave; Run then ends well.
func TestLeaveOnRequest(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	b := l.build(l.config("b"))
	ended := make(chan error, 1)
	go func() { ended <- b.Run(t.Context()) }()
	agree(t, a, b)
	reply, err := Leave.Call(t.Context(), a, nil, rpc.Peer("b"))
	if err != nil || reply.Node != "b" {
		t.Fatalf("%+v, %v", reply, err)
	}
	if err := await(t, "the end of Run", ended); err != nil {
		t.Errorf("Run gives %v", err)
	}
	agree(t, a)
	members, err := Members.Call(t.Context(), a, nil)
	if err != nil || len(members.Members) != 2 || members.Members[1].State != "left" || members.Members[1].Share != 0 {
		t.Errorf("a lists %+v, %v", members, err)
	}
}

// What membership cannot live with ends the node, however it was started.
func TestMembershipFails(t *testing.T) {
	t.Parallel()
	taken := &membership.NameTakenError{Name: "a"}
	failed := make(chan error, 1)
	failed <- taken
	t.Run("Start", func(t *testing.T) {
		t.Parallel()
		a := newLab(t).start("a")
		failed := make(chan error, 1)
		failed <- taken
		a.watch(failed)
		await(t, "the end", a.Done())
		if err := a.life.reason(nil); !errors.Is(err, membership.ErrNameTaken) {
			t.Errorf("the reason is %v", err)
		}
	})
	t.Run("Run", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		a := l.build(l.config("a"))
		ended := make(chan error, 1)
		go func() { ended <- a.Run(t.Context()) }()
		agree(t, a)
		a.watch(failed)
		if err := await(t, "the end of Run", ended); !errors.Is(err, membership.ErrNameTaken) || !strings.Contains(err.Error(), "node a") {
			t.Errorf("Run gives %v", err)
		}
	})
}

// The end of a node ends the calls that wait on it.
func TestCloseEndsWaitingCalls(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	w := newWires()
	l.edit = func(cfg *Config) { cfg.Network = w }
	a := l.cluster("a", "b")[0]
	key := keysOf(a, "b", 1)[0]
	w.failing(func(string) error { return errors.New("no route") })
	failed := make(chan error, 1)
	go func() {
		_, err := work.Call(context.Background(), a, &job{}, rpc.Key(key), rpc.Timeout(time.Hour))
		failed <- err
	}()
	eventually(t, "it waits", func() error {
		if a.Stats()["retries"] == 0 {
			return errors.New("it does not")
		}
		return nil
	})
	a.Close()
	wantCode(t, await(t, "the end of the call", failed), rpc.Unavailable)
}

// After a life with calls in all directions nothing is open: no connections
// of those who left, and none of their goroutines (the leak check at the end
// of all tests sees these).
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	for _, from := range nodes {
		if _, err := work.Gather(t.Context(), from, &job{}); err != nil {
			t.Fatal(err)
		}
	}
	if conns := nodes[0].endpoint.Conns(); conns < 4 {
		t.Errorf("%d connections, want one each way to both others", conns)
	}
	for i, n := range nodes {
		stopNode(t, n)
		if left := n.endpoint.Conns(); left != 0 {
			t.Errorf("%s has %d connections after its end", n.Name(), left)
		}
		for _, other := range nodes[i+1:] {
			eventually(t, other.Name()+" lets go", func() error {
				if conns, others := other.endpoint.Conns(), len(nodes)-i-2; conns > 2*others {
					return fmt.Errorf("%d connections to %d others", conns, others)
				}
				return nil
			})
		}
	}
}
