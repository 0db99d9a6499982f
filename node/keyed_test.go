package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// A keyed call lands on the owner, whichever node it is made on, and the owner
// is the one that every table names.
func TestKeyedCallsLandOnTheOwner(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c", "d")
	on := make(map[string]int)
	for i := range 40 {
		key := fmt.Sprintf("user-%d", i)
		partition, owner := nodes[0].Table().Lookup(key)
		on[owner]++
		for _, n := range nodes {
			if p, o := n.Table().Lookup(key); p != partition || o != owner {
				t.Fatalf("by %s %q belongs to %s (%d), by %s to %s (%d)", n.Name(), key, o, p, nodes[0].Name(), owner, partition)
			}
			var who string
			got, err := work.Call(t.Context(), n, &job{Key: key}, rpc.Key(key), rpc.Answered(&who))
			if err != nil {
				t.Fatal(err)
			}
			if got.Node != owner || who != owner || !got.Keyed || got.Partition != partition {
				t.Errorf("%s called %q: %+v answered by %q, want %s, partition %d", n.Name(), key, got, who, owner, partition)
			}
		}
		if ran := l.executed(key); len(ran) != len(nodes) {
			t.Errorf("%q was executed %d times for %d calls", key, len(ran), len(nodes))
		}
	}
	if len(on) != len(nodes) {
		t.Errorf("keys belong to %v only", on)
	}
}

// A call to this very process takes no connection, and shares no memory with its handler.
func TestLocalShortCut(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	reply := &report{Node: "made here"}
	var seen *job
	l.do["keep"] = func(_ context.Context, _ *Node, req *job) (*report, error) { seen = req; return reply, nil }
	a := l.start("a")
	req := &job{Key: "k", Do: "keep"}
	got, err := work.Call(t.Context(), a, req, rpc.Key("k"))
	if err != nil || got == reply || got.Node != reply.Node || seen == req || seen.Key != req.Key {
		t.Errorf("reply %p (not %p), request %p (not %p), %v", got, reply, seen, req, err)
	}
	stats := a.Stats()
	if stats["local_calls"] != 1 || stats["calls_sent"] != 0 || stats["conns_dialled"] != 0 {
		t.Errorf("counters %v", stats)
	}
}

// Caller and handler in one process may declare a method with other types;
// then the values are encoded as they would be for another process.
func TestLocalWithOtherTypes(t *testing.T) {
	t.Parallel()
	type theirs struct{ Node string }
	l := newLab(t)
	a := l.start("a")
	other := rpc.NewMethod[map[string]string, theirs](work.Name())
	got, err := other.Call(t.Context(), a, &map[string]string{"Key": "k"}, rpc.Key("k"))
	if err != nil || got.Node != "a" {
		t.Errorf("%+v, %v", got, err)
	}
	raw := rpc.NewMethod[[]byte, []byte](work.Name())
	body := []byte{0xa1, 'x'} // a string is no job
	_, err = raw.Call(t.Context(), a, &body, rpc.Key("k"))
	wantCode(t, err, rpc.InvalidArgument)
	numbers := rpc.NewMethod[job, int](work.Name())
	_, err = numbers.Call(t.Context(), a, &job{}, rpc.Key("k"))
	wantCode(t, err, rpc.Internal)
}

// A nil request is the zero request, here as elsewhere.
func TestNilRequest(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.cluster("a", "b")[0]
	for _, peer := range []string{"a", "b"} {
		got, err := work.Call(t.Context(), a, nil, rpc.Peer(peer))
		if err != nil || got.Node != peer {
			t.Errorf("to %s: %+v, %v", peer, got, err)
		}
	}
}

// Before a node is started, and after it has stopped, calls are refused at once.
func TestKeyedCallsOutsideOfLife(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.build(l.config("a"))
	if ready, why := a.Ready(); ready || !strings.Contains(why, "not started") {
		t.Errorf("a new node is ready: %v, %q", ready, why)
	}
	if a.Addr().IsValid() {
		t.Errorf("a new node has the address %v", a.Addr())
	}
	outside(t, a, rpc.FailedPrecondition, "not been started")
	a.Close()
	outside(t, a, rpc.Unavailable, "not running any more")
}

