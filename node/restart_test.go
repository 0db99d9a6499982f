package node

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// A process that crashed comes back under its name, at once, at its address or
// at another one, and owns what it owned before.
func TestRestart(t *testing.T) {
	t.Parallel()
	for where, same := range map[string]bool{"same address": true, "another address": false} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			addr := fixedAddr(t)
			l.edit = func(cfg *Config) {
				if cfg.Name == "b" {
					cfg.Bind = addr
				}
			}
			nodes := l.cluster("a", "b", "c")
			a, b := nodes[0], nodes[1]
			keys := keysOf(a, "b", 20)
			b.Close()
			if !same {
				addr = fixedAddr(t)
			}
			again := l.start("b")
			if again.Addr().String() != addr || again.boot == b.boot {
				t.Errorf("it is at %v with boot %d, was %d", again.Addr(), again.boot, b.boot)
			}
			agree(t, a, again, nodes[2])
			for _, key := range keys {
				got, err := work.Call(t.Context(), a, &job{Key: key}, rpc.Key(key))
				if err != nil || got.Node != "b" {
					t.Errorf("%q: %+v, %v", key, got, err)
				}
			}
		})
	}
}

// A quick restart leaves the table as it was. Whether another member drops the name in
// between depends on what gossip tells it: then its hook is told of both changes, and
// never of one alone. The new process owns everything anew.
func TestQuickRestartIsTold(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := fixedAddr(t)
	l.edit = func(cfg *Config) {
		if cfg.Name == "a" {
			cfg.Bind = addr
		}
	}
	nodes := l.cluster("a", "b", "c")
	before := nodes[0].Table()
	hooks := map[string]*tally{"b": watchOwnership(nodes[1]), "c": watchOwnership(nodes[2])}
	for name, h := range hooks {
		h.owns(t, name, before)
	}
	nodes[0].Close()
	nodes[0] = l.build(l.config("a"))
	hooks["a"] = watchOwnership(nodes[0])
	if err := nodes[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, nodes...)
	if nodes[0].Table().Fingerprint() != before.Fingerprint() {
		t.Error("the table is another one than before")
	}
	for name, h := range hooks {
		h.owns(t, name, before)
	}
}

// tally is the partitions that a node owns by what its hook was told.
type tally struct {
	mu    sync.Mutex
	owned map[uint32]bool
	wrong error
}

func watchOwnership(n *Node) *tally {
	y := &tally{owned: make(map[uint32]bool)}
	n.OnOwnership(func(c OwnershipChange) {
		y.mu.Lock()
		defer y.mu.Unlock()
		for _, m := range c.Lost {
			if !y.owned[m.Partition] {
				y.wrong = fmt.Errorf("partition %d is lost, and was not owned", m.Partition)
			}
			delete(y.owned, m.Partition)
		}
		for _, m := range c.Gained {
			if y.owned[m.Partition] {
				y.wrong = fmt.Errorf("partition %d is gained, and was owned", m.Partition)
			}
			y.owned[m.Partition] = true
		}
	})
	return y
}

// owns waits until the hook was told of exactly what name owns by a table.
func (y *tally) owns(t *testing.T, name string, table *router.Table) {
	t.Helper()
	eventually(t, name+"'s hook knows what it owns", func() error {
		y.mu.Lock()
		defer y.mu.Unlock()
		want := 0
		for p := range table.Params().Partitions {
			mine := table.Owner(p) == name
			if mine != y.owned[p] {
				return fmt.Errorf("partition %d: owned %v, told %v", p, mine, y.owned[p])
			}
			if mine {
				want++
			}
		}
		if len(y.owned) != want {
			return fmt.Errorf("%d partitions, want %d", len(y.owned), want)
		}
		return y.wrong
	})
}

