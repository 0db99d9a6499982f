package node

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
)

func TestMain(m *testing.M) {
	waitTogether()
	os.Exit(run(m))
}

// waitTogether lets more tests run beside each other than there are processors, since
// most of them wait for gossip. -parallel overrides it.
func waitTogether() {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(min(3*runtime.GOMAXPROCS(0), 6)))
	}
}

// run runs the tests and looks for goroutines that are left. memberlist ends
// without waiting for its probes, which take seconds when the probed is gone.
func run(m *testing.M) int {
	if code := m.Run(); code != 0 {
		return code
	}
	for end := time.Now().Add(patience); ; {
		err := goleak.Find()
		if err == nil {
			return 0
		}
		if time.Now().After(end) {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}

// patience is how long a test waits for what must happen in the end.
const patience = 20 * time.Second

type (
	job struct {
		Key  string
		Do   string // the action of the lab that the handler takes; empty: none
		Data []byte
	}
	report struct {
		Node      string
		Keyed     bool
		Partition uint32
		Data      []byte
	}
	// action is what a handler of the lab does besides.
	action func(ctx context.Context, n *Node, req *job) (*report, error)
)

var (
	work = rpc.NewMethod[job, report]("lab.Work")
	safe = rpc.NewMethod[job, report]("lab.Safe", rpc.Idempotent())
)

// lab is a cluster in this process. Every node serves work and safe.
type lab struct {
	t    testing.TB
	name string // of the cluster
	do   map[string]action
	edit func(*Config) // changes the configuration of nodes to come
	// silence makes nodes go past peers that are silent for as long as Limits.Contact is by
	// default. Else they wait: on a busy machine a live owner would be passed by.
	silence bool

	mu    sync.Mutex
	nodes []*Node
	logs  map[string]*logs
	runs  map[string][]string // by key: the nodes that executed it
}

// newLab gives its cluster a name of its own: a port that one lab gives up is
// soon used by another one, whose nodes must not be taken for the lost ones.
func newLab(t testing.TB) *lab {
	name := fmt.Sprintf("lab-%d-%s", os.Getpid(), t.Name())
	return &lab{
		t: t, name: name[:min(len(name), 120)], do: make(map[string]action),
		logs: make(map[string]*logs), runs: make(map[string][]string),
	}
}

// config joins by the first node of the lab, if there is one.
func (l *lab) config(name string) Config {
	cfg := Config{
		Name: name, Cluster: l.name, Profile: membership.Local, Logger: zerolog.New(l.log(name)),
		Table: router.Params{Partitions: 1 << 8},
	}
	if !l.silence {
		cfg.Limits.Contact = patience
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		if !n.life.isStopping() {
			cfg.Seeds = append(cfg.Seeds, n.Addr().String())
		}
	}
	if l.edit != nil {
		l.edit(&cfg)
	}
	return cfg
}

// log is the log of a node, over all its lives.
func (l *lab) log(name string) *logs {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logs[name] == nil {
		l.logs[name] = &logs{}
	}
	return l.logs[name]
}

// build gives a node that was not started.
func (l *lab) build(cfg Config) *Node {
	l.t.Helper()
	n, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(n.Close)
	for _, m := range []rpc.Method[job, report]{work, safe} {
		m.Handle(n, func(ctx context.Context, req *job) (*report, error) { return l.serve(ctx, n, req) })
	}
	return n
}

func (l *lab) serve(ctx context.Context, n *Node, req *job) (*report, error) {
	l.mu.Lock()
	l.runs[req.Key] = append(l.runs[req.Key], n.Name())
	l.mu.Unlock()
	if act := l.do[req.Do]; act != nil {
		return act(ctx, n, req)
	}
	info, _ := rpc.InfoFrom(ctx)
	return &report{Node: n.Name(), Keyed: info.Keyed, Partition: info.Partition, Data: req.Data}, nil
}

// executed gives the nodes that executed a key so far, in order.
func (l *lab) executed(key string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.runs[key]...)
}

// launch starts a node and adds it to those that later ones join by.
func (l *lab) launch(cfg Config) *Node {
	l.t.Helper()
	n := l.build(cfg)
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	if err := n.Start(ctx); err != nil {
		l.t.Fatalf("node %s: %v", cfg.Name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = append(l.nodes, n)
	return n
}

func (l *lab) start(name string) *Node { return l.launch(l.config(name)) }

// cluster starts nodes of these names and waits until they agree.
func (l *lab) cluster(names ...string) []*Node {
	l.t.Helper()
	nodes := make([]*Node, len(names))
	for i, name := range names {
		nodes[i] = l.start(name)
	}
	agree(l.t, nodes...)
	return nodes
}

// agree waits until the nodes, and no others, own partitions by the tables of all of
// them, and each knows the others' present lives: a table is the same before and after
// a restart.
func agree(t testing.TB, nodes ...*Node) {
	t.Helper()
	eventually(t, "agreement", func() error {
		want := nodes[0].Table().Fingerprint()
		for _, n := range nodes {
			ready, why := n.Ready()
			switch table := n.Table(); {
			case !ready:
				return fmt.Errorf("%s is not ready: %s", n.Name(), why)
			case table.Len() != len(nodes) || table.Fingerprint() != want:
				return fmt.Errorf("%s has %d owners (%v), %s %v",
					n.Name(), table.Len(), table.Fingerprint(), nodes[0].Name(), want)
			}
			for _, other := range nodes {
				if m, _ := n.Members().Find(other.Name()); m.Boot != other.boot || m.State != membership.StateServing {
					return fmt.Errorf("%s knows %s as %v with boot id %x, want %x", n.Name(), m.Name, m.State, m.Boot, other.boot)
				}
			}
		}
		return nil
	})
}

// eventually waits until cond gives nil.
func eventually(t testing.TB, what string, cond func() error) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v: %v", what, patience, err)
		}
	}
}

// await waits for a channel to be closed or filled.
func await[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("%s: not after %v", what, patience)
	}
	return v
}

// wantCode fails unless err is an *rpc.Error with that code.
func wantCode(t testing.TB, err error, want rpc.Code) *rpc.Error {
	t.Helper()
	var e *rpc.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Fatalf("error is %T %v, want an *rpc.Error with code %v", err, err, want)
	}
	return e
}

// keysOf gives so many keys that owner owns by n's table.
func keysOf(n *Node, owner string, count int) (keys []string) {
	for i := 0; len(keys) < count; i++ {
		key := fmt.Sprintf("key-%d", i)
		if _, name := n.Table().Lookup(key); name == owner {
			keys = append(keys, key)
		}
	}
	return keys
}