// outside makes a call of each kind on a node that is not running.
func outside(t *testing.T, n *Node, code rpc.Code, why string) {
	t.Helper()
	errs := make(map[string]error)
	for _, to := range []rpc.CallOption{rpc.Key("k"), rpc.Peer(n.Name()), rpc.Peer("b"), rpc.Any("")} {
		_, errs[fmt.Sprintf("Call %+v", to)] = work.Call(t.Context(), n, &job{}, to)
		errs[fmt.Sprintf("Send %+v", to)] = work.Send(t.Context(), n, &job{}, to)
		_, errs[fmt.Sprintf("Open %+v", to)] = sums.Open(t.Context(), n, to)
	}
	_, errs["Gather all"] = work.Gather(t.Context(), n, &job{})
	_, errs["Gather owners"] = work.Gather(t.Context(), n, &job{}, rpc.Owners("k", 2))
	_, errs["built in"] = Members.Call(t.Context(), n, nil)
	for what, err := range errs {
		if e := wantCode(t, err, code); !strings.Contains(e.Message, why) || !rpc.NotExecuted(err) {
			t.Errorf("%s: %v (not executed: %v)", what, err, rpc.NotExecuted(err))
		}
	}
}

// All tables are equal after each join, whoever joined by whom.
func TestFingerprintsAgreeAfterJoins(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	zones := map[string]string{"a": "z1", "b": "z2", "c": "z1", "d": "z3"}
	l.edit = func(cfg *Config) {
		cfg.Zone = zones[cfg.Name]
		cfg.Weight = float64(1+len(cfg.Seeds)) + 0.0004 // rounded in the table
		if len(cfg.Seeds) > 1 {
			cfg.Seeds = cfg.Seeds[1:2] // by the second node, not the first
		}
	}
	var nodes []*Node
	for _, name := range []string{"a", "b", "c", "d"} {
		nodes = append(nodes, l.start(name))
		agree(t, nodes...)
		if names := nodes[0].Members().Names(); !slices.Contains(names, name) || len(names) != len(nodes) {
			t.Errorf("members are %v", names)
		}
	}
	for i, m := range nodes[0].Table().Members() {
		if m.Zone != zones[m.Name] || m.Weight != float64(1+i) {
			t.Errorf("the table has %+v", m)
		}
	}
}

// The owners of a key are asked in the order of the table.
func TestGatherOwners(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	table := nodes[0].Table()
	for _, key := range []string{"x", "y", "z"} {
		for n, want := range map[int]int{1: 1, 2: 2, 3: 3, 7: 3} {
			got, err := work.Gather(t.Context(), nodes[1], &job{}, rpc.Owners(key, n))
			if err != nil || len(got) != want {
				t.Fatalf("%d owners: %v, %v", n, got, err)
			}
			for i, name := range table.Owners(table.Partition(key), want, nil) {
				if r := got[i]; r.Peer != name || r.Err != nil || r.Reply.Node != name {
					t.Errorf("owner %d of %q is %+v, want %s", i, key, r, name)
				}
			}
		}
	}
}

// A call that ends early says so by its own context's error.
func TestEndedBeforeItBegan(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.cluster("a", "b")[0]
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, owner := range []string{"a", "b"} {
		key := keysOf(a, owner, 1)[0]
		for _, opt := range []rpc.CallOption{rpc.Key(key), rpc.Peer(owner)} {
			_, err := work.Call(canceled, a, &job{Key: "early"}, opt)
			if wantCode(t, err, rpc.Canceled); !errors.Is(err, context.Canceled) {
				t.Errorf("%v is no context.Canceled", err)
			}
			_, err = work.Call(late, a, &job{Key: "early"}, opt)
			if wantCode(t, err, rpc.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is no context.DeadlineExceeded", err)
			}
			_, err = work.Call(t.Context(), a, &job{Key: "early"}, opt, rpc.Timeout(1))
			wantCode(t, err, rpc.DeadlineExceeded)
		}
	}
	if stats := a.Stats(); stats["local_calls"]+stats["calls_sent"] > 0 || len(l.executed("early")) > 0 {
		t.Errorf("%d handlers were begun here, %d calls sent", stats["local_calls"], stats["calls_sent"])
	}
}