// A second live process of one name is refused. The first does not notice.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	a, b := nodes[0], nodes[1]
	before := a.Table().Fingerprint()
	stop, calls := keepCalling(t, nodes)
	for _, name := range []string{"a", "b"} {
		twin := l.build(l.config(name))
		err := twin.Start(t.Context())
		if !errors.Is(err, membership.ErrNameTaken) || !strings.Contains(err.Error(), name) {
			t.Errorf("the second %q starts with %v", name, err)
		}
		await(t, "the end of the second "+name, twin.Done())
	}
	close(stop)
	if failed := await(t, "the calls", calls); failed != nil {
		t.Errorf("meanwhile a call failed: %v", failed)
	}
	if agree(t, a, b); a.Table().Fingerprint() != before {
		t.Error("the table changed")
	}
}

// refused starts a node that the one before cannot take, and checks that both
// say why and that the one before goes on.
func refused(t *testing.T, edit func(*Config), want error, theirs, ours []string) {
	t.Helper()
	l := newLab(t)
	a := l.start("a")
	cfg := l.config("b")
	edit(&cfg)
	b := l.build(cfg)
	if err := b.Start(t.Context()); !errors.Is(err, want) {
		t.Errorf("Start gives %v, want %v", err, want)
	}
	await(t, "the end", b.Done())
	l.log("b").wait(t, theirs...)
	l.log("a").wait(t, ours...)
	agree(t, a)
	if got, err := work.Call(t.Context(), a, &job{}, rpc.Key("k")); err != nil || got.Node != "a" {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		edit         func(*Config)
		want         error
		theirs, ours []string
	}{
		"cluster": {
			func(cfg *Config) { cfg.Cluster = "other" }, membership.ErrClusterMismatch,
			[]string{"warn", "cluster", `\"lab-`, `\"other\"`},
			[]string{"warn", "cluster", `\"lab-`, `\"other\"`},
		},
		"key where none is": {
			func(cfg *Config) { cfg.GossipKey = membership.GenerateKey() }, membership.ErrGossipKeyMismatch,
			[]string{"warn", "gossip key"},
			[]string{"warn", "gossip key"},
		},
		"partitions": {
			func(cfg *Config) { cfg.Table.Partitions = 1 << 9 }, membership.ErrParamsMismatch,
			[]string{"warn", "table parameters"},
			nil,
		},
		"slack": {
			func(cfg *Config) { cfg.Table.SlackPermille = 100 }, membership.ErrParamsMismatch,
			[]string{"warn", "table parameters"},
			nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, c.edit, c.want, c.theirs, c.ours)
		})
	}
}

// The error of a wrong gossip key has none of the key in it.
func TestWrongGossipKey(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	one, two := membership.GenerateKey(), membership.GenerateKey()
	l.edit = func(cfg *Config) { cfg.GossipKey = one }
	nodes := l.cluster("a", "b")
	cfg := l.config("c")
	cfg.GossipKey = two
	c := l.build(cfg)
	err := c.Start(t.Context())
	if !errors.Is(err, membership.ErrGossipKeyMismatch) || !errors.Is(err, transport.ErrGossipKey) {
		t.Errorf("Start gives %v", err)
	}
	l.log("c").wait(t, "warn", "gossip key")
	for _, key := range [][]byte{one, two} {
		for _, text := range []string{string(key), membership.FormatKey(key)} {
			if strings.Contains(err.Error(), text) || strings.Contains(l.log("c").String(), text) {
				t.Error("a key is in the error or the log")
			}
		}
	}
	agree(t, nodes...)
	if _, err := work.Call(t.Context(), nodes[0], &job{}, rpc.Peer("b")); err != nil {
		t.Error(err)
	}
}

// keepCalling calls random keys from all nodes until stop is closed; calls
// then gives the first error, or nil.
func keepCalling(t *testing.T, nodes []*Node) (stop chan struct{}, calls <-chan error) {
	t.Helper()
	stop = make(chan struct{})
	result := make(chan error, 1)
	go func() {
		var failed error
		for i := 0; ; i++ {
			select {
			case <-stop:
				result <- failed
				return
			default:
			}
			n := nodes[i%len(nodes)]
			key := time.Duration(i).String()
			_, err := work.Call(t.Context(), n, &job{Key: key}, rpc.Key(key), rpc.Timeout(patience))
			if err != nil && failed == nil {
				failed = err
			}
		}
	}()
	return stop, result
}
