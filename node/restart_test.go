package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// revived waits until n's calls to a name reach the life with that boot id.
func revived(t *testing.T, n, to *Node) {
	t.Helper()
	eventually(t, "the new life is known", func() error {
		if p := n.view.Load().peers[to.Name()]; p == nil || p.boot != to.boot {
			return errors.New("it is not")
		}
		return nil
	})
}

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
			revived(t, a, again)
			revived(t, nodes[2], again)
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
